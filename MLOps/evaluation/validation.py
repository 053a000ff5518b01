"""Predictors probed and judged on the validation span, and the ensemble of those that pass."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.config.validation import ValidationConfig
from MLOps.data.bars import KEYS
from MLOps.data.splits import Span, Splits
from MLOps.evaluation.verdicts import Verdict, check_signals, judge, probe
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.contract import Predictor
from MLOps.predictors.ensemble import ENSEMBLE, Ensemble
from MLOps.predictors.windows import Windows, has_features, values_of

PROBE_WINDOWS = 8


@dataclass(frozen=True)
class Validated:
    """The verdict on each predictor, the ensemble, and the signals of all predictors and of the ensemble."""

    verdicts: dict[str, Verdict]
    ensemble: Ensemble
    signals: pd.DataFrame


def validate(
    predictors: Mapping[str, Predictor],
    tables: Mapping[str, pd.DataFrame],
    features: pd.DataFrame,
    feature_names: tuple[str, ...],
    labels: pd.DataFrame,
    class_names: tuple[str, ...],
    splits: Splits,
    config: ValidationConfig,
) -> Validated:
    """Probe and judge each predictor, and combine those that pass.

    Args:
        tables: the signals of each predictor.

    Raises:
        UserError: a forecast has the wrong form, or none can be judged; see `probe` and `judge`.
    """
    verdicts = {}
    for name, predictor in predictors.items():
        windows = Windows(features, feature_names, predictor.lookback_bars)
        probe(predictor, windows.ending_at(np.flatnonzero(windows.whole)[:PROBE_WINDOWS]), len(class_names), name)
        verdicts[name] = judge(name, tables[name], labels, splits, config)
    gains = {
        name: verdict.gain_over("class_prior") for name, verdict in verdicts.items() if verdict.is_useful(config.use)
    }
    ensemble, signals = combine(
        config.ensemble, gains, tables, features, feature_names, labels, class_names, splits.train
    )
    return Validated(verdicts, ensemble, signals)


def combine(
    kind: str,
    gains: Mapping[str, float],
    tables: Mapping[str, pd.DataFrame],
    features: pd.DataFrame,
    feature_names: tuple[str, ...],
    labels: pd.DataFrame,
    class_names: tuple[str, ...],
    training: Span,
) -> tuple[Ensemble, pd.DataFrame]:
    """The ensemble of the predictors with `gains`, and the signals of all predictors and of the ensemble.

    Args:
        kind: see `Ensemble.fit`.
        tables: the signals of each predictor.
    """
    train = labels[training.labelled(labels)]
    prior = class_prior(train["label"].to_numpy(int), len(class_names))
    ensemble = Ensemble.fit(kind, class_names, gains, tables, train, prior)
    known = has_features(values_of(features, feature_names))
    signals = ensemble.combine(features.loc[known, list(KEYS)], tables)
    check_signals(signals[signals["predictor"] == ENSEMBLE].head(PROBE_WINDOWS), ENSEMBLE)
    return ensemble, signals
