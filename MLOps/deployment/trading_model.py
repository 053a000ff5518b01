"""A loaded bundle: bars in, decisions out, with the features, forecasts and policy of the backtest."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from MLOps.agents.ensemble import load_agent
from MLOps.agents.policy import TradingAgent
from MLOps.artifacts import read_json
from MLOps.config.schema import parse
from MLOps.config.trading import TradingConfig
from MLOps.config.types import variant_name
from MLOps.data.bars import KEYS, check_bars
from MLOps.data.splits import Span
from MLOps.deployment.decisions import CASH, CASH_PER_SYMBOL, Snapshot, decide_each, decide_portfolio
from MLOps.errors import UserError, one_line
from MLOps.features.families.turbulence import market_turbulence
from MLOps.features.pipeline import FeaturePipeline, rows_by_symbol
from MLOps.model_registry.bundle import verify_bundle
from MLOps.predictors.contract import Forecast, Predictor
from MLOps.predictors.ensemble import ENSEMBLE, Ensemble
from MLOps.predictors.kinds import load_predictor
from MLOps.predictors.signals import PROBABILITY, signal_table
from MLOps.predictors.windows import Windows
from MLOps.trading import Account, Action, Ledger, simulate

WHERE = "the request's bars"
MOST_VALUES = 500_000_000  # of the features that a decision is made from, 2 GB
# What parsing raises of values that this package did not write.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError)
LONG_HISTORY = 2  # times the bars that a decision needs; features of what is longer are computed on its end


@dataclass(frozen=True, eq=False)
class Decided:
    """Decisions at the newest bar, and what they were made from; rows of the tables are the same symbols.

    Attributes:
        answer: as `TradingModel.decide` returns it.
        features: (n, features) of the newest bar.
        closes: the last close of every symbol of the request.
    """

    answer: pd.DataFrame
    features: pd.DataFrame
    closes: Mapping[str, float]


@dataclass(frozen=True)
class TradingModel:
    """A verified bundle, loaded."""

    identity: str
    pipeline: FeaturePipeline
    predictors: dict[str, Predictor]
    ensemble: Ensemble
    agent: TradingAgent
    trading: TradingConfig

    @classmethod
    def load(cls, bundle: Path) -> "TradingModel":
        """Verify the bundle in the folder `bundle`, and load it.

        Raises:
            UserError: it is not what its manifest says, or no model.
        """
        identity = verify_bundle(bundle)
        try:
            model = cls._parsed(bundle, identity)
            values = model.required_bars * len(model.pipeline.universe) * len(model.pipeline.names)
        except MALFORMED as error:
            said = f"{type(error).__name__}: {one_line(error)}"
            raise UserError(f"{bundle}: its files do not make a model: {said}; `dvc repro` makes one") from None
        if values > MOST_VALUES:
            raise UserError(
                f"{bundle}: expected a decision from at most {MOST_VALUES} values of features, found {values}; shorten "
                "lookback_bars"
            )
        return model

    @classmethod
    def _parsed(cls, bundle: Path, identity: str) -> "TradingModel":
        metadata = read_json(bundle / "metadata.json")
        ensemble, agent = Ensemble.from_dict(metadata["ensemble"]), load_agent(bundle / "agent")
        names = dict.fromkeys(map(variant_name, (*ensemble.members, *agent.view.predictors)))
        return cls(
            identity=identity,
            pipeline=FeaturePipeline.from_dict(read_json(bundle / "feature_pipeline.json")),
            predictors={name: load_predictor(bundle / "predictors" / name) for name in names},
            ensemble=ensemble,
            agent=agent,
            trading=parse(TradingConfig, metadata["trading"], str(bundle / "metadata.json")),
        )

    @property
    def required_bars(self) -> int:
        """Bars of each symbol, the newest included, that a decision needs."""
        lookback = max([self.agent.lookback_bars, *(p.lookback_bars for p in self.predictors.values())])
        return self.pipeline.warmup_bars + lookback - 1

    @property
    def cash_parameter(self) -> str:
        """The parameter of a request for cash; its name says whose cash it is."""
        return CASH if self.agent.symbols else CASH_PER_SYMBOL

    def example_bars(self) -> pd.DataFrame:
        """Bars of a random walk, the same at every call, that `decide` accepts."""
        generator = np.random.default_rng(0)
        count = self.required_bars
        tables = []
        for symbol in self.pipeline.universe:
            close = 100 * np.exp(np.cumsum(generator.normal(0, 0.01, count)))
            shares = {name: generator.uniform(0, 1, count) for name in self.pipeline.inputs}
            prices = {"open": close * 0.999, "high": close * 1.01, "low": close * 0.99, "close": close}
            timestamps = pd.date_range("2000-01-01", periods=count, freq="D", tz="UTC")
            tables.append(pd.DataFrame({"timestamp": timestamps, "symbol": symbol, **shares, **prices}))
        return check_bars(pd.concat(tables, ignore_index=True), WHERE)

    def example_request(self, bars: pd.DataFrame) -> pd.DataFrame:
        """The newest of `bars` that a decision needs: of the universe's symbols, in the columns that features need."""
        own = bars.loc[bars["symbol"].isin(self.pipeline.universe), [*KEYS, *self.pipeline.inputs]]
        return own.groupby("symbol").tail(self.required_bars)

    def decide(
        self,
        bars: pd.DataFrame,
        cash: float,
        positions: Mapping[str, Account],
        states: Mapping[str, Sequence[float]] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Decide at the newest bar, for each symbol that can be decided on there.

        Args:
            bars: in contract form (`check_bars`), at least `required_bars` of each symbol.
            cash: of the portfolio, or of each account that `positions` does not name.
            positions: accounts by symbol, at the newest close; an entry price of NaN stands for the last close. A
                portfolio is one account: the cash of `positions` is not used.
            states: recurrent states of the agent by symbol, or of a portfolio under `decisions.PORTFOLIO`, as the last
                answer's `agent_state` gives them; that of a new account where there is none.

        Returns:
            A row a symbol: `symbol`, `timestamp`, `action` (a name under the scheme `discrete`, else a number),
            `target_position` and `order_shares` (shares held after the order and shares to trade, sized at the newest
            close, for the next open is not known yet), `stop_loss` and `take_profit` (fractions of the entry price at
            which the backtest leaves a position within the bar; None for none), the ensemble's probabilities and
            `uncertainty`, of recurrent agents `agent_state` (JSON), and `bundle`.

        Raises:
            UserError: the bars are none, too few, or lack a symbol that the features compare with or that the portfolio
                trades; `positions` names a symbol without bars or outside the portfolio; or an account has no equity.
        """
        return self.decided(check_bars(bars, WHERE), cash, positions, states).answer

    def decided(
        self,
        bars: pd.DataFrame,
        cash: float,
        positions: Mapping[str, Account],
        states: Mapping[str, Sequence[float]] = MappingProxyType({}),
    ) -> Decided:
        """As `decide`, for bars that `check_bars` returned; with the features of the newest bar."""
        self._check_history(bars)
        self._check_symbols(bars, positions)
        portfolio = self.agent.symbols
        own = bars["symbol"].isin(portfolio).to_numpy() if portfolio else np.ones(len(bars), bool)
        newest = bars.loc[own, "timestamp"].max()
        if len(bars) > LONG_HISTORY * self.required_bars * bars["symbol"].nunique():
            recent = self._recent(bars, newest)
            bars, own = bars[recent].reset_index(drop=True), own[recent]
        features = self.pipeline.compute(bars)
        rows, forecasts = self._forecasts(features, (features["timestamp"] == newest).to_numpy() & own)
        ensemble = forecasts[ENSEMBLE]
        view = self.agent.observations(features, rows, forecasts)
        symbols = tuple(bars["symbol"].iloc[rows])
        turbulence = market_turbulence(features.iloc[rows], self.trading)
        snapshot = Snapshot(
            symbols,
            view,
            _newest_closes(bars),
            np.nan if turbulence is None or turbulence.empty else float(turbulence[newest]),
        )
        decide = decide_portfolio if portfolio else decide_each
        decided = decide(self.agent, self.trading, snapshot, cash, positions, states)
        is_discrete, is_recurrent = self.trading.scheme == "discrete", self.agent.state_width > 0
        probabilities = {
            PROBABILITY + name: ensemble.probabilities[:, number].astype(float)
            for number, name in enumerate(self.ensemble.class_names)
        }
        answer = pd.DataFrame(
            {
                "symbol": symbols,
                "timestamp": newest.isoformat(),
                "action": [Action(a).name if is_discrete else float(a) for a in decided.actions],
                "target_position": decided.target_positions,
                "order_shares": decided.order_shares,
                "stop_loss": self.trading.stop_loss,
                "take_profit": self.trading.take_profit,
                **probabilities,
                "uncertainty": ensemble.uncertainty.astype(float),
                **({"agent_state": [json.dumps(state.tolist()) for state in decided.states]} if is_recurrent else {}),
                "bundle": self.identity,
            }
        )
        return Decided(answer, features.iloc[rows][list(self.pipeline.names)], snapshot.closes)

    def _recent(self, bars: pd.DataFrame, newest: pd.Timestamp) -> np.ndarray:
        """Mask of the bars that decisions at `newest` depend on: `required_bars` of each symbol, and of the others all
        in the same time."""
        needed = (bars.groupby("symbol").cumcount(ascending=False) < self.required_bars).to_numpy()
        decided = bars["symbol"].isin(bars.loc[bars["timestamp"] == newest, "symbol"]).to_numpy()
        return needed | (bars["timestamp"] >= bars.loc[needed & decided, "timestamp"].min()).to_numpy()

    def _check_history(self, bars: pd.DataFrame) -> None:
        """Refuse a symbol with fewer bars than a decision needs, unless they are all it had: its features are then not
        known yet, as in the backtest."""
        listed = {life.symbol: life.first for life in self.pipeline.lives}
        for symbol, own in rows_by_symbol(bars).items():
            if len(own) >= self.required_bars:
                continue
            if symbol not in listed or bars["timestamp"].iloc[own[0]] > listed[symbol]:
                raise UserError(
                    f"{WHERE}: expected at least {self.required_bars} bars of each symbol, found {len(own)} of "
                    f"{symbol}; send more history"
                )

    def _check_symbols(self, bars: pd.DataFrame, positions: Mapping[str, Account]) -> None:
        """Refuse bars that lack a symbol of the portfolio or of a position, and positions outside the portfolio."""
        sent, portfolio = set(bars["symbol"]), self.agent.symbols
        if portfolio and (strange := sorted(set(positions) - set(portfolio))):
            raise UserError(
                f"positions: {strange[0]} is not in the portfolio of {', '.join(portfolio)}; leave it out, and do not "
                "count it in the cash"
            )
        if unknown := sorted(set(positions) - sent):
            raise UserError(f"positions: {unknown[0]} has no bars in the request; send its bars or leave it out")
        absent = set(self.pipeline.absent(bars)) & set(portfolio)
        if absent or (portfolio and not sent & set(portfolio)):
            raise UserError(
                f"{WHERE}: expected every symbol of the portfolio, {', '.join(sorted(absent) or portfolio)} missing; "
                "add their bars; for a symbol that has ended since, add its last bars"
            )

    def backtest(self, bars: pd.DataFrame, span: Span, trading: TradingConfig) -> Ledger:
        """Simulate the agent over a span of `bars` under the given rules, in its own scheme."""
        features = self.pipeline.compute(bars)
        signals = self.signals(features, span.rows(features["timestamp"]))
        return self.simulated(bars, features, signals, span, trading)

    def simulated(
        self, bars: pd.DataFrame, features: pd.DataFrame, signals: pd.DataFrame, span: Span, trading: TradingConfig
    ) -> Ledger:
        """As `backtest`, with the features of `bars` and the signals over the span that are known already."""
        scheme = "weights" if self.trading.scheme == "targets" else self.trading.scheme
        trading = replace(trading, scheme=scheme, account=self.trading.account)
        market = self.agent.market(bars, features, signals, trading)
        return simulate(self.agent.policy(), market.between(span.start, span.end), trading)

    def signals(self, features: pd.DataFrame, wanted: np.ndarray) -> pd.DataFrame:
        """Forecasts of the predictors and the ensemble for the masked rows of a feature table."""
        rows, forecasts = self._forecasts(features, wanted)
        tables = [
            signal_table(features.iloc[rows], given, self.ensemble.class_names).assign(predictor=name)
            for name, given in forecasts.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def _forecasts(self, features: pd.DataFrame, wanted: np.ndarray) -> tuple[np.ndarray, dict[str, Forecast]]:
        """The rows, of those masked, that every predictor can forecast and the agent can observe; and the forecasts of
        the predictors and the ensemble."""
        observed = Windows(features, self.pipeline.names, self.agent.lookback_bars)
        windows = {name: observed.of(predictor.lookback_bars) for name, predictor in self.predictors.items()}
        whole = np.logical_and.reduce([observed.whole, *(own.whole for own in windows.values())])
        rows = np.flatnonzero(whole & wanted)
        forecasts = {name: self.predictors[name].predict(own.ending_at(rows)) for name, own in windows.items()}
        members = [forecasts[name] for name in self.ensemble.members]
        return rows, {**forecasts, ENSEMBLE: self.ensemble.forecast(members, len(rows))}


def _newest_closes(bars: pd.DataFrame) -> dict[str, float]:
    """Of each symbol, of bars in contract form."""
    closes = bars["close"].to_numpy()
    return {symbol: float(closes[rows[-1]]) for symbol, rows in rows_by_symbol(bars).items()}
