"""Every figure against the package that defines it."""

import numpy as np
import pandas as pd
import pytest
import quantstats.stats as quantstats
import sklearn.metrics as sklearn
from scipy import stats

from MLOps.predictors import metrics

GENERATOR = np.random.default_rng(1)
PROBABILITIES = GENERATOR.dirichlet(np.ones(5), 400)
CLASSES = GENERATOR.integers(5, size=400)
PREDICTED, ACTUAL = GENERATOR.normal(size=(2, 400)) @ np.eye(400)
ACTUAL = ACTUAL + 0.5 * PREDICTED


def test_classification_is_as_scikit_learn_has_it() -> None:
    own = metrics.classification_metrics(PROBABILITIES, CLASSES)
    guessed = PROBABILITIES.argmax(axis=1)
    theirs = {
        "log_loss": sklearn.log_loss(CLASSES, PROBABILITIES),
        "accuracy": sklearn.accuracy_score(CLASSES, guessed),
        "precision_macro": sklearn.precision_score(CLASSES, guessed, average="macro"),
        "recall_macro": sklearn.recall_score(CLASSES, guessed, average="macro"),
        "f1_macro": sklearn.f1_score(CLASSES, guessed, average="macro"),
    }
    assert {name: own[name] for name in theirs} == pytest.approx(theirs)
    assert (metrics.confusion(CLASSES, guessed, 5) == sklearn.confusion_matrix(CLASSES, guessed)).all()


@pytest.mark.parametrize("class_count", [2, 3, 4, 5])
def test_the_log_loss_is_the_sum_of_magnitude_and_direction(class_count: int) -> None:
    probabilities = GENERATOR.dirichlet(np.ones(class_count), 400)
    classes = GENERATOR.integers(class_count, size=400)
    magnitude, direction = metrics.loss_parts(probabilities, classes)
    np.testing.assert_allclose(magnitude + direction, metrics.log_losses(probabilities, classes))
    assert (magnitude > -1e-12).all() and (direction > -1e-12).all()
    for row, c in enumerate(classes):
        pair = probabilities[row, sorted({c, class_count - 1 - c})].sum()
        assert magnitude[row] == pytest.approx(-np.log(pair), abs=1e-9)
        assert direction[row] == pytest.approx(-np.log(probabilities[row, c] / pair), abs=1e-9)


def test_the_parts_by_hand() -> None:
    probabilities = np.array([[0.1, 0.6, 0.3], [0.1, 0.6, 0.3], [0.0, 1.0, 0.0]])
    magnitude, direction = metrics.loss_parts(probabilities, np.array([2, 1, 0]))
    assert magnitude[:2] == pytest.approx([-np.log(0.4), -np.log(0.6)])
    assert direction[:2] == pytest.approx([-np.log(0.75), 0.0])
    # What was called impossible, on both sides alike, came: all of the loss is of magnitude but one coin.
    assert direction[2] == pytest.approx(np.log(2)) and np.isfinite(magnitude[2])


def test_a_class_that_is_never_forecast_counts_as_in_scikit_learn() -> None:
    certain = np.eye(3)[GENERATOR.integers(2, size=50)]
    classes = GENERATOR.integers(3, size=50)
    own = metrics.classification_metrics(certain, classes)
    guessed = certain.argmax(axis=1)
    assert own["precision_macro"] == pytest.approx(
        sklearn.precision_score(classes, guessed, average="macro", zero_division=0)
    )
    assert own["f1_macro"] == pytest.approx(sklearn.f1_score(classes, guessed, average="macro"))


def test_calibration_error_is_the_weighted_gap_of_its_bins() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])
    # Two forecasts of 0.95, of which one came; two of 0.65, of which both came.
    assert metrics.calibration_error(probabilities, np.array([0, 1, 0, 1])) == pytest.approx((0.45 + 0.35) / 2)
    honest = metrics.calibration_error(np.tile([0.7, 0.3], (10, 1)), np.array([0] * 7 + [1] * 3))
    assert honest == pytest.approx(0.0)


def test_regression_is_as_scikit_learn_and_scipy_have_it() -> None:
    own = metrics.regression_metrics(PREDICTED, ACTUAL)
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
    own = metrics.regression_metrics(coarse, other)["rank_ic"]
    assert own == pytest.approx(stats.spearmanr(coarse, other).statistic)
    assert metrics.regression_metrics(np.zeros(400), ACTUAL)["correlation"] == 0.0


def test_trading_is_as_quantstats_has_it() -> None:
    returns = GENERATOR.normal(0.001, 0.01, 504)
    series = pd.Series(returns, index=pd.bdate_range("2001-01-01", periods=504))
    own = metrics.trading_metrics(returns, 252)
    assert own["sharpe"] == pytest.approx(quantstats.sharpe(series, periods=252))
    assert own["sortino"] == pytest.approx(quantstats.sortino(series, periods=252))
    assert own["max_drawdown"] == pytest.approx(-quantstats.max_drawdown(series))
    # quantstats counts years by the calendar, so its Calmar ratio is held by its definition instead.
    assert own["calmar"] == pytest.approx((np.prod(1 + returns) ** (252 / 504) - 1) / own["max_drawdown"])


def test_returns_that_do_not_vary_have_no_ratio() -> None:
    assert metrics.trading_metrics(np.full(100, 0.1 + 0.2), 252)["sharpe"] == 0.0


def test_distribution_is_as_pandas_has_it() -> None:
    described = pd.Series(ACTUAL).describe()
    own = metrics.distribution(ACTUAL)
    assert own == pytest.approx({name: described[name] for name in own})


def test_implied_positions_share_each_bar_equally() -> None:
    earned = metrics.implied_returns(
        np.array([0.2, -0.1, 0.3, 0.0]), np.array([0.01, 0.02, -0.03, 0.5]), np.array([2, 1, 1, 2])
    )
    assert earned == pytest.approx([(-0.02 - 0.03) / 2, 0.01 / 2])


def test_better_is_lower_for_losses_and_errors_alone() -> None:
    for name in ("selection_loss", "train_loss", "selection_rmse", "gradient_norm"):
        assert metrics.is_better(name, 1.0, 2.0)
    for name in ("selection_accuracy", "selection_sharpe_per_bar", "selection_rank_ic", "selection_f1_macro"):
        assert metrics.is_better(name, 2.0, 1.0)
