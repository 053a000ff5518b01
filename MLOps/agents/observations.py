"""The market's part of an agent's observation: scaled features and forecasts. The environment adds the account's."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.schema import suggest
from MLOps.data.bars import KEYS
from MLOps.errors import UserError
from MLOps.features.scaler import Scaler
from MLOps.predictors.contract import Forecast
from MLOps.predictors.signals import aligned, forecast_of, probability_columns


@dataclass(frozen=True)
class MarketView:
    """`features` of the bar, scaled as in training, and the signals of each of the `forecasters`."""

    features: tuple[str, ...]
    forecasters: tuple[str, ...]
    scaler: Scaler

    @classmethod
    def fit(
        cls,
        features: tuple[str, ...],
        forecasters: tuple[str, ...],
        table: pd.DataFrame,
        rows: np.ndarray,
        left_out: Mapping[str, str] = MappingProxyType({}),
    ) -> "MarketView":
        """Fit the scaler on the given rows (those of the training span) of the feature table.

        Args:
            features: names; those in `left_out` are dropped, with a message on the console.
            left_out: features that the pipeline cannot compute, with the reason; see `FeaturePipeline`.

        Raises:
            UserError: a feature is not among those the pipeline computes, or none remains.
        """
        known = [name for name in table.columns if name not in KEYS]
        for name in features:
            if name in left_out:
                print(f"agents: observe: {name} left out: {left_out[name]}")
            elif name not in known:
                raise UserError(f"agents: observe: unknown feature {name!r}; {suggest(name, known)}")
        features = tuple(name for name in features if name not in left_out)
        if not features:
            raise UserError(
                f"agents: observe: expected a feature that these bars have, found none; {suggest('', known)}"
            )
        values = table.loc[rows, list(features)].dropna().to_numpy(np.float32)
        return cls(features, forecasters, Scaler.fit(values))

    def observe(self, features: pd.DataFrame, signals: pd.DataFrame) -> pd.DataFrame:
        """The observation table: keys and the columns of `observations`, for the bars that have every signal."""
        own = {name: signals[signals["predictor"] == name] for name in self.forecasters}
        places = {name: aligned(features, table) for name, table in own.items()}
        common = np.logical_and.reduce([place >= 0 for place in places.values()])
        forecasts = {name: forecast_of(own[name].iloc[place[common]]) for name, place in places.items()}
        values = self.observations(features.loc[common, list(self.features)].to_numpy(np.float32), forecasts)
        observed = ("class", "confidence", *probability_columns(signals), "uncertainty")
        names = [*self.features, *(f"{name}_{column}" for name in self.forecasters for column in observed)]
        keys = features.loc[common, list(KEYS)].reset_index(drop=True)
        return pd.concat([keys, pd.DataFrame(values, columns=names)], axis=1)

    def observations(self, features: np.ndarray, forecasts: Mapping[str, Forecast]) -> np.ndarray:
        """(n, columns) float32: the scaled features, then of each forecaster its class in [-1, 1], confidence,
        probabilities and uncertainty.

        Args:
            features: (n, features) float32, unscaled, those of `features` in order.
            forecasts: of each forecaster for the same rows.
        """
        parts = [self.scaler.transform(features)]
        for name in self.forecasters:
            given = forecasts[name]
            middle = (given.probabilities.shape[1] - 1) / 2
            likeliest = given.probabilities.argmax(axis=1).astype(np.float32)
            parts += [((likeliest - middle) / middle)[:, None], given.probabilities.max(axis=1)[:, None]]
            parts += [given.probabilities, given.uncertainty[:, None]]
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def to_dict(self) -> dict[str, Any]:
        return {
            "features": list(self.features),
            "forecasters": list(self.forecasters),
            "scaler": self.scaler.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "MarketView":
        return cls(tuple(values["features"]), tuple(values["forecasters"]), Scaler.from_dict(values["scaler"]))
