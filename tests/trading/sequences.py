"""Generated sequences of prices, actions and rules, and the comparison of the kernel with the decimal book."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from MLOps.config.trading import RewardConfig, TradingConfig
from MLOps.trading import Account, Ledger, Market
from tests.trading.engine import Bar, Book, decimal

# Absolute; numbers above a hundred thousand need more than the digits of a float64 for that.
TOLERANCE, ROUNDING = 1e-8, 1e-13
# Every scheme with every kind of account that it works with.
KINDS = (("discrete", "per_symbol"), ("weights", "per_symbol"), ("shares", "portfolio"), ("weights", "portfolio"))


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
    outages: float = 0.0,
    clock: np.ndarray | None = None,
) -> Market:
    """A market of random walks, whose symbols may have lives of their own and observations that are missing.

    `outages` is the chance that a bar is the first of a symbol's outage, `clock` the timestamps, daily without.
    """
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
    for symbol, bar in np.argwhere(rng.random(shape) < outages):
        away = slice(bar, bar + rng.choice([1, 1, 2, 4]))
        if np.isfinite(np.delete(prices[symbol, :, 0], away)).sum() > 1:
            prices[symbol, away] = np.nan
    observations = rng.normal(size=(*shape, n_features)).astype(np.float32)
    observations[rng.random(shape) < missing] = np.nan
    days = np.datetime64("2020-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "D")
    return Market(
        tuple(f"S{i}" for i in range(n_symbols)),
        days if clock is None else clock,
        prices,
        observations,
        tuple(f"f{i}" for i in range(n_features)),
        rng.random(n_bars) if turbulence else None,
        np.where(rng.random(shape) < 0.1, 0.0, np.exp(rng.normal(6, 2, shape))),
    )


def uneven_clock(rng: np.random.Generator, n_bars: int) -> np.ndarray:
    """Timestamps hours to weeks apart."""
    hours = np.cumsum(rng.choice([1, 24, 72, 500], n_bars))
    return np.datetime64("2020-01-01", "ns") + hours * np.timedelta64(1, "h")


def unlike_markets() -> dict[str, Market]:
    """Kinds of markets that share little: spacing, number of symbols, listings, outages, volume."""
    rng = np.random.default_rng(11)
    start = np.datetime64("2021-01-01", "ns")
    days = np.arange(100)
    weekdays = start + days[(days + 4) % 7 < 5] * np.timedelta64(1, "D")
    hours = start + np.arange(150) * np.timedelta64(1, "h")
    five_minutes = start + np.delete(np.arange(200), slice(90, 130)) * np.timedelta64(5, "m")
    markets = {
        "thirty daily stocks": random_market(
            rng, 30, len(weekdays), 0.02, 0.01, ragged=True, missing=0.02, outages=0.01, clock=weekdays
        ),
        "hourly coins": random_market(rng, 3, 150, 0.01, 0.0, outages=0.01, clock=hours),
        "five minutes with outages": random_market(rng, 2, 160, 0.002, 0.0, outages=0.05, clock=five_minutes),
        "one symbol": random_market(rng, 1, 100, 0.02, 0.01),
    }
    daily = random_market(rng, 3, len(weekdays), 0.02, 0.01, ragged=True, clock=weekdays)
    markets["no volume"] = Market(
        daily.symbols, daily.timestamps, daily.block.prices, daily.block.observations, daily.observation_names
    )
    return markets


@dataclass(frozen=True)
class Sequence:
    """One generated case: rules, a market, and every action that might be asked for, (S, B)."""

    config: TradingConfig
    market: Market
    actions: np.ndarray

    def policy(self, observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        chosen = self.actions[symbols, bar]
        return chosen if self.config.account == "per_symbol" else chosen[None]


def random_actions(rng: np.random.Generator, market: Market, scheme: str, holding: float) -> np.ndarray:
    """(S, B) actions, of which the fraction `holding` asks for nothing: long runs let stops, fees and gaps happen."""
    shape = (market.n_symbols, market.n_bars)
    held = rng.random(shape) < holding
    if scheme == "discrete":
        # Shorts begin by reversing, so that is asked for more often than the rest.
        return np.where(held, 0, rng.choice([*range(9), 3, 8, 8, 8], shape))
    return np.where(held, np.nan if scheme == "weights" else 0, rng.uniform(-1, 1, shape)).astype(np.float32)


def sometimes(low: float, high: float, none: Any = 0.0) -> st.SearchStrategy[Any]:
    return st.just(none) | st.floats(low, high)


@st.composite
def sequences(draw: st.DrawFn, kinds: tuple[tuple[str, str], ...] = KINDS) -> Sequence:
    scheme, account = draw(st.sampled_from(kinds))
    turbulence = draw(sometimes(0.5, 1.0, None))
    rules: Any = {"scheme": scheme, "account": account}
    config = TradingConfig(
        **rules,
        initial_cash=draw(st.sampled_from([300.0, 10_000.0, 100_000.0])),
        fill=draw(st.sampled_from(["next_open", "close"])),
        fee_bps=draw(sometimes(0.1, 300)),
        fee_fixed=draw(sometimes(0.01, 5)),
        slippage_bps=draw(sometimes(0.1, 100)),
        borrow_bps_per_year=draw(sometimes(1, 20_000)),
        allow_short=scheme != "shares" and draw(st.booleans()),
        maintenance_margin=draw(sometimes(0.0, 0.95, 0.3)),
        lot_size=draw(st.sampled_from([0.0, 0.0, 1.0, 5.0] + ([0.1] if scheme != "shares" else []))),
        max_position=draw(sometimes(0.1, 1.0, 1.0)),
        max_gross=draw(sometimes(0.1, 1.0, 1.0)) if (scheme, account) == ("weights", "portfolio") else 1.0,
        rebalance_band=draw(sometimes(0.01, 0.3)),
        max_participation=draw(sometimes(0.01, 1.0, None)),
        delisting_loss=draw(sometimes(0.0, 1.0, 0.3)),
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
    n_bars = draw(st.sampled_from([3, 10, 30, 60]))
    market = random_market(
        rng,
        draw(st.integers(1, 5 if account == "portfolio" else 2)),
        n_bars,
        volatility=draw(st.sampled_from([0.005, 0.03, 0.15])),
        gap=draw(st.sampled_from([0.002, 0.03, 0.15, 0.5])),
        drift=draw(st.sampled_from([-0.03, 0.0, 0.03])),
        ragged=draw(st.booleans()),
        missing=draw(st.sampled_from([0.0, 0.1])),
        turbulence=turbulence is not None,
        outages=draw(st.sampled_from([0.0, 0.05, 0.2])),
        clock=uneven_clock(rng, n_bars) if draw(st.booleans()) else None,
    )
    return Sequence(config, market, random_actions(rng, market, scheme, draw(st.sampled_from([0.1, 0.7]))))


def differences(case: Sequence, ledger: Ledger) -> list[str]:
    """What the kernel's ledger and the decimal book disagree on; empty when they agree at every bar."""
    market, config = case.market, case.config
    lines = [bars_of(market, symbol) for symbol in range(market.n_symbols)]
    if config.account == "portfolio":
        return account_differences(case, ledger, 0, list(range(market.n_symbols)), lines)
    found: list[str] = []
    for symbol, line in enumerate(lines):
        found += account_differences(case, ledger, symbol, [symbol], [line])
    return found


def account_differences(
    case: Sequence, ledger: Ledger, account: int, symbols: list[int], lines: list[list[Bar | None]]
) -> list[str]:
    """The same of one account, which holds `symbols`, whose bars are `lines`."""
    market, config = case.market, case.config
    n_bars = market.n_bars
    # An account of one symbol knows the bars of its symbol only; before the first it stands still.
    visited = [b for b in range(n_bars) if config.account == "portfolio" or b == 0 or lines[0][b] is not None]
    book, found = Book(config, len(symbols)), []
    book.see([line[0] for line in lines])
    for bar, arrival in pairwise(visited):
        now, then = [line[bar] for line in lines], [line[arrival] for line in lines]
        action: Any = case.actions[symbols, bar]
        if config.scheme == "discrete":
            action = action[0] if now[0] is not None and now[0].observable else 0
        before = book.cash
        reward = book.step(action, now, then, np.nan if market.turbulence is None else market.turbulence[bar])
        found += waits(ledger, account, symbols, bar, arrival)
        expected: dict[str, tuple[Any, Any]] = {
            "cash": (book.cash, ledger.cash[account, arrival]),
            "equity": (book.equity, ledger.equity[account, arrival]),
            "costs": (book.costs, ledger.costs[account, : arrival + 1].sum()),
            "reward": (reward, ledger.rewards[account, arrival]),
        }
        for i, s in enumerate(symbols):
            position = book.positions[i]
            expected[f"position {s}"] = (position.shares, ledger.position[s, arrival])
            expected[f"entry price {s}"] = (position.entry, ledger.entry_price[s, arrival])
            expected[f"holding bars {s}"] = (position.bars, ledger.holding_bars[s, arrival])
            for fills, kind in ((book.orders, "order"), (book.exits, "exit")):
                fill = next((f for f in fills if f.symbol == i), None)
                shares, price = getattr(ledger, f"{kind}_shares"), getattr(ledger, f"{kind}_price")
                expected[f"{kind} {s}"] = (fill.shares if fill else 0, shares[s, arrival])
                expected[f"{kind} price {s}"] = (fill.price if fill else np.nan, price[s, arrival])
        for what, (right, got) in expected.items():
            if not agree(float(right), float(got)):
                found.append(f"bar {arrival}: {what} should be {float(right)!r}, is {float(got)!r}")
        if not book.bankrupt:
            found += debts(book, float(before), arrival, config)
        if found:
            return found
    return waits(ledger, account, symbols, visited[-1], n_bars)


def waits(ledger: Ledger, account: int, symbols: list[int], bar: int, arrival: int) -> list[str]:
    """Where the ledger of an account changes between `bar` and `arrival`, at which its symbol has no bar."""
    between = slice(bar + 1, arrival)
    kept = [(name, getattr(ledger, name)[account]) for name in ("cash", "equity")]
    kept += [(name, getattr(ledger, name)[s]) for name in ("position", "entry_price", "holding_bars") for s in symbols]
    nothing = [(name, getattr(ledger, name)[account]) for name in ("costs", "rewards")]
    nothing += [(name, getattr(ledger, name)[s]) for name in ("order_shares", "exit_shares") for s in symbols]
    changed = [name for name, values in kept if (values[between] != values[bar]).any()]
    changed += [name for name, values in nothing if values[between].any()]
    return [f"{name} should not change between the bars {bar} and {arrival}" for name in changed]


def debts(book: Book, cash_before: float, bar: int, config: TradingConfig) -> list[str]:
    """No order makes a debt. What is forced on a portfolio may; an account of one symbol is then bankrupt."""
    held = sum(abs(p.shares) * p.mark for p in book.positions)
    overdrawn = Account(float(book.cash), float(held)).overdrawn(1.0)
    if overdrawn and (config.account == "per_symbol" or (not book.forced and float(book.cash) < cash_before - 1e-9)):
        return [f"bar {bar}: cash {float(book.cash)!r}, before {cash_before!r}"]
    return []


def agree(right: float, got: float) -> bool:
    if np.isnan(right) or np.isnan(got):
        return bool(np.isnan(right) and np.isnan(got))
    return abs(right - got) <= max(TOLERANCE, ROUNDING * abs(right))


def bars_of(market: Market, symbol: int) -> list[Bar | None]:
    """The symbol's bars for the book, None where there is none; only the last may be the end of its life."""
    alive = market.alive[symbol]
    own = np.flatnonzero(alive)
    absences = [int(b) for b in np.diff([*own, len(alive)]) - 1]
    ended = absences[-1] > 5 and absences[-1] > max(absences[:-1], default=0)
    columns = (market.open, market.high, market.low, market.close)
    start = market.timestamps[0]
    bars: list[Bar | None] = [None] * len(alive)
    for bar in own:
        open_, high, low, close = (decimal(prices[symbol, bar]) for prices in columns)
        bars[bar] = Bar(
            open=open_,
            high=high,
            low=low,
            close=close,
            volume=None if market.volume is None else decimal(market.volume[symbol, bar]),
            day=decimal((market.timestamps[bar] - start) / np.timedelta64(1, "D")),
            final=bool(ended and bar == own[-1]),
            observable=bool(market.observable[symbol, bar]),
        )
    return bars
