"""Every score of a forecast against the package that defines it."""

import numpy as np
import pytest
import sklearn.metrics as sklearn
from scipy import stats

from MLOps.statistics import forecasts

GENERATOR = np.random.default_rng(1)
PROBABILITIES = GENERATOR.dirichlet(np.ones(5), 400)
LABELS = GENERATOR.integers(5, size=400)
PREDICTED, ACTUAL = GENERATOR.normal(size=(2, 400)) @ np.eye(400)
ACTUAL = ACTUAL + 0.5 * PREDICTED


def test_classification_is_as_scikit_learn_has_it() -> None:
    own = forecasts.classification_metrics(PROBABILITIES, LABELS)
    guessed = PROBABILITIES.argmax(axis=1)
    theirs = {
        "log_loss": sklearn.log_loss(LABELS, PROBABILITIES),
        "accuracy": sklearn.accuracy_score(LABELS, guessed),
        "precision_macro": sklearn.precision_score(LABELS, guessed, average="macro"),
        "recall_macro": sklearn.recall_score(LABELS, guessed, average="macro"),
        "f1_macro": sklearn.f1_score(LABELS, guessed, average="macro"),
    }
    assert {name: own[name] for name in theirs} == pytest.approx(theirs)
    assert (forecasts.confusion(LABELS, guessed, 5) == sklearn.confusion_matrix(LABELS, guessed)).all()


@pytest.mark.parametrize("n_classes", [2, 3, 4, 5])
def test_the_log_loss_is_the_sum_of_magnitude_and_direction(n_classes: int) -> None:
    probabilities = GENERATOR.dirichlet(np.ones(n_classes), 400)
    labels = GENERATOR.integers(n_classes, size=400)
    magnitude, direction = forecasts.loss_parts(probabilities, labels)
    np.testing.assert_allclose(magnitude + direction, forecasts.log_losses(probabilities, labels))
    assert (magnitude > -1e-12).all() and (direction > -1e-12).all()
    for row, c in enumerate(labels):
        pair = probabilities[row, sorted({c, n_classes - 1 - c})].sum()
        assert magnitude[row] == pytest.approx(-np.log(pair), abs=1e-9)
        assert direction[row] == pytest.approx(-np.log(probabilities[row, c] / pair), abs=1e-9)


def test_the_parts_by_hand() -> None:
    probabilities = np.array([[0.1, 0.6, 0.3], [0.1, 0.6, 0.3], [0.0, 1.0, 0.0]])
    magnitude, direction = forecasts.loss_parts(probabilities, np.array([2, 1, 0]))
    assert magnitude[:2] == pytest.approx([-np.log(0.4), -np.log(0.6)])
    assert direction[:2] == pytest.approx([-np.log(0.75), 0.0])
    # What was called impossible, on both sides alike, came: all of the loss is of magnitude but one coin.
    assert direction[2] == pytest.approx(np.log(2)) and np.isfinite(magnitude[2])


def test_a_class_that_is_never_forecast_counts_as_in_scikit_learn() -> None:
    certain = np.eye(3)[GENERATOR.integers(2, size=50)]
    labels = GENERATOR.integers(3, size=50)
    own = forecasts.classification_metrics(certain, labels)
    guessed = certain.argmax(axis=1)
    assert own["precision_macro"] == pytest.approx(
        sklearn.precision_score(labels, guessed, average="macro", zero_division=0)
    )
    assert own["f1_macro"] == pytest.approx(sklearn.f1_score(labels, guessed, average="macro"))


def test_calibration_error_is_the_weighted_gap_of_its_bins() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    # Two forecasts of 0.95, of which one came; two of 0.65, of which both came.
    assert forecasts.calibration_error(probabilities, np.array([0, 1, 0, 1])) == pytest.approx((0.45 + 0.35) / 2)
    honest = forecasts.calibration_error(np.tile([0.7, 0.3], (10, 1)), np.array([0] * 7 + [1] * 3))
    assert honest == pytest.approx(0.0)


def test_regression_is_as_scikit_learn_and_scipy_have_it() -> None:
    own = forecasts.regression_metrics(PREDICTED, ACTUAL)
    assert own == pytest.approx(
        {
            "mse": sklearn.mean_squared_error(ACTUAL, PREDICTED),
            "rmse": sklearn.root_mean_squared_error(ACTUAL, PREDICTED),
            "mae": sklearn.mean_absolute_error(ACTUAL, PREDICTED),
            "r2": sklearn.r2_score(ACTUAL, PREDICTED),
            "explained_variance": sklearn.explained_variance_score(ACTUAL, PREDICTED),
            "correlation": stats.pearsonr(PREDICTED, ACTUAL).statistic,
            "rank_ic": stats.spearmanr(PREDICTED, ACTUAL).statistic,
        }
    )


def test_ties_share_their_rank() -> None:
    coarse, other = np.round(PREDICTED), np.round(ACTUAL)
    own = forecasts.regression_metrics(coarse, other)["rank_ic"]
    assert own == pytest.approx(stats.spearmanr(coarse, other).statistic)
    assert forecasts.regression_metrics(np.zeros(400), ACTUAL)["correlation"] == 0.0


def test_implied_positions_share_each_bar_equally() -> None:
    earned = forecasts.implied_returns(
        np.array([0.2, -0.1, 0.3, 0.0]), np.array([0.01, 0.02, -0.03, 0.5]), np.array([2, 1, 1, 2])
    )
    assert earned == pytest.approx([(-0.02 - 0.03) / 2, 0.01 / 2])
