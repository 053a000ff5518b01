"""The learning rates of a training, when it stops, and which epoch is the best."""

import numpy as np
import pytest

from MLOps.config.predictors import parse_predictor
from MLOps.predictors.schedule import best_epoch, is_better, schedule
from tests.predictors.markets import NETWORKS

MONITOR = "selection_sharpe_per_bar"


def test_schedules_go_by_their_formulas() -> None:
    def rates(name: str, losses: list[float]) -> list[float | None]:
        config = parse_predictor(
            {**NETWORKS["lstm"], "schedule": name, "schedule_epochs": 2, "max_epochs": 6, "patience_epochs": 99}, "test"
        )
        history = [{"selection_loss": loss} for loss in losses]
        return [schedule(config, history[:n]) for n in range(len(losses) + 1)]

    falling = [1.0 - 0.1 * n for n in range(6)]
    assert rates("constant", falling) == [0.01] * 6 + [None]
    cosine = [0.005 * (1 + np.cos(np.pi * n / 6)) for n in range(6)]
    assert rates("cosine", falling)[:-1] == pytest.approx(cosine)
    assert rates("warm_restarts", falling)[:-1] == pytest.approx([0.01, 0.005] * 3)
    assert rates("plateau", [1.0, 1.1, 1.1, 1.1, 1.1]) == pytest.approx([0.01, 0.01, 0.01, 0.005, 0.005, 0.0025])


def test_training_stops_when_patience_ends_and_keeps_the_best_epoch() -> None:
    config = parse_predictor({**NETWORKS["lstm"], "patience_epochs": 2, "max_epochs": 99, "monitor": MONITOR}, "test")
    history = [{MONITOR: value} for value in (0.1, 0.3, 0.2, 0.3)]
    assert best_epoch(history, config.monitor) == 2
    assert schedule(config, history[:3]) is not None
    assert schedule(config, history) is None


def test_better_is_lower_for_losses_and_errors_alone() -> None:
    for name in ("selection_loss", "train_loss", "selection_rmse", "gradient_norm"):
        assert is_better(name, 1.0, 2.0)
    for name in ("selection_accuracy", "selection_sharpe_per_bar", "selection_rank_ic", "selection_f1_macro"):
        assert is_better(name, 2.0, 1.0)
