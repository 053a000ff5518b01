"""A trained agent as data: what it observes, the rules it trades by, and the policy network's weights."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.agents.network import PolicyNetwork
from MLOps.agents.observations import MarketView
from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.agents import AgentConfig, parse_agent
from MLOps.config.schema import parse
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Market, distinct_actions, portfolio_symbols
from MLOps.trading.simulation import Policy


class TradingAgent(ABC):
    """What decides from observations and recurrent states: an agent, or several together.

    Attributes:
        trading: the rules by which it was trained; the scheme among them says what an action is.
        view: of the market.
        columns: of the whole observation, the account's part last.
    """

    trading: TradingConfig
    view: MarketView
    columns: tuple[str, ...]

    @property
    @abstractmethod
    def state_width(self) -> int:
        """Of the recurrent state of one account; 0 without one."""

    @abstractmethod
    def decide(self, observations: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The most likely action of each observation.

        Args:
            observations: (n, columns) float32.
            states: (n, state_width) float32, the recurrent state of each account; zeros at the beginning.

        Returns:
            The actions as `simulate` takes them: (n,), or (n, symbols) for a portfolio; and the new states.
        """

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols of a portfolio in the order of its actions; none for accounts of one symbol."""
        return portfolio_symbols(self.columns)

    def market(
        self, bars: pd.DataFrame, features: pd.DataFrame, signals: pd.DataFrame, trading: TradingConfig
    ) -> Market:
        """The market that the agent observes and trades; that of a portfolio has the portfolio's symbols only.

        Raises:
            UserError: a symbol of the portfolio has no bars.
        """
        return self.view.market(bars, features, signals, trading, only=self.symbols or None)

    def policy(self) -> Policy:
        """A policy of `simulate` that begins with the recurrent state of a new account."""
        states = np.zeros((0, self.state_width), np.float32)

        def decide(observations: np.ndarray, symbols: np.ndarray, _bar: int) -> np.ndarray:
            nonlocal states
            accounts = symbols if self.trading.account == "per_symbol" else np.zeros(1, np.intp)
            if len(states) <= accounts.max():
                states = np.pad(states, ((0, accounts.max() + 1 - len(states)), (0, 0)))
            actions, states[accounts] = self.decide(observations, states[accounts])
            return actions

        return decide


@dataclass(frozen=True)
class Agent(TradingAgent):
    """A policy network, its view of the market, and the meaning of its outputs.

    It is immutable, so any number of threads may call it at once.
    """

    config: AgentConfig
    trading: TradingConfig
    view: MarketView
    columns: tuple[str, ...]
    network: PolicyNetwork

    def decide(self, observations: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `TradingAgent.decide`."""
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
        """See `TradingAgent.state_width`."""
        return self.network.state_width

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
