"""Verdicts on markets whose truth is known: ignorance passes at the nominal rate, knowledge is told by its kind."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.config.labels import (
    UNKNOWN,
    LabelConfig,
    NextReturnLabelConfig,
    ScoreLabelConfig,
    SmoothedLabelConfig,
    TripleBarrierLabelConfig,
    class_names,
)
from MLOps.config.params import load_params
from MLOps.config.predictors import LogisticConfig
from MLOps.config.schema import section
from MLOps.config.search import PredictorSearchConfig, SearchRange
from MLOps.config.splits import SplitConfig
from MLOps.data.splits import split
from MLOps.errors import UserError
from MLOps.evaluation.verdicts import Verdict, horizon_bars, judge
from MLOps.features.labels import make_labels
from MLOps.features.pipeline import FeaturePipeline
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.closed_form import ClosedFormPredictor
from MLOps.predictors.contract import Forecast, OnEpoch, forecast
from MLOps.predictors.learning import LearningData, learning_data
from MLOps.predictors.logistic import LogisticPredictor
from MLOps.predictors.signals import signal_table
from MLOps.statistics.dependent_mean import required_bars
from MLOps.statistics.forecasts import log_losses
from MLOps.training.search import Search
from tests.evaluation.markets import CONFIG, SPLITS, garch, ignorant_signals, random_walk, shown_direction, unlike
from tests.project import ROOT

NOMINAL = 0.05  # one side of an interval at a confidence of 0.9


def most(markets: int) -> int:
    """So many of the markets that a rate of NOMINAL gives more in one of a thousand cases."""
    from scipy.stats import binom

    return int(binom.ppf(0.999, markets, NOMINAL))


def smoothed(k: int) -> SmoothedLabelConfig:
    """Labels of k bars in three classes of about equal frequency on a random walk."""
    return SmoothedLabelConfig(kind="smoothed", smoothing_k=k, threshold_delta=0.0043 * float(np.sqrt(k / 3 + 0.5)))


def ignorant_verdict(bars: pd.DataFrame, config: LabelConfig, seed: int, **options: Any) -> Verdict:
    labels, splits = make_labels(bars, config), split(bars["timestamp"], SPLITS)
    signals = ignorant_signals(labels, splits, class_names(config), seed, **options)
    return judge("ignorant", signals, labels, splits, CONFIG)


@pytest.mark.parametrize("horizon", [1, 5, 20, 60])
def test_ignorance_passes_at_the_nominal_rate_whatever_the_horizon(horizon: int) -> None:
    markets = 40
    bars = max(400, 2 * (required_bars(horizon) + horizon + 10))
    verdicts = [ignorant_verdict(random_walk(1, bars, seed), smoothed(horizon), seed) for seed in range(markets)]
    assert all(verdict.horizon_bars == horizon and verdict.direction.lower is not None for verdict in verdicts)
    for count in (sum(v.passed for v in verdicts), *(sum(part in v.skilled_in for v in verdicts) for part in PARTS)):
        assert count <= most(markets)


PARTS = ("direction", "magnitude")
UNLIKE = (
    "hourly, one symbol",
    "five minutes with outages",
    "symbols that trade seldom",
    "thirty symbols, some listed late or ended early",
)


@pytest.mark.parametrize("kind", UNLIKE)
def test_ignorance_passes_at_the_nominal_rate_on_unlike_data(kind: str) -> None:
    markets = 20
    verdicts = [ignorant_verdict(unlike(kind, seed), smoothed(5), seed) for seed in range(markets)]
    assert all(verdict.direction.lower is not None for verdict in verdicts)
    for count in (sum(v.passed for v in verdicts), *(sum(part in v.skilled_in for v in verdicts) for part in PARTS)):
        assert count <= most(markets)


@pytest.mark.parametrize("n_classes", [2, 3, 4, 5])
def test_the_parts_sum_to_the_whole_and_two_classes_have_no_magnitude(n_classes: int) -> None:
    config = ScoreLabelConfig(kind="score", horizon_bars=2, n_classes=n_classes, volatility_bars=20)
    verdict = ignorant_verdict(random_walk(3, 400, 1), config, 1, tilt=0.5)
    assert verdict.direction.gain + verdict.magnitude.gain == pytest.approx(verdict.gain_over("class_prior"))
    if n_classes == 2:
        assert verdict.magnitude.gain == pytest.approx(0, abs=1e-6) and "magnitude" not in verdict.skilled_in


def test_a_span_too_short_for_the_horizon_says_so_and_passes_nobody() -> None:
    verdict = ignorant_verdict(random_walk(4, 1500, 1), smoothed(65), 1)
    assert not verdict.passed and verdict.skilled_in == ()
    assert [comparison.lower for comparison in verdict.comparisons] == [None, None]
    (reason,) = verdict.reasons
    assert f"labels that look 65 bars ahead need {12 * 65} judged bars, it has {verdict.bars};" in reason
    assert verdict.bars == 750 - 5 - 65


@pytest.mark.parametrize(
    ("config", "kind", "expected"),
    [
        (smoothed(5), None, 5),
        (NextReturnLabelConfig(kind="next_return", threshold_delta=0.005), None, 1),
        (ScoreLabelConfig(kind="score", horizon_bars=12, n_classes=5, volatility_bars=20), None, 12),
        (smoothed(5), "hourly, one symbol", 5),
        (smoothed(5), "five minutes with outages", 5),
        (smoothed(5), "thirty symbols, some listed late or ended early", 5),
    ],
)
def test_the_horizon_is_the_labels(config: LabelConfig, kind: str | None, expected: int) -> None:
    bars = unlike(kind, 1) if kind else random_walk(2, 400, 1)
    splits = split(bars["timestamp"], SPLITS)
    assert horizon_bars(make_labels(bars, config), splits.validation) == expected


def test_the_horizon_counts_bars_of_the_market() -> None:
    """A barrier that is touched soon ends a label early; bars that a symbol lacks make its labels longer."""
    near, far = (
        TripleBarrierLabelConfig(
            kind="triple_barrier", horizon_bars=30, volatility_bars=20, upper_volatilities=way, lower_volatilities=way
        )
        for way in (0.2, 3.0)
    )
    bars = random_walk(2, 600, 1)
    splits = split(bars["timestamp"], SPLITS)
    assert horizon_bars(make_labels(bars, near), splits.validation) < 20
    assert horizon_bars(make_labels(bars, far), splits.validation) == 30
    seldom = unlike("symbols that trade seldom", 1)
    splits = split(seldom["timestamp"], SPLITS)
    # A bar in three is there: five of them span about fifteen, and nine in ten labels no more than some twenty-five.
    assert 15 < horizon_bars(make_labels(seldom, smoothed(5)), splits.validation) <= 25


def test_the_class_prior_itself_neither_passes_nor_knows() -> None:
    """Its probabilities rounded to float32 differ from the baseline's in the eighth digit, which is no knowledge."""
    for seed in range(12):
        verdict = ignorant_verdict(random_walk(2, 400, seed), smoothed(5), seed, tilt=0.0)
        assert not verdict.passed and verdict.skilled_in == ()
        assert abs(verdict.gain_over("class_prior")) < 1e-6


def test_a_predictor_without_a_forecast_in_the_span_is_named() -> None:
    bars = random_walk(1, 400, 1)
    labels, splits = make_labels(bars, smoothed(5)), split(bars["timestamp"], SPLITS)
    signals = ignorant_signals(labels, splits, class_names(smoothed(5)), 1)
    with pytest.raises(UserError, match="predictor idle: expected bars with a forecast and a label"):
        judge("idle", signals[splits.train.rows(signals["timestamp"])], labels, splits, CONFIG)


def logistic_verdict(
    bars: pd.DataFrame, config: LabelConfig, names: tuple[str, ...], split_config: SplitConfig = SPLITS
) -> Verdict:
    """On the logistic predictor, fitted on the training span with features of the catalogue."""
    labels, splits = make_labels(bars, config), split(bars["timestamp"], split_config)
    classes = class_names(config)
    pipeline = FeaturePipeline.fit(names, bars[splits.train.rows(bars["timestamp"])])
    features = pipeline.compute(bars)
    data = learning_data(1, features, labels, classes, pipeline.names, splits)
    settings = LogisticConfig(kind="logistic", lookback_bars=1, l2_penalty=100.0)
    solved = LogisticPredictor(settings, LogisticPredictor.solve(settings, data, data.train, 0))
    rows = np.flatnonzero(data.windows.whole & splits.validation.rows(labels["timestamp"]))
    signals = signal_table(labels.iloc[rows], forecast(solved, data.windows, rows), classes)
    return judge("logistic", signals, labels, splits, CONFIG)


VOLATILITY_FEATURES = ("return_1", "return_5", "range", "volatility_5", "volatility_20", "parkinson_20", "rsi_14")
VOLUME_FEATURES = (*VOLATILITY_FEATURES, "volume_to_mean_20", "volume_change")
NEXT = NextReturnLabelConfig(kind="next_return", threshold_delta=0.008)


def test_a_volatility_forecaster_passes_and_knows_no_direction() -> None:
    markets = 8
    verdicts = [logistic_verdict(garch(4, 1200, seed), NEXT, VOLATILITY_FEATURES) for seed in range(markets)]
    assert sum(v.passed and "magnitude" in v.skilled_in for v in verdicts) >= markets // 2
    assert sum("direction" in v.skilled_in for v in verdicts) <= most(markets)
    alone = [v for v in verdicts if v.skilled_in == ("magnitude",) and v.passed]
    for verdict in alone:
        assert verdict.conclusion == "passed: skill in magnitude, none in direction"
        assert verdict.is_useful(("direction", "magnitude")) and verdict.is_useful(("magnitude",))
        assert not verdict.is_useful(("direction",))


def test_a_planted_direction_is_known_as_such() -> None:
    markets = 4
    verdicts = [logistic_verdict(shown_direction(4, 1200, seed), NEXT, VOLUME_FEATURES) for seed in range(markets)]
    assert all(v.passed and "direction" in v.skilled_in for v in verdicts)
    assert sum("magnitude" in v.skilled_in for v in verdicts) <= most(markets)
    for verdict in verdicts:
        assert verdict.conclusion.startswith("passed: skill in direction")
        assert verdict.is_useful(("direction",)) and verdict.is_useful(("direction", "magnitude"))


def test_who_fails_is_of_no_use_whatever_it_knows() -> None:
    known = logistic_verdict(shown_direction(4, 1200, 0), NEXT, VOLUME_FEATURES)
    failed = replace(known, reasons=("no",))
    assert (
        failed.skilled_in == known.skilled_in
        and not failed.is_useful(("direction",))
        and failed.conclusion == "failed: no"
    )
    vague = replace(known, direction=replace(known.direction, lower=-0.1), magnitude=known.direction)
    assert replace(vague, magnitude=vague.direction).conclusion == (
        "passed: skill in neither direction nor magnitude alone is significant"
    )


@section
class GuessConfig:
    """`draw` seeds the weights of a guess; a fit tries GUESSES of them in a row, as a network tries epochs."""

    draw: int
    lookback_bars: int = 1


GUESSES = 50
TILT = 0.03  # of a guess's log odds: so small that its noise costs it next to nothing


class Guess(ClosedFormPredictor):
    """The class prior, tilted by random weights of the features, which know nothing."""

    @classmethod
    def solve(cls, config: GuessConfig, data: LearningData, rows: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        shape = (len(data.windows.names), data.targets.n_classes)
        weights = np.random.default_rng([seed, config.draw]).normal(0, TILT / np.sqrt(shape[0]), shape)
        return {"prior": class_prior(data.targets.labels[rows], data.targets.n_classes), "weights": weights}

    @classmethod
    def fit(cls, config: GuessConfig, data: LearningData, seed: int, on_epoch: OnEpoch, checkpoints: Path) -> "Guess":
        tried = {}
        for number in range(GUESSES):
            own = GuessConfig(draw=GUESSES * config.draw + number)
            guess = cls(own, cls.solve(own, data, data.fitting, seed))
            given = guess.predict(data.windows.ending_at(data.selection)).probabilities
            tried[float(log_losses(given, data.targets.labels[data.selection]).mean())] = guess
        on_epoch(1, {"selection_loss": min(tried)})
        return tried[min(tried)]

    def predict(self, windows: np.ndarray) -> Forecast:
        odds = self.arrays["prior"] * np.exp(windows[:, -1].astype(float) @ self.arrays["weights"])
        return Forecast.from_probabilities(odds / odds.sum(axis=1, keepdims=True), np.zeros(odds.shape[1]))


def passes_after_search(seed: int, trials: int, folder: Path, chosen_on: str) -> bool:
    """Whether the best of many guesses at a random walk passes, searched, chosen and refitted as the stages do.

    Args:
        chosen_on: the rows that choose: `selection`, or `validation` as it would be without an inner split.
    """
    bars, names = random_walk(2, 400, seed), tuple(f"noise_{number}" for number in range(6))
    noise = np.random.default_rng([seed, 9]).standard_normal((len(bars), len(names))).astype(np.float32)
    features = pd.concat([bars[["timestamp", "symbol"]], pd.DataFrame(noise, columns=list(names))], axis=1)
    # No past label is known, so that persistence is the class prior and the guess alone decides.
    labels = make_labels(bars, smoothed(1)).assign(past_label=np.int8(UNKNOWN))
    splits = split(bars["timestamp"], SPLITS)
    classes = class_names(smoothed(1))
    data = learning_data(1, features, labels, classes, names, splits)
    if chosen_on == "validation":
        data = replace(data, selection=np.flatnonzero(splits.validation.labelled(labels)))

    def fit(values: dict[str, Any], on_epoch: OnEpoch) -> Guess:
        return Guess.fit(GuessConfig(**values), data, seed, on_epoch, folder)

    def train(_: Path, values: dict[str, Any], on_epoch: OnEpoch) -> None:
        fit(values, on_epoch)

    space = {"guess": {"draw": SearchRange(low=0, high=10**6)}}
    config = PredictorSearchConfig(trials=trials, spaces=space)
    search = Search(f"{chosen_on} {seed}", config, "guess", folder / "search.db", seed)
    search.run(trials, train, folder / "trials", lambda trial: None)
    chosen = fit(search.best(), lambda *_: None).refit(data, data.train, seed, folder)
    signals = signal_table(labels, forecast(chosen, data.windows, np.arange(len(labels))), classes)
    return judge("guess", signals, labels, splits, CONFIG).passed


@pytest.mark.parametrize(
    ("markets", "trials"), [(6, 4), pytest.param(40, 50, marks=pytest.mark.slow)], ids=["quick", "fifty trials"]
)
def test_the_best_of_many_guesses_passes_no_more_often_than_one(markets: int, trials: int, tmp_path: Path) -> None:
    def count(markets: int, chosen_on: str) -> int:
        return sum(passes_after_search(seed, trials, tmp_path, chosen_on) for seed in range(markets))

    assert count(markets, "selection") <= most(markets)
    # Chosen on the rows that judge, nearly all of them pass.
    assert count(6, "validation") > most(6)


DEFAULT_SPLITS = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=5, folds=5)


@pytest.mark.slow
@pytest.mark.parametrize(("symbols", "bars", "horizons"), [(4, 1500, (1, 5)), (1, 6000, (20, 60))])
@pytest.mark.parametrize("market", [random_walk, garch])
def test_a_logistic_on_the_catalogue_knows_no_null_market(
    market: Callable[[int, int, int], pd.DataFrame], symbols: int, bars: int, horizons: tuple[int, ...]
) -> None:
    """Nothing of a random walk, and no direction of a GARCH martingale, more often than the nominal rate."""
    markets = 60
    crossing = ("market_return_1", "relative_strength_20", "rank_5", "market_correlation_30")
    names = [name for name in load_params(ROOT / "params.yaml").features.names if symbols > 1 or name not in crossing]
    tables = [market(symbols, bars, seed) for seed in range(markets)]
    for horizon in horizons:
        verdicts = [logistic_verdict(table, smoothed(horizon), tuple(names), DEFAULT_SPLITS) for table in tables]
        assert sum("direction" in v.skilled_in for v in verdicts) <= most(markets), horizon
        if market is random_walk:
            assert sum(v.passed for v in verdicts) <= most(markets), horizon
            assert sum("magnitude" in v.skilled_in for v in verdicts) <= most(markets), horizon
