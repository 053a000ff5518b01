"""A training stopped anywhere and run again ends as if it had never stopped; every part of its state is needed."""

import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger

from MLOps.agents.learner_state import Arrays, capture, restore
from tests.agents.learners import ENVIRONMENTS, LEARNERS, learner

STEPS = 480  # a replay buffer of 400 transitions is full before
Rows = list[tuple[int, dict[str, Any]]]
State = tuple[Arrays, dict[str, Any]]
LEARNT = ("policy", "optimisers", "tensors", "replay")


class KilledError(Exception):
    """Stands for a kill within this process."""


class Metrics(BaseCallback, KVWriter):
    """Keeps the metrics of every 64 steps."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: Rows = []

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


def learn(model: BaseAlgorithm, callback: BaseCallback, steps: int = STEPS) -> Rows:
    metrics = Metrics()
    model.set_logger(Logger(None, [metrics]))
    model.learn(steps, [metrics, callback], log_interval=None)  # type: ignore[arg-type]
    return metrics.rows


def state_at(name: str, step: int) -> State:
    """The state at the first rollout start at or after `step`; at 0, what a new training has."""
    keeper = AtRolloutStart(keep_at=step)
    with pytest.raises(KilledError):
        learn(learner(name), keeper)
    assert keeper.state is not None
    return keeper.state


def learnt(model: BaseAlgorithm) -> dict[str, bytes]:
    """Everything learnt, and the replay buffer."""
    arrays, _ = capture(model)
    return {name: array.tobytes() for name, array in arrays.items() if name.partition(".")[0] in LEARNT}


@cache
def undisturbed(name: str) -> tuple[dict[str, bytes], Rows]:
    model = learner(name)
    rows = learn(model, AtRolloutStart())
    return learnt(model), rows


def ends_alike(name: str, state: State) -> bool:
    """Whether a new learner with the state ends with the same weights, moments, buffer and metrics as undisturbed."""
    random.seed(99)
    model = learner(name)
    rows = learn(model, AtRolloutStart(state=state))
    whole, whole_rows = undisturbed(name)
    done = state[1]["counters"]["num_timesteps"]
    return learnt(model) == whole and rows == [row for row in whole_rows if row[0] > done]


@pytest.mark.parametrize("name", LEARNERS)
def test_a_new_learner_continues_where_another_stopped(name: str) -> None:
    assert ends_alike(name, state_at(name, 250))


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 50, 430], ids=["at the start", "while warming up", "with a full replay buffer"])
@pytest.mark.parametrize("name", LEARNERS)
def test_a_learner_continues_from_any_phase(name: str, step: int) -> None:
    assert ends_alike(name, state_at(name, step))


@pytest.mark.parametrize("name", ["dqn", "sac"])
def test_only_filled_rows_of_a_replay_buffer_are_saved(name: str) -> None:
    for step, rows in ((100, 100 // ENVIRONMENTS + 3), (430, 100)):
        arrays, _ = state_at(name, step)
        assert len(arrays["replay.observations"]) == rows


COMMON = {"policy", "optimisers", "environments", "last_observations", "episodes", "generators.numpy"}
COMMON |= {"counters.num_timesteps", "counters._n_updates"}
ON_POLICY = COMMON | {"generators.torch", "log"}
Q_LEARNING = COMMON | {"replay", "generators.action_space", "counters._n_calls", "counters.exploration_rate"}
CONTINUOUS = COMMON | {"replay"}
ENTROPY = CONTINUOUS | {"generators.torch", "tensors"}
NEEDED = {
    "ppo": ON_POLICY,
    "ppo_gsde": ON_POLICY | {"exploration"},
    "a2c": ON_POLICY,
    "a2c_tf": ON_POLICY,
    "dqn": Q_LEARNING,
    "dqn_n_step": Q_LEARNING,
    "ddpg": CONTINUOUS | {"noise"},
    "td3": CONTINUOUS | {"generators.torch"},
    "sac": ENTROPY,
    "sac_gsde": ENTROPY | {"exploration"},
    "recurrent_ppo": ON_POLICY | {"recurrent", "episode_starts"},
    "maskable_ppo": ON_POLICY,
    "qrdqn": Q_LEARNING,
    # Past the warm-up its random actions are NumPy's, not the action space's.
    "rainbow": Q_LEARNING - {"generators.action_space"} | {"generators.torch"},
    "tqc": ENTROPY,
    "crossq": ENTROPY,
    "trpo": ON_POLICY,
}
QUICK = ("a2c", "dqn", "sac")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in LEARNERS])
def test_what_is_left_out_changes_the_end(name: str) -> None:
    """One part at a time is as in a new training. The parts that then make a difference are those listed above.

    Of the others, some are the same in a new training, and some are overwritten before they are read: here the
    progress that remains, and after the warm-up the generator of random actions.
    """
    state, fresh = state_at(name, 200), state_at(name, 0)
    assert ends_alike(name, state)
    changed = [part for part in parts(state) if value(state, part) != value(fresh, part)]
    assert {part for part in changed if not ends_alike(name, without(part, state, fresh))} == NEEDED[name]


def emptied(saved: Arrays, _: Arrays) -> Arrays:
    return {name: np.zeros_like(array) for name, array in saved.items()}


def evened(saved: Arrays, _: Arrays) -> Arrays:
    return {name: np.ones_like(array) for name, array in saved.items()}


def flipped(saved: Arrays, _: Arrays) -> Arrays:
    return {name: ~array for name, array in saved.items()}


def doubled(saved: Arrays, _: Arrays) -> Arrays:
    return {name: 2 * array for name, array in saved.items()}


def renewed(_: Arrays, fresh: Arrays) -> Arrays:
    return fresh


# Parts of Rainbow's state, and how each is spoilt: as it would be if no checkpoint held it. Two would be the same
# here and are spoilt otherwise: no episode terminates, and no priority exceeds the first.
RAINBOW_STATE: dict[str, Callable[[Arrays, Arrays], Arrays]] = {
    "replay.observations": emptied,
    "replay.next_observations": emptied,
    "replay.actions": emptied,
    "replay.rewards": emptied,
    "replay.ended": emptied,
    "replay.terminated": flipped,
    "replay.weights": evened,
    "replay.largest_priority": doubled,
    "replay.position": renewed,
    "replay.generator": renewed,
    "policy.q_net.support": renewed,
    "policy.q_net_target.support": renewed,
    "policy.q_net_target": renewed,
    "policy.q_net.value.weight_sigma": renewed,
    "generators.torch": renewed,  # draws the noise of the weights
}


@pytest.mark.parametrize("part", RAINBOW_STATE)
def test_every_part_of_rainbow_s_state_is_needed(part: str) -> None:
    (state, metadata), (fresh, _) = state_at("rainbow", 200), state_at("rainbow", 0)
    saved, new = ({name: array for name, array in arrays.items() if belongs(name, part)} for arrays in (state, fresh))
    spoilt = RAINBOW_STATE[part](saved, new)
    assert spoilt.keys() == saved.keys()
    assert any(array.tobytes() != saved[name].tobytes() for name, array in spoilt.items())
    assert not ends_alike("rainbow", ({**state, **spoilt}, metadata))


def test_no_array_of_rainbow_s_replay_is_without_a_control() -> None:
    names = {name for name in state_at("rainbow", 200)[0] if name.startswith("replay.")}
    assert names == {part for part in RAINBOW_STATE if part.startswith("replay.")}


def test_the_importance_exponent_goes_on_where_it_was() -> None:
    def exponents(state: State | None, spoilt: bool = False) -> list[float]:
        model: Any = learner("rainbow")
        found: list[float] = []
        draw = model.replay_buffer.sample

        def noting(batch_size: int, beta: float) -> Any:
            found.append(beta)
            return draw(batch_size, beta)

        model.replay_buffer.sample = noting
        if state is not None and spoilt:
            state = without("counters.num_timesteps", state, state_at("rainbow", 0))
        learn(model, AtRolloutStart(state=state))
        return found

    state = state_at("rainbow", 200)
    whole, resumed = exponents(None), exponents(state)
    assert 0 < len(resumed) < len(whole)
    assert resumed == whole[-len(resumed) :]
    assert exponents(state, spoilt=True)[: len(resumed)] != resumed


def test_the_generator_of_random_actions_is_needed_while_warming_up() -> None:
    state, fresh = state_at("td3", 50), state_at("td3", 0)
    assert ends_alike("td3", state)
    assert not ends_alike("td3", without("generators.action_space", state, fresh))


def parts(state: State) -> set[str]:
    """`part`, and `part.name` of each counter and generator."""
    arrays, metadata = state
    names = {name.partition(".")[0] for name in (*arrays, *metadata)} - {"counters", "generators"}
    names |= {f"counters.{name}" for name in metadata["counters"]}
    return names | {f"generators.{name}" for name in ("torch", *metadata["generators"])}


def value(state: State, part: str) -> tuple[dict[str, bytes], Any]:
    arrays, metadata = state
    outer, _, inner = part.partition(".")
    values: Any = metadata.get(outer)
    return {name: a.tobytes() for name, a in arrays.items() if belongs(name, part)}, values.get(
        inner
    ) if inner else values


def without(part: str, state: State, fresh: State) -> State:
    """The state with one part as in a new training."""
    arrays = {name: array for name, array in state[0].items() if not belongs(name, part)}
    arrays |= {name: array for name, array in fresh[0].items() if belongs(name, part)}
    metadata = json.loads(json.dumps(state[1]))
    outer, _, inner = part.partition(".")
    if inner and inner in metadata[outer]:
        metadata[outer][inner] = fresh[1][outer][inner]
    elif not inner and outer in metadata:
        metadata[outer] = fresh[1][outer]
    return arrays, metadata


def belongs(name: str, part: str) -> bool:
    return f"{name}.".startswith(f"{part}.")
