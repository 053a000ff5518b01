"""Verdicts on tables written out by hand, whose gain is known; and forecasts that have no valid form."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from MLOps.config.labels import UNKNOWN
from MLOps.config.validation import ValidationConfig
from MLOps.data.splits import Span, Splits
from MLOps.errors import UserError
from MLOps.evaluation.verdicts import judge, probe
from MLOps.predictors.contract import Forecast, Predictor
from MLOps.predictors.signals import signal_table

CONFIG = ValidationConfig(confidence=0.9, ensemble="mean")
DAYS = pd.Series(pd.date_range("2024-01-01", periods=101, tz="UTC"))
TRAIN, VALIDATION = Span(DAYS[0], DAYS[61]), Span(DAYS[61], DAYS[100])
SPLITS = Splits(train=TRAIN, fitting=TRAIN, selection=TRAIN, validation=VALIDATION, test=VALIDATION)
JUDGED = range(61, 99)  # the label of day 99 ends with the span


def table(days: range, label: Any, past_label: Any = UNKNOWN, symbol: str = "A") -> pd.DataFrame:
    """Labels of the next day's move, one row a day."""
    return pd.DataFrame(
        {
            "timestamp": [DAYS[day] for day in days],
            "symbol": symbol,
            "label": label,
            "past_label": past_label,
            "forward_return": 0.01,
            "label_end": [DAYS[day + 1] for day in days],
        }
    )


def signals_of(labels: pd.DataFrame, given: Any) -> pd.DataFrame:
    """Forecasts (rows, classes) of all validation rows of `labels`."""
    probabilities = np.asarray(given, float)
    rows = labels[VALIDATION.rows(labels["timestamp"])]
    classes = tuple(f"c{number}" for number in range(probabilities.shape[1]))
    return signal_table(rows, Forecast.from_probabilities(probabilities, np.zeros(len(classes))), classes)


def test_the_gain_by_hand() -> None:
    """Sixty days of training with each of three classes twenty times; then a fall and a rise by turns, half known."""
    days = np.arange(61, 100)
    fell = days % 2 == 0
    labels = pd.concat([table(range(60), np.arange(60) % 3), table(range(61, 100), np.where(fell, 0, 2))])
    signals = signals_of(labels, np.where(fell[:, None], [0.6, 0.2, 0.2], [0.2, 0.2, 0.6]))
    verdict = judge("seer", signals, labels, SPLITS, CONFIG)
    assert verdict.bars == len(JUDGED) and verdict.horizon_bars == 1
    assert verdict.log_loss == pytest.approx(-np.log(0.6), abs=1e-6)
    for comparison in verdict.comparisons:
        # With no past known, persistence is the class prior: a third each.
        assert comparison.baseline_log_loss == pytest.approx(np.log(3))
        assert comparison.gain == pytest.approx(np.log(0.6 * 3), abs=1e-6)
        # What never varies has an interval of no width.
        assert (comparison.lower, comparison.upper) == pytest.approx((comparison.gain, comparison.gain), abs=1e-6)
    assert [c.baseline for c in verdict.comparisons] == ["class_prior", "persistence"]
    # A move of either side: 0.8 against 2/3. Its side, given a move: 0.6 of 0.8 against a half.
    assert verdict.magnitude.gain == pytest.approx(np.log(0.8 * 3 / 2), abs=1e-6)
    assert verdict.direction.gain == pytest.approx(np.log(0.75 * 2), abs=1e-6)
    assert verdict.passed and verdict.skilled_in == ("direction", "magnitude")


def test_each_baseline_by_hand_and_bars_weigh_alike() -> None:
    """Two classes; persistence tells more than the prior. B trades on every second day, and its forecasts are bad."""
    pasts = np.repeat([0, 1], 20)
    answers = np.concatenate([np.repeat([0, 1], [14, 6]), np.repeat([0, 1], [6, 14])])
    days = np.arange(61, 100)
    a = table(range(61, 100), days % 2, past_label=days % 2)
    b = table(range(61, 100, 2), 1, past_label=0, symbol="B")
    labels = pd.concat([table(range(40), answers, pasts), a, b])
    right = np.where((days % 2 == 0)[:, None], [0.8, 0.2], [0.2, 0.8])
    signals = signals_of(labels, np.concatenate([right, np.tile([0.6, 0.4], (20, 1))]))
    verdict = judge("own", signals, labels, SPLITS, CONFIG)
    over_prior, over_persistence = verdict.comparisons
    # Of the 38 judged days 61 to 98, B trades on the nineteen odd ones: half of the bars.
    alone, together = np.log(0.8 / 0.5), (np.log(0.8 / 0.5) + np.log(0.4 / 0.5)) / 2
    assert over_prior.gain == pytest.approx((alone + together) / 2, abs=1e-6)
    # Laplace: 15 of 22 and 7 of 22. A is as its past, B is not.
    alone, together = np.log(0.8 * 22 / 15), (np.log(0.8 * 22 / 15) + np.log(0.4 * 22 / 7)) / 2
    assert over_persistence.gain == pytest.approx((alone + together) / 2, abs=1e-6)
    for comparison in verdict.comparisons:
        assert comparison.lower is not None and comparison.upper is not None
        assert comparison.lower < comparison.gain < comparison.upper
    assert verdict.passed
    assert verdict.magnitude.gain == pytest.approx(0, abs=1e-6) and verdict.skilled_in == ("direction",)


def test_who_is_worse_than_a_baseline_fails_with_its_numbers() -> None:
    days = np.arange(61, 100)
    labels = pd.concat([table(range(60), np.arange(60) % 2), table(range(61, 100), days % 2)])
    wrong = signals_of(labels, np.where((days % 2 == 0)[:, None], [0.4, 0.6], [0.6, 0.4]))
    verdict = judge("own", wrong, labels, SPLITS, CONFIG)
    assert not verdict.passed and verdict.skilled_in == ()
    gain = f"{np.log(0.4 / 0.5):.4f}"
    assert verdict.reasons == tuple(
        f"its log loss is not below that of {baseline} with 90% confidence: gain {gain} nats, interval {gain} to {gain}"
        for baseline in ("class_prior", "persistence")
    )
    # A bar without a forecast is not judged.
    short = judge("own", wrong.iloc[:30], labels, SPLITS, CONFIG)
    assert short.bars == 30
    assert "the validation span is too short: labels that look 1 bars ahead need 32 judged bars, it has 30;" in (
        short.conclusion
    )


WINDOWS = np.zeros((4, 3, 2), np.float32)
GOOD = Forecast(np.full((4, 2), 0.5, np.float32), np.zeros(4, np.float32), np.array([0.0, 0.3, 0.9, 1.0], np.float32))


class Answering:
    """A predictor with one answer."""

    def __init__(self, answer: Forecast) -> None:
        self.answer = answer

    def predict(self, windows: np.ndarray) -> Forecast:
        assert windows is WINDOWS
        return self.answer


def ask(answer: Forecast) -> None:
    probe(cast(Predictor, Answering(answer)), WINDOWS, 2, "own")


THIRDS = np.full((4, 3), 1 / 3, np.float32)
BELOW_0 = np.array([[0.5, 0.5], [0.5, 0.5], [-0.2, 1.2], [0.5, 0.5]], np.float32)


def with_value(part: np.ndarray, place: Any, value: float) -> np.ndarray:
    changed = part.copy()
    changed[place] = value
    return changed


def test_a_forecast_of_the_right_form_passes_the_probe() -> None:
    ask(GOOD)
    ask(replace(GOOD, probabilities=np.tile(np.array([[0.0, 1.0]], np.float32), (4, 1))))


SUM = r"expected probabilities that sum to 1, found {} to {}; correct its predict"
FORM = r"expected finite float32 {} of shape \({}\), found {} \({}\); correct its predict"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"probabilities": THIRDS},
            FORM.format("probabilities", "4, 2", "float32", "4, 3"),
        ),
        ({"probabilities": np.full((3, 2), 0.5, np.float32)}, FORM.format("probabilities", "4, 2", "float32", "3, 2")),
        ({"probabilities": np.full((4, 2), 0.5)}, FORM.format("probabilities", "4, 2", "float64", "4, 2")),
        ({"probabilities": np.ones((4, 2), int)}, FORM.format("probabilities", "4, 2", "int64", "4, 2")),
        (
            {"probabilities": with_value(GOOD.probabilities, (1, 0), np.nan)},
            FORM.format("probabilities", "4, 2", "float32", "4, 2"),
        ),
        ({"probabilities": GOOD.probabilities * np.float32(0.9)}, SUM.format("0.9", "0.9")),
        ({"probabilities": with_value(GOOD.probabilities, (2, 1), 0.6)}, SUM.format("1", "1.1")),
        (
            {"probabilities": BELOW_0},
            SUM.format("1", "1"),
        ),
        ({"expected_return": np.zeros((4, 1), np.float32)}, FORM.format("expected_return", "4,", "float32", "4, 1")),
        ({"expected_return": np.zeros(4)}, FORM.format("expected_return", "4,", "float64", "4,")),
        (
            {"expected_return": with_value(GOOD.expected_return, 3, np.inf)},
            FORM.format("expected_return", "4,", "float32", "4,"),
        ),
        ({"uncertainty": np.zeros(5, np.float32)}, FORM.format("uncertainty", "4,", "float32", "5,")),
        ({"uncertainty": with_value(GOOD.uncertainty, 0, np.nan)}, FORM.format("uncertainty", "4,", "float32", "4,")),
        ({"uncertainty": with_value(GOOD.uncertainty, 0, 1.01)}, "expected an uncertainty between 0 and 1"),
        ({"uncertainty": with_value(GOOD.uncertainty, 0, -0.01)}, "expected an uncertainty between 0 and 1"),
    ],
)
def test_a_malformed_forecast_is_refused_with_its_fault(changes: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(UserError, match=f"^predictor own: {words}"):
        ask(replace(GOOD, **changes))
