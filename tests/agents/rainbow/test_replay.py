"""Prioritised n-step replay: frequencies, weights and returns by hand, and a state that gives the same draws."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from MLOps.agents.rainbow.replay import LEAST_PRIORITY, PrioritizedReplay
from MLOps.agents.rainbow.sum_tree import SumTree
from MLOps.errors import UserError


def replay_of(steps: int, environments: int, **changes: Any) -> PrioritizedReplay:
    arguments: dict[str, Any] = {"n_steps": 3, "gamma": 0.5, "alpha": 1.0, "seed": 0} | changes
    box = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    return PrioritizedReplay(steps * environments, box, spaces.Discrete(9), n_envs=environments, **arguments)


def fill(replay: PrioritizedReplay, rewards: Any, ends: dict[tuple[int, int], bool], first: int = 0) -> None:
    """Steps (T, N) whose observation is 10 · time + environment; after an episode its negative follows.

    Args:
        ends: by time and environment, whether the end is a truncation.
    """
    rewards = np.asarray(rewards, np.float32)
    for time, row in enumerate(rewards, start=first):
        environments = range(len(row))
        now = np.array([[10.0 * time + env] for env in environments], np.float32)
        following = now + 10
        infos: list[dict[str, Any]] = [{} for _ in environments]
        for env in environments:
            if (time, env) in ends:
                following[env] = -now[env]
                infos[env] = {"TimeLimit.truncated": ends[time, env]}
        dones = np.array([(time, env) in ends for env in environments])
        replay.add(now, following, np.full(len(row), time % 9), row, dones, infos)


def drawn(replay: PrioritizedReplay) -> dict[tuple[int, int], tuple[float, float, float]]:
    """By time and environment of every transition stored: return, next observation, discount."""
    batch = replay.sample(2000, 0.5)
    times, envs = np.divmod(batch.observations[:, 0].astype(int), 10)
    values = zip(batch.returns, batch.next_observations[:, 0], batch.discounts, strict=True)
    np.testing.assert_array_equal(batch.actions, times % 9)
    return {key: tuple(map(float, value)) for key, value in zip(zip(times, envs, strict=True), values, strict=True)}  # type: ignore[misc]


def test_returns_run_along_one_environment_and_end_with_its_episode() -> None:
    replay = replay_of(8, 3)
    rewards = [[1, 10, 100], [2, 20, 200], [4, 40, 400], [8, 80, 800], [16, 160, 1600]]
    fill(replay, rewards, {(1, 0): False, (2, 1): True})
    found = drawn(replay)
    assert len(found) == 15
    # Environment 0 terminates at time 1: nothing follows.
    assert found[0, 0] == (1 + 0.5 * 2, -10, 0)
    assert found[1, 0] == (2, -10, 0)
    assert found[2, 0] == (4 + 0.5 * 8 + 0.25 * 16, 50, 0.125)
    # Environment 1 is cut short at time 2: the value of the terminal observation follows.
    assert found[0, 1] == (10 + 0.5 * 20 + 0.25 * 40, -21, 0.125)
    assert found[1, 1] == (20 + 0.5 * 40, -21, 0.25)
    assert found[2, 1] == (40, -21, 0.5)
    # Environment 2 goes on; its latest steps have no third reward yet.
    assert found[1, 2] == (200 + 0.5 * 400 + 0.25 * 800, 42, 0.125)
    assert found[3, 2] == (800 + 0.5 * 1600, 52, 0.25)
    assert found[4, 2] == (1600, 52, 0.5)


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5])
def test_returns_are_those_of_a_simple_loop_also_when_the_ring_is_full(n_steps: int) -> None:
    generator = np.random.default_rng(n_steps)
    replay, time_steps = replay_of(7, 4, n_steps=n_steps, gamma=0.9), 24
    rewards = generator.normal(size=(time_steps, 4)).astype(np.float32)
    ends = {
        (t, e): bool(generator.integers(2)) for t in range(time_steps) for e in range(4) if generator.random() < 0.2
    }
    fill(replay, rewards, ends)
    found = drawn(replay)
    assert set(found) == {(t, e) for t in range(time_steps - 7, time_steps) for e in range(4)}
    for (start, env), values in found.items():
        total, time = 0.0, start
        while True:
            total += 0.9 ** (time - start) * rewards[time, env]
            if (time, env) in ends or time == min(start + n_steps, time_steps) - 1:
                break
            time += 1
        observation = -(10 * time + env) if (time, env) in ends else 10 * time + 10 + env
        discount = 0.9 ** (time - start + 1) if ends.get((time, env), True) else 0
        np.testing.assert_allclose(values, (total, observation, discount), rtol=1e-6)


def test_frequencies_and_weights_by_hand() -> None:
    """Priorities 1, 2, 3 and 4 to the power of 2, of which the total is 30."""
    replay = replay_of(2, 2, alpha=2.0)
    fill(replay, np.zeros((2, 2)), {})
    replay.set_priorities(np.arange(4), np.array([1, 2, 3, 4]) - LEAST_PRIORITY)
    batch = replay.sample(30_000, 0.5)
    counts = np.bincount(batch.leaves, minlength=4)
    # Drawn from equal shares of the total, a count is off by at most one at each end of its interval.
    np.testing.assert_allclose(counts, 1000 * np.array([1, 4, 9, 16]), atol=2)
    # (4 · P)^-½ over that of the least likely: √(1/30) / √(p²/30) = 1/p.
    np.testing.assert_allclose(batch.weights, 1 / (1 + batch.leaves), rtol=1e-6)
    full = replay.sample(100, 1.0)
    np.testing.assert_allclose(full.weights, 1 / (1 + full.leaves) ** 2, rtol=1e-6)


def test_weights_correct_the_mean_of_what_is_drawn() -> None:
    replay = replay_of(50, 2, alpha=0.7)
    fill(replay, np.zeros((50, 2)), {})
    generator = np.random.default_rng(1)
    priorities, values = generator.exponential(size=100), generator.normal(5, 1, 100)
    replay.set_priorities(np.arange(100), priorities)
    batch = replay.sample(200_000, 1.0)
    assert abs(values[batch.leaves].mean() - values.mean()) > 0.02
    np.testing.assert_allclose(np.average(values[batch.leaves], weights=batch.weights), values.mean(), rtol=1e-3)


def test_new_transitions_have_the_largest_priority_so_far() -> None:
    replay = replay_of(3, 1)
    fill(replay, [[0.0]], {})
    replay.set_priorities(np.array([0]), np.array([7.0]))
    replay.set_priorities(np.array([0]), np.array([1.0]))
    fill(replay, [[0.0]], {}, first=1)
    np.testing.assert_allclose(np.bincount(replay.sample(8000, 0.4).leaves), [1000, 7000], atol=2)


@pytest.mark.parametrize("capacity", [1, 2, 3, 8, 13])
def test_the_sums_depend_on_the_leaves_alone_and_empty_leaves_are_never_found(capacity: int) -> None:
    generator = np.random.default_rng(capacity)
    tree, again = SumTree(capacity), SumTree(capacity)
    weights = generator.random(capacity) * (generator.random(capacity) < 0.6)
    weights[capacity // 2] = 0.1
    tree.set(np.zeros(1, np.int64), np.array([9.0]))
    tree.set(np.arange(capacity), weights)
    order = generator.permutation(capacity)
    again.set(order, weights[order])
    assert tree.total == again.total
    np.testing.assert_array_equal(tree.weights(np.arange(capacity)), weights)
    masses = np.append(generator.random(500) * tree.total, [0, tree.total, np.nextafter(tree.total, 99)])
    found = tree.find(masses)
    assert (weights[found] > 0).all()
    expected = np.searchsorted(np.cumsum(weights), masses[:500], side="right")
    np.testing.assert_array_equal(found[:500], expected)


@pytest.mark.parametrize("steps", [4, 7, 12])
def test_a_restored_state_draws_the_same(steps: int) -> None:
    """Before the ring is full, when it just is, and after: filled rows only are kept."""
    generator = np.random.default_rng(steps)
    rewards = generator.normal(size=(steps, 3))
    replay = replay_of(7, 3, alpha=0.6)
    fill(replay, rewards, {(2, 1): True, (3, 0): False})
    batch = replay.sample(5, 0.4)
    replay.set_priorities(batch.leaves, generator.random(5) * 3)
    state = replay.get_state()
    assert len(state["rewards"]) == min(steps, 7)
    other = replay_of(7, 3, alpha=0.6, seed=99)
    other.set_state({name: array.copy() for name, array in state.items()})
    for step in range(6):
        one, two = replay.sample(8, 0.5), other.sample(8, 0.5)
        for mine, its in zip(one, two, strict=True):
            np.testing.assert_array_equal(mine, its)
        for each in (replay, other):
            fill(each, rewards[:1] + step, {}, first=steps + step)
            each.set_priorities(one.leaves, one.returns**2)
    # Every piece matters: without it the next draws are others.
    for name, array in state.items():
        changed = replay_of(7, 3, alpha=0.6)
        changed.set_state({**state, name: array + 1 if array.dtype != np.bool_ else ~array})
        kept = replay_of(7, 3, alpha=0.6)
        kept.set_state(state)
        for each in (changed, kept):
            fill(each, rewards[:1], {}, first=steps)
        one, two = changed.sample(60, 0.5), kept.sample(60, 0.5)
        assert any(not np.array_equal(a, b) for a, b in zip(one, two, strict=True)), name


def test_a_state_that_does_not_fit_is_refused() -> None:
    replay = replay_of(4, 2)
    fill(replay, np.zeros((4, 2)), {})
    with pytest.raises(UserError, match="at most 3 steps"):
        replay_of(3, 2).set_state(replay.get_state())
    with pytest.raises(UserError, match="shape"):
        replay_of(4, 3).set_state(replay.get_state())


def test_memory_is_known_beforehand() -> None:
    replay = replay_of(1000, 3)
    fill(replay, np.zeros((1000, 3)), {})
    arrays = {name: a for name, a in vars(replay).items() if isinstance(a, np.ndarray)}
    expected = sum(array.nbytes for array in arrays.values()) + replay._tree._nodes.nbytes
    assert PrioritizedReplay.memory_bytes(3000, 3, 1) == PrioritizedReplay.memory_bytes(3001, 3, 1) == expected
