"""A trained agent as data: what it observes, and the policy network's weights."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from MLOps.agents.network import PolicyNetwork
from MLOps.agents.observations import MarketView
from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.agents import AgentConfig, parse_agent
from MLOps.errors import UserError


@dataclass(frozen=True)
class Agent:
    """A policy and its view of the market. `columns` name its whole observation, the account's part last.

    It is immutable, so any number of threads may call it at once.
    """

    config: AgentConfig
    view: MarketView
    columns: tuple[str, ...]
    network: PolicyNetwork

    def decide(self, observations: np.ndarray) -> np.ndarray:
        """The most likely action of each observation: (n, columns) float32 to (n,) int."""
        return self.network.outputs(observations).argmax(axis=1)

    def policy(self, observations: np.ndarray, _symbols: np.ndarray, _bar: int) -> np.ndarray:
        """`decide` with the signature of `simulation.Policy`."""
        return self.decide(observations)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_arrays(folder / "policy.safetensors", self.network.to_arrays())
        write_json(
            folder / "agent.json",
            {"config": asdict(self.config), "view": self.view.to_dict(), "columns": list(self.columns)},
        )

    @classmethod
    def load(cls, folder: Path) -> "Agent":
        """The agent saved in `folder`.

        Raises:
            UserError: the weights do not fit the observation that the folder describes.
        """
        saved = read_json(folder / "agent.json")
        config = parse_agent(saved["config"], str(folder / "agent.json"))
        columns = tuple(saved["columns"])
        network = PolicyNetwork.from_arrays(read_arrays(folder / "policy.safetensors"))
        if network.n_inputs != len(columns):
            raise UserError(
                f"{folder}: expected a policy of {len(columns)} inputs, as agent.json names them, found "
                f"{network.n_inputs}; retrain the agent"
            )
        return cls(config, MarketView.from_dict(saved["view"]), columns, network)
