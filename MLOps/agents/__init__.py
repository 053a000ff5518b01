"""Agents: what they observe, how they learn, what is kept of them."""
