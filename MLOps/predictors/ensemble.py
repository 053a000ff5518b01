"""Several predictors as one: the mean of those that passed validation, or the class prior when none did."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.data.bars import KEYS
from MLOps.predictors.contract import Forecast
from MLOps.predictors.signals import PROBABILITIES, signal_table

ENSEMBLE = "ensemble"


@dataclass(frozen=True)
class Ensemble:
    """`members` passed validation; `prior` (classes,) and `prior_return` are what training knew without any feature."""

    members: tuple[str, ...]
    prior: np.ndarray
    prior_return: float

    @property
    def forecasters(self) -> tuple[str, ...]:
        """Whose signals agents observe: each member's, or the ensemble's own when there is none."""
        return self.members or (ENSEMBLE,)

    def combine(self, keys: pd.DataFrame, members: dict[str, pd.DataFrame]) -> pd.DataFrame:
        """All signals as one table with a column `predictor`: the members' and the ensemble's.

        Args:
            keys: the bars to forecast when there is no member; with members, those that all of them forecast count.
            members: each member's signals.
        """
        keys = keys.loc[:, list(KEYS)]
        for name in self.members:
            keys = keys.merge(members[name].loc[:, list(KEYS)], on=list(KEYS))
        aligned = {name: keys.merge(members[name], on=list(KEYS), validate="one_to_one") for name in self.members}
        forecasts = [_forecast(table) for table in aligned.values()]
        forecast = _mean(forecasts) if forecasts else self._prior_forecast(len(keys))
        tables = {**aligned, ENSEMBLE: signal_table(keys, forecast)}
        return pd.concat(
            [table.drop(columns="fold", errors="ignore").assign(predictor=name) for name, table in tables.items()],
            ignore_index=True,
        )

    def _prior_forecast(self, n: int) -> Forecast:
        # Entropy and rounding as for any forecast; the class returns are weighted so that they mean `prior_return`.
        return Forecast.from_probabilities(
            np.tile(self.prior, (n, 1)), np.full(len(self.prior), self.prior_return, dtype=np.float64)
        )

    def to_dict(self) -> dict[str, object]:
        return {"members": list(self.members), "prior": self.prior.tolist(), "prior_return": self.prior_return}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "Ensemble":
        return cls(tuple(values["members"]), np.asarray(values["prior"]), float(values["prior_return"]))  # type: ignore[arg-type]


def _mean(forecasts: list[Forecast]) -> Forecast:
    """Every part's mean, added in float64 in the order given."""

    def mean(parts: list[np.ndarray]) -> np.ndarray:
        total = parts[0].astype(np.float64)
        for part in parts[1:]:
            total = total + part
        return (total / len(parts)).astype(np.float32)

    return Forecast(
        mean([f.probabilities for f in forecasts]),
        mean([f.expected_return for f in forecasts]),
        mean([f.uncertainty for f in forecasts]),
    )


def _forecast(signals: pd.DataFrame) -> Forecast:
    return Forecast(
        signals[list(PROBABILITIES)].to_numpy(np.float32),
        signals["expected_return"].to_numpy(np.float32),
        signals["uncertainty"].to_numpy(np.float32),
    )
