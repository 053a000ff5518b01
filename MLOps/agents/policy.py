"""A trained agent as data: what it observes, and the policy network's weights."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from MLOps.agents.observations import MarketView
from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.params import PPOConfig
from MLOps.config.schema import parse
from MLOps.errors import UserError
from MLOps.trading import Action


@dataclass
class Agent:
    """A policy and its view of the market. `columns` name its whole observation, the account's part last."""

    config: PPOConfig
    view: MarketView
    columns: tuple[str, ...]
    network: ActorCriticPolicy

    def decide(self, observations: np.ndarray) -> np.ndarray:
        """The most likely action of each observation: (n, columns) float32 to (n,) int.

        One row at a time: a matrix product may round differently with the number of rows, and the action served for
        one bar must be the action of the backtest.
        """
        return np.array([int(self.network.predict(row, deterministic=True)[0]) for row in observations], dtype=np.int64)

    def policy(self, observations: np.ndarray, _symbols: np.ndarray, _bar: int) -> np.ndarray:
        """`decide` in the form that `simulate` asks."""
        return self.decide(observations)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.detach().numpy() for name, tensor in self.network.state_dict().items()}
        write_arrays(folder / "policy.safetensors", weights)
        write_json(
            folder / "agent.json",
            {"config": asdict(self.config), "view": self.view.to_dict(), "columns": list(self.columns)},
        )

    @classmethod
    def load(cls, folder: Path) -> "Agent":
        """The agent saved in `folder`.

        Raises:
            UserError: the weights do not fit the network that the folder describes.
        """
        saved = read_json(folder / "agent.json")
        config = parse(PPOConfig, saved["config"], str(folder / "agent.json"))
        columns = tuple(saved["columns"])
        network = new_network(config, len(columns))
        weights = {name: torch.from_numpy(array) for name, array in read_arrays(folder / "policy.safetensors").items()}
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise UserError(f"{folder}: the weights do not fit the network: {error}; retrain the agent") from None
        return cls(config, MarketView.from_dict(saved["view"]), columns, network)


def new_network(config: PPOConfig, columns: int) -> ActorCriticPolicy:
    """An untrained network of the shape that PPO trains with the same configuration; it is never trained itself."""
    seen = spaces.Box(-np.inf, np.inf, (columns,), np.float32)
    network = ActorCriticPolicy(seen, spaces.Discrete(len(Action)), lambda _: 0.0, net_arch=list(config.net_arch))
    network.set_training_mode(False)
    return network
