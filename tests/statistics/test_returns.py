"""Return and risk against the packages that define them, and in cases whose answer is known."""

import numpy as np
import pandas as pd
import pytest
import quantstats.stats as quantstats

from MLOps.statistics.returns import distribution, max_drawdown, sharpe, trading_metrics

GENERATOR = np.random.default_rng(1)


def test_trading_is_as_quantstats_has_it() -> None:
    returns = GENERATOR.normal(0.001, 0.01, 504)
    series = pd.Series(returns, index=pd.bdate_range("2001-01-01", periods=504))
    own = trading_metrics(returns, 252)
    assert own["sharpe"] == pytest.approx(quantstats.sharpe(series, periods=252))
    assert own["sortino"] == pytest.approx(quantstats.sortino(series, periods=252))
    assert own["max_drawdown"] == pytest.approx(-quantstats.max_drawdown(series))
    # quantstats counts years by the calendar, so its Calmar ratio is held by its definition instead.
    assert own["calmar"] == pytest.approx((np.prod(1 + returns) ** (252 / 504) - 1) / own["max_drawdown"])


def test_returns_that_do_not_vary_have_no_ratio() -> None:
    assert trading_metrics(np.full(100, 0.1 + 0.2), 252)["sharpe"] == 0.0


def test_distribution_is_as_pandas_has_it() -> None:
    values = GENERATOR.normal(size=400)
    described = pd.Series(values).describe()
    own = distribution(values)
    assert own == pytest.approx({name: described[name] for name in own})


def test_known_answers() -> None:
    assert max_drawdown(np.array([1.0, 2.0, 1.0, 3.0, 2.4])) == 0.5
    assert sharpe(np.full(10, 0.01), 252) == 0.0, "what never varies has no ratio"
