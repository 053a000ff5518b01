"""What an agent sees of the market, before the environment adds its account: scaled features and forecasts."""

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
from MLOps.predictors.signals import probability_columns


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
            features: those of `left_out` are left out here too, which is said on the console.
            left_out: features that the pipeline could not compute, with the reason; see `FeaturePipeline`.

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
        """The observation table: keys, one float32 column a feature, and each forecaster's.

        A forecaster's columns are its class in [-1, 1], confidence, probabilities and uncertainty. Bars without
        features or without a signal are left out.
        """
        table = features.loc[features[self.features[0]].notna(), [*KEYS, *self.features]].reset_index(drop=True)
        table[list(self.features)] = self.scaler.transform(table[list(self.features)].to_numpy(np.float32))
        probabilities = probability_columns(signals)
        observed = ("class", "confidence", *probabilities, "uncertainty")
        middle = (len(probabilities) - 1) / 2
        for name in self.forecasters:
            own = signals.loc[signals["predictor"] == name, [*KEYS, *observed]]
            own = own.assign(**{"class": ((own["class"] - middle) / middle).astype(np.float32)})
            own = own.rename(columns={column: f"{name}_{column}" for column in observed})
            table = table.merge(own, on=list(KEYS), validate="one_to_one")
        return table

    def to_dict(self) -> dict[str, Any]:
        return {
            "features": list(self.features),
            "forecasters": list(self.forecasters),
            "scaler": self.scaler.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "MarketView":
        return cls(tuple(values["features"]), tuple(values["forecasters"]), Scaler.from_dict(values["scaler"]))
