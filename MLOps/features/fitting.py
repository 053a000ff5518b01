"""The feature pipeline of a training span, with what its bars do not allow told on the console."""

from collections.abc import Iterable

import pandas as pd

from MLOps.config.trading import TradingConfig
from MLOps.data.splits import Span
from MLOps.errors import UserError
from MLOps.features.pipeline import FeaturePipeline


def fit_features(entries: Iterable[str], bars: pd.DataFrame, training: Span, trading: TradingConfig) -> FeaturePipeline:
    """See `FeaturePipeline.fit`.

    Args:
        entries: of features.names.
        trading: whose turbulence stop needs a feature.

    Raises:
        UserError: besides, the feature of the turbulence stop cannot be computed.
    """
    pipeline = FeaturePipeline.fit(entries, bars, training.rows(bars["timestamp"]))
    for name, reason in pipeline.left_out.items():
        print(f"features: {name} left out: {reason}")
    if trading.turbulence_stop is not None and trading.turbulence_feature in pipeline.left_out:
        raise UserError(
            f"trading.turbulence_stop: the feature {trading.turbulence_feature} cannot be computed from these "
            f"bars: {pipeline.left_out[trading.turbulence_feature]}; set null"
        )
    return pipeline
