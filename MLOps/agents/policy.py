"""A trained agent as data: what it observes, the rules it trades by, and the policy network's weights."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.agents.fine_tuning import Pretrained, windows_of, with_embedding
from MLOps.agents.network import PolicyNetwork
from MLOps.agents.observations import MarketView
from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.agents import AgentConfig, parse_agent
from MLOps.config.schema import parse
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.predictors.contract import Forecast, Predictor, forecast
from MLOps.predictors.kinds import load_predictor
from MLOps.trading import Market, distinct_actions, portfolio_symbols
from MLOps.trading.simulation import Policy

TUNED = "fine_tuned"  # the folder of the agent's own network


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
    def lookback_bars(self) -> int:
        """Bars with features that an observation needs, the newest included, besides those of the predictors."""
        return 1

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

    def observations(self, features: pd.DataFrame, rows: np.ndarray, forecasts: Mapping[str, Forecast]) -> np.ndarray:
        """The market's part of the observations, (n, columns) float32.

        Args:
            features: the feature table.
            rows: (n,) of the table, at each of which a window of `lookback_bars` ends.
            forecasts: for these rows; see `MarketView.observations`.
        """
        return self.view.observations(features[list(self.view.features)].to_numpy(np.float32)[rows], forecasts)

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

    Attributes:
        tuned: a network trained together with the policy, whose embedding is observed besides the view; None for none.
    """

    config: AgentConfig
    trading: TradingConfig
    view: MarketView
    columns: tuple[str, ...]
    network: PolicyNetwork
    tuned: Predictor | None = None

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

    @property
    def lookback_bars(self) -> int:
        """See `TradingAgent.lookback_bars`."""
        return 1 if self.tuned is None else self.tuned.lookback_bars

    def market(
        self, bars: pd.DataFrame, features: pd.DataFrame, signals: pd.DataFrame, trading: TradingConfig
    ) -> Market:
        """See `TradingAgent.market`."""
        if self.tuned is None:
            return super().market(bars, features, signals, trading)
        windows = windows_of(features, self.lookback_bars)
        market = self.view.market(bars, features, signals, trading, only=self.symbols or None, windows=windows)
        return with_embedding(market, windows, self.tuned)

    def seen(self, market: Market, pretrained: Pretrained | None) -> Market:
        """A market that was made for the training of this agent, as the agent observes it.

        Args:
            pretrained: the network before the training, and its windows, which are a column of the market.
        """
        if self.tuned is None or pretrained is None:
            return market
        return with_embedding(market, pretrained.windows, self.tuned)

    def observations(self, features: pd.DataFrame, rows: np.ndarray, forecasts: Mapping[str, Forecast]) -> np.ndarray:
        """See `TradingAgent.observations`."""
        observed = super().observations(features, rows, forecasts)
        if self.tuned is None:
            return observed
        embedding = forecast(self.tuned, windows_of(features, self.lookback_bars), rows).embedding
        assert embedding is not None
        return np.concatenate([observed, embedding], axis=1)

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
        if self.tuned is not None:
            self.tuned.save(folder / TUNED)

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
        tuned = None if config.observe.fine_tuned is None else load_predictor(folder / TUNED)
        return cls(config, trading, MarketView.from_dict(saved["view"]), columns, network, tuned)
