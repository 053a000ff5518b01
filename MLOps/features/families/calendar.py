"""Calendar features of the bar's timestamp, in UTC; known before the bar begins."""

import numpy as np

from MLOps.features.feature import Feature, SymbolBars

DAY_S = 86_400


def _month(b: SymbolBars) -> np.ndarray:
    """1 for January."""
    return b.timestamp.astype("datetime64[M]").astype(np.int64) % 12 + 1


def _day(b: SymbolBars) -> np.ndarray:
    """Day of the month, 0 for the first."""
    return (b.timestamp.astype("datetime64[D]") - b.timestamp.astype("datetime64[M]")).astype(np.int64)


def _weekday(b: SymbolBars) -> np.ndarray:
    # 1 January 1970 was a Thursday.
    return (b.timestamp.astype("datetime64[D]").astype(np.int64) + 3) % 7


def _days_left(b: SymbolBars) -> np.ndarray:
    following = (b.timestamp.astype("datetime64[M]") + 1).astype("datetime64[D]")
    return (following - b.timestamp.astype("datetime64[D]")).astype(np.int64)


def _hour(b: SymbolBars) -> np.ndarray:
    return (b.timestamp - b.timestamp.astype("datetime64[D]")).astype("timedelta64[s]").astype(np.int64) / 3600


def _days_since_last(b: SymbolBars) -> np.ndarray:
    result = np.full(len(b.timestamp), np.nan)
    result[1:] = np.log1p(np.diff(b.timestamp).astype("timedelta64[s]").astype(np.int64) / DAY_S)
    return result


FEATURES: dict[str, Feature] = {
    "weekday": Feature(1, lambda b: _weekday(b) / 6, "day of the week / 6, Monday 0"),
    "month_sin": Feature(1, lambda b: np.sin(2 * np.pi * _month(b) / 12), "sin(2π month / 12)"),
    "month_cos": Feature(1, lambda b: np.cos(2 * np.pi * _month(b) / 12), "cos(2π month / 12)"),
    "day_of_month": Feature(1, lambda b: _day(b) / 31, "(day of the month - 1) / 31"),
    "days_to_month_end": Feature(1, lambda b: _days_left(b) / 31, "days to the next month / 31"),
    "hour_sin": Feature(1, lambda b: np.sin(2 * np.pi * _hour(b) / 24), "sin(2π hour / 24)"),
    "hour_cos": Feature(1, lambda b: np.cos(2 * np.pi * _hour(b) / 24), "cos(2π hour / 24)"),
    "days_since_last_bar": Feature(2, _days_since_last, "log(1 + days since the bar before)"),
}
