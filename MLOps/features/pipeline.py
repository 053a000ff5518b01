"""Bars to features: the one function that the pipeline and the served model both call."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from MLOps.data.bars import KEYS, SENTIMENT, VALUES
from MLOps.errors import UserError
from MLOps.features.catalogue import CATALOGUE, chosen
from MLOps.features.feature import SymbolBars
from MLOps.features.universe import Universe


@dataclass(frozen=True)
class FeaturePipeline:
    """Which features, and the universe that cross-asset features are measured against.

    The universe is a fixed list of symbols, those known when the pipeline was fitted: a request that brings more
    symbols, or a symbol listed later, changes no other symbol's features.
    """

    names: tuple[str, ...]
    universe: tuple[str, ...]

    @classmethod
    def fit(cls, entries: Iterable[str], bars: pd.DataFrame) -> "FeaturePipeline":
        """Take the features and families `entries`, and the symbols of `bars` (those of the training span).

        Raises:
            UserError: an entry is not in the catalogue, or cross-asset features meet fewer than two symbols.
        """
        names = chosen(entries)
        universe = tuple(sorted(bars["symbol"].unique()))
        crossing = [name for name in names if CATALOGUE[name].needs == "universe"]
        if crossing and len(universe) < 2:
            raise UserError(
                f"features.names: {', '.join(crossing)} compare symbols and need two or more in the training span, "
                f"found {', '.join(universe)} only; give more symbols or take those features out"
            )
        return cls(names, universe)

    @property
    def warmup_bars(self) -> int:
        """Bars of a symbol, the newest included, that its features need."""
        return max(CATALOGUE[name].warmup_bars for name in self.names)

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns of bars, beside their keys, that `compute` needs."""
        return (*VALUES, *SENTIMENT) if self._need("sentiment") else VALUES

    @property
    def crosses(self) -> bool:
        """Whether a feature compares a symbol with the universe."""
        return self._need("universe")

    def _need(self, what: str) -> bool:
        return any(CATALOGUE[name].needs == what for name in self.names)

    def compute(self, bars: pd.DataFrame, threads: int = 1) -> pd.DataFrame:
        """Features of bars in contract form, on that many threads (which change no bit).

        Returns:
            A table with the same keys in the same order and one float32 column a feature. Every feature of a bar is
            NaN until all their warm-ups are over, so that a row is whole or absent.

        Raises:
            UserError: a symbol of the universe is missing from `bars` while features compare with it, or a sentiment
                column while features are made of it.
        """
        if self.crosses and (absent := sorted(set(self.universe) - set(bars["symbol"]))):
            raise UserError(
                f"bars: the features compare symbols and need every one of {', '.join(self.universe)}; "
                f"{', '.join(absent)} missing; add their bars"
            )
        if lacking := [name for name in self.inputs if name not in bars.columns]:
            raise UserError(
                f"bars: the sentiment features need the columns {', '.join(SENTIMENT)}; {', '.join(lacking)} missing; "
                "set data.sentiment.enabled, or send them with the bars"
            )
        universe = Universe(bars, self.universe if self.crosses else ())
        values = np.empty((len(bars), len(self.names)), dtype=np.float32)

        def fill(first: int, own: pd.DataFrame) -> None:
            arrays = _symbol_bars(own, universe)
            block = values[first : first + len(own)]
            for column, name in enumerate(self.names):
                block[:, column] = CATALOGUE[name].compute(arrays)
            block[: self.warmup_bars - 1] = np.nan

        groups = [own for _, own in bars.groupby("symbol", sort=False)]
        firsts = np.cumsum([0, *(len(own) for own in groups)])[:-1]
        if threads == 1:
            for first, own in zip(firsts, groups, strict=True):
                fill(first, own)
        else:
            # Neither a compiled kernel nor a NumPy loop over a symbol's bars holds the interpreter.
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(fill, firsts, groups))
        features = bars.loc[:, list(KEYS)].reset_index(drop=True)
        return pd.concat([features, pd.DataFrame(values, columns=list(self.names))], axis=1)

    def to_dict(self) -> dict[str, Any]:
        return {"names": list(self.names), "universe": list(self.universe), "warmup_bars": self.warmup_bars}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "FeaturePipeline":
        return cls(tuple(values["names"]), tuple(values["universe"]))


def _symbol_bars(own: pd.DataFrame, universe: Universe) -> SymbolBars:
    silent = np.full(len(own), np.nan)
    columns: dict[str, Any] = {
        name: own[name].to_numpy(float) if name in own.columns else silent for name in (*VALUES, *SENTIMENT)
    }
    return SymbolBars(
        timestamp=own["timestamp"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]"),
        universe=universe.beside(own["timestamp"]),
        **columns,
    )
