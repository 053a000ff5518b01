"""Features taken from a labelled table instead of computed from bars."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from MLOps.data.bars import KEYS, given_features
from MLOps.features.universe import Universe


@dataclass(frozen=True)
class GivenFeatures:
    """The columns `names` of a labelled table, unchanged; saved in the format of `FeaturePipeline`."""

    names: tuple[str, ...]
    warmup_bars = 1

    @classmethod
    def fit(cls, table: pd.DataFrame) -> "GivenFeatures":
        return cls(tuple(given_features(table)))

    def universe_at(self, _table: pd.DataFrame) -> Universe:
        """Empty: nothing is compared."""
        return Universe([])

    def compute(self, table: pd.DataFrame, _threads: int = 1, _universe: Universe | None = None) -> pd.DataFrame:
        """The keys and one float32 column per feature, NaN for empty cells."""
        features = table.loc[:, [*KEYS, *self.names]].reset_index(drop=True)
        return features.astype(dict.fromkeys(self.names, "float32"))

    def to_dict(self) -> dict[str, Any]:
        return {"names": list(self.names), "universe": [], "left_out": {}, "warmup_bars": self.warmup_bars}
