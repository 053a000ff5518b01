"""Bars to features: the one function that the pipeline and the served model both call."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.schema import suggest
from MLOps.data.bars import KEYS
from MLOps.errors import UserError
from MLOps.features.catalogue import CATALOGUE, SymbolBars
from MLOps.features.windows import lagged_log_return

RANK_BARS = 5  # the return that rank_5 ranks


@dataclass(frozen=True)
class FeaturePipeline:
    """Which features, and the universe that cross-asset features are measured against.

    The universe is a fixed list of symbols, those known when the pipeline was fitted: a request that brings more
    symbols, or a symbol listed later, changes no other symbol's features.
    """

    names: tuple[str, ...]
    universe: tuple[str, ...]

    @classmethod
    def fit(cls, names: Iterable[str], bars: pd.DataFrame) -> "FeaturePipeline":
        """Take the symbols of `bars` (those of the training span) for the universe.

        Raises:
            UserError: a name is not in the catalogue, or cross-asset features meet fewer than two symbols.
        """
        names = tuple(names)
        for name in names:
            if name not in CATALOGUE:
                raise UserError(f"features.names: unknown feature {name!r}; {suggest(name, CATALOGUE)}")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise UserError(f"features.names: {twice!r} is listed twice; list each feature once")
        universe = tuple(sorted(bars["symbol"].unique()))
        crossing = [name for name in names if CATALOGUE[name].cross_asset]
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
    def crosses(self) -> bool:
        """Whether a feature compares a symbol with the universe."""
        return any(CATALOGUE[name].cross_asset for name in self.names)

    def compute(self, bars: pd.DataFrame) -> pd.DataFrame:
        """Features of bars in contract form.

        Returns:
            A table with the same keys in the same order and one float32 column a feature. Every feature of a bar is
            NaN until all their warm-ups are over, so that a row is whole or absent.

        Raises:
            UserError: a symbol of the universe is missing from `bars` while features compare with it.
        """
        if self.crosses and (absent := sorted(set(self.universe) - set(bars["symbol"]))):
            raise UserError(
                f"bars: the features compare symbols and need every one of {', '.join(self.universe)}; "
                f"{', '.join(absent)} missing; add their bars"
            )
        market = _Market(bars, self.universe)
        tables = []
        for symbol, own in bars.groupby("symbol", sort=False):
            arrays = market.beside(str(symbol), own)
            values = np.column_stack([CATALOGUE[name].compute(arrays) for name in self.names])
            values[: self.warmup_bars - 1] = np.nan
            tables.append(values.astype(np.float32))
        features = bars.loc[:, list(KEYS)].reset_index(drop=True)
        features[list(self.names)] = np.concatenate(tables)
        return features

    def to_dict(self) -> dict[str, Any]:
        return {"names": list(self.names), "universe": list(self.universe), "warmup_bars": self.warmup_bars}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "FeaturePipeline":
        return cls(tuple(values["names"]), tuple(values["universe"]))


class _Market:
    """The universe's returns by timestamp, to set one symbol's bars beside."""

    def __init__(self, bars: pd.DataFrame, universe: tuple[str, ...]) -> None:
        self._returns: dict[int, list[pd.Series]] = {1: [], RANK_BARS: [], 20: []}
        for symbol in universe:
            own = bars[bars["symbol"] == symbol]
            close = own["close"].to_numpy()
            for lag, returns in self._returns.items():
                returns.append(pd.Series(lagged_log_return(close, lag), index=own["timestamp"]))

    def beside(self, symbol: str, own: pd.DataFrame) -> SymbolBars:
        own_rank_return = lagged_log_return(own["close"].to_numpy(), RANK_BARS)
        below, known = np.zeros(len(own)), np.zeros(len(own))
        for returns in self._at(own["timestamp"], RANK_BARS):
            below += returns < own_rank_return
            known += np.isfinite(returns)
        return SymbolBars(
            **{name: own[name].to_numpy() for name in ("open", "high", "low", "close", "volume")},
            weekday=own["timestamp"].dt.dayofweek.to_numpy(dtype=float),
            month=own["timestamp"].dt.month.to_numpy(dtype=float),
            market_return_1=self._mean(own["timestamp"], 1),
            market_return_20=self._mean(own["timestamp"], 20),
            rank_5=np.where(known > 0, below / np.maximum(known, 1), np.nan),
        )

    def _at(self, timestamps: pd.Series, lag: int) -> list[np.ndarray]:
        return [returns.reindex(timestamps).to_numpy() for returns in self._returns[lag]]

    def _mean(self, timestamps: pd.Series, lag: int) -> np.ndarray:
        """Mean over the universe's symbols that have a return there; added in the universe's order, always."""
        total, known = np.zeros(len(timestamps)), np.zeros(len(timestamps))
        for returns in self._at(timestamps, lag):
            total += np.nan_to_num(returns)
            known += np.isfinite(returns)
        return np.where(known > 0, total / np.maximum(known, 1), np.nan)
