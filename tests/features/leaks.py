"""Twelve ways in which the future gets into a feature, each from a system that has been seen to do it."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from MLOps.data.bars import KEYS


def _table(bars: pd.DataFrame, values: pd.Series | np.ndarray) -> pd.DataFrame:
    return bars.loc[:, list(KEYS)].assign(value=np.asarray(values, dtype=float))


def _by_symbol(bars: pd.DataFrame, change: Callable[[pd.Series], pd.Series]) -> pd.DataFrame:
    return _table(bars, bars.groupby("symbol", sort=False)["close"].transform(change))


def next_close(bars: pd.DataFrame) -> pd.DataFrame:
    """shift(-1)."""
    return _by_symbol(bars, lambda close: close.shift(-1))


def centred_window(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.rolling(5, center=True).mean())


def global_scaler(bars: pd.DataFrame) -> pd.DataFrame:
    """Standardised by the mean and deviation of all history."""
    return _by_symbol(bars, lambda close: (close - close.mean()) / close.std())


def back_fill_across_symbols(bars: pd.DataFrame) -> pd.DataFrame:
    """A warm-up filled from below, over the border between two symbols."""
    return _table(bars, _by_symbol(bars, lambda close: close.pct_change(5))["value"].bfill())


def fitted_on_the_last_rows(bars: pd.DataFrame) -> pd.DataFrame:
    """One number from the end of history, broadcast over all of it."""
    return _by_symbol(bars, lambda close: close * 0 + close.tail(20).std())


def unfinished_bar(bars: pd.DataFrame) -> pd.DataFrame:
    """Monday knows the week's close."""
    week = bars["timestamp"].dt.tz_localize(None).dt.to_period("W")
    return _table(bars, bars.groupby([bars["symbol"], week])["close"].transform("last"))


def rank_over_history(bars: pd.DataFrame) -> pd.DataFrame:
    return _by_symbol(bars, lambda close: close.rank(pct=True))


def interpolated(bars: pd.DataFrame) -> pd.DataFrame:
    """Every third value taken out and drawn in again from both sides."""
    return _by_symbol(bars, lambda close: close.where(np.arange(len(close)) % 3 > 0).interpolate())


def fourier_smoothed(bars: pd.DataFrame) -> pd.DataFrame:
    """High frequencies of the whole series removed at once."""

    def smooth(close: pd.Series) -> pd.Series:
        spectrum = np.fft.rfft(close.to_numpy())
        spectrum[len(spectrum) // 4 :] = 0
        return pd.Series(np.fft.irfft(spectrum, len(close)), index=close.index)

    return _by_symbol(bars, smooth)


def principal_component(bars: pd.DataFrame) -> pd.DataFrame:
    """Loadings from all of history."""
    returns = bars.pivot(index="timestamp", columns="symbol", values="close").pct_change().fillna(0.0)
    _, _, loadings = np.linalg.svd(np.nan_to_num(returns.to_numpy()), full_matrices=False)
    component = pd.Series(np.abs(returns.to_numpy() @ loadings[0]), index=returns.index)
    return _table(bars, bars["timestamp"].map(component))


def forward_join(bars: pd.DataFrame) -> pd.DataFrame:
    """The nearest month's end joined, where it was the last one's that was known."""
    ends = bars.groupby([bars["symbol"], bars["timestamp"].dt.tz_localize(None).dt.to_period("M")]).tail(1)
    joined = pd.merge_asof(
        bars[["timestamp", "symbol"]].assign(row=np.arange(len(bars))).sort_values("timestamp"),
        ends[["timestamp", "symbol", "close"]].sort_values("timestamp"),
        on="timestamp",
        by="symbol",
        direction="nearest",
    )
    return _table(bars, joined.sort_values("row")["close"])


def survivors_only(bars: pd.DataFrame) -> pd.DataFrame:
    """How many bars the symbol will have lived: who is delisted is known from the start."""
    return _by_symbol(bars, lambda close: close * 0 + close.notna().sum())


LEAKS = {
    leak.__name__: leak
    for leak in (
        next_close,
        centred_window,
        global_scaler,
        back_fill_across_symbols,
        fitted_on_the_last_rows,
        unfinished_bar,
        rank_over_history,
        interpolated,
        fourier_smoothed,
        principal_component,
        forward_join,
        survivors_only,
    )
}
