"""A registered version on new bars: whether they, its forecasts, its decisions and its returns have changed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from MLOps.artifacts import read_json
from MLOps.config.labels import LabelConfig
from MLOps.config.monitoring import MonitoringConfig
from MLOps.config.schema import parse
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.model_registry.versions import Registry
from MLOps.monitoring.feed import LEVEL_BARS
from MLOps.monitoring.judgement import CHANGED, SHOWN_LOOKS, Finding, judge, window_of
from MLOps.monitoring.reference import REFERENCE, Reference
from MLOps.operations.model_panels import observe


@dataclass(frozen=True, eq=False)
class Watched:
    """A version that can be monitored: its model and its reference."""

    name: str
    version: str
    model: TradingModel
    reference: Reference
    labels: LabelConfig

    @classmethod
    def load(cls, registry: Registry, version: str) -> "Watched":
        """
        Raises:
            UserError: the version's files are not as registered, or its bundle has no reference.
        """
        bundle = registry.bundle(version)
        model = TradingModel.load(bundle)
        if not (bundle / REFERENCE).is_dir():
            raise UserError(
                f"{registry.name} version {version}: its bundle has no reference to compare with; `dvc repro` "
                "registers a version that has one"
            )
        labels: LabelConfig = parse(
            LabelConfig,  # type: ignore[arg-type]
            read_json(bundle / "metadata.json")["labels"],
            str(bundle / "metadata.json"),
        )
        return cls(registry.name, version, model, Reference.load(bundle / REFERENCE), labels)


@dataclass(frozen=True, eq=False)
class DriftReport:
    """What monitoring has found.

    Attributes:
        window: the first and the newest of the bars that were judged.
        now: when it was asked.
    """

    name: str
    version: str
    bundle: str
    window_bars: int
    window: tuple[pd.Timestamp, pd.Timestamp]
    now: pd.Timestamp
    false_alarms_per_month: float
    findings: list[Finding]

    @property
    def retrain(self) -> bool:
        return any(finding.verdict == CHANGED for finding in self.findings)

    @property
    def metrics(self) -> dict[str, float]:
        """`drift_CHECK`: the largest statistic over its limit, above 1 for a change; of the feed the number of faults;
        `drift`: 1 if anything has changed."""
        figures = {"drift": float(self.retrain)}
        for finding in self.findings:
            if finding.check == "feed":
                figures["drift_feed"] = float(len(finding.reasons))
            elif finding.figure is not None and finding.limit is not None:
                figures[f"drift_{finding.check}"] = finding.figure / finding.limit
        return figures

    def to_dict(self) -> dict[str, Any]:
        return {
            "model": self.name,
            "version": self.version,
            "bundle": self.bundle,
            "retrain": self.retrain,
            "window_bars": self.window_bars,
            "first": self.window[0].isoformat(),
            "newest": self.window[1].isoformat(),
            "now": self.now.isoformat(),
            "false_alarms_per_month": self.false_alarms_per_month,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def as_text(self) -> str:
        lines = [
            f"{self.name} version {self.version} on {self.window_bars} bars up to {self.window[1].isoformat()}: "
            f"{'changed, retrain' if self.retrain else 'no change found'}"
        ]
        for finding in self.findings:
            figure = "" if finding.figure is None else f", {finding.figure:.1f} of {finding.limit:.1f}"
            lines.append(f"{finding.check}: {finding.verdict}{figure}")
            lines += [f"  {reason}" for reason in finding.reasons]
        if left_out := sorted({symbol for finding in self.findings for symbol in finding.left_out}):
            lines.append(f"too new to be judged: {', '.join(left_out)}")
        return "\n".join(lines)


def drift_report(
    watched: Watched, bars: pd.DataFrame, config: MonitoringConfig, seed: int, now: pd.Timestamp
) -> DriftReport:
    """Judge the newest bars.

    Args:
        bars: in contract form, with the history that the features need.
        now: in UTC.

    Raises:
        UserError: there are too few bars, or the model cannot be run on them.
    """
    model = watched.model
    window = window_of(config, watched.reference.bars_per_year)
    clock = np.sort(bars["timestamp"].unique())
    needed = model.required_bars + window + LEVEL_BARS
    if len(clock) < needed:
        raise UserError(
            f"the new bars: expected at least {needed} (features and look-back take {model.required_bars}, the window "
            f"{window}), found {len(clock)}; add the bars before them"
        )
    shown = min(window + SHOWN_LOOKS - 1, len(clock) - model.required_bars)
    # Older bars change nothing, and their features take time.
    kept = min(len(clock), model.required_bars + 2 * shown + LEVEL_BARS)
    bars = bars[(bars["timestamp"] >= clock[-kept]).to_numpy()].reset_index(drop=True)
    live = observe(model, bars, watched.labels, shown)
    findings = judge(watched.reference, bars, live, config, seed, now)
    return DriftReport(
        watched.name,
        watched.version,
        model.identity,
        window,
        (pd.Timestamp(clock[-window]), pd.Timestamp(clock[-1])),
        now,
        config.false_alarms_per_month,
        findings,
    )
