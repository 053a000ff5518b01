"""Shared by predictors and agents: seeds, determinism, checkpoints, search."""
