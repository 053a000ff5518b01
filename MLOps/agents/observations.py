"""The market's part of an agent's observation: scaled features and forecasts. The environment adds the account's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from MLOps.agents.fine_tuning import with_window_column
from MLOps.config.agents import ObserveConfig
from MLOps.config.predictors import ENSEMBLE
from MLOps.config.schema import suggest
from MLOps.config.trading import TradingConfig
from MLOps.data.bars import KEYS
from MLOps.errors import UserError
from MLOps.features.families.turbulence import market_turbulence
from MLOps.features.scaler import Scaler
from MLOps.predictors.contract import Forecast
from MLOps.predictors.ensemble import Ensemble
from MLOps.predictors.signals import EMBEDDING, aligned, forecast_of, probability_columns, signals_of
from MLOps.predictors.windows import Windows
from MLOps.trading import Market

# The observed uncertainty of a forecaster is the column `<forecaster>_uncertainty`.
UNCERTAINTY = "uncertainty"


@dataclass(frozen=True)
class MarketView:
    """What an agent observes of the market.

    Attributes:
        features: of the bar.
        forecasters: predictors, or `ensemble`, whose forecasts are observed.
        scaler: of the features, of each forecaster's expected return and of the embeddings, in this order.
        embeddings: predictors whose embedding is observed.
    """

    features: tuple[str, ...]
    forecasters: tuple[str, ...]
    scaler: Scaler
    embeddings: tuple[str, ...] = ()

    @classmethod
    def fit(
        cls,
        config: ObserveConfig,
        ensemble: Ensemble,
        features: pd.DataFrame,
        signals: pd.DataFrame,
        training: np.ndarray,
        left_out: Mapping[str, str] = MappingProxyType({}),
    ) -> "MarketView":
        """Choose the columns, and fit the scaler on the training span.

        A predictor that did not pass validation can be observed: its forecasts are out of fold like all others. The
        console says so.

        Args:
            features: the feature table.
            signals: of all predictors and the ensemble; see `Ensemble.combine`.
            training: mask of the rows of `features` in the training span.
            left_out: features that the pipeline cannot compute, with the reason; see `FeaturePipeline`. They are not
                observed, with a message on the console.

        Raises:
            UserError: a feature is not among those the pipeline computes, or none remains.
        """
        known = [name for name in features.columns if name not in KEYS]
        for name in config.features:
            if name in left_out:
                print(f"agents: observe.features: {name} left out: {left_out[name]}")
            elif name not in known:
                raise UserError(f"agents: observe.features: unknown feature {name!r}; {suggest(name, known)}")
        names = tuple(name for name in config.features if name not in left_out)
        if not names:
            raise UserError(
                f"agents: observe.features: expected a feature that these bars have, found none; {suggest('', known)}"
            )
        forecasters = ensemble.forecasters if config.predictors is None else config.predictors
        observed = _observed(forecasters, config.embeddings)
        for name in observed:
            if name not in (*ensemble.members, ENSEMBLE):
                print(f"agents: observe: {name} is observed, although it is not a member of the ensemble")
        rows, forecasts = _known(observed, features, signals, training)
        if not rows.any():
            raise UserError(
                f"agents: observe: expected rows of the training span with the signals of {', '.join(observed)}, found "
                "none; add bars or run `dvc repro`"
            )
        values = features.loc[rows, list(names)].to_numpy(np.float32)
        scaler = Scaler.fit(_numbers(values, forecasts, forecasters, config.embeddings))
        return cls(names, forecasters, scaler, config.embeddings)

    @property
    def predictors(self) -> tuple[str, ...]:
        """The predictors of which something is observed."""
        return tuple(name for name in _observed(self.forecasters, self.embeddings) if name != ENSEMBLE)

    def market(
        self,
        bars: pd.DataFrame,
        features: pd.DataFrame,
        signals: pd.DataFrame,
        trading: TradingConfig,
        only: Sequence[str] | None = None,
        windows: Windows | None = None,
    ) -> Market:
        """The bars with what is observed of them, and the turbulence that the rules need; see `Market.from_tables`.

        Args:
            windows: of `features`; they are a further column, the last one, see `with_window_column`.
        """
        observed, turbulence = self.observe(features, signals), market_turbulence(features, trading)
        if windows is not None:
            observed = with_window_column(observed, features, windows)
        return Market.from_tables(bars, observed, turbulence, only=only)

    def observe(self, features: pd.DataFrame, signals: pd.DataFrame) -> pd.DataFrame:
        """The observation table: keys and the columns of `observations`, for the bars that have every signal."""
        observed = _observed(self.forecasters, self.embeddings)
        rows, forecasts = _known(observed, features, signals, np.ones(len(features), bool))
        values = self.observations(features.loc[rows, list(self.features)].to_numpy(np.float32), forecasts)
        parts = ("class", "confidence", *probability_columns(signals), "expected_return", UNCERTAINTY)
        names = [*self.features, *(f"{name}_{part}" for name in self.forecasters for part in parts)]
        for name in self.embeddings:
            names += [f"{name}_{EMBEDDING}{number}" for number in range(_embedding(forecasts[name]).shape[1])]
        keys = features.loc[rows, list(KEYS)].reset_index(drop=True)
        return pd.concat([keys, pd.DataFrame(values, columns=names)], axis=1)

    def observations(self, features: np.ndarray, forecasts: Mapping[str, Forecast]) -> np.ndarray:
        """(n, columns) float32: the scaled features; of each forecaster its class in [-1, 1], confidence,
        probabilities, scaled expected return and uncertainty; then the scaled embeddings.

        Args:
            features: (n, features) float32, unscaled, those of `features` in order.
            forecasts: of each of `forecasters` and `embeddings`, for the same rows.
        """
        scaled = self.scaler.transform(_numbers(features, forecasts, self.forecasters, self.embeddings))
        expected, embeddings = np.split(scaled[:, len(self.features) :], [len(self.forecasters)], axis=1)
        parts = [scaled[:, : len(self.features)]]
        for place, name in enumerate(self.forecasters):
            given = forecasts[name]
            middle = (given.probabilities.shape[1] - 1) / 2
            likeliest = given.probabilities.argmax(axis=1).astype(np.float32)
            parts += [((likeliest - middle) / middle)[:, None], given.probabilities.max(axis=1)[:, None]]
            parts += [given.probabilities, expected[:, place, None], given.uncertainty[:, None]]
        return np.concatenate([*parts, embeddings], axis=1, dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        return {
            "features": list(self.features),
            "forecasters": list(self.forecasters),
            "scaler": self.scaler.to_dict(),
            "embeddings": list(self.embeddings),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "MarketView":
        return cls(
            tuple(values["features"]),
            tuple(values["forecasters"]),
            Scaler.from_dict(values["scaler"]),
            tuple(values["embeddings"]),
        )


def _observed(forecasters: tuple[str, ...], embeddings: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*forecasters, *embeddings)))


def _known(
    names: tuple[str, ...], features: pd.DataFrame, signals: pd.DataFrame, rows: np.ndarray
) -> tuple[np.ndarray, dict[str, Forecast]]:
    """The mask of those of `rows` that have the signals of all `names`, and the forecasts there."""
    own = {name: signals_of(name, signals) for name in names}
    places = {name: aligned(features, table) for name, table in own.items()}
    known = np.logical_and.reduce([place >= 0 for place in places.values()], initial=True) & rows
    return known, {name: forecast_of(own[name].iloc[place[known]]) for name, place in places.items()}


def _numbers(
    features: np.ndarray, forecasts: Mapping[str, Forecast], forecasters: tuple[str, ...], embeddings: tuple[str, ...]
) -> np.ndarray:
    """What the scaler scales, (n, columns) float32: features, expected returns, embeddings."""
    expected = [forecasts[name].expected_return[:, None] for name in forecasters]
    others = [_embedding(forecasts[name]) for name in embeddings]
    return np.concatenate([features, *expected, *others], axis=1, dtype=np.float32)


def _embedding(given: Forecast) -> np.ndarray:
    assert given.embedding is not None, "an agent observes embeddings of networks that have one: config/agreement.py"
    return given.embedding
