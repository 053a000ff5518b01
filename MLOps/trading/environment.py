"""A single trading environment with Gymnasium's interface."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import kernel
from MLOps.trading.episodes import Episodes
from MLOps.trading.market import Market


class TradingEnv(gym.Env[NDArray[np.float32], Any]):
    """An account that trades episodes of the market under the rules of `config`.

    The observation is (D,) float32 in the order of `observation_columns`. The action is an index into
    `TradingConfig.targets`, one of `Action`, or under the schemes `shares` and `weights` (A,) numbers in [-1, 1], one
    per symbol of the account. The end of an episode is a
    truncation, bankruptcy a termination. `info` holds the account's `equity`, its `costs` so far, and the `timestamp`
    of the current bar.
    """

    def __init__(self, market: Market, config: TradingConfig) -> None:
        self._episodes = Episodes(market, config, 1)
        self._timestamps, self._first = market.timestamps, market.first
        self.observation_space = self._episodes.observation_space
        self.action_space = self._episodes.action_space
        self._only, self._reward = np.zeros(1, np.intp), np.zeros(1)
        self._seeded = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin a new episode; the same seed gives the same sequence of episodes. `options` are ignored."""
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**63))
        if seed is not None:
            self._episodes.accounts["generator"] = seed
            self._seeded = True
        self._episodes.start()
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Carry out `action` and move to the next bar's close.

        Raises:
            UserError: for an action of the wrong shape or outside the action space, or when the episode is over.
        """
        episodes = self._episodes
        account = episodes.accounts[0]
        if account["bankrupt"] or account["bar"] >= account["stop"]:
            raise UserError("the episode has ended; call reset before the next step")
        actions = episodes.orders(np.asarray(action)[None])
        if not kernel.valid(actions):
            raise UserError(f"expected an action in {self.action_space}, found {action}")
        block = episodes.block
        kernel.advance_some(
            self._only,
            actions,
            episodes.accounts,
            episodes.holdings,
            block.prices,
            block.details,
            block.flags,
            episodes.rules,
            self._reward,
        )
        terminated = bool(account["bankrupt"])
        truncated = not terminated and bool(account["bar"] >= account["stop"])
        return self._observation(), float(self._reward[0]), terminated, truncated, self._info()

    def get_state(self) -> dict[str, NDArray[Any]]:
        """The full state as named arrays; see `Episodes.get_state`."""
        return self._episodes.get_state()

    def set_state(self, state: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Restore `state` and return its observation."""
        self._episodes.set_state(state)
        self._seeded = True
        return self._observation()

    def _observation(self) -> NDArray[np.float32]:
        out = np.empty(self._episodes.observation_space.shape, np.float32)
        self._episodes.observe(out[None])
        return out

    def _info(self) -> dict[str, Any]:
        account = self._episodes.accounts[0]
        timestamp = self._timestamps[account["bar"] - self._first]
        return {"equity": float(account["equity"]), "costs": float(account["costs"]), "timestamp": timestamp}
