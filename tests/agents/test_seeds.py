"""Trainings of several seeds are independent of each other."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from MLOps.agents.training import train
from tests.agents.trainings import CONFIGS, TRADING, VIEW, market


def parameters(seed: int, checkpoints: Path) -> np.ndarray:
    config = replace(CONFIGS["ppo"], total_timesteps=256)
    return train(config, VIEW, market(), market(9), TRADING, seed, lambda *_: None, checkpoints)[0].network.parameters


def test_a_seed_gives_the_same_agent_whatever_was_trained_before_in_the_same_folder(tmp_path: Path) -> None:
    first, second = parameters(1, tmp_path / "together"), parameters(2, tmp_path / "together")
    alone = parameters(2, tmp_path / "alone")
    assert second.tobytes() == alone.tobytes()
    assert first.tobytes() != second.tobytes()
