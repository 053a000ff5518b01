"""Prioritised replay of n-step transitions from parallel environments."""

from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numba import njit

from MLOps.agents.rainbow.sum_tree import SumTree
from MLOps.compiled import CACHE
from MLOps.errors import UserError

# Added to every priority, so that no transition is lost for good.
LEAST_PRIORITY = 1e-6


class Batch(NamedTuple):
    """Sampled n-step transitions.

    Attributes:
        observations: (n, D).
        actions: (n,) int64.
        returns: (n,) float32, discounted sums of the rewards up to n steps ahead.
        next_observations: (n, D), where the return ends.
        discounts: (n,) float32, of the value of the next observation; 0 where the episode terminated.
        weights: (n,) float32, importance weights, at most 1.
        leaves: (n,) int64, for `PrioritizedReplay.set_priorities`.
    """

    observations: np.ndarray
    actions: np.ndarray
    returns: np.ndarray
    next_observations: np.ndarray
    discounts: np.ndarray
    weights: np.ndarray
    leaves: np.ndarray


class PrioritizedReplay:
    """A ring of the latest `buffer_size // n_envs` steps of each environment.

    Transitions are drawn with probability P(i) ∝ p_i^α and weighted by (N · P(i))^-β, divided by the batch's largest
    weight (Schaul et al., 2016, "Prioritized experience replay", section 3, proportional variant). A new transition has
    the largest priority so far.

    Returns run along one environment and end with its episode (Sutton, 1988; Hessel et al., 2018): at a termination
    nothing follows; at a truncation the terminal observation's value follows. At the latest step they end early, with
    the discount of the steps they have.

    The constructor and `add` are those that stable-baselines3 calls.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Box,
        action_space: spaces.Discrete,
        device: Any = None,
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        *,
        n_steps: int,
        gamma: float,
        alpha: float,
        seed: int,
    ) -> None:
        """Args:
        device, optimize_memory_usage: ignored; batches are NumPy arrays.
        """
        self._capacity = max(buffer_size // n_envs, 1)
        self._n_envs, self._n_steps, self._gamma, self._alpha = n_envs, n_steps, gamma, alpha
        steps = (self._capacity, n_envs)
        self._observations = np.zeros((*steps, *observation_space.shape), np.float32)
        self._next_observations = np.zeros_like(self._observations)
        self._actions = np.zeros(steps, np.int32)
        self._rewards = np.zeros(steps, np.float32)
        self._ended, self._terminated = np.zeros(steps, np.bool_), np.zeros(steps, np.bool_)
        self._tree = SumTree(self._capacity * n_envs)
        self._generator = np.random.default_rng(seed)
        self._position = 0  # of the next step
        self._filled = 0
        self._largest_priority = 1.0

    @staticmethod
    def memory_bytes(buffer_size: int, n_envs: int, observation_width: int) -> int:
        """Memory of a full replay, known before it is allocated."""
        transitions = max(buffer_size // n_envs, 1) * n_envs
        return transitions * (2 * 4 * observation_width + 4 + 4 + 1 + 1) + SumTree.memory_bytes(transitions)

    @property
    def rewards(self) -> np.ndarray:
        """(steps, environments) float32 of the steps stored."""
        return self._rewards[: self._filled]

    def add(
        self,
        observations: np.ndarray,
        next_observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        dones: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """Store one step of every environment; `next_observations` hold the terminal ones of ended episodes."""
        row = self._position
        self._observations[row], self._next_observations[row] = observations, next_observations
        self._actions[row], self._rewards[row], self._ended[row] = actions.reshape(-1), rewards, dones
        truncated = [bool(done) and infos[i].get("TimeLimit.truncated", False) for i, done in enumerate(dones)]
        self._terminated[row] = self._ended[row] & ~np.array(truncated)
        leaves = np.arange(row * self._n_envs, (row + 1) * self._n_envs)
        self._tree.set(leaves, np.full(self._n_envs, self._largest_priority**self._alpha))
        self._position = (row + 1) % self._capacity
        self._filled = max(self._filled, row + 1)

    def sample(self, batch_size: int, beta: float) -> Batch:
        """Draw `batch_size` transitions, one from each of as many equal shares of the total priority."""
        total = self._tree.total
        masses = (np.arange(batch_size) + self._generator.random(batch_size)) * (total / batch_size)
        leaves = self._tree.find(masses)
        probabilities = self._tree.weights(leaves) / total
        weights = (self._filled * self._n_envs * probabilities) ** -beta
        rows, envs = np.divmod(leaves, self._n_envs)
        last, returns, discounts = _n_step(
            rows, envs, self._rewards, self._ended, self._terminated, self._position, self._n_steps, self._gamma
        )
        return Batch(
            self._observations[rows, envs],
            self._actions[rows, envs].astype(np.int64),
            returns,
            self._next_observations[last, envs],
            discounts,
            (weights / weights.max()).astype(np.float32),
            leaves,
        )

    def set_priorities(self, leaves: np.ndarray, priorities: np.ndarray) -> None:
        """Set the priorities (n,), at least 0, of the transitions at `leaves`."""
        priorities = priorities.astype(np.float64) + LEAST_PRIORITY
        self._largest_priority = max(self._largest_priority, float(priorities.max()))
        self._tree.set(leaves, priorities**self._alpha)

    def get_state(self) -> dict[str, np.ndarray]:
        """Everything that the next draw depends on, as plain arrays; of the ring the filled rows only."""
        filled = slice(self._filled)
        leaves = slice(self._filled * self._n_envs)
        return {
            **{name: getattr(self, f"_{name}")[filled].copy() for name in _STORED},
            "weights": self._tree.weights(leaves).reshape(-1, self._n_envs),
            "position": np.array(self._position),
            "largest_priority": np.array(self._largest_priority),
            "generator": _generator_words(self._generator),
        }

    def set_state(self, state: dict[str, np.ndarray]) -> None:
        """Restore a state returned by `get_state`, of a replay built with the same arguments.

        Raises:
            UserError: its arrays do not fit this replay.
        """
        filled = len(state["rewards"])
        for name, present in [(name, getattr(self, f"_{name}")) for name in _STORED]:
            expected = (filled, *present.shape[1:])
            if filled > self._capacity or state[name].shape != expected or state[name].dtype != present.dtype:
                raise UserError(
                    f"replay state: expected {name} of {present.dtype} and shape {expected}, at most {self._capacity} "
                    f"steps, found {state[name].dtype} of shape {state[name].shape}; resume with the same configuration"
                )
        for name in _STORED:
            getattr(self, f"_{name}")[:filled] = state[name]
        leaves = np.arange(self._capacity * self._n_envs)
        weights = np.zeros(len(leaves))
        weights[: filled * self._n_envs] = state["weights"].ravel()
        self._tree.set(leaves, weights)
        self._position, self._filled = int(state["position"]), filled
        self._largest_priority = float(state["largest_priority"])
        _set_generator(self._generator, state["generator"])


# Arrays of the ring, by the name of the attribute without its underscore.
_STORED = ("observations", "next_observations", "actions", "rewards", "ended", "terminated")


@njit(cache=CACHE, nogil=True)
def _n_step(
    rows: Any, envs: Any, rewards: Any, ended: Any, terminated: Any, position: int, n_steps: int, gamma: float
) -> Any:
    """Of the transitions at (rows, envs) the row where the return ends, the return, and the discount after it."""
    capacity = len(rewards)
    latest = (position - 1) % capacity
    last = np.empty(len(rows), np.int64)
    returns, discounts = np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    for i in range(len(rows)):
        row, env = rows[i], envs[i]
        total, discount = float(rewards[row, env]), gamma
        for _ in range(n_steps - 1):
            if ended[row, env] or row == latest:
                break
            row = (row + 1) % capacity
            total += discount * rewards[row, env]
            discount *= gamma
        last[i], returns[i] = row, total
        discounts[i] = 0.0 if terminated[row, env] else discount
    return last, returns, discounts


_WORD = 2**64


def _generator_words(generator: np.random.Generator) -> np.ndarray:
    """The state of a PCG64 generator as (6,) uint64: its two 128-bit numbers, high word first, and its kept half."""
    state: Any = generator.bit_generator.state
    numbers = [word for key in ("state", "inc") for word in divmod(state["state"][key], _WORD)]
    return np.array([*numbers, state["has_uint32"], state["uinteger"]], np.uint64)


def _set_generator(generator: np.random.Generator, words: np.ndarray) -> None:
    state_high, state_low, inc_high, inc_low, has_uint32, uinteger = (int(word) for word in words)
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": state_high * _WORD + state_low, "inc": inc_high * _WORD + inc_low},
        "has_uint32": has_uint32,
        "uinteger": uinteger,
    }
