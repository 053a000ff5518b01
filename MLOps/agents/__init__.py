"""Agents: observations, reinforcement learning algorithms, trained policies."""
