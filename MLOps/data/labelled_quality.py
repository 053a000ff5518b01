"""The quality report of a labelled table: rows and columns that mislead a predictor."""

import numpy as np
import pandas as pd

from MLOps.data.bars import TARGET, given_features
from MLOps.data.quality import ROWS_SHOWN, Finding, QualityReport


def assess_labelled(table: pd.DataFrame) -> QualityReport:
    """Check a table in the contract of `data.source: labelled`.

    Rows are identified by their number in the table's order, from 0.
    The score is the share of rows without errors or warnings, times the share of features that vary.
    """
    features = table[given_features(table)]
    hollow = features.isna().all(axis=1)
    checks = {
        "row without a feature": ("warning", hollow, "remove it: a window cannot hold it"),
        "copied row": (
            "warning",
            table.duplicated([*features.columns, TARGET]) & ~hollow,
            "remove it: if its copy is in a later span, the predictor has trained on a test row",
        ),
        "empty feature": ("info", features.isna().any(axis=1) & ~hollow, "nothing: the training median replaces it"),
        "row without a target": (
            "info",
            table[TARGET].isna(),
            "nothing: it gets a forecast but is not used for training or evaluation",
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
