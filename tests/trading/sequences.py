"""Generated sequences of prices, actions and rules, and the comparison of the kernel with the decimal book."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from MLOps.config.trading import RewardConfig, TradingConfig
from MLOps.trading import Ledger, Market
from tests.trading.engine import Bar, Book, decimal

TOLERANCE = 1e-8


def random_market(
    rng: np.random.Generator,
    n_symbols: int = 1,
    n_bars: int = 40,
    volatility: float = 0.03,
    gap: float = 0.01,
    drift: float = 0.0,
    n_features: int = 2,
    ragged: bool = False,
    missing: float = 0.0,
    turbulence: bool = False,
) -> Market:
    """A market of random walks, whose symbols may have lives of their own and observations that are missing."""
    shape = (n_symbols, n_bars)
    gaps, moves = rng.normal(0, gap, shape), rng.normal(drift, volatility, shape)
    close = 50 * np.exp(np.cumsum(gaps + moves, axis=1))
    open_ = close / np.exp(moves)
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, volatility / 2, shape)))
    low = np.minimum(open_, close) / np.exp(np.abs(rng.normal(0, volatility / 2, shape)))
    prices = np.stack([open_, high, low, close], axis=-1)
    if ragged:
        for symbol in range(1, n_symbols):
            begin = int(rng.integers(0, n_bars // 2))
            end = int(rng.integers(begin + 2, n_bars + 1))
            prices[symbol, :begin] = prices[symbol, end:] = np.nan
    observations = rng.normal(size=(*shape, n_features)).astype(np.float32)
    observations[rng.random(shape) < missing] = np.nan
    return Market(
        tuple(f"S{i}" for i in range(n_symbols)),
        np.datetime64("2020-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D"),
        prices,
        observations,
        tuple(f"f{i}" for i in range(n_features)),
        rng.random(n_bars) if turbulence else None,
    )


@dataclass(frozen=True)
class Sequence:
    """One generated case: rules, a market, and every action that might be asked for, (S, B)."""

    config: TradingConfig
    market: Market
    actions: np.ndarray

    def policy(self, observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        chosen = self.actions[symbols, bar]
        return chosen if self.config.scheme == "discrete" else chosen[None]


def sometimes(low: float, high: float, none: Any = 0.0) -> st.SearchStrategy[Any]:
    return st.just(none) | st.floats(low, high)


@st.composite
def sequences(draw: st.DrawFn, schemes: tuple[str, ...] = ("discrete",)) -> Sequence:
    scheme: Any = draw(st.sampled_from(schemes))
    turbulence = draw(sometimes(0.5, 1.0, None))
    config = TradingConfig(
        initial_cash=draw(st.sampled_from([300.0, 10_000.0, 100_000.0])),
        scheme=scheme,
        fill=draw(st.sampled_from(["next_open", "close"])),
        fee_bps=draw(sometimes(0.1, 300)),
        fee_fixed=draw(sometimes(0.01, 5)),
        slippage_bps=draw(sometimes(0.1, 100)),
        borrow_bps_per_bar=draw(sometimes(0.1, 50)),
        allow_short=scheme != "shares" and draw(st.booleans()),
        lot_size=draw(st.sampled_from([0.0, 0.0, 1.0, 5.0] + ([0.1] if scheme != "shares" else []))),
        max_position=draw(sometimes(0.1, 1.0, 1.0)),
        max_order_shares=draw(st.integers(1, 500)),
        stop_loss=draw(sometimes(0.002, 0.2, None)),
        take_profit=draw(sometimes(0.002, 0.3, None)),
        turbulence_stop=turbulence,
        reward=RewardConfig(
            scheme=draw(st.sampled_from(["pnl", "weighted", "differential_sharpe"])),
            cost_penalty=draw(sometimes(0.1, 2)),
            drawdown_penalty=draw(sometimes(0.1, 2)),
            sharpe_bonus=draw(sometimes(0.1, 2)),
            sharpe_bars=draw(st.integers(2, 100)),
        ),
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_symbols = 1 if scheme == "discrete" else draw(st.integers(1, 5))
    market = random_market(
        rng,
        n_symbols,
        draw(st.sampled_from([3, 10, 30, 60])),
        volatility=draw(st.sampled_from([0.005, 0.03, 0.15])),
        gap=draw(st.sampled_from([0.002, 0.03, 0.15, 0.5])),
        drift=draw(st.sampled_from([-0.03, 0.0, 0.03])),
        ragged=draw(st.booleans()),
        missing=draw(st.sampled_from([0.0, 0.1])),
        turbulence=turbulence is not None,
    )
    shape = (market.n_symbols, market.n_bars)
    if scheme == "discrete":
        # Long runs of holding let stops, rents and gaps happen.
        held = rng.random(shape) < draw(st.sampled_from([0.1, 0.7]))
        # Shorts begin by reversing, so that is asked for more often than the rest.
        actions = np.where(held, 0, rng.choice([*range(9), 8, 8, 8], shape))
    else:
        actions = rng.uniform(-1, 1, shape).astype(np.float32)
    return Sequence(config, market, actions)


def differences(case: Sequence, ledger: Ledger) -> list[str]:
    """What the kernel's ledger and the decimal book disagree on; empty when they agree at every bar."""
    market, config = case.market, case.config
    groups = [[s] for s in range(market.n_symbols)]
    if config.scheme != "discrete":
        groups = [list(range(market.n_symbols))]
    found: list[str] = []
    for account, symbols in enumerate(groups):
        book = Book(config, len(symbols))
        lines = [[bar_of(market, s, b) for s in symbols] for b in range(market.n_bars)]
        for bar in range(market.n_bars - 1):
            now, then = lines[bar], lines[bar + 1]
            seen = [bool(market.observable[s, bar]) for s in symbols]
            action: Any = case.actions[symbols, bar]
            if config.scheme == "discrete":
                action = action[0] if seen[0] else 0
            turbulence = np.nan if market.turbulence is None else market.turbulence[bar]
            reward = book.step(action, now, then, seen, turbulence)
            expected: dict[str, tuple[Any, Any]] = {
                "cash": (book.cash, ledger.cash[account, bar + 1]),
                "equity": (book.equity, ledger.equity[account, bar + 1]),
                "costs": (book.costs, ledger.costs[account, : bar + 2].sum()),
                "reward": (reward, ledger.rewards[account, bar + 1]),
            }
            for i, s in enumerate(symbols):
                expected[f"position {s}"] = (book.positions[i].shares, ledger.position[s, bar + 1])
                for fills, kind in ((book.orders, "order"), (book.exits, "exit")):
                    fill = next((f for f in fills if f.symbol == i), None)
                    shares, price = getattr(ledger, f"{kind}_shares"), getattr(ledger, f"{kind}_price")
                    expected[f"{kind} {s}"] = (fill.shares if fill else 0, shares[s, bar + 1])
                    expected[f"{kind} price {s}"] = (fill.price if fill else np.nan, price[s, bar + 1])
            for what, (right, got) in expected.items():
                if not close(float(right), float(got)):
                    found.append(f"bar {bar + 1}: {what} should be {float(right)!r}, is {float(got)!r}")
            if found:
                return found
    return found


def close(right: float, got: float) -> bool:
    if np.isnan(right) or np.isnan(got):
        return bool(np.isnan(right) and np.isnan(got))
    return abs(right - got) <= TOLERANCE


def bar_of(market: Market, symbol: int, bar: int) -> Bar | None:
    if not market.alive[symbol, bar]:
        return None
    return Bar(*(decimal(prices[symbol, bar]) for prices in (market.open, market.high, market.low, market.close)))
