"""The quality report: what is wrong with bars that are in contract form, with the rows, and a score.

The score is the share of expected bars that are present and free of findings that count against it: an expected bar
is any timestamp of the market between a symbol's first and last bar.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from MLOps.data.bars import PRICES

ROWS_SHOWN = 20
STALE_BARS = 5  # that many equal closes in a row, with no range, are a feed that stood still
JUMP_RATIO = 1.8  # a close-to-open ratio beyond it (or its inverse) looks like an unadjusted split


@dataclass(frozen=True)
class Finding:
    """One kind of defect: its severity ("error" and "warning" count against the score), rows, and what to do."""

    check: str
    severity: str
    count: int
    rows: tuple[str, ...]
    advice: str


@dataclass(frozen=True)
class QualityReport:
    score: float
    bars: int
    expected_bars: int
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, object]:
        return asdict(self)

    def sentence(self) -> str:
        """What is wrong, worst first, in one line."""
        return (
            "; ".join(f"{f.count} {f.check} ({f.severity}), first {f.rows[0]}" for f in self.findings) or "no finding"
        )


def assess(bars: pd.DataFrame) -> QualityReport:
    """Check `bars` (in contract form)."""
    faulty = np.zeros(len(bars), dtype=bool)
    findings = []
    for check, (severity, find, advice) in CHECKS.items():
        rows = find(bars)
        if not rows.any():
            continue
        if severity != "info":
            faulty |= rows
        findings.append(_finding(check, severity, bars.loc[rows, ["symbol", "timestamp"]], advice))
    missing = missing_bars(bars)
    if len(missing):
        findings.append(
            _finding(
                "missing bar", "warning", missing, "ask the source again, or leave out the symbol's life before it"
            )
        )
    expected = len(bars) + len(missing)
    order = {"error": 0, "warning": 1, "info": 2}
    return QualityReport(
        score=(len(bars) - int(faulty.sum())) / expected,
        bars=len(bars),
        expected_bars=expected,
        findings=tuple(sorted(findings, key=lambda f: (order[f.severity], -f.count))),
    )


def missing_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """The (symbol, timestamp) at which other symbols have a bar and this one, within its own life, has none."""
    market = pd.DatetimeIndex(bars["timestamp"].unique()).sort_values()
    gaps = []
    for symbol, own in bars.groupby("symbol", sort=True)["timestamp"]:
        life = market[(market >= own.iloc[0]) & (market <= own.iloc[-1])]
        gone = life.difference(pd.DatetimeIndex(own))
        gaps.append(pd.DataFrame({"symbol": [symbol] * len(gone), "timestamp": gone}))
    return pd.concat(gaps, ignore_index=True)


def _finding(check: str, severity: str, rows: pd.DataFrame, advice: str) -> Finding:
    shown = [f"{symbol} {timestamp.isoformat()}" for symbol, timestamp in rows.head(ROWS_SHOWN).to_numpy()]
    return Finding(check, severity, len(rows), tuple(shown), advice)


def _range_broken(bars: pd.DataFrame) -> np.ndarray:
    values = bars[list(PRICES)].to_numpy()
    # Adjusted prices are products, so the last bit of an equality may be off.
    slack = 1e-9 * values[:, 3]
    high, low = bars["high"].to_numpy(), bars["low"].to_numpy()
    return (high + slack < values.max(axis=1)) | (low - slack > values.min(axis=1))


def _stale(bars: pd.DataFrame) -> np.ndarray:
    still = (bars["close"] == bars.groupby("symbol")["close"].shift()) & (bars["high"] == bars["low"])
    run = still.astype(int).groupby([bars["symbol"], (~still).cumsum()]).cumsum()
    return (run >= STALE_BARS).to_numpy()


def _jump(bars: pd.DataFrame) -> np.ndarray:
    ratio = bars["open"] / bars.groupby("symbol")["close"].shift()
    return ((ratio > JUMP_RATIO) | (ratio < 1 / JUMP_RATIO)).to_numpy()


def _no_volume(bars: pd.DataFrame) -> np.ndarray:
    return (bars["volume"] == 0).to_numpy()


def _weekend(bars: pd.DataFrame) -> np.ndarray:
    # A market that trades every day of the week has weekends all the time; one that does not has none.
    weekend = (bars["timestamp"].dt.dayofweek >= 5).to_numpy()
    return weekend if weekend.mean() < 0.1 else np.zeros(len(bars), dtype=bool)


CHECKS: dict[str, tuple[str, Callable[[pd.DataFrame], np.ndarray], str]] = {
    "high or low inside the bar": ("error", _range_broken, "correct the row: high and low must enclose open and close"),
    "split-like jump": ("warning", _jump, "adjust the prices: give an adj_close column"),
    "stale run": ("warning", _stale, "ask the source again: the feed stood still"),
    "bar without volume": ("warning", _no_volume, "check that the symbol was traded"),
    "bar on a weekend": ("warning", _weekend, "check the time zone of the timestamps"),
}
