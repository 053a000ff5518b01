"""Markets of unlike kinds with nothing wrong with them: GARCH volatility, fat tails, volumes with a day's pattern.

Raw bars in contract form. Real ones do all this; whoever judges data must not take it for a defect.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from MLOps.data.bars import ADJUSTED_CLOSE, COLUMNS, PRICES, check_raw_bars
from MLOps.data.calendars import load_sessions

Market = Callable[[int], pd.DataFrame]


def garch_returns(generator: np.random.Generator, bars: int, volatility: float, freedom: float = 4.0) -> np.ndarray:
    """Returns of GARCH(1, 1) with Student's t innovations, of the given standard deviation a bar (Bollerslev, 1987).

    Volatility is at most five times the usual, as in the crises of 1987, 2008 and 2020; without a bound it explodes.
    """
    shocks = generator.standard_t(freedom, bars) * np.sqrt((freedom - 2) / freedom)
    returns, variance = np.zeros(bars), volatility**2
    for t in range(bars):
        returns[t] = np.sqrt(variance) * shocks[t]
        variance = min(0.02 * volatility**2 + 0.08 * returns[t] ** 2 + 0.90 * variance, 25 * volatility**2)
    return returns


def symbol_bars(stamps: pd.DatetimeIndex, symbol: str, seed: int, volatility: float, gaps: float = 0.0) -> pd.DataFrame:
    """One symbol's bars at `stamps`; `gaps` is the standard deviation of the open against the close before."""
    generator = np.random.default_rng([seed, *symbol.encode()])
    bars = len(stamps)
    moved = garch_returns(generator, bars, volatility)
    jumped = generator.standard_t(4, bars) * gaps
    closed = np.log(generator.uniform(5, 500)) + np.cumsum(moved + jumped)
    opened = closed - moved
    reach = np.abs(moved) * generator.uniform(0, 0.6, (2, bars)) + volatility * generator.exponential(0.3, (2, bars))
    # Much in the daytime, a twentieth at night, three times more at the opening and the close of a session.
    hour = stamps.hour.to_numpy() + stamps.minute.to_numpy() / 60
    pattern = 1.5 + 1.4 * np.sin(2 * np.pi * (hour - 9) / 24) if len(np.unique(hour)) > 1 else np.ones(bars)
    memory = np.zeros(bars)
    noise = generator.standard_normal(bars) * 0.3
    for t in range(1, bars):
        memory[t] = 0.9 * memory[t - 1] + noise[t]
    volume = 1e5 * pattern * np.exp(memory + 20 * np.minimum(np.abs(moved), 0.05))
    return pd.DataFrame(
        {
            "timestamp": stamps.as_unit("us"),
            "symbol": symbol,
            "open": np.exp(opened),
            "high": np.exp(np.maximum(opened, closed) + reach[0]),
            "low": np.exp(np.minimum(opened, closed) - reach[1]),
            "close": np.exp(closed),
            "volume": np.round(volume, 2),
        }
    )


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    return check_raw_bars(pd.concat(tables, ignore_index=True), "made")


def session_stamps(calendar: str, first: str, last: str, minutes: int | None = None) -> pd.DatetimeIndex:
    """The begins of all bars of the sessions from `first` to `last`; of daily ones without `minutes`."""
    sessions = load_sessions(calendar, np.datetime64(first), np.datetime64(last))
    kept = (sessions.days >= np.datetime64(first)) & (sessions.days <= np.datetime64(last))
    if minutes is None:
        return pd.DatetimeIndex(sessions.days[kept]).tz_localize("UTC")
    step = np.timedelta64(minutes, "m")
    stamps = [np.arange(a, b, step) for a, b in zip(sessions.opens[kept], sessions.closes[kept], strict=True)]
    return pd.DatetimeIndex(np.concatenate(stamps)).tz_localize("UTC")


def daily_stocks(seed: int, symbols: int = 4) -> pd.DataFrame:
    """Three years of New York, with an adjusted close: dividends each quarter, and one split."""
    stamps = session_stamps("XNYS", "2017-01-03", "2019-12-31")
    tables = []
    for number in range(symbols):
        bars = symbol_bars(stamps, f"S{number:02d}", seed, 0.015, 0.006)
        # Before a split of 2:1 at bar 400 prices were twice as high, and half as many shares changed hands.
        split = np.where(np.arange(len(stamps)) < 400, 2.0, 1.0) if number == 0 else np.ones(len(stamps))
        paid = np.cumprod(np.where(np.arange(len(stamps))[::-1] % 63 == 62, 0.995, 1.0))[::-1]
        bars[ADJUSTED_CLOSE] = (bars["close"] * paid).round(6)
        bars[[*PRICES]] = bars[[*PRICES]].mul(split, axis=0)
        bars["volume"] = (bars["volume"] / split).round()
        tables.append(bars)
    return _joined(tables)


def hourly_crypto(seed: int, symbols: int = 3, days: int = 120) -> pd.DataFrame:
    """Around the clock."""
    stamps = pd.date_range("2023-02-01", periods=24 * days, freq="h", tz="UTC")
    return _joined([symbol_bars(stamps, f"C{n}-USD", seed, 0.007, 1e-5) for n in range(symbols)])


def five_minutes_with_outages(seed: int, symbols: int = 2, days: int = 30) -> pd.DataFrame:
    """Around the clock, 3 hours missing for all, 90 minutes for one symbol, and single bars here and there."""
    stamps = pd.date_range("2023-05-01", periods=288 * days, freq="5min", tz="UTC")
    generator = np.random.default_rng(seed)
    shared = np.ones(len(stamps), dtype=bool)
    shared[2000:2036] = False
    tables = []
    for number in range(symbols):
        kept = shared & (generator.random(len(stamps)) > 0.002)
        if number == 0:
            kept[4000:4018] = False
        tables.append(symbol_bars(stamps, f"M{number}", seed, 0.002, 1e-5)[kept])
    return _joined(tables)


def thirty_stocks(seed: int, volume: bool = False) -> pd.DataFrame:
    """Daily, without volume unless asked for; some are listed late, some end early."""
    stamps = session_stamps("XNYS", "2016-01-04", "2018-12-31")
    generator = np.random.default_rng(seed)
    tables = []
    for number in range(30):
        first = int(generator.integers(1, 500)) if number % 5 == 0 else 0
        last = int(generator.integers(550, 750)) if number % 7 == 1 else len(stamps)
        tables.append(symbol_bars(stamps[first:last], f"T{number:02d}", seed, 0.02, 0.008))
    bars = _joined(tables)
    return bars if volume else bars.drop(columns="volume")


def one_symbol(seed: int) -> pd.DataFrame:
    """Hourly bars of New York's sessions."""
    return _joined([symbol_bars(session_stamps("XNYS", "2022-01-03", "2022-12-30", 60), "ONE", seed, 0.005, 0.003)])


def illiquid(seed: int) -> pd.DataFrame:
    """Daily bars of two symbols, many without trade: flat at the close before, no volume, prices in coarse ticks."""
    stamps = session_stamps("XNYS", "2016-01-04", "2018-12-31")
    tables = []
    for symbol in ("AA", "BB"):
        bars = symbol_bars(stamps, symbol, seed, 0.03)
        idle = np.random.default_rng([seed, 7]).random(len(bars)) < 0.45
        idle[0] = False
        bars[[*PRICES]] = bars[[*PRICES]].clip(lower=0.2).round(1)
        close = bars["close"].mask(idle).ffill()
        for name in PRICES:
            bars[name] = bars[name].mask(idle, close)
        bars["volume"] = bars["volume"].mask(idle, 0.0)
        tables.append(bars)
    return _joined(tables)


def newly_listed(seed: int) -> pd.DataFrame:
    """Daily stocks, one listed lately with a first week of many times its later volume and volatility."""
    bars = daily_stocks(seed, 2).drop(columns=ADJUSTED_CLOSE)
    bars = bars[bars["symbol"] == "S01"]
    stamps = pd.DatetimeIndex(bars["timestamp"])[-150:]
    listed = symbol_bars(stamps, "S99", seed, 0.04, 0.02)
    rush = 1 + 60 * np.exp(-np.arange(150) / 3)
    listed["volume"] *= rush
    return _joined([bars[list(COLUMNS)], listed])


MARKETS: dict[str, Market] = {
    "daily stocks": daily_stocks,
    "hourly crypto": hourly_crypto,
    "five minutes with outages": five_minutes_with_outages,
    "thirty stocks without volume": thirty_stocks,
    "one symbol": one_symbol,
    "illiquid": illiquid,
    "newly listed": newly_listed,
}
