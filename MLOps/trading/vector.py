"""N trading environments stepped in one compiled call, with stable-baselines3's interface."""

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import kernel
from MLOps.trading.account import distinct_actions, observation_columns
from MLOps.trading.episodes import Episodes
from MLOps.trading.market import Market

# sb3-contrib asks the environments for this method's answers.
MASKS = "action_masks"


class TradingVecEnv(VecEnv):
    """N accounts, each in its own episode; environment i equals `TradingEnv` seeded with seed + i, bit for bit.

    Observations are (N, D) float32 in the order of `observation_columns`, rewards (N,) float32, dones (N,) bool. Arrays
    returned by `step` are overwritten two steps later. The info of an ended episode holds `terminal_observation`,
    `TimeLimit.truncated` (true unless the account went bankrupt), `episode` with its total reward `r` and length `l`,
    and the account's final `equity` and `costs`; all other infos are empty.

    Attributes:
        columns: the names of an observation's D columns.
    """

    def __init__(self, market: Market, config: TradingConfig, n_envs: int, seed: int = 0) -> None:
        """Raises: UserError: when the market allows no episode under `config`."""
        episodes = self._episodes = Episodes(market, config, n_envs)
        self._config = config
        self.columns = tuple(observation_columns(market, config))
        super().__init__(n_envs, episodes.observation_space, episodes.action_space)
        self.seed(seed)
        shape = (n_envs, *episodes.observation_space.shape)
        # Two alternating buffers: the caller still reads the last observations while the next are written.
        self._outputs = [
            (np.zeros(shape, np.float32), np.zeros(n_envs, np.float32), np.zeros(n_envs, np.bool_)) for _ in range(2)
        ]
        self._turn = 0
        self._terminal_observations = np.zeros(shape, np.float32)
        self._finished = np.zeros(n_envs, kernel.ACCOUNT)
        self._infos: list[dict[str, Any]] = [{} for _ in range(n_envs)]
        self._with_info: list[int] = []
        self._actions: NDArray[Any]

    def reset(self) -> NDArray[np.float32]:
        for i, seed in enumerate(self._seeds):
            if seed is not None:
                self._episodes.accounts["generator"][i] = seed
        self._reset_seeds()
        self._episodes.start()
        return self._observations()

    def step_async(self, actions: NDArray[Any]) -> None:
        self._actions = self._episodes.orders(actions)

    def step_wait(self) -> VecEnvStepReturn:
        episodes, block = self._episodes, self._episodes.block
        self._turn = 1 - self._turn
        observations, rewards, dones = self._outputs[self._turn]
        n_done = kernel.step_episodes(
            self._actions,
            episodes.accounts,
            episodes.holdings,
            episodes.starts,
            block.prices,
            block.details,
            block.observations,
            block.flags,
            episodes.rules,
            observations,
            rewards,
            dones,
            self._terminal_observations,
            self._finished,
        )
        if n_done < 0:
            raise UserError(f"expected every action in {self.action_space}, found {self._actions.tolist()}")
        if n_done or self._with_info:
            self._write_infos(np.flatnonzero(dones))
        return observations, rewards, dones, self._infos

    def change(self, config: TradingConfig, episodes: NDArray[np.int64]) -> None:
        """Trade by `config`, of the same scheme and account, from the next step on, and draw new episodes from
        `episodes` (`possible_episodes`). Neither is part of the state."""
        self._config = config
        self._episodes.change(config, episodes)

    def get_state(self) -> dict[str, NDArray[Any]]:
        """The full state as named arrays; see `Episodes.get_state`."""
        return self._episodes.get_state()

    def set_state(self, state: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Restore `state` and return its observations, (N, D)."""
        self._episodes.set_state(state)
        return self._observations()

    def close(self) -> None:
        """Do nothing; there are no resources to release."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        if attr_name == "render_mode" or (attr_name == MASKS and self._has_masks()):
            return [None for _ in self._get_indices(indices)]
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise NotImplementedError("the environments share one market and one configuration; make a new TradingVecEnv")

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        if method_name == MASKS and self._has_masks():
            return list(distinct_actions(self._outputs[self._turn][0], self._config)[list(self._get_indices(indices))])
        raise NotImplementedError("a TradingVecEnv has no separate environments; use TradingEnv")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def _has_masks(self) -> bool:
        return self._config.scheme == "discrete"

    def _observations(self) -> NDArray[np.float32]:
        self._turn = 1 - self._turn
        observations = self._outputs[self._turn][0]
        self._episodes.observe(observations)
        return observations

    def _write_infos(self, done: NDArray[np.intp]) -> None:
        """Write the infos of the episodes that ended, and clear those of the previous step."""
        infos = self._infos
        for i in self._with_info:
            infos[i] = {}
        self._with_info = done.tolist()
        accounts = self._finished[done]
        columns = zip(
            self._with_info,
            self._terminal_observations[done],
            (accounts["bankrupt"] == 0).tolist(),
            accounts["reward_sum"].tolist(),
            accounts["steps"].tolist(),
            accounts["equity"].tolist(),
            accounts["costs"].tolist(),
            strict=True,
        )
        for i, observation, truncated, reward, length, equity, costs in columns:
            infos[i] = {
                "terminal_observation": observation,
                "TimeLimit.truncated": truncated,
                "episode": {"r": reward, "l": length},
                "equity": equity,
                "costs": costs,
            }
