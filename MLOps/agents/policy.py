"""A trained agent as data: what it observes, the rules it trades by, and the policy network's weights."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from MLOps.agents.network import PolicyNetwork
from MLOps.agents.observations import MarketView
from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.agents import AgentConfig, parse_agent
from MLOps.config.schema import parse
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import distinct_actions
from MLOps.trading.simulation import Policy


class Deciding(Protocol):
    """What decides from observations and recurrent states: an agent, or several together."""

    @property
    def trading(self) -> TradingConfig:
        """The rules by which it trades."""
        ...

    @property
    def state_width(self) -> int:
        """Of the recurrent state of one account."""
        ...

    def decide(self, observations: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Actions and new states."""
        ...


def policy_of(deciding: Deciding) -> Policy:
    """A policy of `simulate` that begins with the recurrent state of a new account."""
    states = np.zeros((0, deciding.state_width), np.float32)

    def decide(observations: np.ndarray, symbols: np.ndarray, _bar: int) -> np.ndarray:
        nonlocal states
        accounts = symbols if deciding.trading.account == "per_symbol" else np.zeros(1, np.intp)
        if len(states) <= accounts.max():
            states = np.pad(states, ((0, accounts.max() + 1 - len(states)), (0, 0)))
        actions, states[accounts] = deciding.decide(observations, states[accounts])
        return actions

    return decide


@dataclass(frozen=True)
class Agent:
    """A policy network, its view of the market, and the meaning of its outputs.

    It is immutable, so any number of threads may call it at once.

    Attributes:
        trading: the rules by which it was trained; the scheme among them says what an output means.
        columns: of the whole observation, the account's part last.
    """

    config: AgentConfig
    trading: TradingConfig
    view: MarketView
    columns: tuple[str, ...]
    network: PolicyNetwork

    def decide(self, observations: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The most likely action of each observation.

        Args:
            observations: (n, columns) float32.
            states: (n, network.state_width) float32, the recurrent state of each account; zeros at the beginning.

        Returns:
            The actions as `simulate` takes them: (n,), or (n, symbols) for a portfolio; and the new states.
        """
        outputs, states = self.network.forward(observations, states)
        scheme = self.trading.scheme
        if scheme == "targets":
            return np.array(self.trading.targets, np.float32)[outputs.argmax(axis=1)], states
        if scheme == "discrete":
            if self.config.masks:
                outputs = np.where(distinct_actions(observations, self.trading), outputs, -np.inf)
            return outputs.argmax(axis=1), states
        actions = outputs.clip(-1, 1)
        return actions if self.trading.account == "portfolio" else actions[:, 0], states

    @property
    def state_width(self) -> int:
        """Of the recurrent state of one account; 0 without one."""
        return self.network.state_width

    def policy(self) -> Policy:
        """The agent as a policy of `simulate` that begins with the recurrent state of a new account."""
        return policy_of(self)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_arrays(folder / "policy.safetensors", self.network.to_arrays())
        write_json(
            folder / "agent.json",
            {
                "config": asdict(self.config),
                "trading": asdict(self.trading),
                "view": self.view.to_dict(),
                "columns": list(self.columns),
            },
        )

    @classmethod
    def load(cls, folder: Path) -> "Agent":
        """The agent saved in `folder`.

        Raises:
            UserError: the weights do not fit the observation that the folder describes.
        """
        where = str(folder / "agent.json")
        saved = read_json(folder / "agent.json")
        config, trading = parse_agent(saved["config"], where), parse(TradingConfig, saved["trading"], where)
        columns = tuple(saved["columns"])
        network = PolicyNetwork.from_arrays(read_arrays(folder / "policy.safetensors"))
        if network.n_inputs != len(columns):
            raise UserError(
                f"{folder}: expected a policy of {len(columns)} inputs, as agent.json names them, found "
                f"{network.n_inputs}; retrain the agent"
            )
        return cls(config, trading, MarketView.from_dict(saved["view"]), columns, network)
