"""The kernel against an independent book in decimal arithmetic, on generated sequences and with planted faults."""

import math
import re
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from MLOps.config.trading import RewardConfig, TradingConfig
from MLOps.trading import kernel, simulate, simulation
from tests.trading.sequences import Sequence, differences, random_market, sequences

lenient = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def check(case: Sequence) -> None:
    ledger = simulate(case.policy, case.market, case.config)
    assert not differences(case, ledger)
    # The same, said by the ledger itself: equity = cash + sum of position x last close.
    marks = np.zeros(case.market.n_symbols)
    for bar in range(case.market.n_bars):
        marks = np.where(case.market.alive[:, bar], case.market.close[:, bar], marks)
        value = ledger.position[:, bar] * marks
        value = value if case.config.scheme == "discrete" else value.sum()
        assert np.allclose(ledger.cash[:, bar] + value, ledger.equity[:, bar], rtol=1e-13, atol=1e-9)


@settings(lenient, max_examples=1_200)
@given(sequences(("discrete",)))
def test_the_kernel_agrees_with_the_decimal_book(case: Sequence) -> None:
    check(case)


@settings(lenient, max_examples=800)
@given(sequences(("shares", "weights")))
def test_the_kernel_agrees_with_the_decimal_book_on_portfolios(case: Sequence) -> None:
    check(case)


@pytest.mark.slow
@settings(lenient, max_examples=10_000)
@given(sequences(("discrete", "discrete", "shares", "weights")))
def test_the_kernel_agrees_with_the_decimal_book_on_ten_thousand_sequences(case: Sequence) -> None:
    check(case)


# Faults --------------------------------------------------------------------------------------------------------------
# Each is the kernel's own source with one rule broken. (name, what stands there, what is put in its place)
FAULTS = [
    ("fee on the wrong side", "order * fill + fee", "order * fill - fee"),
    ("no fixed fee", '* fill + rules["fee_fixed"]', "* fill"),
    ("slippage in favour of sales", "math.copysign(slippage, order)", "slippage"),
    ("slippage left out of the costs", " + abs(order) * price * slippage", ""),
    (
        "stop filled at the stop through a gap",
        "return open_\n",
        "return stop if side * (open_ - stop) <= 0.0 else open_\n",
    ),
    (
        "take-profit first when both are touched",
        "if side * (worst - stop) <= 0.0:",
        "if side * (worst - stop) <= 0.0 and side * (best - profit) < 0.0:",
    ),
    (
        "one free bar for shorts",
        'if holding["shares"] < 0.0:\n                    borrowing',
        'if holding["shares"] < 0.0 and holding["holding_bars"] > 1:\n                    borrowing',
    ),
    (
        "fill at the observed close",
        'return prices[symbol, bar, CLOSE] if rules["fill_at_close"] else prices[symbol, bar + 1, OPEN]',
        "return prices[symbol, bar, CLOSE]",
    ),
    ("equity marked at the open", "close = prices[symbol, bar, CLOSE]", "close = prices[symbol, bar, OPEN]"),
    (
        "entry price of the last fill only",
        "elif shares * target <= 0.0:",
        "elif shares * order > 0.0 or shares == 0.0:",
    ),
    (
        "largest position before costs",
        "(equity + costs_to_zero) / (fill * (1.0 + fraction * fee_rate))",
        "equity / fill",
    ),
    ("lots rounded to the nearest", "+ LOT_TOLERANCE", "+ 0.5"),
    (
        "purchases before sales",
        'holdings[a]["wish"] < 0.0:\n            value',
        'holdings[a]["wish"] > 0.0:\n            value',
    ),
    ("smallest purchase first", '["wish"] >= holdings[largest]["wish"]', '["wish"] <= holdings[largest]["wish"]'),
    ("a bankrupt account trades on", 'account["bankrupt"] = 1', 'account["bankrupt"] = 0'),
    ("turbulence ignored", 'stopped = turbulence[bar] >= rules["turbulence_stop"]', "stopped = False"),
    ("drawdown from the last equity", 'max(account["peak_equity"], account["equity"])', 'account["equity"]'),
]


def interpreted(source: str) -> types.ModuleType:
    """The kernel from `source` as plain Python, so that a fault costs no compilation."""
    source, found = re.subn(r"(?m)^compiled: Any = .*$", "compiled: Any = lambda function: function", source)
    assert found == 1
    module = types.ModuleType("interpreted_kernel")
    exec(compile(source, "interpreted_kernel", "exec"), module.__dict__)  # noqa: S102
    return module


def cases() -> list[Sequence]:
    """A few dense sequences, in which every rule of the kernel comes to bear."""
    chosen = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        scheme: Any = ("discrete", "discrete", "weights", "shares")[seed % 4]
        calm = seed % 3 == 0
        config = TradingConfig(
            initial_cash=10_000.0,
            scheme=scheme,
            fee_bps=20.0,
            fee_fixed=1.0,
            slippage_bps=10.0,
            borrow_bps_per_bar=5.0,
            allow_short=scheme != "shares",
            lot_size=1.0 if seed % 2 else 0.0,
            max_position=0.6 if seed % 3 == 1 else 1.0,
            max_order_shares=150,
            stop_loss=None if calm else 0.02,
            take_profit=None if calm else 0.03,
            turbulence_stop=0.9 if seed % 3 == 2 else None,
            reward=RewardConfig(cost_penalty=0.5, drawdown_penalty=0.5, sharpe_bonus=0.1),
        )
        market = random_market(rng, 1 if scheme == "discrete" else 3, 60, 0.04, 0.3 if calm else 0.02, turbulence=True)
        shape = (market.n_symbols, market.n_bars)
        held = rng.random(shape) < 0.5
        actions = np.where(held, 0, rng.choice([*range(9), 3, 8, 8], shape))
        if scheme != "discrete":
            actions = rng.uniform(-1, 1, shape).astype(np.float32)
        chosen.append(Sequence(config, market, actions))
    return chosen


def disagreements(module: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(simulation, "kernel", module)
    for case in cases():
        found = differences(case, simulate(case.policy, case.market, case.config))
        if found:
            return found
    return []


def test_the_interpreted_kernel_is_right_and_equals_the_compiled_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(kernel.__file__).read_text()
    compiled = [simulate(case.policy, case.market, case.config) for case in cases()]
    assert not disagreements(interpreted(source), monkeypatch)
    for case, expected in zip(cases(), compiled, strict=True):
        ledger = simulate(case.policy, case.market, case.config)
        for name in ("order_shares", "exit_price", "position", "cash", "equity", "costs", "rewards"):
            assert np.array_equal(getattr(ledger, name), getattr(expected, name), equal_nan=True), name
    assert any((ledger.equity <= 0).any() for ledger in compiled), "no sequence goes bankrupt"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("right", "wrong"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_planted_fault_is_caught(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(kernel.__file__).read_text()
    assert source.count(right) == 1, "the fault no longer fits the kernel's source"
    assert disagreements(interpreted(source.replace(right, wrong)), monkeypatch)


# By hand -------------------------------------------------------------------------------------------------------------


def test_a_purchase_and_a_stop_by_hand() -> None:
    """Buy all at an open of 100 with 1 % fee and 1 % slippage, then a gap below the stop fills at the open of 80."""
    market = random_market(np.random.default_rng(0), n_bars=4)
    market.block.prices[0] = [[100, 101, 99, 100], [100, 110, 99, 105], [80, 90, 70, 85], [85, 85, 85, 85]]
    config = TradingConfig(initial_cash=10_201.0, fee_bps=100.0, slippage_bps=100.0, stop_loss=0.1)
    ledger = simulate(lambda o, s, bar: np.array([3 if bar == 0 else 0]), market, config)
    shares = 10_201 / (101 * 1.01)
    assert shares == pytest.approx(100)
    assert ledger.order_price[0, 1] == pytest.approx(101)
    assert ledger.equity[0, 1] == pytest.approx(100 * 105)
    assert ledger.exit_price[0, 2] == pytest.approx(80 * 0.99)
    assert ledger.cash[0, 2] == pytest.approx(100 * 80 * 0.99 * 0.99)
    assert ledger.costs[0, 1] == pytest.approx(100 * 1 + 101)
    assert math.isnan(ledger.order_price[0, 3])
