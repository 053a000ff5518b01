"""What is made of features is as causal as they are: scaled inputs, forecasts, observations, and what is fitted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.agents.observations import MarketView
from MLOps.artifacts import content_hash
from MLOps.config.labels import CLASSES
from MLOps.config.params import load_params
from MLOps.data.bars import KEYS, VALUES
from MLOps.data.splits import Splits, split
from MLOps.features.causality import draw_cutoffs, find_leaks
from MLOps.features.labels import make_labels
from MLOps.features.pipeline import FeaturePipeline
from MLOps.features.scaler import Scaler
from MLOps.predictors.contract import Predictor
from MLOps.predictors.ensemble import Ensemble
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import learning_data
from MLOps.predictors.signals import signal_table, train_with_signals
from MLOps.predictors.windows import Windows

# How many times the future is replaced: each costs a computation, so most run with the slow tests.
CUTOFFS = [50, pytest.param(200, marks=pytest.mark.slow)]
NAME = "logistic"


@dataclass(frozen=True)
class Fitted:
    """All that training leaves behind."""

    splits: Splits
    pipeline: FeaturePipeline
    scaler: Scaler
    predictor: Predictor
    view: MarketView

    def features(self, bars: pd.DataFrame) -> pd.DataFrame:
        return self.pipeline.compute(bars)

    def scaled(self, bars: pd.DataFrame) -> pd.DataFrame:
        features = self.features(bars)
        values = self.scaler.transform(features[list(self.pipeline.names)].to_numpy())
        return pd.concat([features[list(KEYS)], pd.DataFrame(values, columns=list(self.pipeline.names))], axis=1)

    def signals(self, bars: pd.DataFrame) -> pd.DataFrame:
        features = self.features(bars)
        windows = Windows(features, self.pipeline.names, self.predictor.lookback_bars)
        rows = np.flatnonzero(windows.whole)
        return signal_table(features.iloc[rows], self.predictor.predict(windows.ending_at(rows)), CLASSES)

    def observations(self, bars: pd.DataFrame) -> pd.DataFrame:
        return self.view.observe(self.features(bars), self.signals(bars).assign(predictor=NAME))


def fit(bars: pd.DataFrame, checkpoints: Path) -> Fitted:
    params = load_params()
    splits = split(bars["timestamp"], params.splits)
    training = splits.train.rows(bars["timestamp"])
    pipeline = FeaturePipeline.fit(params.features.names, bars[training])
    features, labels = pipeline.compute(bars), make_labels(bars, params.labels)
    config = params.predictors[NAME]
    data = learning_data(config.lookback_bars, features, labels, CLASSES, pipeline.names, splits)
    predictor, signals = train_with_signals(
        predictor_class(config.kind), config, data, params.splits, 0, lambda *_: None, checkpoints
    )
    observed = params.agents["ppo"].observe
    ensemble = Ensemble(CLASSES, (NAME,), (1.0,), None, np.full(3, 1 / 3), 0.0)
    return Fitted(
        splits,
        pipeline,
        Scaler.fit(features.loc[training, list(pipeline.names)].dropna().to_numpy()),
        predictor,
        MarketView.fit(observed, ensemble, features, ensemble.combine(features, {NAME: signals}), training),
    )


@pytest.fixture(scope="module")
def bars(sample: pd.DataFrame) -> pd.DataFrame:
    two = sample[sample["symbol"].isin(["AAPL", "MSFT"])]
    return two.groupby("symbol", sort=False).head(700).reset_index(drop=True)[[*KEYS, *VALUES]]


@pytest.fixture(scope="module")
def fitted(bars: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    return fit(bars, tmp_path_factory.mktemp("checkpoints"))


@pytest.mark.parametrize("cutoffs", CUTOFFS)
@pytest.mark.parametrize("made", [Fitted.scaled, Fitted.signals, Fitted.observations])
def test_nothing_made_of_features_knows_the_future(
    made: Callable[[Fitted, pd.DataFrame], pd.DataFrame], cutoffs: int, fitted: Fitted, bars: pd.DataFrame
) -> None:
    # What was fitted on the training span is given; the bars it is applied to are probed.
    recent = bars.groupby("symbol", sort=False).tail(330).reset_index(drop=True)
    after_warmup = recent[recent.groupby("symbol").cumcount() >= fitted.pipeline.warmup_bars + 5]
    assert find_leaks(lambda table: made(fitted, table), recent, draw_cutoffs(after_warmup, cutoffs)) == []


def test_replacing_all_test_rows_changes_no_fitted_parameter(
    fitted: Fitted, bars: pd.DataFrame, tmp_path: Path
) -> None:
    later = (bars["timestamp"] >= fitted.splits.test.start).to_numpy()
    replaced = bars.copy()
    generator = np.random.default_rng(3)
    replaced.loc[later, list(VALUES)] = generator.lognormal(3, 1, (later.sum(), len(VALUES)))
    again = fit(replaced, tmp_path)
    assert again.pipeline.to_dict() == fitted.pipeline.to_dict()
    assert again.scaler.to_dict() == fitted.scaler.to_dict()
    assert again.view.to_dict() == fitted.view.to_dict()
    for folder, fits in (("one", fitted), ("two", again)):
        fits.predictor.save(tmp_path / folder)
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "two")
