"""How often the gate promotes what has no edge, and what has one.

    python -m benchmarks.gate --json FILE [--only null|power|edge] [--markets N] [--edges BPS ...] [--workers N]

In the parts `null` and `power` given policies trade four symbols over five years of daily bars by the default trading
rules. In the part `edge` the whole recipe of params.yaml is repeated in every walk-forward window of a market of
`data.source: synthetic`, as the stages do it. The gate of params.yaml judges, without a champion. Shares have
Clopper-Pearson bounds, `_lower` and `_upper`, 95 % two-sided. The file is flat:

- `false_promotions_1`: share of null markets on which a policy is promoted that looks at past returns and cannot earn
  from them; `false_promotions_50`: the same of the best of 50 such policies by their Sharpe ratio over the very bars
  that judge it, the other 49 being trials. With a suffix for each kind of null market, a quarter of all: `random_walk`;
  `drift`, one that rises by an annual Sharpe ratio of about 0.5; `garch`, with changing volatility and Student's t;
  `costs`, whose autocorrelation earns less than it costs to trade.
- `power_sharpe`: share of markets with a planted drift on which a policy is promoted whose true annual Sharpe ratio is
  1.5 above buy-and-hold's; `power_sharpe_true`: that difference as it was set, from the policy's expected returns.
- `power_edge_20`: share of markets with an edge of 20 bps on which the recipe is promoted, 1 500 bars of four symbols
  end to end; likewise for each of `--edges`. `refused_edge_20_<check>`: share on which this check fails. A market takes
  minutes. The file is written after every one, and finished windows stay in .cache/gate_benchmark, so that the
  same command continues an interrupted run.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.signal import lfilter

from benchmarks.end_to_end import Market as PlantedMarket
from benchmarks.end_to_end import decide
from benchmarks.planted import Task, plant, scores_bps
from benchmarks.shares import share
from MLOps.config.params import Params, load_params, parse_yaml
from MLOps.config.trading import TradingConfig
from MLOps.evaluation import baselines
from MLOps.evaluation.evidence import Evidence
from MLOps.evaluation.gate import Case, judge
from MLOps.evaluation.performance import Portfolio
from MLOps.evaluation.report import AGENT, BUY_AND_HOLD
from MLOps.execution.processes import Processes, cores
from MLOps.statistics.returns import sharpe
from MLOps.trading import Market, simulate
from MLOps.trading.simulation import Policy

PARAMS = Path(__file__).parents[1] / "params.yaml"
SYMBOLS, BARS, BARS_PER_YEAR = 4, 5 * 252, 252
VOLATILITY = 0.01  # of a bar
TRIALS = 50
NULLS = ("random_walk", "drift", "garch", "costs")
DRIFT = 0.0002  # a bar
AUTOCORRELATION = 0.1  # earns 8 bps a bar at most, of 24 bps that a change of side costs every other bar
LAGS = 20  # bars that a policy without skill looks at
REGIME_BARS = 20
ADVANTAGE = 1.5  # annual Sharpe ratio above buy-and-hold's
LONG_RUN = (4, 50_000)  # symbols and bars that the true Sharpe ratio is computed on
EDGES_BPS = (20.0, 0.0)
MARKETS = {"null": 200, "power": 200, "edge": 20}


def null_returns(kind: str, seed: int) -> NDArray[np.float64]:
    """Log returns (SYMBOLS, LAGS + BARS) that no policy can earn from after costs."""
    generator = np.random.default_rng([seed, NULLS.index(kind)])
    shape = (SYMBOLS, LAGS + BARS)
    shared, own = generator.standard_normal(shape[1]), generator.standard_normal(shape)
    noise = (shared + own) / np.sqrt(2)
    if kind == "garch":
        noise = noise * np.sqrt(4 / generator.chisquare(6, shape[1]))  # Student's t with 6 degrees, variance 1
        variance, returns = np.full(SYMBOLS, VOLATILITY**2), np.empty(shape)
        for bar in range(shape[1]):
            returns[:, bar] = np.sqrt(variance) * noise[:, bar]
            variance = 0.05 * VOLATILITY**2 + 0.1 * returns[:, bar] ** 2 + 0.85 * variance
        return returns
    if kind == "costs":
        scale = VOLATILITY * np.sqrt(1 - AUTOCORRELATION**2)
        return np.asarray(lfilter([scale], [1, -AUTOCORRELATION], noise, axis=1))
    return VOLATILITY * noise + (DRIFT if kind == "drift" else 0.0)


def market_of(returns: NDArray[np.float64]) -> Market:
    """A market whose bars open where the last one closed; to observe are the last LAGS returns, newest first."""
    closes = 100 * np.exp(np.cumsum(returns, axis=1))[:, LAGS - 1 :]
    opened, closes = closes[:, :-1], closes[:, 1:]
    lagged = np.lib.stride_tricks.sliding_window_view(returns, LAGS, axis=1)[:, 1:, ::-1] / VOLATILITY
    return Market(
        tuple(f"S{number:02d}" for number in range(SYMBOLS)),
        np.datetime64("2000-01-03", "ns") + np.arange(BARS) * np.timedelta64(1, "D"),
        np.stack([opened, np.maximum(opened, closes), np.minimum(opened, closes), closes], axis=2),
        lagged.astype(np.float32),
        tuple(f"return_{lag}" for lag in range(LAGS)),
    )


def unskilled(seed: int) -> Policy:
    """Long, short or as before by a random weighting of past returns, from quick reversals to slow trends."""
    generator = np.random.default_rng(seed)
    weights = generator.normal(0.0, 1.0, LAGS) * np.exp(-np.arange(LAGS) / generator.uniform(1, LAGS))
    weights += generator.choice([-1, 1]) * generator.uniform(0, 0.5)
    weights /= np.linalg.norm(weights)
    threshold = generator.uniform(0, 1.5)

    def policy(observations: np.ndarray, *_: object) -> np.ndarray:
        score = observations[:, :LAGS] @ weights
        return np.where(np.abs(score) > threshold, np.sign(score), np.nan)

    return policy


def promoted(policy: Policy, market: Market, params: Params, seed: int, trials: dict[str, Portfolio]) -> bool:
    """The whole decision on one policy; `trials` are all that were looked at, its own among them."""
    plain = baselines.in_weights(params.trading)
    ledger = simulate(policy, market, params.trading)
    held = Portfolio.of(simulate(baselines.buy_and_hold(market, plain), market, plain))
    own = Portfolio.of(ledger)
    returns = {AGENT: own.returns, BUY_AND_HOLD: held.returns}
    case = Case(
        Evidence(own.timestamps[1:], np.zeros(len(own.returns), np.int64), returns, BARS_PER_YEAR),
        np.empty(0),
        pd.DataFrame({name: trial.returns for name, trial in trials.items()}, index=own.timestamps[1:]),
        params.backtest.bootstrap_samples,
        seed,
    )
    # Random timing takes most of the time, and cannot promote what another check refuses.
    if not all(result.passed for result in judge(case, replace(params.gate, random_timing=None))):
        return False
    draws = baselines.random_timing(ledger, market, params.trading, params.backtest.random_draws, seed)
    case = replace(case, random_total_returns=np.array([Portfolio.of(draw).total_return for draw in draws]))
    return all(result.passed for result in judge(case, params.gate))


def on_null_market(kind: str, seed: int, params: Params) -> tuple[bool, bool]:
    """Whether the first of TRIALS unskilled policies is promoted as a single one, and whether the best is."""
    market = market_of(null_returns(kind, seed))
    policies = [unskilled(TRIALS * seed + number) for number in range(TRIALS)]
    trials = {str(number): Portfolio.of(simulate(own, market, params.trading)) for number, own in enumerate(policies)}
    best = max(trials, key=lambda name: sharpe(trials[name].returns, 1))
    first = promoted(policies[0], market, params, seed, {"0": trials["0"]})
    return first, promoted(policies[int(best)], market, params, seed, trials)


def null(markets: int, params: Params) -> dict[str, float]:
    outcomes = []
    for seed in range(markets):
        outcomes.append(on_null_market(NULLS[seed % len(NULLS)], seed, params))
        told("null", seed + 1, markets, np.sum(outcomes, axis=0).tolist())
    figures: dict[str, float] = {}
    for name, column in zip(("false_promotions_1", "false_promotions_50"), zip(*outcomes, strict=True), strict=True):
        figures |= share(name, sum(column), len(column))
        figures |= {f"{name}_{kind}": float(np.mean(column[place :: len(NULLS)])) for place, kind in enumerate(NULLS)}
    return figures


def rule(observations: np.ndarray, *_: object) -> np.ndarray:
    """Long where a rise is likelier, short elsewhere."""
    return np.sign(observations[:, 0])


def task_of(edge_bps: float, trading: TradingConfig) -> Task:
    """A market whose signs can be forecast, with the costs of `trading`."""
    return Task(edge_bps, REGIME_BARS, trading.fee_bps, trading.slippage_bps)


def calibrated(trading: TradingConfig) -> tuple[Task, float]:
    """The task with an edge at which the rule's true annual Sharpe ratio is ADVANTAGE above buy-and-hold's, and what it
    is: the mean of expected returns less costs, over the deviation of returns, of equal parts of SYMBOLS symbols."""

    def true_sharpe(edge_bps: float) -> float:
        planted = plant(task_of(edge_bps, trading), *LONG_RUN, seed=0)
        ledger = simulate(rule, planted.market, trading)
        # Of single accounts, since over 200 years their equities part.
        own = np.diff(ledger.equity, axis=1) / ledger.equity[:, :-1]
        deviation = own.mean(axis=0).std(ddof=1)
        return float(scores_bps(ledger, planted).mean() / 1e4 / deviation * np.sqrt(BARS_PER_YEAR))

    low, high = 0.0, 40.0
    while high - low > 0.05:
        middle = (low + high) / 2
        low, high = (middle, high) if true_sharpe(middle) < ADVANTAGE else (low, middle)
    return task_of(high, trading), true_sharpe(high)


def power(markets: int, params: Params) -> dict[str, float]:
    # Buy-and-hold's own is 0: the drift is as often up as down.
    task, true = calibrated(params.trading)
    found = []
    for seed in range(markets):
        market = plant(task, SYMBOLS, BARS, seed=1 + seed).market
        trial = Portfolio.of(simulate(rule, market, params.trading))
        found.append(promoted(rule, market, params, seed, {"0": trial}))
        told("power", seed + 1, markets, [sum(found)])
    return {
        **share("power_sharpe", sum(found), len(found)),
        "power_sharpe_true": true,
        "power_sharpe_edge_bps": task.edge_bps,
    }


def edge(
    markets: int, edges_bps: Sequence[float], workers: int, save: Callable[[dict[str, float]], None]
) -> dict[str, float]:
    """Edges in turn, so that an interrupted run has measured all of them on equally many markets."""
    values = parse_yaml(PARAMS.read_text())
    planned = [PlantedMarket(edge_bps, seed, values) for seed in range(markets) for edge_bps in edges_bps]
    failed: dict[float, list[list[str]]] = {edge_bps: [] for edge_bps in edges_bps}
    figures: dict[str, float] = {}
    with closing(Processes(workers)) as processes:
        for number, results in processes.results(decide, planned):
            market = planned[number]
            own = failed[market.edge_bps]
            own.append([result.name for result in results if not result.passed])
            name = f"edge_{market.edge_bps:g}"
            figures |= share(f"power_{name}", sum(not checks for checks in own), len(own))
            figures[f"markets_{name}"] = len(own)
            figures |= {f"refused_{name}_{result.name}": refused(own, result.name) for result in results}
            save(figures)
        verdict = f"refused by {', '.join(own[-1])}" if own[-1] else "promoted"
        print(f"edge {market.edge_bps:g} bps, seed {market.seed}: {verdict}", file=sys.stderr, flush=True)
    return figures


def refused(failed: Sequence[Sequence[str]], check: str) -> float:
    return float(np.mean([check in checks for checks in failed]))


def told(part: str, done: int, of: int, counts: list[int]) -> None:
    print(f"\r{part}: {done} of {of}, promoted {' '.join(map(str, counts))}", end="", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--only", choices=MARKETS, help="one part of the benchmark")
    parser.add_argument("--markets", type=int, help=f"number of markets of each part and edge (default: {MARKETS})")
    parser.add_argument("--edges", type=float, nargs="+", default=EDGES_BPS, help="of the part edge, bps")
    parser.add_argument("--workers", type=int, default=cores(), help="processes of the part edge")
    options = parser.parse_args()
    params = load_params(PARAMS)
    figures: dict[str, float] = {}

    def save(more: dict[str, float]) -> None:
        figures.update(more)
        if options.json:
            options.json.write_text(json.dumps(figures, indent=2) + "\n")

    for part in [options.only] if options.only else MARKETS:
        markets = options.markets or MARKETS[part]
        if part == "edge":
            edge(markets, options.edges, options.workers, save)
        else:
            save({"null": null, "power": power}[part](markets, params))
        print(file=sys.stderr)
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
