"""Markets with a planted edge, the best that can be earned on them, and the score of a ledger.

A hidden sign s = ±1 flips with probability 1/regime_bars at each bar, a two-state Markov chain as in Hamilton (1989).
The log return of a bar is a jump to its open and a path to its close, both normal. The expected return of the jump is 0
and that of the path s·edge, as returns and not logarithms, so that without an edge open and close are martingales.

At a bar's close a forecaster sees the sign of the next bar through noise: s·EVIDENCE + z, z standard normal. Alone that
tells the sign in 93 of 100 bars. An agent observes its account and two columns: `signal` = 2p - 1, where p is the
Bayes-optimal probability of s = 1 given all evidence and all returns so far, and `return_1`, the bar's log return over
the volatility, which adds nothing to the signal. Without an edge the forecasts vary as much, but signs move no price.
`with_uncertainty` adds a third column, 1 - |2p - 1|.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from MLOps.config.trading import TradingConfig
from MLOps.trading import Ledger, Market

COLUMNS = ("signal", "return_1")
UNCERTAINTY_COLUMN = "planted_uncertainty"
EVIDENCE = 1.5
JUMP_SHARE = 0.25  # of a bar's variance between the previous close and the open
NODES = 24  # of the quadrature over each of the two observations
LOG_ODDS = np.linspace(-25, 25, 501)  # grid of the posterior; beyond it the sign is certain
TOLERANCE = 1e-9  # of the average reward


@dataclass(frozen=True)
class Task:
    """A market's size of edge and mean regime length, the costs a side, and how far a position may drift for them."""

    edge_bps: float
    regime_bars: int
    fee_bps: float
    slippage_bps: float = 0.0
    rebalance_band: float = 0.0
    volatility_bps: float = 100.0

    @property
    def edge(self) -> float:
        return self.edge_bps / 1e4

    @property
    def flip(self) -> float:
        """Probability that the sign flips at a bar."""
        return 1 / self.regime_bars

    @property
    def path_variance(self) -> float:
        return (1 - JUMP_SHARE) * (self.volatility_bps / 1e4) ** 2

    def trading(self, **changes: Any) -> TradingConfig:
        """Long and short with the task's costs; borrowing is free, so that both sides are alike."""
        return TradingConfig(
            **{
                "allow_short": True,
                "borrow_bps_per_year": 0.0,
                "fee_bps": self.fee_bps,
                "slippage_bps": self.slippage_bps,
                "rebalance_band": self.rebalance_band,
                **changes,
            }
        )


@dataclass(frozen=True)
class Planted:
    """A market and the expected return of each bar from open to close, (S, B), given its hidden sign."""

    market: Market
    drift: NDArray[np.float64]


def plant(task: Task, symbols: int, bars: int, seed: int) -> Planted:
    """A market of `task`."""
    rng = np.random.default_rng(seed)
    shape = (symbols, bars)
    flips = rng.random((symbols, bars + 1)) < task.flip
    signs = np.where((np.cumsum(flips, axis=1) + rng.integers(2, size=(symbols, 1))) % 2 == 0, 1.0, -1.0)
    evidence = signs[:, 1:] * EVIDENCE + rng.standard_normal(shape)
    signs = signs[:, :-1]
    variance, volatility = task.path_variance, task.volatility_bps / 1e4
    jump_variance = volatility**2 - variance
    jump = rng.normal(-jump_variance / 2, np.sqrt(jump_variance), shape)
    path = rng.normal(-variance / 2, np.sqrt(variance), shape) + np.log1p(signs * task.edge)
    up = _up_probabilities(task, path, evidence)
    close = 100 * np.exp(np.cumsum(jump + path, axis=1))
    open_ = close / np.exp(path)
    market = Market(
        tuple(f"S{i:03d}" for i in range(symbols)),
        np.datetime64("2000-01-01", "ns") + np.arange(bars) * np.timedelta64(1, "D"),
        np.stack([open_, np.maximum(open_, close), np.minimum(open_, close), close], axis=2),
        np.stack([2 * up - 1, (jump + path) / volatility], axis=2).astype(np.float32),
        COLUMNS,
    )
    return Planted(market, signs * task.edge)


def with_uncertainty(planted: Planted) -> Planted:
    """The market with the forecaster's uncertainty 1 - |signal| as a further column."""
    market = planted.market
    uncertainty = 1 - np.abs(market.observations[..., :1])
    observations = np.concatenate([market.observations, uncertainty], axis=2)
    columns = (*market.observation_names, UNCERTAINTY_COLUMN)
    return Planted(Market(market.symbols, market.timestamps, market.block.prices, observations, columns), planted.drift)


def _up_probabilities(task: Task, path: NDArray[Any], evidence: NDArray[Any]) -> NDArray[np.float64]:
    """The forward filter (Rabiner 1989): (S, B) probabilities that the next sign is 1."""
    # Of two normals at middle ± m, an observation x shifts the log odds by 2m·(x - middle) / variance.
    middle = np.log1p(-(task.edge**2)) / 2 - task.path_variance / 2
    from_path = 2 * np.arctanh(task.edge) * (path - middle) / task.path_variance
    from_evidence = 2 * EVIDENCE * evidence
    up = np.full(path.shape[0], 0.5)
    result = np.empty(path.shape)
    for bar in range(path.shape[1]):
        present = expit(logit(up) + from_path[:, bar])
        ahead = present * (1 - task.flip) + (1 - present) * task.flip
        result[:, bar] = up = expit(logit(ahead) + from_evidence[:, bar])
    return result


def scores_bps(ledger: Ledger, planted: Planted) -> NDArray[np.float64]:
    """(S,) mean over bars of exposure × drift - costs: the expected return a bar, without the noise of the returns.

    The exposure of a bar is the position after its open over the equity there; costs are relative to the equity before.
    """
    value = ledger.position * planted.market.open
    exposure = value / (ledger.cash + value)
    earned = (exposure * planted.drift)[:, 1:] - ledger.costs[:, 1:] / ledger.equity[:, :-1]
    return earned.mean(axis=1) * 1e4


@dataclass(frozen=True)
class Optimum:
    """The best policy over posterior and position.

    Attributes:
        average_bps: its mean reward a bar.
        positions: (P,) the positions it chooses from, fractions of equity.
        targets: (G, P) its choice at each of `LOG_ODDS` and each position held.
    """

    average_bps: float
    positions: NDArray[np.float64]
    targets: NDArray[np.float64]

    def policy(self, observations: NDArray[np.float32], _symbols: NDArray[np.intp], _bar: int) -> NDArray[np.float32]:
        """The target weights, with the signature of `simulation.Policy`."""
        odds = logit(np.clip((1 + observations[:, 0].astype(np.float64)) / 2, 1e-9, 1 - 1e-9))
        row = np.rint((odds - LOG_ODDS[0]) / (LOG_ODDS[1] - LOG_ODDS[0])).astype(int)
        held = np.abs(observations[:, len(COLUMNS), None] - self.positions).argmin(axis=1)
        return self.targets[row, held].astype(np.float32)


def solve(task: Task, positions: tuple[float, ...] = (-1.0, 0.0, 1.0)) -> Optimum:
    """The optimum of the average reward a bar, by relative value iteration (Puterman 1994, section 8.5).

    A reward is position × expected drift of the next bar - costs of the change of position, both linear in positions.
    So the problem separates over levels of exposure (long above a level or short below it), which share one best rule:
    a finer list of positions earns no more than -1 and 1, and 0 serves the start only.
    """
    held = np.asarray(positions)
    cost = (task.fee_bps + task.slippage_bps) / 1e4
    up = expit(LOG_ODDS)
    drift = (2 * up - 1) * task.edge
    # (G, from, to)
    rewards = drift[:, None, None] * held - cost * np.abs(held - held[:, None])
    transitions = _transitions(task)
    values = np.zeros((len(LOG_ODDS), len(held)))
    while True:
        actions = rewards + (transitions @ values)[:, None, :]
        best = actions.max(axis=2)
        change = best - values
        values = best - best.max()
        if np.ptp(change) <= TOLERANCE:
            break
    average = (change.min() + change.max()) / 2
    return Optimum(float(average * 1e4), held, held[actions.argmax(axis=2)])


def _transitions(task: Task) -> NDArray[np.float64]:
    """(G, G) probabilities of the next posterior's log odds given the present ones.

    An observation of a sign s that is normal with means ±m and variance v shifts the log odds by a normal number of
    mean s·2m²/v and variance 4m²/v. The path of a bar tells of its own sign, the forecaster's evidence of the next.
    """
    flip, path, evidence = task.flip, 2 * np.arctanh(task.edge) ** 2 / task.path_variance, 2 * EVIDENCE**2
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    weights /= weights.sum()
    size, step = len(LOG_ODDS), LOG_ODDS[1] - LOG_ODDS[0]
    result = np.zeros((size, size))
    rows = np.arange(size)[:, None]
    for sign in (-1, 1):
        for coming in (-1, 1):
            chance = expit(sign * LOG_ODDS)[:, None] * (flip if sign != coming else 1 - flip)
            for node, weight in zip(nodes, weights, strict=True):
                present = expit(LOG_ODDS + sign * path + np.sqrt(2 * path) * node)
                ahead = logit(present * (1 - flip) + (1 - present) * flip)
                shifted = ahead[:, None] + coming * evidence + np.sqrt(2 * evidence) * nodes
                place = np.clip((shifted - LOG_ODDS[0]) / step, 0, size - 1)
                low = np.minimum(place.astype(int), size - 2)
                mass = chance * weight * weights
                np.add.at(result, (rows, low), mass * (low + 1 - place))
                np.add.at(result, (rows, low + 1), mass * (place - low))
    return result
