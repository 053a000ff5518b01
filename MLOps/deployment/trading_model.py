"""A loaded bundle: bars in, decisions out, with the features, forecasts and policy of the backtest."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from MLOps.agents.policy import Agent
from MLOps.artifacts import read_json
from MLOps.config.schema import parse
from MLOps.config.trading import TradingConfig
from MLOps.data.bars import KEYS, check_bars
from MLOps.data.splits import Span
from MLOps.errors import UserError
from MLOps.features.families.turbulence import market_turbulence
from MLOps.features.pipeline import FeaturePipeline
from MLOps.model_registry.bundle import verify_bundle
from MLOps.predictors.contract import Forecast, Predictor
from MLOps.predictors.ensemble import ENSEMBLE, Ensemble
from MLOps.predictors.kinds import load_predictor
from MLOps.predictors.signals import PROBABILITY, signal_table
from MLOps.predictors.windows import Windows
from MLOps.trading import Account, Action, Ledger, observe, simulate, target_shares

WHERE = "the request's bars"


@dataclass(frozen=True)
class TradingModel:
    """A verified bundle, loaded."""

    identity: str
    pipeline: FeaturePipeline
    predictors: dict[str, Predictor]
    ensemble: Ensemble
    agent: Agent
    trading: TradingConfig

    @classmethod
    def load(cls, bundle: Path) -> "TradingModel":
        """Verify the bundle in the folder `bundle`, and load it.

        Raises:
            UserError: it is not what its manifest says.
        """
        identity = verify_bundle(bundle)
        metadata = read_json(bundle / "metadata.json")
        ensemble, agent = Ensemble.from_dict(metadata["ensemble"]), Agent.load(bundle / "agent")
        names = dict.fromkeys((*ensemble.members, *agent.view.predictors))
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
        lookback = max((p.lookback_bars for p in self.predictors.values()), default=1)
        return self.pipeline.warmup_bars + lookback - 1

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

    def decide(self, bars: pd.DataFrame, cash: float, positions: dict[str, Account]) -> pd.DataFrame:
        """Decide at the newest bar, for each symbol that has it.

        Args:
            bars: in contract form (`check_bars`), at least `required_bars` of each symbol.
            cash: of each account that `positions` does not name; each symbol has its own.
            positions: accounts by symbol, at the newest close; an entry price of NaN stands for that close.

        Returns:
            A row a symbol: `symbol`, `timestamp`, `action`, `target_position` (shares, sized at the newest close, for
            the next open is not known yet), `stop_loss` and `take_profit` (fractions of the entry price at which the
            backtest leaves a position within the bar; None for none), the ensemble's probabilities and `uncertainty`,
            and `bundle`.

        Raises:
            UserError: the bars are none, too few, or lack a symbol that the features compare with; or `positions`
                names a symbol without bars.
        """
        bars = check_bars(bars, WHERE)
        counts = bars.groupby("symbol").size()
        if (counts < self.required_bars).any():
            symbol = counts.idxmin()
            raise UserError(
                f"{WHERE}: expected at least {self.required_bars} bars of each symbol, found {counts[symbol]} of "
                f"{symbol}; send more history"
            )
        if unknown := sorted(set(positions) - set(counts.index)):
            raise UserError(f"positions: {unknown[0]} has no bars in the request; send its bars or leave it out")
        newest = bars["timestamp"].max()
        features = self.pipeline.compute(bars)
        rows, forecasts = self._forecasts(features, (features["timestamp"] == newest).to_numpy())
        ensemble = forecasts[ENSEMBLE]
        view = self.agent.view.observations(
            features[list(self.agent.view.features)].to_numpy(np.float32)[rows], forecasts
        )
        probabilities = [PROBABILITY + name for name in self.ensemble.class_names]
        turbulence = market_turbulence(features.iloc[rows], self.trading)
        decisions = []
        for place, row in enumerate(rows):
            symbol, close = str(bars["symbol"].iloc[row]), float(bars["close"].iloc[row])
            account = positions.get(symbol, Account(cash=cash))
            if np.isnan(account.entry_price):
                account = replace(account, entry_price=close)
            if account.overdrawn(close):
                raise UserError(f"positions: {symbol}: expected cash of at least 0, found {account.cash:g}; correct it")
            if account.cash + account.shares * close <= 0 and account.shares:
                raise UserError(
                    f"positions: {symbol}: equity must be positive, found cash {account.cash:g} and "
                    f"{account.shares:g} shares at {close:g}; correct cash or shares"
                )
            states = np.zeros((1, self.agent.network.state_width), np.float32)
            action = self.agent.decide(observe(view[place], account, close)[None], states)[0][0]
            decisions.append(
                {
                    "symbol": symbol,
                    "timestamp": newest.isoformat(),
                    "action": Action(action).name if self.trading.scheme == "discrete" else float(action),
                    "target_position": target_shares(
                        action, account, close, self.trading, np.nan if turbulence is None else turbulence[newest]
                    ),
                    "stop_loss": self.trading.stop_loss,
                    "take_profit": self.trading.take_profit,
                    **dict(zip(probabilities, ensemble.probabilities[place].astype(float), strict=True)),
                    "uncertainty": float(ensemble.uncertainty[place]),
                    "bundle": self.identity,
                }
            )
        return pd.DataFrame(decisions)

    def backtest(self, bars: pd.DataFrame, span: Span, trading: TradingConfig) -> Ledger:
        """Simulate the agent over a span of `bars` under the given rules, in its own scheme."""
        scheme = "weights" if self.trading.scheme == "targets" else self.trading.scheme
        trading = replace(trading, scheme=scheme, account=self.trading.account)
        features = self.pipeline.compute(bars)
        signals = self.signals(features, span.rows(features["timestamp"]))
        market = self.agent.view.market(bars, features, signals, trading)
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
        """The rows, of those masked, that every predictor can forecast; and the predictors' and the ensemble's
        forecasts."""
        windows = {
            name: Windows(features, self.pipeline.names, predictor.lookback_bars)
            for name, predictor in self.predictors.items()
        }
        # Without a predictor the ensemble needs a bar with features alone.
        whole = [own.whole for own in windows.values()] or [Windows(features, self.pipeline.names, 1).whole]
        rows = np.flatnonzero(np.logical_and.reduce(whole) & wanted)
        forecasts = {name: self.predictors[name].predict(own.ending_at(rows)) for name, own in windows.items()}
        members = [forecasts[name] for name in self.ensemble.members]
        return rows, {**forecasts, ENSEMBLE: self.ensemble.forecast(members, len(rows))}
