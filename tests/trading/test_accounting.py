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
from MLOps.trading import Action, Ledger, Market, kernel, simulate, simulation
from tests.trading.sequences import (
    KINDS,
    Sequence,
    differences,
    random_actions,
    random_market,
    sequences,
    uneven_clock,
    unlike_markets,
)

lenient = settings(deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))


def check(case: Sequence) -> None:
    ledger = simulate(case.policy, case.market, case.config)
    assert not differences(case, ledger)
    # The same, said by the ledger itself: equity = cash + sum of position x last close.
    marks = np.zeros(case.market.n_symbols)
    for bar in range(case.market.n_bars):
        marks = np.where(case.market.alive[:, bar], case.market.close[:, bar], marks)
        value = ledger.position[:, bar] * marks
        value = value if case.config.account == "per_symbol" else value.sum()
        assert np.allclose(ledger.cash[:, bar] + value, ledger.equity[:, bar], rtol=1e-13, atol=1e-9)


@settings(lenient, max_examples=600)
@given(sequences(KINDS[:2]))
def test_the_kernel_agrees_with_the_decimal_book(case: Sequence) -> None:
    check(case)


@settings(lenient, max_examples=400)
@given(sequences(KINDS[2:]))
def test_the_kernel_agrees_with_the_decimal_book_on_portfolios(case: Sequence) -> None:
    check(case)


@pytest.mark.slow
@settings(lenient, max_examples=10_000)
@given(sequences((*KINDS, KINDS[0])))
def test_the_kernel_agrees_with_the_decimal_book_on_ten_thousand_sequences(case: Sequence) -> None:
    check(case)


@pytest.mark.parametrize("name", unlike_markets())
@pytest.mark.parametrize(("scheme", "account"), KINDS)
def test_the_kernel_agrees_with_the_decimal_book_on_unlike_markets(name: str, scheme: Any, account: Any) -> None:
    """Under the rules that params.yaml starts from, and with volume limits where there is volume."""
    market = unlike_markets()[name]
    config = TradingConfig(
        scheme=scheme,
        account=account,
        slippage_bps=2.0,
        allow_short=scheme != "shares",
        max_participation=None if market.volume is None else 0.2,
    )
    case = Sequence(config, market, random_actions(np.random.default_rng(0), market, scheme, 0.6))
    check(case)
    assert simulate(case.policy, market, config).order_shares.any()


# Faults --------------------------------------------------------------------------------------------------------------
# Each is the kernel's own source with one rule broken. (name, what stands there, what is put in its place)
FAULTS = [
    ("fee on the wrong side", "order * fill + fee", "order * fill - fee"),
    ("no fixed fee", '* fill + rules["fee_fixed"]', "* fill"),
    ("slippage in favour of sales", "math.copysign(slippage, order)", "slippage"),
    ("slippage left out of the costs", " + abs(order) * price * slippage", ""),
    ("stop filled at the stop through a gap", "elif reached > 0.0:", "elif reached >= 0.0:"),
    (
        "take-profit first when both are touched",
        "if side * (worst - stop) <= 0.0:",
        "if side * (worst - stop) <= 0.0 and side * (best - profit) < 0.0:",
    ),
    (
        "borrow fee per bar",
        "if not math.isnan(years):",
        "if not math.isnan(years):\n                years = 1 / 365.25",
    ),
    (
        "gaps free for shorts",
        "if not math.isnan(years):",
        "if not math.isnan(years):\n                years = min(years, 1 / 365.25)",
    ),
    (
        "no borrow fee",
        "    pay_borrowing(account, holdings, details, arrival, rules)\n    if actions.ndim == 1:",
        "    if actions.ndim == 1:",
    ),
    (
        "fill at the observed close",
        'holding["price"] if rules["fill_at_close"] and not',
        'holding["price"] if not',
    ),
    (
        "waiting order filled at the close",
        'open_ = prices[holding["symbol"], arrival, OPEN]',
        'open_ = prices[holding["symbol"], arrival, OPEN]\n'
        '    if math.isnan(prices[holding["symbol"], arrival - 1, OPEN]):\n'
        '        open_ = prices[holding["symbol"], arrival, CLOSE]',
    ),
    (
        "waiting order of a portfolio lost",
        'elif not math.isnan(prices[symbol, bar, CLOSE]):\n            holding["waiting"]',
        'else:\n            holding["waiting"]',
    ),
    (
        "waiting order of a symbol's account lost",
        'math.isnan(prices[holdings[0]["symbol"], arrival, CLOSE])',
        "False",
    ),
    (
        "equity marked at the open",
        "close = prices[holding",
        "close = prices[holding['symbol'], bar, OPEN] + 0 * prices[holding",
    ),
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
    ("shorts covered on credit", "max(affordable, 0.0)", "max(affordable, -shares, 0.0)"),
    ("fixed fee on credit", "if proceeds <", "if False and proceeds <"),
    ("lots rounded to the nearest", "+ LOT_TOLERANCE", "+ 0.5"),
    ("participation ignored", "if abs(order) > most:", "if False:"),
    ("participation in the bar before", "bar = arrival\n", "bar = arrival - 1\n"),
    ("participation in the bar after the close", "bar -= 1\n        while", "while"),
    (
        "purchases before sales",
        'holdings[a]["wish"] < 0.0:\n            value',
        'holdings[a]["wish"] > 0.0:\n            value',
    ),
    ("smallest purchase first", '["wish"] >= holdings[largest]["wish"]', '["wish"] <= holdings[largest]["wish"]'),
    ("margin call ignored", "if not shorts or (at_open > 0.0 and at_worst > 0.0):", "if True:"),
    ("margin call at zero equity", '(1.0 + rules["maintenance_margin"])', "1.0"),
    ("margin call at the high", "price += reached * (prices", "price += (prices"),
    (
        "margin call on the highs of longs",
        'holding["shares"], prices[holding["symbol"], bar, LOW]',
        'holding["shares"], prices[holding["symbol"], bar, HIGH]',
    ),
    ("margin call before the stop", "if way <= reached and", "if reached == math.inf and"),
    (
        "margin call forgets what a stop cost",
        "reached = max(way_to_call",
        "reached = math.inf if passed else max(way_to_call",
    ),
    ("rebalance band ignored", 'rules["rebalance_band"] * equity', "-1.0"),
    ("rebalance band of the whole portfolio", "equity / parts", "equity"),
    ("gross limit ignored", 'total > rules["max_gross"]', "total > 1.0"),
    ("rebalance band keeps what should be closed", "if size != 0.0 and abs(size * equity", "if abs(size * equity"),
    ("delisting at the last close", "settle(close * (1.0 - loss), holding)", "settle(close, holding)"),
    (
        "delisting helps shorts",
        'math.copysign(rules["delisting_loss"], holding["shares"])',
        'rules["delisting_loss"]',
    ),
    ("nothing is delisted", "bar] & DELISTED:", "bar] & 4:"),
    ("a bankrupt account trades on", 'account["bankrupt"] = 1', 'account["bankrupt"] = 0'),
    ("turbulence ignored", "stopped = turbulent(holdings, details, bar, rules)", "stopped = False"),
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
    for seed in range(24):
        rng = np.random.default_rng(seed)
        scheme, account = KINDS[seed % 4]
        rules: Any = {"scheme": scheme, "account": account}
        # Each with every kind of account, and twice.
        wild, stopped, turbulent = (seed // 4 % 3 == kind for kind in range(3))
        late = seed >= 12
        config = TradingConfig(
            **rules,
            initial_cash=10_000.0,
            fill="close" if seed in {9, 20, 22} else "next_open",
            fee_bps=20.0,
            fee_fixed=1.0,
            slippage_bps=10.0,
            borrow_bps_per_year=2_000.0,
            allow_short=scheme != "shares",
            maintenance_margin=0.3 if wild else 0.95,
            lot_size=1.0 if seed % 8 > 3 else 0.0,
            max_position=0.6 if stopped and not late else 1.0,
            max_participation=0.2 if late else None,
            rebalance_band=0.1 if seed % 3 == 1 else 0.0,
            max_gross=0.7 if seed == 15 else 1.0,
            max_order_shares=150,
            stop_loss=(0.1 if late else 0.02) if stopped else None,
            take_profit=(0.2 if late else 0.03) if stopped else None,
            turbulence_stop=0.9 if turbulent else None,
            reward=RewardConfig(cost_penalty=0.5, drawdown_penalty=0.5, sharpe_bonus=0.1),
        )
        n_symbols = 4 if account == "portfolio" else 2
        market = random_market(
            rng,
            n_symbols,
            60,
            0.1 if late else 0.04,
            0.3 if wild else 0.02,
            ragged=True,
            turbulence=True,
            outages=0.05,
            clock=uneven_clock(rng, 60),
        )
        chosen.append(Sequence(config, market, random_actions(rng, market, scheme, 0.5)))
    return chosen + staged()


def staged() -> list[Sequence]:
    """What chance brings too seldom, one symbol a row of closes; a pair is a bar's high and its close."""
    reward = RewardConfig(sharpe_bonus=0.1)
    discrete: Any = {"scheme": "discrete", "fee_bps": 10.0, "allow_short": True, "reward": reward}
    weights: Any = {"scheme": "weights", "account": "portfolio", "allow_short": True, "reward": reward}
    asked = np.full((2, 5), np.nan, np.float32)
    asked[:, 0] = -0.5
    closing = np.full((2, 5), np.nan, np.float32)
    closing[0, [0, 2]] = 0.12, 0.0
    return [
        # A short jumped over: what the cash pays for is covered by order, the rest by the call; bankrupt.
        staged_case(discrete, [[10, 10, 10, 30, 30, 30]], np.array([[3, 8, 7, 3, 3, 3]])),
        # A sale that would not pay its fixed fee.
        staged_case(discrete | {"initial_cash": 300.0, "fee_fixed": 40.0}, [[10, 10, 1, 1]], np.array([[3, 6, 6, 6]])),
        # On the way to the worst prices one short meets its stop, then the other the margin call.
        staged_case(
            weights | {"stop_loss": 0.7, "maintenance_margin": 0.42},
            [[100, 100, (1000, 100), 100, 100], [100, 100, (169, 100), 100, 100]],
            asked,
        ),
        # A position that has shrunk into the band, and is closed.
        staged_case(weights | {"rebalance_band": 0.1}, [[100, 100, 33, 33, 33], [100, 100, 100, 100, 100]], closing),
    ]


def staged_case(rules: dict[str, Any], closes: list[list[Any]], actions: np.ndarray) -> Sequence:
    """Bars that open where they close."""
    prices = np.array([[(row if isinstance(row, tuple) else (row, row)) for row in line] for line in closes], float)
    high, close = prices[..., 0], prices[..., 1]
    bars = np.stack([close, high, close, close], axis=-1)
    days = np.datetime64("2020-01-01", "ns") + np.arange(len(closes[0])) * np.timedelta64(1, "D")
    names = tuple(f"S{i}" for i in range(len(closes)))
    return Sequence(
        TradingConfig(**rules), Market(names, days, bars, np.zeros((*close.shape, 1), np.float32), ("f",)), actions
    )


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
    config = TradingConfig(scheme="discrete", initial_cash=10_201.0, fee_bps=100.0, slippage_bps=100.0, stop_loss=0.1)
    ledger = simulate(lambda o, s, bar: np.array([3 if bar == 0 else 0]), market, config)
    shares = 10_201 / (101 * 1.01)
    assert shares == pytest.approx(100)
    assert ledger.order_price[0, 1] == pytest.approx(101)
    assert ledger.equity[0, 1] == pytest.approx(100 * 105)
    assert ledger.exit_price[0, 2] == pytest.approx(80 * 0.99)
    assert ledger.cash[0, 2] == pytest.approx(100 * 80 * 0.99 * 0.99)
    assert ledger.costs[0, 1] == pytest.approx(100 * 1 + 101)
    assert math.isnan(ledger.order_price[0, 3])


def short_at_100(
    bars: list[list[float]], days: list[int], volume: list[float] | None = None, then: int = 0, **rules: Any
) -> Ledger:
    """100 shares bought at bar 1 and turned into a short of 100 at bar 2, both at 100; `then` at every later bar.

    The bars are those after bar 2, `days` all their dates. A second symbol lives on for ten days.
    """
    n = 3 + len(bars) + 10
    prices = np.full((2, n, 4), 100.0)
    prices[0, 3:] = np.nan
    prices[0, 3 : 3 + len(bars)] = bars
    dates = np.datetime64("2021-01-04", "ns") + np.array([*range(3), *days]) * np.timedelta64(1, "D")
    dates = np.concatenate([dates, dates[-1] + np.arange(1, 11) * np.timedelta64(1, "D")])
    volumes = np.full((2, n), 1e9)
    volumes[0, 3 : 3 + len(bars)] = volume or 1e9
    market = Market(("A", "B"), dates, prices, np.zeros((2, n, 0), np.float32), (), volume=volumes)
    usual: dict[str, Any] = {"initial_cash": 10_000.0, "fee_bps": 0.0, "allow_short": True}
    config = TradingConfig(scheme="discrete", **(usual | rules))
    orders = {0: Action.BUY_100, 1: Action.REVERSE}
    return simulate(lambda o, symbols, bar: np.full(len(symbols), orders.get(bar, then)), market, config)


def test_a_margin_call_by_hand() -> None:
    """A short of 100 with 20 000 in cash is called where 20 000 - 100 p = 0.3 × 100 p, or at an open beyond."""
    free: Any = {"borrow_bps_per_year": 0.0}
    ledger = short_at_100([[120, 200, 90, 110]], [3], **free)
    assert ledger.exit_price[0, 3] == pytest.approx(20_000 / 130)
    assert ledger.equity[0, 3] == ledger.cash[0, 3] == pytest.approx(20_000 - 100 * 20_000 / 130)
    assert short_at_100([[120, 153, 90, 110]], [3], **free, delisting_loss=0.0).exit_price[0, 3] == 110
    assert short_at_100([[160, 200, 90, 110]], [3], **free).cash[0, 3] == pytest.approx(4_000)
    # With slippage; against a stop-loss nearer than the call; and before the take-profit, which the low would touch.
    slipped = short_at_100([[120, 200, 90, 110]], [3], **free, slippage_bps=10.0)
    called_at = slipped.cash[0, 2] / (-slipped.position[0, 2] * 1.3)
    assert slipped.exit_price[0, 3] == pytest.approx(called_at * 1.001)
    assert short_at_100([[120, 200, 90, 110]], [3], **free, stop_loss=0.4).exit_price[0, 3] == pytest.approx(140)
    both = short_at_100([[120, 200, 40, 50]], [3], **free, take_profit=0.5)
    assert both.exit_price[0, 3] == pytest.approx(20_000 / 130)
    # Without equity nothing is left.
    assert short_at_100([[210, 210, 210, 210]], [3], **free).equity[0, 3] == pytest.approx(-1_000)


def test_a_short_pays_for_the_time_it_is_held() -> None:
    """One day, three over a weekend, fourteen over a halt, each on the last close."""
    ledger = short_at_100([[100, 110, 100, 110], [110, 110, 110, 110], [110, 110, 110, 110]], [3, 6, 20])
    day = 0.03 / 365.25
    expected = [0.0, 0.0, 0.0, 10_000 * day, 11_000 * 3 * day, 11_000 * 14 * day]
    assert np.allclose(ledger.costs[0, :6], expected, rtol=1e-12)


@pytest.mark.parametrize(("loss", "bought_back_at"), [(0.0, 110.0), (0.3, 143.0)])
def test_a_delisting_costs_shorts_too(loss: float, bought_back_at: float) -> None:
    ledger = short_at_100([[110, 110, 110, 110]], [3], borrow_bps_per_year=0.0, delisting_loss=loss, slippage_bps=0.0)
    assert ledger.exit_price[0, 3] == pytest.approx(bought_back_at)
    assert ledger.cash[0, 3:].tolist() == pytest.approx([20_000 - 100 * bought_back_at] * 11)
    assert ledger.costs.sum() == 0.0
    long = short_at_100([[110, 110, 110, 110]], [3], delisting_loss=loss, allow_short=False, then=Action.BUY_100)
    assert long.exit_price[0, 3] == pytest.approx(110 * (1 - loss))


def test_an_order_is_cut_to_its_share_of_the_volume() -> None:
    """Of the bar in which it fills; what is left needs another order, and a stop is never cut."""
    volume = [200.0, 0.0, 1e9]
    still = [[100.0] * 4] * 3
    ledger = short_at_100(
        still, [3, 4, 5], volume, Action.CLOSE, max_participation=0.1, borrow_bps_per_year=0.0, delisting_loss=0.0
    )
    assert ledger.position[0, :6].tolist() == [0, 100, -100, -80, -80, 0]
    stopped = short_at_100([[100, 130, 100, 100]], [3], [0.0], max_participation=0.1, stop_loss=0.2)
    assert stopped.exit_shares[0, 3] == 100
