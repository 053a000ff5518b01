"""The quality report: what is wrong with bars, with the rows and what to do, and a score.

The form is checked by a pandera schema, what the rows say of each other by checks of our own. The score is the share
of expected bars that are present and free of findings that count against it. Expected are the sessions of the
exchange's calendar within a symbol's own life; without a calendar, the timestamps at which any symbol has a bar.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa

from MLOps.data.bars import KEYS, PRICES, VALUES
from MLOps.data.sessions import check_sessions

ROWS_SHOWN = 20
STALE_BARS = 5  # that many equal closes in a row, with no range, are a feed that stood still
JUMP_RATIO = 1.8  # a close-to-open ratio beyond it (or its inverse) looks like an unadjusted split
VOLUME_RATIO = 40.0  # times the median of the VOLUME_BARS around; a busy day has ten
VOLUME_BARS = 21
SEVERITIES = ("error", "warning", "info")


@dataclass(frozen=True)
class Finding:
    """One kind of defect: its severity ("error" and "warning" count against the score), rows, and what to do.

    `rows` are the first ROWS_SHOWN of `count`, as symbol and time.
    """

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


def assess(bars: pd.DataFrame, calendar: str | None) -> QualityReport:
    """Check a table of bars, whether or not it is in contract form.

    Without its columns or their types there is nothing to look at, and the score is 0. Rows that break the contract
    count as faulty, and the others are checked without them.

    Args:
        calendar: of the exchange, or None; see `MLOps.data.sessions.check_sessions`.

    Raises:
        UserError: there is no such calendar.
    """
    broken = _schema_failures(bars)
    if form := [finding for finding in broken if finding.check in ("missing column", "wrong type")]:
        return QualityReport(0.0, len(bars), len(bars), tuple(form))
    unsound, findings = np.zeros(len(bars), dtype=bool), []
    for failure in broken:
        rows = bars.index.isin(failure.index)
        unsound |= rows
        findings.append(_finding(failure.check, "error", bars.loc[rows, ["symbol", "timestamp"]], failure.advice))
    sound = bars[~unsound].reset_index(drop=True)
    faulty = np.zeros(len(sound), dtype=bool)
    checks = {check: (severity, find(sound), advice) for check, (severity, find, advice) in CHECKS.items()}
    if calendar is None or sound.empty:
        checks["bar on a weekend"] = ("warning", _weekend(sound), "check the time zone of the timestamps")
        missing = missing_bars(sound)
    else:
        session = check_sessions(sound, calendar)
        missing = session.missing
        checks["bar on a day without a session"] = (
            "warning",
            session.extra,
            f"remove it, check the time zone, or set data.calendar to another than {calendar}",
        )
        checks["bar outside the session"] = ("warning", session.outside, "remove it: the exchange was closed")
        checks["session an hour off"] = ("warning", session.shifted, "convert the times with daylight saving")
    for check, (severity, rows, advice) in checks.items():
        if rows.any():
            findings.append(_finding(check, severity, sound.loc[rows, ["symbol", "timestamp"]], advice))
            faulty |= rows & (severity != "info")
    if len(missing):
        findings.append(
            _finding(
                "missing bar", "warning", missing, "ask the source again, or leave out the symbol's life before it"
            )
        )
    expected = len(bars) + len(missing)
    return QualityReport(
        score=(len(sound) - int(faulty.sum())) / expected if expected else 0.0,
        bars=len(bars),
        expected_bars=expected,
        findings=tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), -f.count))),
    )


def missing_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """The (symbol, timestamp) at which other symbols have a bar and this one, within its own life, has none."""
    market = pd.DatetimeIndex(bars["timestamp"].unique()).sort_values()
    gaps = [pd.DataFrame({"symbol": [], "timestamp": []})]
    for symbol, own in bars.groupby("symbol", sort=True)["timestamp"]:
        life = market[(market >= own.min()) & (market <= own.max())]
        gone = life.difference(pd.DatetimeIndex(own))
        gaps.append(pd.DataFrame({"symbol": [symbol] * len(gone), "timestamp": gone}))
    return pd.concat(gaps[1:] or gaps, ignore_index=True)


@dataclass(frozen=True)
class _Failure(Finding):
    """A finding of the schema, with the labels of its rows."""

    index: tuple[object, ...] = ()


def _number(*checks: pa.Check) -> pa.Column:
    return pa.Column("float64", [pa.Check(np.isfinite, name="value not finite"), *checks], nullable=False)


SCHEMA = pa.DataFrameSchema(
    {
        "timestamp": pa.Column(
            checks=pa.Check(lambda stamps: str(getattr(stamps.dtype, "tz", None)) == "UTC", name="wrong type")
        ),
        "symbol": pa.Column(),
        **{name: _number(pa.Check(lambda price: price > 0, name="price not positive")) for name in PRICES},
        "volume": _number(pa.Check(lambda volume: volume >= 0, name="negative volume")),
    }
)
FORM_ADVICE = {
    "missing column": "add or rename it",
    "wrong type": "convert it: times to UTC with their zone, values to float64",
    "empty value": "fill or remove the rows",
    "value not finite": "correct or remove the rows",
    "price not positive": "correct or remove the rows",
    "negative volume": "correct or remove the rows",
}
PANDERA_CHECKS = {"column_in_dataframe": "missing column", "not_nullable": "empty value"}


def _schema_failures(bars: pd.DataFrame) -> list[_Failure]:
    try:
        SCHEMA.validate(bars, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        checks = cases["check"].map(lambda name: PANDERA_CHECKS.get(name, name))
        checks = checks.mask(~checks.isin(FORM_ADVICE), "wrong type")  # pandera writes the type that it expected
        found = []
        for check, advice in FORM_ADVICE.items():
            own = cases[checks == check]
            if len(own):
                columns = own["failure_case"] if check == "missing column" else own["column"]
                rows = tuple(own["index"].dropna().unique())
                names = tuple(dict.fromkeys(map(str, columns)))
                found.append(_Failure(check, "error", len(rows) or len(names), names, advice, rows))
        return found
    return []


def _finding(check: str, severity: str, rows: pd.DataFrame, advice: str) -> Finding:
    shown = [f"{symbol} {pd.Timestamp(stamp).isoformat()}" for symbol, stamp in rows.head(ROWS_SHOWN).to_numpy()]
    return Finding(check, severity, len(rows), tuple(shown), advice)


def _duplicate(bars: pd.DataFrame) -> np.ndarray:
    return bars.duplicated(list(KEYS)).to_numpy()


def _unsorted(bars: pd.DataFrame) -> np.ndarray:
    """The rows that come before what stands above them."""
    earlier = bars.groupby("symbol", sort=False)["timestamp"].cummax() > bars["timestamp"]
    return earlier.to_numpy()


def _range_broken(bars: pd.DataFrame) -> np.ndarray:
    values = bars[list(PRICES)].to_numpy()
    # Adjusted prices are products, so the last bit of an equality may be off.
    slack = 1e-9 * values[:, 3]
    high, low = bars["high"].to_numpy(), bars["low"].to_numpy()
    return (high + slack < values.max(axis=1)) | (low - slack > values.min(axis=1))


def _gap_ratios(bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Open against the close before, and the next open against the close before the bar."""
    before = bars.groupby("symbol")["close"].shift()
    return (bars["open"] / before).to_numpy(), (bars.groupby("symbol")["open"].shift(-1) / before).to_numpy()


def _far(ratio: np.ndarray) -> np.ndarray:
    return (ratio > JUMP_RATIO) | (ratio < 1 / JUMP_RATIO)


def _spike(bars: pd.DataFrame) -> np.ndarray:
    """The whole bar is far from the bars on both sides, which are near each other: a wrong unit, or a bad tick."""
    there, past = _gap_ratios(bars)
    return _far(there) & (np.abs(np.log(past)) < np.log(JUMP_RATIO) / 2) & ~_repeats(bars)


def _jump(bars: pd.DataFrame) -> np.ndarray:
    there, _ = _gap_ratios(bars)
    spike = _spike(bars)
    # The way back from a spike is no jump of its own.
    back = np.concatenate([[False], spike[:-1]]) & bars["symbol"].eq(bars["symbol"].shift()).to_numpy()
    return _far(there) & ~spike & ~back & ~_repeats(bars)


def _repeats(bars: pd.DataFrame) -> np.ndarray:
    """Rows out of order or repeated have neighbours that say nothing."""
    return _duplicate(bars) | _unsorted(bars)


def _stale(bars: pd.DataFrame) -> np.ndarray:
    still = (bars["close"] == bars.groupby("symbol")["close"].shift()) & (bars["high"] == bars["low"])
    run = still.astype(int).groupby([bars["symbol"], (~still).cumsum()]).cumsum()
    return (run >= STALE_BARS).to_numpy()


def _copied(bars: pd.DataFrame) -> np.ndarray:
    """Every value is the bar before's, and not for want of trading."""
    values = bars[list(VALUES)]
    same = (values == bars.groupby("symbol")[list(VALUES)].shift()).all(axis=1) & ~_repeats(bars)
    return (same & (bars["high"] > bars["low"])).to_numpy()


def _of_another_symbol(bars: pd.DataFrame) -> np.ndarray:
    """Every value is another symbol's at the same time."""
    values = ["timestamp", *VALUES]
    moving = (bars["high"] > bars["low"]).to_numpy()
    return bars.duplicated(values, keep=False).to_numpy() & ~bars.duplicated(list(KEYS), keep=False).to_numpy() & moving


def _no_volume(bars: pd.DataFrame) -> np.ndarray:
    return (bars["volume"] == 0).to_numpy()


def _volume_outlier(bars: pd.DataFrame) -> np.ndarray:
    around = bars.groupby("symbol")["volume"].transform(
        lambda volume: volume.rolling(VOLUME_BARS, center=True, min_periods=3).median()
    )
    return ((bars["volume"] > VOLUME_RATIO * around) & (around > 0)).to_numpy()


def _odd_time(bars: pd.DataFrame) -> np.ndarray:
    """Daily bars at another time of day than nine in ten of the symbol's: a change of zone or of summer time."""
    time = bars["timestamp"] - bars["timestamp"].dt.normalize()
    usual = time.groupby(bars["symbol"]).transform(lambda times: times.mode().iloc[0])
    odd = (time != usual).to_numpy()
    return odd & (odd.mean() < 0.1)


def _spelt_twice(bars: pd.DataFrame) -> np.ndarray:
    """Symbols that differ from a more frequent one by blanks or capitals only."""
    names = bars["symbol"].astype("str")
    counts = names.value_counts()
    plain = counts.index.str.strip().str.upper()
    # In order of frequency: the first spelling stands.
    rarer = counts.index[pd.Series(plain).duplicated().to_numpy()]
    return names.isin(rarer).to_numpy()


def _flat(bars: pd.DataFrame) -> np.ndarray:
    return (bars["high"] == bars["low"]).to_numpy()


def _weekend(bars: pd.DataFrame) -> np.ndarray:
    # A market that trades every day of the week has weekends all the time; one that does not has none.
    weekend = (bars["timestamp"].dt.dayofweek >= 5).to_numpy()
    return weekend & (weekend.mean() < 0.1) if len(weekend) else weekend


CHECKS: dict[str, tuple[str, Callable[[pd.DataFrame], np.ndarray], str]] = {
    "duplicate bar": ("error", _duplicate, "keep one, or set data.on_duplicate"),
    "row out of order": ("error", _unsorted, "sort by symbol and timestamp, or set data.on_unsorted"),
    "high or low inside the bar": ("error", _range_broken, "correct the row: high and low must enclose open and close"),
    "bar in another unit": ("error", _spike, "correct the row: a bad tick, or a price in hundredths"),
    "bar of another symbol": ("error", _of_another_symbol, "ask the source again: two symbols have one bar"),
    "split-like jump": ("warning", _jump, "adjust the prices: give an adj_close column"),
    "stale run": ("warning", _stale, "ask the source again: the feed stood still"),
    "copied bar": ("warning", _copied, "ask the source again: the bar before was filled in"),
    "bar without volume": ("warning", _no_volume, "check that the symbol was traded"),
    "volume out of all proportion": ("warning", _volume_outlier, "check the unit of the volume"),
    "odd time of day": ("warning", _odd_time, "stamp daily bars at one time, whatever summer time says"),
    "symbol spelt in two ways": ("warning", _spelt_twice, "give the symbol one name"),
    "bar without range": ("info", _flat, "nothing, where the symbol trades seldom"),
}
