"""How many bars one decision needs."""

from collections.abc import Iterable, Mapping

import pandas as pd

from MLOps.config.predictors import PredictorConfig
from MLOps.config.search import SearchConfig
from MLOps.features.pipeline import FeaturePipeline


def required_bars(
    features: Iterable[str], raw: pd.DataFrame, predictors: Mapping[str, PredictorConfig], search: SearchConfig
) -> int:
    """Bars of a symbol, the newest included, that a decision needs: warm-up of the features and look-back.

    Args:
        features: entries of features.names.
        raw: bars, which decide which of the features can be computed.
        search: of the predictors' parameters.
    """
    return FeaturePipeline.fit(features, raw).warmup_bars + longest_lookback(predictors, search) - 1


def longest_lookback(predictors: Mapping[str, PredictorConfig], search: SearchConfig) -> int:
    """Of all predictors, and of what a search may draw for them, in bars."""
    searched = [space["lookback_bars"] for space in search.spaces.values() if "lookback_bars" in space]
    drawn = [value for bounds in searched for value in (*bounds.choices, bounds.high) if isinstance(value, int)]
    return max(*drawn, *(predictor.lookback_bars for predictor in predictors.values()), 1)
