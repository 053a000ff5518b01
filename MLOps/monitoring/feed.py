"""Faults of a data feed: bars that repeat or stop, levels that jump, features that cannot be computed any more.

Each is compared with the worst that the reference shows, so that illiquid symbols, sessions and outages are no faults.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from MLOps.data.bars import PRICES, VOLUME
from MLOps.monitoring.panel import Panel
from MLOps.statistics.change_detection import window_means

TIMES_WORSE = 2  # than the reference's worst is a fault
LEAST_REPEATED_BARS = 5
LEAST_LATE_BARS = 5
LEAST_STEP = float(np.log(8))  # a unit is at least ten times another
STEP_BARS = 5  # bars that a new level lasts
LEVEL_BARS = 20  # bars before, whose median is the old level
MORE_MISSING = 0.5  # share of a window
HOURS = 24
CLOCK_SKEW = pd.Timedelta(minutes=5)  # between this machine's clock and that of the feed
NO_PATTERN = (0.0,) * HOURS


@dataclass(frozen=True)
class SymbolFeed:
    """The worst of one symbol's bars in the reference.

    Attributes:
        repeated_bars: longest run of bars with the prices of the bar before.
        late_bars: longest run of the market's bars between two of the symbol's.
        close_step, volume_step: largest change of level, of the logarithm.
        volume_by_hour: (24,) median of the logarithm of volume by hour of the day in UTC, less that of all bars.
        ended: whether it had ended before the newest bars.
    """

    repeated_bars: int
    late_bars: int
    close_step: float
    volume_step: float
    volume_by_hour: tuple[float, ...]
    ended: bool

    def volumes(self, own: pd.DataFrame) -> NDArray[np.float64]:
        """The symbol's volumes without their pattern over the day."""
        pattern = np.array(self.volume_by_hour)[own["timestamp"].dt.hour]
        return np.asarray(own[VOLUME].to_numpy() / np.exp(pattern))


@dataclass(frozen=True)
class FeedReference:
    """The worst of each symbol, and the longest time between two bars of the market, in seconds."""

    symbols: Mapping[str, SymbolFeed]
    gap_s: float

    @classmethod
    def of(cls, bars: pd.DataFrame) -> Self:
        clock = np.unique(_stamps(bars))
        symbols = {}
        for symbol, own in bars.groupby("symbol"):
            late = np.diff(np.searchsorted(clock, _stamps(own)), prepend=np.nan)[1:] - 1
            after = int((clock > _stamps(own)[-1]).sum())
            found = SymbolFeed(
                repeated_bars=int(repeated_bars(own).max(initial=0)),
                late_bars=int(late.max(initial=0)),
                close_step=_largest(steps(own["close"].to_numpy())),
                volume_step=0.0,
                volume_by_hour=_by_hour(own) if VOLUME in own else NO_PATTERN,
                ended=after > LEAST_LATE_BARS,
            )
            step = _largest(steps(found.volumes(own))) if VOLUME in own else 0.0
            symbols[str(symbol)] = replace(found, volume_step=step)
        gaps = np.diff(clock).astype("timedelta64[s]").astype(float)
        return cls(symbols, float(gaps.max(initial=0.0)))

    def to_dict(self) -> dict[str, Any]:
        return {"symbols": {name: asdict(own) for name, own in self.symbols.items()}, "gap_s": self.gap_s}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        symbols = {
            name: SymbolFeed(**{**own, "volume_by_hour": tuple(own["volume_by_hour"])})
            for name, own in values["symbols"].items()
        }
        return cls(symbols, values["gap_s"])

    def of_symbol(self, symbol: str) -> SymbolFeed:
        """Of a symbol that the reference does not have, the worst of all symbols."""
        if symbol in self.symbols:
            return self.symbols[symbol]
        worst = {
            name: max((getattr(own, name) for own in self.symbols.values()), default=0)
            for name in ("repeated_bars", "late_bars", "close_step", "volume_step")
        }
        return SymbolFeed(**worst, volume_by_hour=NO_PATTERN, ended=False)


def feed_faults(
    reference: FeedReference, bars: pd.DataFrame, window_bars: int, now: pd.Timestamp | None = None
) -> list[str]:
    """A sentence for each fault that shows in the newest `window_bars` bars.

    Args:
        bars: in contract form.
        now: when the bars were fetched; None leaves out whether the newest bar is old or of the future.
    """
    faults = []
    if now is not None and (ahead := (bars["timestamp"] > now + CLOCK_SKEW).to_numpy()).any():
        first = bars.loc[ahead, "timestamp"].min()
        faults.append(f"{ahead.sum()} bars of the future, the first of {first.isoformat()}; a wrong time zone?")
        bars = bars[~ahead]
        if bars.empty:
            return faults
    clock = np.unique(_stamps(bars))
    newest = bars["timestamp"].max()
    if now is not None and (now - newest).total_seconds() > TIMES_WORSE * reference.gap_s:
        faults.append(
            f"no new bars: the newest is of {newest.isoformat()}, {_days((now - newest).total_seconds())} before "
            f"{now.isoformat(timespec='minutes')}; the reference never waits longer than {_days(reference.gap_s)}"
        )
    for symbol, own in bars.groupby("symbol"):
        usual = reference.of_symbol(str(symbol))
        stamps = _stamps(own)
        late = int((clock > stamps[-1]).sum())
        if late > max(LEAST_LATE_BARS, TIMES_WORSE * usual.late_bars) and not usual.ended:
            faults.append(f"{symbol}: no new bars: the market has {late} since its last")
        if usual.ended or late >= window_bars:
            continue
        recent = stamps >= clock[-min(window_bars, len(clock))]
        repeated = int(repeated_bars(own)[recent].max(initial=0))
        if repeated >= max(LEAST_REPEATED_BARS, TIMES_WORSE * usual.repeated_bars + 1):
            faults.append(f"{symbol}: {repeated} bars repeat the prices of the bar before them")
        levels = {"close": (own["close"].to_numpy(), usual.close_step)}
        if VOLUME in own:
            levels[VOLUME] = (usual.volumes(own), usual.volume_step)
        for name, (values, largest) in levels.items():
            step = _largest(steps(values)[recent])
            if step > max(LEAST_STEP, TIMES_WORSE * largest):
                faults.append(
                    f"{symbol}: {name} is at {np.exp(step):,.0f} times its level or a fraction of it; a new unit?"
                )
    return faults


def missing_features(reference: Panel, live: Panel, window_bars: int) -> list[str]:
    """A sentence for each feature that is missing in the newest window far more often than ever in the reference."""
    symbols = [symbol for symbol in live.symbols if symbol in reference.symbols]
    if not symbols or len(reference.timestamps) < window_bars or len(live.timestamps) < window_bars:
        return []
    worst = window_means(_missing(reference.of_symbols(symbols)), window_bars).max(axis=0)
    found = window_means(_missing(live.of_symbols(symbols)), window_bars)[-1]
    return [
        f"{name}: missing in {share:.0%} of the newest values, at most {usual:.0%} in the reference"
        for name, share, usual in zip(live.names, found, worst, strict=True)
        if share > usual + MORE_MISSING
    ]


def repeated_bars(own: pd.DataFrame) -> NDArray[np.intp]:
    """(bars,) for one symbol: number of bars up to this one, in a row, with the prices of the bar before."""
    prices = own[list(PRICES)].to_numpy()
    same = np.concatenate([[False], (prices[1:] == prices[:-1]).all(axis=1)])
    counts = np.arange(1, len(same) + 1)
    return counts - np.maximum.accumulate(np.where(same, 0, counts))


def steps(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(bars,): how far the last STEP_BARS values all lie on one side of the median of the LEVEL_BARS before each, in
    logarithms; 0 where they do not, or are not known."""
    series = pd.Series(np.log(np.where(values > 0, values, np.nan)))
    before = series.rolling(LEVEL_BARS, min_periods=LEVEL_BARS // 2).median().shift(1)
    moved = (series - before).rolling(STEP_BARS)
    return np.maximum(np.nan_to_num(np.maximum(moved.min(), -moved.max()).to_numpy()), 0.0)


def _by_hour(own: pd.DataFrame) -> tuple[float, ...]:
    """See `SymbolFeed.volume_by_hour`; 0 for an hour without trades."""
    traded = own[own[VOLUME] > 0]
    if traded.empty:
        return NO_PATTERN
    logarithms = np.log(traded[VOLUME])
    medians = logarithms.groupby(traded["timestamp"].dt.hour).median() - logarithms.median()
    return tuple(float(medians.get(hour, 0.0)) for hour in range(HOURS))


def _missing(panel: Panel) -> NDArray[np.float64]:
    """(bars, names): share of the symbols with any known value that lack this one."""
    listed = np.isfinite(panel.values).any(axis=2)
    missing = (np.isnan(panel.values) & np.asarray(listed)[..., None]).sum(axis=1)
    return np.asarray(missing / np.maximum(listed.sum(axis=1), 1)[:, None])


def _largest(values: NDArray[np.float64]) -> float:
    return float(values.max(initial=0.0))


def _stamps(bars: pd.DataFrame) -> NDArray[np.datetime64]:
    return bars["timestamp"].dt.tz_convert(None).to_numpy(dtype="datetime64[us]")


def _days(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if seconds >= 86400 else f"{seconds / 3600:.1f} hours"
