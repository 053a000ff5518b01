"""Tables and series of a policy's returns: monthly returns, rolling Sharpe ratio, drawdowns, distribution."""

import numpy as np
import pandas as pd

from MLOps.statistics.returns import NO_VARIATION

ROLLING_YEARS = 0.5
MIN_ROLLING_BARS = 20
TAIL = 0.05  # of the historical value at risk and expected shortfall


def monthly_returns(returns: pd.Series) -> pd.DataFrame:
    """Compounded returns, a row a year and a column a month (1 to 12), NaN without bars; and `year` for the whole."""
    growth = (1 + returns).groupby([returns.index.year, returns.index.month]).prod() - 1
    table = growth.unstack().reindex(columns=range(1, 13))
    table["year"] = (1 + returns).groupby(returns.index.year).prod() - 1
    return table


def rolling_bars(bars: int, bars_per_year: int) -> int:
    """Half a year, or a quarter of the returns where there are not two years of them."""
    return max(MIN_ROLLING_BARS, min(round(ROLLING_YEARS * bars_per_year), bars // 4))


def rolling_sharpe(returns: pd.Series, window: int, bars_per_year: int) -> pd.Series:
    """Annualised Sharpe ratio of the last `window` returns; 0 where they are constant, NaN before there are as many."""
    rolling = returns.rolling(window)
    deviation = rolling.std()
    ratio = rolling.mean() / deviation.where(deviation > NO_VARIATION) * np.sqrt(bars_per_year)
    return ratio.where(deviation.isna() | (deviation > NO_VARIATION), 0.0)


def drawdown(returns: pd.Series) -> pd.Series:
    """Equity under its highest value so far, as a fraction, at most 0."""
    equity = (1 + returns).cumprod()
    return equity / equity.cummax().clip(lower=1.0) - 1


def worst_drawdowns(returns: pd.Series, count: int = 5) -> pd.DataFrame:
    """The deepest: depth, the bars at which each began, was deepest and was recovered (NaT if it was not), its bars."""
    under = drawdown(returns)
    below = under < 0
    number = (below & ~below.shift(fill_value=False)).cumsum()
    rows = [
        {
            "depth": own.min(),
            "start": own.index[0],
            "deepest": own.idxmin(),
            "recovered": pd.NaT if own.index[-1] == under.index[-1] else under.index[under.index > own.index[-1]][0],
            "bars": len(own),
        }
        for _, own in under[below].groupby(number[below])
    ]
    table = pd.DataFrame(rows, columns=["depth", "start", "deepest", "recovered", "bars"])
    return table.sort_values("depth", kind="stable", ignore_index=True).head(count)


def distribution(returns: pd.Series) -> dict[str, float]:
    """Of returns per bar: the best and the worst, historical value at risk and expected shortfall."""
    ordered = np.sort(returns.to_numpy())
    tail = max(1, round(TAIL * len(ordered)))
    return {
        "best bar": float(ordered[-1]),
        "worst bar": float(ordered[0]),
        f"value at risk, {TAIL:.0%} of bars": float(-ordered[tail - 1]),
        f"expected shortfall, {TAIL:.0%} of bars": float(-ordered[:tail].mean()),
    }
