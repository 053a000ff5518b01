"""Checks of bars that are in contract form: each finds the rows with one defect.

Neighbours are a symbol's bars in order of time without duplicates, whatever the order of the table. Prices of several
bars are compared after adjustment; prices within one bar are checked unadjusted. Limits scale with the symbol's usual
moves, so that they hold at any bar spacing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from MLOps.data.adjust import ROUNDING, adjust
from MLOps.data.bars import ADJUSTED_CLOSE, KEYS, PRICES, VALUES, VOLUME
from MLOps.data.clock import Clock

# Prices: limits of ratios between neighbouring bars, and how they scale with the symbol's median move.
JUMP_RATIO = 1.8  # a larger jump, or one below its inverse, looks like an unadjusted split
FAR_RATIO = 5.0  # upper bound of the jump ratio for volatile symbols
USUAL_MOVES = 30.0  # a price change of fewer median moves is not a jump
ELAPSED_MOVES = 10.0  # the same over missing bars, per square root of the bars elapsed
PRICE_UNIT_RATIO = 20.0  # larger than any market move: the price is in another unit
PRICE_UNIT_SLACK = 0.15  # a jump within this log distance of a power of ten is a change of unit
ADJUSTED_STEP = 0.02  # smallest one-bar log step of adjusted / raw close reported; rounding to cents causes less
# Runs of bars with constant prices.
STANDING_BARS = 5  # shorter runs are never reported
STANDING_CHANCE = 1e-4  # runs less probable than this over the symbol's history are reported
MOVING_SHARE = 0.05  # a symbol usually moves if a smaller share of its bars has constant prices
# Volume relative to its median in the bars before or around.
OUTLIER_RATIO = 40.0  # a busy day reaches about 10
VOLUME_UNIT_RATIO = 20.0  # a lasting change beyond it is one of unit, if it is sudden and volatility is as before
CERTAIN_VOLUME_UNIT_RATIO = 1000.0  # a change beyond it is one of unit in any case
SUDDEN_BARS = 5  # or a day, if that is longer: the bars on both sides that must show a sudden change
SUDDEN_SHARE = 0.6  # share of the change that these bars must show
CALM_RATIO = 3.0  # volatility is as before within this ratio
WEEKS_A_YEAR = 52
LONG_WINDOW_BARS, SHORT_WINDOW_BARS = 60, 20
DAYLIGHT_SAVING = pd.Timedelta(hours=1)
RARE_SHARE = 0.1  # of a symbol's bars, below which a property is unusual for it
Mask = np.ndarray


@dataclass(frozen=True)
class OrderedBars:
    """Bars sorted by symbol and time without duplicates; the index holds the row labels of the original table."""

    table: pd.DataFrame
    clock: Clock

    @classmethod
    def of(cls, bars: pd.DataFrame, clock: Clock) -> "OrderedBars":
        ordered = bars.sort_values(["symbol", "timestamp"], kind="stable")
        return cls(ordered[~ordered.duplicated(list(KEYS))], clock)

    @cached_property
    def follows(self) -> Mask:
        """Whether the row before belongs to the same symbol."""
        return self.table["symbol"].eq(self.table["symbol"].shift()).to_numpy()

    @cached_property
    def adjusted(self) -> dict[str, np.ndarray]:
        """Logs of adjusted prices and volume; log volume is NaN where volume is 0 or the symbol has none."""
        adjusted = adjust(self.table).reindex(columns=list(VALUES))
        return {name: np.log(adjusted[name].where(adjusted[name] > 0).to_numpy()) for name in VALUES}

    @cached_property
    def move(self) -> np.ndarray:
        """Absolute log return from the previous close."""
        return np.abs(self.adjusted["close"] - self.before(self.adjusted["close"]))

    @cached_property
    def usual_move(self) -> np.ndarray:
        """The symbol's median absolute log return, at each row."""
        move = pd.Series(self.move, index=self.table.index)
        return move.groupby(self.table["symbol"]).transform("median").fillna(0.0).to_numpy()

    @cached_property
    def limit(self) -> np.ndarray:
        """The log ratio above which two prices are far apart, at each row."""
        return np.clip(USUAL_MOVES * self.usual_move, np.log(JUMP_RATIO), np.log(FAR_RATIO))

    def other_unit(self, size: np.ndarray) -> Mask:
        """Whether absolute log price ratios are changes of unit: near a power of ten, or larger than any market move.

        The limit for the latter grows with the median move of the surrounding bars.
        """

        def around(rows: slice) -> np.ndarray:
            moves = pd.Series(self.move[rows])
            rolling = moves.rolling(SHORT_WINDOW_BARS + 1, center=True, min_periods=SHORT_WINDOW_BARS // 2)
            return rolling.median().fillna(0.0).to_numpy()

        power = np.round(size / np.log(10))
        tenfold = (power >= 1) & (np.abs(size - power * np.log(10)) < PRICE_UNIT_SLACK)
        return tenfold | (size > np.maximum(USUAL_MOVES * self.by_symbol(around), np.log(PRICE_UNIT_RATIO)))

    def before(self, values: np.ndarray) -> np.ndarray:
        """The symbol's value one row earlier; NaN at its first row."""
        return np.where(self.follows, np.concatenate([[np.nan], values[:-1]]), np.nan)

    def after(self, values: np.ndarray) -> np.ndarray:
        """The symbol's value one row later; NaN at its last row."""
        return np.where(np.append(self.follows[1:], False), np.append(values[1:], np.nan), np.nan)

    def share(self, rows: Mask) -> np.ndarray:
        """The share of the symbol's bars that are among `rows`, at each row."""
        return pd.Series(rows * 1.0, index=self.table.index).groupby(self.table["symbol"]).transform("mean").to_numpy()

    def by_symbol(self, find: Callable[[slice], np.ndarray]) -> np.ndarray:
        """The results of `find` for each symbol's rows, concatenated."""
        starts = np.flatnonzero(~self.follows)
        spans = zip(starts, [*starts[1:], len(self.table)], strict=True)
        return np.concatenate([find(slice(first, stop)) for first, stop in spans]) if len(starts) else np.zeros(0, bool)

    @cached_property
    def bars_per_day(self) -> int:
        """A symbol's typical number of bars per day."""
        days = self.table["timestamp"].dt.floor("D")
        return max(round(self.table.groupby(["symbol", days]).size().median()), 1)

    @cached_property
    def windows(self) -> tuple[int, int]:
        """Window lengths of about a week and a day, in bars; whole days, to contain the intraday pattern."""
        wanted = (
            max(LONG_WINDOW_BARS, self.clock.bars_per_year / WEEKS_A_YEAR),
            max(SHORT_WINDOW_BARS, self.bars_per_day),
        )
        week, day = (self.bars_per_day * -(-int(bars) // self.bars_per_day) for bars in wanted)
        return week, day


def _range_broken(b: OrderedBars) -> Mask:
    prices = b.table[list(PRICES)].to_numpy()
    return (prices[:, 1] < prices.max(axis=1) * (1 - ROUNDING)) | (prices[:, 2] > prices.min(axis=1) * (1 + ROUNDING))


def _spike(b: OrderedBars) -> Mask:
    """The whole bar is far from the bars on both sides, which are near each other."""
    opened, closed = b.adjusted["open"], b.adjusted["close"]
    there = opened - b.before(closed)
    back = b.after(opened) - closed
    past = b.after(opened) - b.before(closed)
    return (np.abs(there) > b.limit) & (np.abs(back) > b.limit) & (np.abs(past) < b.limit / 2)


def _gap(b: OrderedBars) -> np.ndarray:
    """Absolute log ratio of the open to the previous close; 0 into and out of a spike."""
    gap = np.abs(b.adjusted["open"] - b.before(b.adjusted["close"]))
    spike = _spike(b)
    return np.where(spike | (b.before(spike * 1.0) == 1) | np.isnan(gap), 0.0, gap)


def _gap_limit(b: OrderedBars) -> np.ndarray:
    stamps = b.table["timestamp"].dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    elapsed = np.ones(len(stamps))
    elapsed[1:] = np.maximum(np.diff(stamps) / b.clock.spacing, 1)
    return np.maximum(b.limit, ELAPSED_MOVES * b.usual_move * np.sqrt(np.where(b.follows, elapsed, 1)))


def _unit_jump(b: OrderedBars) -> Mask:
    gap, body = _gap(b), np.abs(b.adjusted["close"] - b.adjusted["open"])
    return ((gap > _gap_limit(b)) & b.other_unit(gap)) | b.other_unit(body)


def _split_like(b: OrderedBars) -> Mask:
    body = np.abs(b.adjusted["close"] - b.adjusted["open"])
    return ((_gap(b) > _gap_limit(b)) | (body > np.log(FAR_RATIO))) & ~_unit_jump(b)


def _wick(b: OrderedBars) -> np.ndarray:
    """Log ratio of the high or low to the nearer of open and close, whichever is larger."""
    opened, high, low, closed = (b.adjusted[name] for name in PRICES)
    return np.maximum(high - np.maximum(opened, closed), np.minimum(opened, closed) - low)


def _stray_extreme(b: OrderedBars) -> Mask:
    return b.other_unit(_wick(b))


def _long_wick(b: OrderedBars) -> Mask:
    return (_wick(b) > b.limit) & ~_stray_extreme(b)


def _adjusted_step(b: OrderedBars) -> Mask:
    """The ratio of adjusted to raw close leaves its level for one bar."""
    if ADJUSTED_CLOSE not in b.table.columns:
        return np.zeros(len(b.table), dtype=bool)
    ratio = np.log((b.table[ADJUSTED_CLOSE] / b.table["close"]).to_numpy())
    there, past = ratio - b.before(ratio), b.after(ratio) - b.before(ratio)
    size = pd.Series(np.abs(there), index=b.table.index)
    usual = size.groupby(b.table["symbol"]).transform("median").to_numpy()
    return (size.to_numpy() > np.maximum(ADJUSTED_STEP, 10 * usual)) & (np.abs(past) < size.to_numpy() / 2)


def _standing(b: OrderedBars) -> Mask:
    """All four prices equal those of the bar before, or all equal its close."""
    prices = b.table[list(PRICES)].to_numpy()
    before = np.stack([b.before(column) for column in prices.T], axis=1)
    return (prices == before).all(axis=1) | (prices == before[:, 3:]).all(axis=1)


def _standstill(b: OrderedBars, usually_moves: bool) -> Mask:
    """Runs of standing bars that are too long for chance, in symbols that usually move or in those that do not.

    Standing bars cluster (at night, for example), so the probability of a run is computed from how often a standing bar
    follows another. That and the share of standing bars are estimated without the symbol's three longest runs.
    """
    standing = _standing(b)

    def find(rows: slice) -> Mask:
        own = standing[rows]
        run = np.cumsum(np.diff(own.astype(int), prepend=0) == 1) * own
        lengths = np.bincount(run)
        lengths[0] = 0
        usual = np.sort(lengths)[:-3]
        usual = usual[usual > 0]
        share = usual.sum() / max(len(own) - own.sum() + usual.sum(), 1)
        # One is added to the count and twenty to the total, so that few standing bars do not give 0 or 1.
        followed = (usual.sum() - len(usual) + 1) / (usual.sum() + 20)
        least = max(STANDING_BARS, np.log(STANDING_CHANCE / len(own)) / np.log(followed))
        return own & (lengths[run] >= least) & ((share < MOVING_SHARE) == usually_moves)

    return b.by_symbol(find)


def _copied(b: OrderedBars) -> Mask:
    """Every value equals the previous bar's, and high and low differ."""
    names = [name for name in VALUES if name in b.table.columns]
    values = b.table[names].to_numpy()
    before = np.stack([b.before(column) for column in values.T], axis=1)
    same = (values == before) | (np.isnan(values) & np.isnan(before) & b.follows[:, None])
    return same.all(axis=1) & (b.table["high"] > b.table["low"]).to_numpy() & ~_standstill(b, True)


def _of_another_symbol(b: OrderedBars) -> Mask:
    """Every value equals another symbol's at the same time; for two bars in a row if there is no volume to compare."""
    table = b.table[["timestamp", *(name for name in VALUES if name in b.table.columns)]]
    if VOLUME not in table.columns or table[VOLUME].isna().any():
        before = {f"{name} before": b.before(b.table[name].to_numpy()) for name in PRICES}
        table = table.assign(**before)
    moving = (b.table["high"] > b.table["low"]).to_numpy() & ~_standing(b)
    return table.duplicated(keep=False).to_numpy() & moving & b.follows


def _idle(b: OrderedBars) -> Mask:
    return (b.table[VOLUME] == 0).to_numpy() if VOLUME in b.table.columns else np.zeros(len(b.table), dtype=bool)


def _seldom_idle(b: OrderedBars) -> Mask:
    idle = _idle(b)
    return idle & (b.share(idle) < RARE_SHARE)


def _often_idle(b: OrderedBars) -> Mask:
    return _idle(b) & ~_seldom_idle(b)


def _volume_outlier(b: OrderedBars) -> Mask:
    """Volume far above that of the surrounding week, relative to the symbol's spread of volumes."""
    week, _ = b.windows

    def find(rows: slice) -> Mask:
        volume = pd.Series(b.adjusted[VOLUME][rows])
        above = volume - volume.rolling(week, center=True, min_periods=3).median()
        spread = 1.4826 * above.abs().median()
        return (above > max(np.log(OUTLIER_RATIO), 6 * spread)).to_numpy()

    return b.by_symbol(find)


def _volume_unit(b: OrderedBars) -> Mask:
    """The first bar in another unit of volume: the median volume changes there permanently.

    Medians are taken over up to a week on both sides, at least a day, and must differ by more than their noise. The
    reported bar is the one at which the means over a day differ most.
    """
    week, day = b.windows

    def find(rows: slice) -> Mask:
        volume, moved = pd.Series(b.adjusted[VOLUME][rows]), pd.Series(np.where(b.move[rows] > 0, b.move[rows], np.nan))
        found = np.zeros(len(volume), dtype=bool)
        if len(volume) < 2 * day:
            return found
        step = _sides(volume, week, day, "median")
        spread = 1.4826 * (volume - volume.rolling(week, center=True, min_periods=day).median()).abs().median()
        sudden = _sides(volume, max(SUDDEN_BARS, b.bars_per_day), 2, "mean") / step > SUDDEN_SHARE
        calm = np.log(moved).pipe(_sides, week, day, "median").abs() < np.log(CALM_RATIO)
        limit = max(np.log(VOLUME_UNIT_RATIO), 8 * spread * np.sqrt(2 / day))
        near = _sides(volume, day, max(day // 2, 1), "mean").abs()
        size = np.minimum(step.abs(), near)
        changed = (size > limit) & calm | (size > max(limit, np.log(CERTAIN_VOLUME_UNIT_RATIO)))
        # The long windows show a change at all bars near it; the short ones locate it.
        bars = np.flatnonzero(changed)
        for region in np.split(bars, np.flatnonzero(np.diff(bars) > week) + 1) if len(bars) else ():
            bar = int(near[region[0] : region[-1] + 1].idxmax())
            found[bar] = bool(sudden[bar]) or abs(step[bar]) > np.log(CERTAIN_VOLUME_UNIT_RATIO)
        return found

    return b.by_symbol(find)


def _sides(values: pd.Series, window: int, least: int, statistic: str) -> pd.Series:
    """The statistic of the `window` values from each row on minus that of the `window` values before it.

    NaN where a side has fewer than `least` values.
    """
    before = getattr(values.rolling(window, min_periods=least), statistic)().shift()
    after = getattr(values[::-1].rolling(window, min_periods=least), statistic)()[::-1]
    return after - before


def _odd_time(b: OrderedBars) -> Mask:
    """Daily bars at another time of day than most of the symbol's bars: a change of time zone or of daylight saving.

    Midnights of a zone with daylight saving are one hour apart, so many bars may be at such an hour.
    """
    time = b.table["timestamp"] - b.table["timestamp"].dt.normalize()
    usual = time.groupby(b.table["symbol"]).transform(lambda times: times.mode().iloc[0])
    odd, far = (time != usual).to_numpy(), ((time - usual).abs() > DAYLIGHT_SAVING).to_numpy()
    return (odd if odd.mean() < RARE_SHARE else far) & b.clock.daily


def _spelt_twice(b: OrderedBars) -> Mask:
    """Symbols that differ from a more frequent one only by surrounding spaces or case."""
    names = b.table["symbol"].astype("str")
    counts = names.value_counts()
    plain = counts.index.str.strip().str.upper()
    # In order of frequency: the most frequent spelling is kept.
    rarer = counts.index[pd.Series(plain).duplicated().to_numpy()]
    return names.isin(rarer).to_numpy()


def _flat(b: OrderedBars) -> Mask:
    return (b.table["high"] == b.table["low"]).to_numpy()


def _weekend(b: OrderedBars) -> Mask:
    # In a market that trades every day, weekend bars are frequent and not a defect.
    weekend = (b.table["timestamp"].dt.day_of_week >= 5).to_numpy()
    return weekend & (weekend.mean() < RARE_SHARE) & (b.clock.calendar is None)


@dataclass(frozen=True)
class Check:
    """A check with its severity (see `Finding`) and advice; users may accept errors that are `acceptable`.

    `advice_if_adjusted` replaces the advice if the bars have an adjusted close.
    """

    severity: str
    find: Callable[[OrderedBars], Mask]
    advice: str
    acceptable: bool = False
    advice_if_adjusted: str = ""


CHECKS: dict[str, Check] = {
    "high or low inside the bar": Check(
        "error", _range_broken, "correct the rows: high and low must enclose open and close"
    ),
    "price spike": Check("error", _spike, "correct the rows: a bad tick, or a price in another unit", True),
    "price in another unit": Check(
        "error",
        _unit_jump,
        "correct the rows, or adjust the earlier prices: add an adj_close column",
        acceptable=True,
        advice_if_adjusted="correct the rows, or their adj_close if the symbol was split",
    ),
    "stray high or low": Check("error", _stray_extreme, "correct the rows: a bad tick, or swapped columns", True),
    "adjusted close out of step": Check(
        "error", _adjusted_step, "correct the adjusted close in these rows, or remove its column", True
    ),
    "bar of another symbol": Check(
        "error", _of_another_symbol, "download them again: two symbols have the same bars", True
    ),
    "dead feed": Check(
        "error", lambda b: _standstill(b, True), "remove the rows: prices are constant because the feed stopped", True
    ),
    "volume unit change": Check(
        "error", _volume_unit, "convert the volume from this bar on, or before it, so that all is in one unit", True
    ),
    "split-like jump": Check(
        "warning",
        _split_like,
        "if it is a split, adjust the prices: add an adj_close column",
        advice_if_adjusted="nothing, if the price moved so; if it is a split, correct adj_close",
    ),
    "long wick": Check("warning", _long_wick, "check the high and the low"),
    "long standstill": Check("warning", lambda b: _standstill(b, False), "check that the symbol was traded"),
    "copied bar": Check("warning", _copied, "download it again: it repeats the bar before"),
    "bar without volume": Check("warning", _seldom_idle, "check that the symbol was traded"),
    "volume out of all proportion": Check("warning", _volume_outlier, "check the unit of the volume"),
    "odd time of day": Check("warning", _odd_time, "give all daily bars the same time of day, in summer and winter"),
    "symbol spelt in two ways": Check("warning", _spelt_twice, "give the symbol one name"),
    "bar on a weekend": Check("warning", _weekend, "check the time zone of the timestamps"),
    "idle bar": Check("info", _often_idle, "nothing, if the symbol trades rarely"),
    "bar without range": Check("info", _flat, "nothing, if the symbol trades rarely"),
}
