"""Bars to compute features of."""

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import SENTIMENT
from MLOps.data.sources.sample import bundled_bars


@pytest.fixture(scope="session")
def sample() -> pd.DataFrame:
    """The bundled bars, adjusted, with a sentiment of chance."""
    bars = bundled_bars()
    generator = np.random.default_rng(0)
    items = generator.poisson(0.5, len(bars)).astype(float)
    scores = np.where(items > 0, generator.uniform(-1, 1, len(bars)), 0.0)
    return bars.assign(**dict(zip(SENTIMENT, (scores, items), strict=True)))


@pytest.fixture(scope="session")
def early(sample: pd.DataFrame) -> pd.DataFrame:
    """350 bars of each of three symbols."""
    bars = sample[sample["symbol"].isin(["AAPL", "IBM", "MSFT"])]
    return bars.groupby("symbol", sort=False).head(350).reset_index(drop=True)
