"""The training in a trial of a search of an agent's parameters."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from MLOps.agents.data import AgentData
from MLOps.agents.training import train
from MLOps.config.agents import parse_agent
from MLOps.config.schema import suggest
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.training.search import OnEpoch, Train
from MLOps.training.seeds import derive_seed


def trial_of(
    name: str, values: Mapping[str, Any], data: AgentData, trading: TradingConfig, seed: int, metric: str
) -> Train:
    """A function that trains the agent `name` with drawn parameters in place of those of `values`.

    Each trial trains with one seed, the same for all.

    Args:
        values: of the variant in params.yaml.
        seed: of the run.
        metric: what trials are compared by.
    """
    return partial(_train, name, values, data, trading, derive_seed(seed, "trials", name), metric)


def _train(
    name: str,
    values: Mapping[str, Any],
    data: AgentData,
    trading: TradingConfig,
    seed: int,
    metric: str,
    checkpoints: Path,
    drawn: dict[str, Any],
    on_epoch: OnEpoch,
) -> None:
    config = parse_agent({**values, **drawn}, f"search.agents.spaces.{name}")
    seen: set[str] = set()
    count = 0

    def on_step(_: int, metrics: Mapping[str, float]) -> None:
        nonlocal count
        seen.update(metrics)
        if metric in metrics:
            # Counted, because the steps at which rollouts end may differ between trials, and pruning compares.
            count += 1
            on_epoch(count, metrics)
        elif "validation_reward" in metrics and metric not in seen:
            raise UserError(f"search.agents.metric: no metric {metric!r} of {name}; {suggest(metric, seen)}")

    spans = data.training, data.validation
    train(config, data.view, *spans, trading, seed, on_step, checkpoints, data.pretrained)
