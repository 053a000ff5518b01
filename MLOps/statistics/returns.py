"""Return and risk statistics of returns per bar."""

import numpy as np

NO_VARIATION = 1e-12  # a smaller standard deviation is rounding error


def sharpe(returns: np.ndarray, bars_per_year: int) -> float:
    """Mean over sample standard deviation (Sharpe, 1994), annualised; 0 if returns are constant up to rounding."""
    deviation = returns.std(ddof=1)
    return float(returns.mean() / deviation * np.sqrt(bars_per_year)) if deviation > NO_VARIATION else 0.0


def compounded(returns: np.ndarray) -> np.ndarray:
    """Equity (n + 1,) of returns (n,), from 1."""
    return np.concatenate([[1.0], np.cumprod(1 + returns)])


def trading_metrics(returns: np.ndarray, bars_per_year: int) -> dict[str, float]:
    """`risk_ratios` of returns (n,), with equity compounded."""
    return risk_ratios(returns, compounded(returns), bars_per_year)


def risk_ratios(returns: np.ndarray, equity: np.ndarray, bars_per_year: int) -> dict[str, float]:
    """Annualised Sharpe, Sortino and Calmar ratios and maximum drawdown (positive) of returns (n,), equity (n + 1,).

    Risk-free rate and target return are 0 (Sharpe, 1994; Sortino & Price, 1994); a ratio with zero risk is 0.
    """
    # Root mean square of the negative returns, over all bars.
    downside = np.sqrt(np.mean(np.minimum(returns, 0) ** 2))
    drawdown = max_drawdown(equity)
    return {
        "sharpe": sharpe(returns, bars_per_year),
        "sortino": float(returns.mean() / downside * np.sqrt(bars_per_year)) if downside > NO_VARIATION else 0.0,
        "calmar": annual_growth(equity, bars_per_year) / drawdown if drawdown > 0 else 0.0,
        "max_drawdown": drawdown,
    }


def annual_growth(equity: np.ndarray, bars_per_year: int) -> float:
    """Compound annual growth rate of equity (n + 1,); -1 if nothing is left."""
    growth = np.maximum(equity[-1] / equity[0], 0)
    return float(growth ** (bars_per_year / (len(equity) - 1)) - 1)


def max_drawdown(equity: np.ndarray) -> float:
    """Largest fall from a peak, as a positive fraction of it."""
    return float((1 - equity / np.maximum.accumulate(equity)).max())


def distribution(values: np.ndarray) -> dict[str, float]:
    """Mean, sample standard deviation, minimum and maximum of (n,)."""
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)),
        "min": float(values.min()),
        "max": float(values.max()),
    }
