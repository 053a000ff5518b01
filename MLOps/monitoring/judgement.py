"""The verdict on new values: which checks find a change, with one false-alarm probability for all of them together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from MLOps.config.monitoring import MonitoringConfig
from MLOps.monitoring.channels import Channels, Kind, out_of_fold
from MLOps.monitoring.feed import feed_faults, missing_features
from MLOps.monitoring.panel import Panel
from MLOps.monitoring.reference import Reference
from MLOps.statistics.change_detection import Limit, calibrate, least_bars, window_means

MONTHS = 12
DAYS_PER_YEAR = 365.25
LEAST_KNOWN_BARS = 200  # of a symbol in the reference; with fewer it is not judged
MOST_UNKNOWN = 0.2  # share of the bars at which a channel of the reference may be unknown
SHOWN_LOOKS = 120  # in the page's charts
# The series that each check looks at; forecasts of one class determine the others', so regressions tell nothing there.
KINDS: Mapping[str, tuple[Kind, ...]] = {
    "inputs": ("level", "spread", "given the others", "misfit"),
    "forecasts": ("level",),
    "decisions": ("level",),
    "performance": ("mean",),
}
ONE_SIDED = ("performance",)  # higher returns are no reason to train again

CHANGED, UNCHANGED, NOT_JUDGED = "changed", "unchanged", "not judged"


@dataclass(frozen=True)
class Channel:
    """One series of a check: its statistic in standard errors at the newest look, and whether it is a change."""

    name: str
    kind: str
    statistic: float
    changed: bool


@dataclass(frozen=True, eq=False)
class Finding:
    """The result of one check.

    Attributes:
        figure, limit: the largest statistic at the newest look, and what it is compared with; None if there are none.
        reasons: what has changed, or why nothing could be judged.
        channels: the farthest first.
        history: (looks,) the largest statistic by `timestamps`, the newest last.
        left_out: symbols that are not judged.
    """

    check: str
    verdict: str
    reasons: tuple[str, ...] = ()
    figure: float | None = None
    limit: float | None = None
    channels: tuple[Channel, ...] = ()
    history: tuple[float, ...] = ()
    timestamps: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the history left out."""
        return {
            "check": self.check,
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "figure": self.figure,
            "limit": self.limit,
            "left_out": list(self.left_out),
            "channels": [vars(channel) for channel in self.channels],
        }


@dataclass(frozen=True, eq=False)
class Detector:
    """A check's channels and limit, calibrated on the symbols that are judged."""

    check: str
    symbols: tuple[str, ...]
    names: tuple[str, ...]
    channels: Channels
    kept: NDArray[np.bool_]
    limit: Limit
    window_bars: int

    @classmethod
    def fit(
        cls,
        check: str,
        reference: Panel,
        symbols: Sequence[str],
        window_bars: int,
        looks: int,
        probability: float,
        samples: int,
        seed: int,
    ) -> "Detector | str":
        """The detector, or the reason why there is none.

        Args:
            symbols: those to judge, of the reference's.
            looks: bars of a month.
            probability: of a false alarm within them.
        """
        own = reference.of_symbols(symbols).known()
        if len(own.timestamps) < least_bars(window_bars):
            return f"the reference has {len(own.timestamps)} bars, fewer than {least_bars(window_bars)}"
        kinds = KINDS[check]
        values = own.values.astype(np.float64)
        deviations = out_of_fold(values, kinds)
        known = np.isfinite(deviations)
        kept = (~known).mean(axis=0) <= MOST_UNKNOWN
        deviations = deviations[:, kept][known[:, kept].all(axis=1)]
        if not kept.any() or len(deviations) < least_bars(window_bars):
            return f"at {len(deviations)} bars of the reference all is known, fewer than {least_bars(window_bars)}"
        limit = calibrate(deviations, window_bars, looks, probability, samples, seed, check in ONE_SIDED)
        return cls(check, own.symbols, own.names, Channels.fit(values, kinds), kept, limit, window_bars)

    def statistics(self, live: Panel) -> NDArray[np.float64]:
        """(looks, channels): of every window of the panel's bars; NaN where too little is known."""
        own = self.channels.deviations(live.of_symbols(self.symbols).values.astype(np.float64))[:, self.kept]
        # A mean of fewer values varies more: the newest outcomes of forecasts are not known yet.
        known = window_means(np.isfinite(own).astype(np.float64), self.window_bars)
        return self.limit.statistics(window_means(own, self.window_bars) * np.sqrt(known))

    @property
    def labels(self) -> list[tuple[str, str]]:
        """Name and kind of each channel."""
        every = [(name, kind) for kind in self.channels.kinds for name in self.names]
        return [label for label, kept in zip(every, self.kept, strict=True) if kept]

    def judge(self, live: Panel, left_out: Sequence[str] = ()) -> Finding:
        """Judge the newest window of `live`, of at least `window_bars` bars."""
        statistics = self.statistics(live)[-SHOWN_LOOKS:]
        sizes = self.limit.sizes(statistics)
        newest: list[float] = sizes[-1].tolist()
        if not np.isfinite(newest).any():
            return Finding(self.check, NOT_JUDGED, ("too little is known in the newest window",))
        order = np.argsort(-sizes[-1], kind="stable").tolist()
        labels = self.labels
        channels = tuple(
            Channel(
                labels[place][0], labels[place][1], float(statistics[-1, place]), bool(newest[place] > self.limit.value)
            )
            for place in order
            if np.isfinite(newest[place])
        )
        changed = [channel for channel in channels if channel.changed]
        known = np.isfinite(sizes).any(axis=1)
        stamps = live.timestamps[-len(statistics) :][known]
        return Finding(
            check=self.check,
            verdict=CHANGED if changed else UNCHANGED,
            reasons=tuple(
                f"{one.name} ({one.kind}): {one.statistic:+.1f} standard errors, limit {self.limit.value:.1f}"
                for one in changed
            ),
            figure=max(newest),
            limit=self.limit.value,
            channels=channels,
            history=tuple(float(value) for value in sizes.max(axis=1)[known]),
            timestamps=tuple(str(stamp) for stamp in stamps),
            left_out=tuple(left_out),
        )


def window_of(config: MonitoringConfig, bars_per_year: float) -> int:
    """The window in bars."""
    if config.window_bars is not None:
        return config.window_bars
    assert config.window_days is not None
    return max(10, round(config.window_days * bars_per_year / DAYS_PER_YEAR))


def detector_of(
    check: str, reference: Reference, symbols: Sequence[str], config: MonitoringConfig, seed: int
) -> Detector | str:
    """The detector of a check, whose share of the false alarms is that of one check among those configured."""
    counted = [name for name in config.checks if name in reference.panels]
    looks = max(1, round(reference.bars_per_year / MONTHS))
    window = window_of(config, reference.bars_per_year)
    # The sum of the probabilities bounds that of any false alarm (Bonferroni).
    probability = config.false_alarms_per_month / len(counted)
    panel = reference.panels[check]
    return Detector.fit(check, panel, symbols, window, looks, probability, config.bootstrap_samples, seed)


def judge(
    reference: Reference,
    bars: pd.DataFrame,
    live: Mapping[str, Panel],
    config: MonitoringConfig,
    seed: int,
    now: pd.Timestamp | None = None,
) -> list[Finding]:
    """A finding for each configured check.

    Args:
        bars: in contract form, for the feed.
        live: panels as in the reference, of the newest bars.
        now: see `feed_faults`.
    """
    window = window_of(config, reference.bars_per_year)
    findings = []
    for check in config.checks:
        if check == "feed":
            faults = feed_faults(reference.feed, bars, window, now)
            if "inputs" in live:
                faults += missing_features(reference.panels["inputs"], live["inputs"], window)
            findings.append(Finding(check, CHANGED if faults else UNCHANGED, tuple(faults)))
        elif check not in reference.panels or check not in live:
            findings.append(Finding(check, NOT_JUDGED, ("the bundle has no reference for it",)))
        else:
            findings.append(_finding(check, reference, live[check], config, window, seed))
    return findings


def _finding(
    check: str, reference: Reference, live: Panel, config: MonitoringConfig, window: int, seed: int
) -> Finding:
    panel = reference.panels[check]
    if len(live.timestamps) < window:
        return Finding(check, NOT_JUDGED, (f"{len(live.timestamps)} new bars are known, fewer than {window}",))
    listed = dict(zip(panel.symbols, panel.known_bars(), strict=True))
    least = min(LEAST_KNOWN_BARS, max(listed.values(), default=0))
    recent = dict(zip(live.symbols, live.newest(window).known_bars(), strict=True))
    symbols = [name for name, known in recent.items() if known and listed.get(name, 0) >= max(least, 1)]
    left_out = [name for name, known in recent.items() if known and name not in symbols]
    if not symbols:
        return Finding(check, NOT_JUDGED, ("no symbol of the reference has new bars",), left_out=tuple(left_out))
    detector = detector_of(check, reference, symbols, config, seed)
    if isinstance(detector, str):
        return Finding(check, NOT_JUDGED, (detector,), left_out=tuple(left_out))
    return detector.judge(live, left_out)
