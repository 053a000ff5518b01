"""The quality report of a labelled table: rows and columns that mislead whoever learns from them."""

import numpy as np
import pandas as pd

from MLOps.data.bars import KEYS, TARGET
from MLOps.data.quality import ROWS_SHOWN, Finding, QualityReport


def assess_labelled(table: pd.DataFrame) -> QualityReport:
    """Check a table in the contract of `data.source: labelled`.

    Rows are told by their place in the table's order, from 0.
    The score is the share of rows free of findings that count against it, times the share of features that vary.
    """
    features = table.drop(columns=[*KEYS, TARGET])
    hollow = features.isna().all(axis=1)
    checks = {
        "row without a feature": ("warning", hollow, "remove it: a window cannot hold it"),
        "copied row": (
            "warning",
            table.duplicated([*features.columns, TARGET]) & ~hollow,
            "remove it: a copy in a later span is a row that was learnt by heart",
        ),
        "empty feature": ("info", features.isna().any(axis=1) & ~hollow, "nothing: training's median stands in"),
        "row without a target": (
            "info",
            table[TARGET].isna(),
            "nothing: it is forecast, and neither learnt nor judged",
        ),
    }
    findings, faulty = [], np.zeros(len(table), dtype=bool)
    for check, (severity, found, advice) in checks.items():
        if found.any():
            rows = tuple(f"row {place}" for place in np.flatnonzero(found)[:ROWS_SHOWN])
            findings.append(Finding(check, severity, int(found.sum()), rows, advice))
            faulty |= found.to_numpy() & (severity != "info")
    constant = [name for name in features.columns if features[name].nunique() < 2]
    if constant:
        advice = "leave it out of data.labelled.features"
        findings.append(Finding("constant feature", "warning", len(constant), tuple(constant[:ROWS_SHOWN]), advice))
    varying = 1 - len(constant) / features.shape[1]
    return QualityReport(float((~faulty).mean()) * varying, len(table), len(table), tuple(findings))
