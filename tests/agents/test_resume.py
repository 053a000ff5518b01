"""A training stopped anywhere and run again ends as if it had never stopped; every part of its state is needed."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from MLOps.agents.checkpointing import Checkpointing
from MLOps.agents.learner_state import Arrays, capture, restore
from MLOps.training.checkpoints import Checkpoints
from tests.agents.learners import LEARNERS, STEPS, learner

State = tuple[Arrays, dict[str, Any]]
LEARNT = ("policy", "optimisers", "tensors", "replay")


class KilledError(Exception):
    """Stands for a kill within this process."""


class Metrics(BaseCallback, KVWriter):
    """Keeps the metrics of every 64 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int, dict[str, Any]]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self.rows.append((step, {k: float(v) for k, v in key_values.items() if not k.startswith("time/")}))

    def close(self) -> None:
        pass

    def _on_rollout_end(self) -> None:
        if self.model.num_timesteps % 64 == 0:
            self.model.dump_logs()

    def _on_step(self) -> bool:
        return True


class AtRolloutStart(BaseCallback):
    """Restores a state, or keeps one as it would be read from a checkpoint and stops."""

    def __init__(self, keep_at: int | None = None, state: State | None = None) -> None:
        super().__init__()
        self.keep_at, self.state = keep_at, state

    def _on_rollout_start(self) -> None:
        if self.keep_at is None and self.state is not None:
            restore(self.model, *self.state)
            self.state = None
        elif self.keep_at is not None and self.model.num_timesteps >= self.keep_at:
            arrays, metadata = capture(self.model)
            self.state = {name: array.copy() for name, array in arrays.items()}, json.loads(json.dumps(metadata))
            raise KilledError

    def _on_step(self) -> bool:
        return True


def learn(model: BaseAlgorithm, callback: BaseCallback) -> list[tuple[int, dict[str, Any]]]:
    metrics = Metrics()
    model.set_logger(Logger(None, [metrics]))
    model.learn(STEPS, [metrics, callback], log_interval=None)  # type: ignore[arg-type]
    return metrics.rows


def state_at(name: str, step: int) -> State:
    """The state at the first rollout start at or after `step`."""
    keeper = AtRolloutStart(keep_at=step)
    with pytest.raises(KilledError):
        learn(learner(name), keeper)
    assert keeper.state is not None
    return keeper.state


def outcome(model: BaseAlgorithm, rows: list[tuple[int, dict[str, Any]]], after: int) -> dict[str, Any]:
    """All that was learnt, the replay buffer, and the metrics after a step."""
    arrays, _ = capture(model)
    learnt = {name: array.tobytes() for name, array in arrays.items() if name.partition(".")[0] in LEARNT}
    return learnt | {"metrics": json.dumps([row for row in rows if row[0] > after])}


@cache
def undisturbed(name: str, after: int) -> dict[str, Any]:
    model = learner(name)
    return outcome(model, learn(model, AtRolloutStart()), after)


def resumed(name: str, state: State) -> dict[str, Any]:
    model = learner(name)
    return outcome(model, learn(model, AtRolloutStart(state=state)), state[1]["counters"]["num_timesteps"])


def different(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))


def first_state(name: str) -> State:
    """What a new training has at its first rollout start."""
    return state_at(name, 0)


def parts_of(state: State, fresh: State) -> list[str]:
    """The parts whose value differs from a new training's: `part`, or `part.name` for counters and generators."""
    return sorted({part for part in all_parts(state) if extract(state, part) != extract(fresh, part)})


def all_parts(state: State) -> set[str]:
    arrays, metadata = state
    names = {name.partition(".")[0] for name in (*arrays, *metadata)} - {"counters", "generators"}
    names |= {f"counters.{name}" for name in metadata["counters"]}
    return names | {f"generators.{name}" for name in ("torch", *metadata["generators"])}


def extract(state: State, part: str) -> tuple[dict[str, bytes], str]:
    arrays, metadata = state
    outer, _, inner = part.partition(".")
    values = metadata.get(outer)
    if inner:
        values = values.get(inner)
    return {name: a.tobytes() for name, a in arrays.items() if (name + ".").startswith(part + ".")}, json.dumps(values)


def without(state: State, part: str, fresh: State) -> State:
    """The state with one part as in a new training."""
    arrays = {name: array for name, array in state[0].items() if not (name + ".").startswith(part + ".")}
    arrays |= {name: array for name, array in fresh[0].items() if (name + ".").startswith(part + ".")}
    metadata = json.loads(json.dumps(state[1]))
    outer, _, inner = part.partition(".")
    if inner and inner in fresh[1][outer]:
        metadata[outer][inner] = fresh[1][outer][inner]
    elif outer in metadata and not inner:
        metadata[outer] = fresh[1][outer]
    return arrays, metadata
