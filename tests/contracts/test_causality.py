"""What is known at a bar's close does not depend on any later bar: features, signals and observations, bit for bit."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.data.bars import KEYS, VALUES
from MLOps.deployment.trading_model import TradingModel
from MLOps.features import catalogue
from MLOps.features.catalogue import Feature
from MLOps.features.pipeline import FeaturePipeline
from MLOps.features.windows import lagged_log_return
from tests.project import Project

BARS_PER_SYMBOL = 260
CUTS = 20

Corruption = Callable[[pd.DataFrame], pd.DataFrame]


def times_ten(future: pd.DataFrame) -> pd.DataFrame:
    return future.assign(**{name: future[name] * 10 for name in VALUES})


def shuffled(future: pd.DataFrame) -> pd.DataFrame:
    order = np.random.default_rng(0).permutation(len(future))
    return future.assign(**{name: future[name].to_numpy()[order] for name in VALUES})


def gone(future: pd.DataFrame) -> pd.DataFrame:
    return future.head(0)


CORRUPTIONS: list[Corruption] = [times_ten, shuffled, gone]


@pytest.fixture(scope="module")
def bars(finished: Project) -> pd.DataFrame:
    bars = pd.read_parquet(finished.folder / "data/processed/bars.parquet")
    return bars.groupby("symbol").tail(BARS_PER_SYMBOL).reset_index(drop=True)


def cuts(bars: pd.DataFrame) -> pd.DatetimeIndex:
    """Times spread over the later half, where features are warm."""
    times = pd.DatetimeIndex(bars["timestamp"].unique()).sort_values()
    return times[np.linspace(len(times) // 2, len(times) - 2, CUTS).astype(int)]


def corrupt_after(bars: pd.DataFrame, cut: pd.Timestamp, corruption: Corruption) -> pd.DataFrame:
    past = bars["timestamp"] <= cut
    return pd.concat([bars[past], corruption(bars[~past])]).sort_values(["symbol", "timestamp"], ignore_index=True)


def leaks(bars: pd.DataFrame, compute: Callable[[pd.DataFrame], pd.DataFrame]) -> set[str]:
    """The columns of `compute(bars)` in which a corrupted future changes the past."""
    whole = compute(bars)
    found: set[str] = set()
    for cut in cuts(bars):
        for corruption in CORRUPTIONS:
            keys = [name for name in (*KEYS, "predictor") if name in whole.columns]
            seen = compute(corrupt_after(bars, cut, corruption))
            then = seen[seen["timestamp"] <= cut].set_index(keys)
            now = whole[whole["timestamp"] <= cut].set_index(keys)
            assert then.index.equals(now.index)
            found |= {name for name in now.columns if not then[name].equals(now[name])}
    return found


def test_features_signals_and_observations_know_no_future(finished: Project, bars: pd.DataFrame) -> None:
    client = finished.client()
    version = client.get_model_version_by_alias("trading-agent", "candidate").version
    folder = Path(client.get_model_version_download_uri("trading-agent", version))
    model = TradingModel.load(folder / "artifacts" / "bundle")

    def everything(bars: pd.DataFrame) -> pd.DataFrame:
        features = model.pipeline.compute(bars)
        signals = model.signals(features, np.ones(len(features), dtype=bool))
        observed = model.agent.view.observe(features, signals)
        wide = signals.pivot(index=list(KEYS), columns="predictor").dropna()
        wide.columns = [f"signal {name} {predictor}" for name, predictor in wide.columns]
        both = features.dropna().merge(observed, on=list(KEYS), suffixes=("", " observed"))
        return both.merge(wide.reset_index(), on=list(KEYS))

    assert leaks(bars, everything) == set()


def test_a_planted_leak_is_caught(bars: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Feature(2, lambda b: lagged_log_return(b.close, 1), "last return")
    peeking = Feature(2, lambda b: np.append(lagged_log_return(b.close, 1)[1:], np.nan), "next return")
    monkeypatch.setitem(catalogue.CATALOGUE, "honest", honest)
    monkeypatch.setitem(catalogue.CATALOGUE, "peeking", peeking)
    pipeline = FeaturePipeline.fit(["honest", "peeking"], bars)
    assert leaks(bars, pipeline.compute) == {"peeking"}
