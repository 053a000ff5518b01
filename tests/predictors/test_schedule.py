"""The learning rates of a training, when it stops, and which epoch is the best."""

import numpy as np
import pytest
import torch

from MLOps.config.predictors import parse_predictor
from MLOps.predictors.schedule import best_epoch, schedule
from MLOps.training.direction import is_better
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


@pytest.mark.parametrize("t_mult", [1, 2, 3])
def test_warm_restarts_are_those_of_pytorch(t_mult: int) -> None:
    values = {"schedule": "warm_restarts", "schedule_epochs": 3, "t_mult": t_mult, "eta_min": 0.001, "max_epochs": 30}
    config = parse_predictor({**NETWORKS["lstm"], **values, "patience_epochs": 99}, "test")
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=config.learning_rate)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimiser, T_0=3, T_mult=t_mult, eta_min=0.001)
    for epoch in range(30):
        history = [{"selection_loss": 1.0 - 0.01 * n} for n in range(epoch)]
        assert schedule(config, history) == pytest.approx(optimiser.param_groups[0]["lr"])
        optimiser.step()
        theirs.step()


def test_a_plateau_multiplies_by_its_factor() -> None:
    values = {"schedule": "plateau", "schedule_epochs": 1, "plateau_factor": 0.1, "patience_epochs": 99}
    config = parse_predictor({**NETWORKS["lstm"], **values}, "test")
    rates = [schedule(config, [{"selection_loss": 1.0}] * n) for n in range(1, 4)]
    assert rates == pytest.approx([0.01, 0.001, 0.0001])
