"""The quality report of raw bars: findings with rows and advice, a score, and whether the run may continue.

The score is the share of expected bars that are present and free of errors and warnings. Bars are expected where the
clock's calendar has them, from a symbol's first bar to its last; without a calendar, at the timestamps at which any
symbol has one. A finding of severity "error" stops the run whatever the score, unless the user accepts it as true or
drops its bars.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from MLOps.config.schema import suggest
from MLOps.data.bars import ADJUSTED_CLOSE, VOLUME
from MLOps.data.clock import Clock
from MLOps.data.quality_checks import CHECKS, OrderedBars
from MLOps.data.quality_form import WHOLE_TABLE, form_failures
from MLOps.data.sessions import check_sessions
from MLOps.errors import UserError

ROWS_SHOWN = 20
ROWS_IN_MESSAGES = 3
MIDNIGHT = "T00:00:00+00:00"  # left out of messages
SEVERITIES = ("error", "warning", "info")
WRONG_CALENDAR = "wrong calendar"


@dataclass(frozen=True)
class Finding:
    """One kind of defect: severity ("error" and "warning" lower the score), count, rows and advice.

    `rows` are the first ROWS_SHOWN of `count`, as symbol and time.
    """

    check: str
    severity: str
    count: int
    rows: tuple[str, ...]
    advice: str

    @property
    def counted(self) -> str:
        return f"{self.count} × {self.check}"

    @property
    def sentence(self) -> str:
        rows = ", ".join(self.rows[:ROWS_IN_MESSAGES])
        return f"{self.counted} ({rows}{', …' if self.count > ROWS_IN_MESSAGES else ''}): {self.advice}"


@dataclass(frozen=True)
class QualityReport:
    score: float
    bars: int
    expected_bars: int
    findings: tuple[Finding, ...]

    def of_severity(self, severity: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == severity]

    def with_findings(self, more: Iterable[Finding]) -> "QualityReport":
        """The report with further findings, which do not change the score."""
        return replace(self, findings=_in_order([*self.findings, *more]))

    def refusal(self, threshold: float) -> str:
        """One sentence on why the run must stop and what to do; empty if it may continue."""
        errors = self.of_severity("error")
        if errors:
            first, *others = errors
            more = "".join(f", {other.counted}" for other in others[:2]) + (", …" if others[2:] else "")
            found = f"{first.counted} ({first.rows[0].removesuffix(MIDNIGHT)}){more}"
            accepted = [f.check for f in errors if f.check in CHECKS and CHECKS[f.check].acceptable]
            names = str(accepted) if len(accepted) <= 2 else "their names"
            remedy = first.advice
            if first.check in accepted:
                remedy = f"correct them, or set data.accept_findings: {names} if true"
            if first.check in CHECKS:
                remedy += ", or data.drop_findings"
            return f"expected no errors, found {found}; {remedy}"
        if self.score < threshold:
            warnings = self.of_severity("warning")[:ROWS_IN_MESSAGES]
            found = ", ".join(f.counted for f in warnings) or "no finding"
            return (
                f"expected a quality score of at least {threshold:g}, found {self.score:.4f} ({found}); "
                "correct the bars or lower data.quality_threshold"
            )
        return ""

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def assess(
    bars: pd.DataFrame, clock: Clock, on_missing: str = "trade_without", accepted: Iterable[str] = ()
) -> QualityReport:
    """Check a table of raw bars, whether or not it is in contract form.

    If a column is missing or has the wrong type, nothing else is checked and the score is 0. Rows that break the
    contract count as faulty and are left out of the other checks.

    Args:
        clock: the clock of the bars.
        on_missing: as in `DataConfig`; with "error" a missing bar is an error.
        accepted: names of errors that count as warnings.

    Raises:
        UserError: an accepted name is not a check, or its check cannot be accepted.
    """
    accepted = set(accepted)
    _check_accepted(accepted)
    unsound, findings = np.zeros(len(bars), dtype=bool), _of_the_clock(clock)
    for failure in form_failures(bars):
        if failure.check in WHOLE_TABLE:
            whole = Finding(failure.check, "error", len(failure.columns), failure.columns, failure.advice)
            return QualityReport(0.0, len(bars), len(bars), (whole,))
        rows = bars.index.isin(failure.rows)
        unsound |= rows
        findings.append(_finding(failure.check, "error", bars.loc[rows], failure.advice))
    sound = bars[~unsound].reset_index(drop=True)
    faulty = np.zeros(len(sound), dtype=bool)
    missing, outages = missing_bars(sound), pd.DataFrame()

    def note(check: str, severity: str, rows: np.ndarray, advice: str) -> None:
        if check in accepted:
            severity, advice = "warning", "nothing: data.accept_findings has it"
        if rows.any():
            findings.append(_finding(check, severity, sound.loc[rows], advice))
            faulty[rows & (severity != "info")] = True

    repeated, unsorted = _repeated(sound), _unsorted(sound)
    note("duplicate bar", "error", repeated, "keep one of them, or set data.on_duplicate")
    note("row out of order", "error", unsorted, "sort by symbol and timestamp, or set data.on_unsorted")
    if len(sound):
        ordered = OrderedBars.of(sound, clock)
        for name, check in CHECKS.items():
            found = np.zeros(len(sound), dtype=bool)
            found[ordered.table.index[check.find(ordered)]] = True
            adjusted = ADJUSTED_CLOSE in sound.columns and check.advice_if_adjusted
            note(name, check.severity, found, adjusted or check.advice)
        session = check_sessions(sound, clock)
        outages = session.outages
        wrong_day = f"remove it, check the time zone, or replace data.calendar: {clock.calendar}"
        note("bar on a day without a session", "warning", session.extra, wrong_day)
        note("bar outside the session", "warning", session.outside, "remove it: the exchange was closed")
        note("session an hour off", "warning", session.shifted, "convert the times with daylight saving")
    if len(missing):
        severity, advice = "warning", "download it again; data.on_missing sets how missing bars are handled"
        if on_missing == "error":
            severity, advice = "error", "download it again, or change data.on_missing from error"
        findings.append(_finding("missing bar", severity, missing, advice))
    if len(outages):
        advice = "download it again; nothing, if the exchange was down"
        findings.append(_finding("missing bar of all symbols", "warning", outages, advice))
    findings += _without_volume(sound)
    expected = len(bars) + len(missing) + len(outages)
    return QualityReport(
        score=(len(sound) - int(faulty.sum())) / expected if expected else 0.0,
        bars=len(bars),
        expected_bars=expected,
        findings=_in_order(findings),
    )


def without_bars_of(bars: pd.DataFrame, clock: Clock, checks: Iterable[str]) -> tuple[pd.DataFrame, list[Finding]]:
    """Raw bars in contract form without those that the named checks find, and a finding for them.

    Raises:
        UserError: a name is not a check.
    """
    names, ordered = list(checks), OrderedBars.of(bars, clock)
    found = np.zeros(len(bars), dtype=bool)
    for name in names:
        if name not in CHECKS:
            raise UserError(f"data.drop_findings: no finding is called {name!r}; {suggest(name, CHECKS)}")
        found[ordered.table.index[CHECKS[name].find(ordered)]] = True
    if not found.any():
        return bars, []
    if found.all():
        raise UserError("data.drop_findings: expected a bar without these findings, found none; list fewer findings")
    finding = _finding("bar dropped", "warning", bars.loc[found], f"nothing: data.drop_findings is {names}")
    return bars[~found].reset_index(drop=True), [finding]


def missing_bars(bars: pd.DataFrame) -> pd.DataFrame:
    """The (symbol, timestamp) at which other symbols have a bar and this one, between its first and last, has none."""
    market = pd.DatetimeIndex(bars["timestamp"].unique()).sort_values()
    gaps = [pd.DataFrame({"symbol": [], "timestamp": []})]
    for symbol, own in bars.groupby("symbol", sort=True)["timestamp"]:
        life = market[(market >= own.min()) & (market <= own.max())]
        gone = life.difference(pd.DatetimeIndex(own))
        gaps.append(pd.DataFrame({"symbol": [symbol] * len(gone), "timestamp": gone}))
    return pd.concat(gaps[1:] or gaps, ignore_index=True)


def _in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort by severity and count; a wrong calendar comes first, because it can cause other findings."""
    return tuple(sorted(findings, key=lambda f: (SEVERITIES.index(f.severity), f.check != WRONG_CALENDAR, -f.count)))


def _check_accepted(names: Iterable[str]) -> None:
    acceptable = [name for name, check in CHECKS.items() if check.acceptable]
    for name in names:
        if name in CHECKS and not CHECKS[name].acceptable:
            reason = "no later stage can use such bars" if CHECKS[name].severity == "error" else "it does not stop runs"
            raise UserError(f"data.accept_findings: {name!r} cannot be accepted: {reason}; remove it")
        if name not in acceptable:
            raise UserError(f"data.accept_findings: no finding is called {name!r}; {suggest(name, acceptable)}")


def _of_the_clock(clock: Clock) -> list[Finding]:
    tried = tuple(f"{name} {fit:.0%}" for name, fit in clock.fits.items())[:ROWS_IN_MESSAGES]
    if clock.contradicted:
        advice = (
            f"set data.calendar, which is {clock.contradicted} and agrees with "
            f"{clock.fits[clock.contradicted]:.0%} of the bars, to {clock.better or 'auto'}"
        )
        return [Finding(WRONG_CALENDAR, "error", 1, tried, advice)]
    if clock.calendar is None and clock.fits:
        advice = "nothing, or set data.calendar: no single calendar that was tried fits the bars"
        return [Finding("no calendar", "info", 1, tried, advice)]
    return []


def _without_volume(bars: pd.DataFrame) -> list[Finding]:
    """The finding on symbols without volume; if there are any, later stages ignore volume for all symbols."""
    lacking = symbols_without_volume(bars)
    if not lacking:
        return []
    rows = tuple(lacking[:ROWS_SHOWN])
    if VOLUME not in bars.columns:
        return [Finding("no volume", "info", len(lacking), rows, "nothing: volume features are left out")]
    advice = "nothing, or remove these symbols: volume features are left out for all symbols"
    return [Finding("symbol without volume", "warning", len(lacking), rows, advice)]


def symbols_without_volume(bars: pd.DataFrame) -> list[str]:
    """The symbols whose volume is NaN or 0 in every bar."""
    if VOLUME not in bars.columns:
        return sorted(map(str, bars["symbol"].unique()))
    traded = (bars[VOLUME] > 0).groupby(bars["symbol"]).any()
    return sorted(map(str, traded.index[~traded]))


def _finding(check: str, severity: str, rows: pd.DataFrame, advice: str) -> Finding:
    first = rows[["symbol", "timestamp"]].head(ROWS_SHOWN).to_numpy()
    shown = tuple(f"{symbol} {pd.Timestamp(stamp).isoformat()}" for symbol, stamp in first)
    return Finding(check, severity, len(rows), shown, advice)


def _repeated(bars: pd.DataFrame) -> np.ndarray:
    return bars.duplicated(["timestamp", "symbol"]).to_numpy()


def _unsorted(bars: pd.DataFrame) -> np.ndarray:
    """Mask of the rows that belong before the row above them."""
    earlier = bars.groupby("symbol", sort=False)["timestamp"].cummax() > bars["timestamp"]
    return earlier.to_numpy()
