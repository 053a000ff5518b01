"""A second, slow implementation of the accounts in decimal arithmetic, written from the rules in docs/trading.md alone.

It keeps one account as plain Python objects and walks it over plain lists of bars. Numbers of the configuration and of
the market are read as the shortest decimal that stands for them.
"""

import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import numpy as np

from MLOps.config.trading import TradingConfig
from MLOps.trading import Action

# Reference prices by symbol: a Decimal, or None where the symbol cannot trade.
Prices = list[Any]

ZERO, ONE = Decimal(0), Decimal(1)
MILLIONTH, BILLIONTH = Decimal("1e-6"), Decimal("1e-9")
DIGITS = 40


def decimal(number: float) -> Decimal:
    return Decimal(repr(float(number)))


@dataclass
class Bar:
    """One symbol's bar; a symbol without a bar has None in its place.

    `day` is the time of the bar in days, `final` whether the symbol is delisted at its close, and `observable` whether
    the policy sees it.
    """

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal | None
    day: Decimal
    final: bool
    observable: bool


@dataclass
class Position:
    """`last` is the newest bar of the symbol that the account has seen."""

    shares: Decimal = ZERO
    entry: Decimal = ZERO
    bars: int = 0
    last: Bar | None = None

    @property
    def mark(self) -> Decimal:
        return self.last.close if self.last else ZERO


@dataclass
class Fill:
    symbol: int
    shares: Decimal
    price: Decimal


class Book:
    """One account over one or more symbols."""

    def __init__(self, config: TradingConfig, n_symbols: int) -> None:
        self.config = config
        self.cash = decimal(config.initial_cash)
        self.equity = self.peak = self.cash
        self.costs = ZERO
        self.positions = [Position() for _ in range(n_symbols)]
        self.bankrupt = False
        self.mean = self.square = ZERO
        self.orders: list[Fill] = []
        self.exits: list[Fill] = []
        self.fee = decimal(config.fee_bps) / 10_000
        self.slippage = decimal(config.slippage_bps) / 10_000
        self.fixed = decimal(config.fee_fixed)
        # What was decided on a symbol and is not carried out yet.
        self.pending: dict[int, Any] = {}
        # Whether this step took money by force: a fee for borrowing or an exit.
        self.forced = False

    def see(self, bars: list[Bar | None]) -> None:
        """Look at the bars at which the account is opened."""
        for position, bar in zip(self.positions, bars, strict=True):
            position.last = bar

    # One step, from a close to the next -------------------------------------------------------------------------

    def step(self, action: Any, now: list[Bar | None], then: list[Bar | None], turbulence: float) -> Decimal:
        """Carry `action`, decided at the bars `now`, through the bars `then`; returns the reward."""
        with localcontext() as context:
            context.prec = DIGITS
            self.orders, self.exits, self.forced = [], [], False
            if self.bankrupt:
                return ZERO
            before = (self.equity, self.peak, self.costs)
            stop = self.config.turbulence_stop
            alarm = stop is not None and not math.isnan(turbulence) and turbulence >= stop
            self.rent(then)
            prices = [self.reference(p, bar) for p, bar in zip(self.positions, then, strict=True)]
            volumes = [self.volume(p, bar) for p, bar in zip(self.positions, then, strict=True)]
            if self.config.scheme == "discrete":
                if prices[0] is not None:
                    self.trade(0, self.wish_of(Action.CLOSE if alarm else action, prices[0]), prices, volumes)
            else:
                self.decide(action, now, alarm)
                self.rebalance(prices, volumes)
            self.live(then)
            self.value(then)
            return self.reward(*before)

    def decide(self, action: Any, now: list[Bar | None], alarm: bool) -> None:
        """Note what is decided; it waits until the symbol has a bar."""
        for symbol, bar in enumerate(now):
            if alarm:
                self.pending[symbol] = "close"
            elif bar is not None:
                self.pending[symbol] = action[symbol] if bar.observable else None

    def rent(self, then: list[Bar | None]) -> None:
        """The fee for borrowing what is short, from each symbol's last bar to this one."""
        for position, bar in zip(self.positions, then, strict=True):
            if bar is None or position.last is None or position.shares >= 0:
                continue
            years = (bar.day - position.last.day) / Decimal("365.25")
            rent = -position.shares * position.mark * years * decimal(self.config.borrow_bps_per_year) / 10_000
            self.cash -= rent
            self.costs += rent
            self.forced |= rent > 0

    def value(self, then: list[Bar | None]) -> None:
        """The close: what is delisted ends, and the account is valued."""
        for symbol, bar in enumerate(then):
            position = self.positions[symbol]
            if bar is not None:
                position.last = bar
                position.bars += position.shares != 0
                if bar.final and position.shares != 0:
                    self.delist(symbol)
        self.equity = self.cash + sum(p.shares * p.mark for p in self.positions)
        self.peak = max(self.peak, self.equity)
        if self.equity <= 0:
            self.fail()

    def reference(self, position: Position, then: Bar | None) -> Decimal | None:
        if then is None or (position.last is None and self.config.fill == "close"):
            return None
        return position.mark if self.config.fill == "close" else then.open

    def volume(self, position: Position, then: Bar | None) -> Decimal | None:
        bar = position.last if self.config.fill == "close" else then
        return bar.volume if bar else None

    def worsened(self, price: Decimal, shares: Decimal) -> Decimal:
        return price * (ONE + self.slippage if shares > 0 else ONE - self.slippage)

    # Orders -----------------------------------------------------------------------------------------------------

    def wish_of(self, action: int, price: Decimal) -> Decimal:
        shares = self.positions[0].shares
        spent: dict[int, str] = {Action.BUY_25: "0.25", Action.BUY_50: "0.5", Action.BUY_100: "1"}
        if action in spent:
            money = self.cash * Decimal(spent[action]) - self.fixed
            return max(ZERO, money / (self.worsened(price, ONE) * (ONE + self.fee)))
        sold: dict[int, str] = {Action.SELL_25: "0.25", Action.SELL_50: "0.5", Action.SELL_100: "1", Action.CLOSE: "1"}
        if action in sold:
            return -shares * Decimal(sold[action])
        if action == Action.REVERSE:
            return -shares * (2 if self.config.allow_short else 1)
        return ZERO

    def rebalance(self, prices: Prices, volumes: Prices) -> None:
        wishes: dict[int, Decimal] = {}
        dealt = {}
        for s, price in enumerate(prices):
            if price is not None:
                decided = self.pending.pop(s, None)
                if isinstance(decided, str) or (decided is not None and not math.isnan(decided)):
                    dealt[s] = decided
        if self.config.scheme == "shares":
            most = np.float32(self.config.max_order_shares)
            for s, decided in dealt.items():
                closes = isinstance(decided, str)
                wishes[s] = -self.positions[s].shares if closes else Decimal(int(np.float32(decided) * most))
        else:
            value = self.cash
            for position, price in zip(self.positions, prices, strict=True):
                value += position.shares * (position.mark if price is None else price)
            raw = [ZERO if isinstance(decided, str) else decimal(decided) for decided in dealt.values()]
            for s, weight in zip(dealt, self.projected(raw), strict=True):
                missing = weight * value - self.positions[s].shares * prices[s]
                near = abs(missing) <= decimal(self.config.rebalance_band) * value / len(prices)
                wishes[s] = ZERO if near and weight != 0 else missing / prices[s]
        for s, wish in wishes.items():
            if wish < 0:
                self.trade(s, wish, prices, volumes)
        for s in sorted((s for s in wishes if wishes[s] > 0), key=lambda s: (wishes[s], s), reverse=True):
            self.trade(s, wishes[s], prices, volumes)

    def projected(self, raw: list[Decimal]) -> list[Decimal]:
        """The nearest weights with |w| <= max_position and sum |w| <= max_gross, by its corners as a piecewise line."""
        cap, gross = decimal(self.config.max_position), decimal(self.config.max_gross)
        sizes = [abs(w) if w > 0 or self.config.allow_short else ZERO for w in raw]

        def total(lowered: Decimal) -> Decimal:
            return sum((min(max(size - lowered, ZERO), cap) for size in sizes), ZERO)

        lowered = ZERO
        if total(ZERO) > gross:
            corners = sorted({ZERO, *sizes, *(size - cap for size in sizes if size > cap)})
            left = max(c for c in corners if total(c) > gross)
            right = min(c for c in corners if total(c) <= gross)
            lowered = left + (right - left) * (total(left) - gross) / (total(left) - total(right))
        kept = [min(max(size - lowered, ZERO), cap) for size in sizes]
        return [size.copy_sign(w) for size, w in zip(kept, raw, strict=True)]

    def trade(self, symbol: int, wish: Decimal, prices: Prices, volumes: Prices) -> None:
        """Fill what the limits leave of a wish."""
        if wish == 0:
            return
        held, price = self.positions[symbol].shares, self.worsened(prices[symbol], wish)
        order = self.allowed(symbol, wish, price, prices)
        if self.config.max_participation is not None:
            most = decimal(self.config.max_participation) * volumes[symbol]
            order = min(abs(order), most).copy_sign(order)
        lot = decimal(self.config.lot_size)
        if self.config.scheme == "shares":
            lot = max(lot, ONE)
        if lot > 0 and order != -held:
            lots = (abs(order) / lot + BILLIONTH).to_integral_value("ROUND_FLOOR")
            order = (lots * lot).copy_sign(order)
        if abs(held + order) * price < MILLIONTH:
            order = -held
        if order == 0 or (order != -held and abs(order) * price < MILLIONTH):
            return
        proceeds = abs(order) * price * (ONE - self.fee) if order < 0 else ZERO
        if self.fixed <= proceeds or self.cash + proceeds >= self.fixed:
            self.orders.append(self.fill(symbol, order, prices[symbol]))

    def allowed(self, symbol: int, wish: Decimal, price: Decimal, prices: Prices) -> Decimal:
        """What short sales, the largest position and the cash leave of a wish."""
        held = self.positions[symbol].shares
        aim = held + wish
        if not self.config.allow_short and aim < 0:
            aim = ZERO
        grows, turns = abs(aim) > abs(held), aim * held < 0
        if grows or turns:
            # After the order: |aim| price <= m (equity - fixed - fee price |aim - held|), solved for |aim|.
            m = decimal(self.config.max_position)
            worth = self.cash + held * price - self.fixed
            for other, p in enumerate(self.positions):
                if other != symbol:
                    worth += p.shares * (p.mark if prices[other] is None else prices[other])
            saved = abs(held) if not turns else -abs(held)
            most = m * (worth + self.fee * price * saved) / (price * (ONE + m * self.fee))
            most = max(most, ZERO if turns else abs(held))
            if abs(aim) > most:
                aim = most.copy_sign(aim)
        order = aim - held
        if wish > 0:
            funds = (self.cash - self.fixed) / (price * (ONE + self.fee))
            order = min(order, max(funds, ZERO))
        return order

    def fill(self, symbol: int, order: Decimal, reference: Decimal) -> Fill:
        position, price = self.positions[symbol], self.worsened(reference, order)
        commission = abs(order) * price * self.fee + self.fixed
        self.cash = self.cash - order * price - commission
        self.costs += commission + abs(order) * abs(price - reference)
        held, position.shares = position.shares, position.shares + order
        if position.shares == 0:
            position.entry, position.bars = ZERO, 0
        elif held == 0 or held * position.shares < 0:
            position.entry, position.bars = price, 0
        elif abs(position.shares) > abs(held):
            position.entry = (position.entry * held + price * order) / position.shares
        return Fill(symbol, order, price)

    # The bar ----------------------------------------------------------------------------------------------------

    def live(self, then: list[Bar | None]) -> None:
        """Walk the bar's path: all prices are at the open, go to the worst together, and last to the best."""
        bars = {s: bar for s, bar in enumerate(then) if bar is not None}
        for s, bar in bars.items():
            if self.positions[s].shares != 0 and self.behind_the_open(self.positions[s], bar):
                self.leave(s, bar.open)
        clock = ZERO
        while True:
            stops = self.stops(bars)
            call = self.margin_call(bars, clock)
            if call is not None and (not stops or call < min(stops)[0]):
                clock = call
                for s, bar in bars.items():
                    if self.positions[s].shares < 0:
                        self.leave(s, bar.open + clock * (bar.high - bar.open))
            elif stops:
                clock, s, level = min(stops)
                self.leave(s, level)
            else:
                break
        gain = self.config.take_profit
        for s, bar in bars.items():
            position = self.positions[s]
            if position.shares != 0 and gain is not None:
                side = 1 if position.shares > 0 else -1
                goal = position.entry * (ONE + side * decimal(gain))
                best = bar.high if side > 0 else bar.low
                if side * (best - goal) >= 0:
                    self.leave(s, goal)

    def stops(self, bars: dict[int, Bar]) -> list[tuple[Decimal, int, Decimal]]:
        """Stop-losses still ahead: the time at which the way to the worst price crosses each, symbol and price."""
        found = []
        for s, bar in bars.items():
            position, loss = self.positions[s], self.config.stop_loss
            if position.shares == 0 or loss is None:
                continue
            side = 1 if position.shares > 0 else -1
            level = position.entry * (ONE - side * decimal(loss))
            worst = bar.low if side > 0 else bar.high
            if side * (worst - level) <= 0:
                found.append(((bar.open - level) / (bar.open - worst), s, level))
        return found

    def behind_the_open(self, position: Position, bar: Bar) -> bool:
        side = 1 if position.shares > 0 else -1
        loss, gain = self.config.stop_loss, self.config.take_profit
        stopped = loss is not None and side * (bar.open - position.entry * (ONE - side * decimal(loss))) <= 0
        return stopped or (gain is not None and side * (bar.open - position.entry * (ONE + side * decimal(gain))) >= 0)

    def margin_call(self, bars: dict[int, Bar], clock: Decimal) -> Decimal | None:
        """The time, from `clock` on, at which the equity is no more than the margin on the shorts; None for never."""
        margin = decimal(self.config.maintenance_margin)
        if not any(self.positions[s].shares < 0 for s in bars):
            return None

        def excess(time: Decimal) -> Decimal:
            equity, shorts = self.cash, ZERO
            for s, position in enumerate(self.positions):
                price = position.mark
                if s in bars:
                    worst = bars[s].low if position.shares > 0 else bars[s].high
                    price = bars[s].open + time * (worst - bars[s].open)
                equity += position.shares * price
                shorts += max(-position.shares, ZERO) * price
            return equity - margin * shorts

        start, end = excess(clock), excess(ONE)
        if start <= 0:
            return clock
        if end > 0:
            return None
        held = [s for s, p in enumerate(self.positions) if p.shares != 0]
        if len(held) == 1:
            # For one short the price itself: equity = cash - n p falls to m n p.
            bar, shares = bars[held[0]], -self.positions[held[0]].shares
            return (self.cash / (shares * (ONE + margin)) - bar.open) / (bar.high - bar.open)
        return clock + (ONE - clock) * start / (start - end)

    def leave(self, symbol: int, price: Decimal) -> None:
        self.forced = True
        self.exits.append(self.fill(symbol, -self.positions[symbol].shares, price))

    def delist(self, symbol: int) -> None:
        """Money for a long, and a debt for a short, by which the owner is never better off than at the close."""
        position = self.positions[symbol]
        loss = abs(position.shares) * position.mark * decimal(self.config.delisting_loss)
        worth = position.shares * position.mark - loss
        self.cash += worth
        self.forced = True
        self.exits.append(Fill(symbol, -position.shares, worth / position.shares))
        position.shares, position.entry, position.bars = ZERO, ZERO, 0

    def fail(self) -> None:
        self.bankrupt = True
        self.cash = self.equity
        for symbol, position in enumerate(self.positions):
            if position.shares != 0:
                self.exits.append(Fill(symbol, -position.shares, position.mark))
                position.shares, position.entry, position.bars = ZERO, ZERO, 0

    # Reward -----------------------------------------------------------------------------------------------------

    def reward(self, equity: Decimal, peak: Decimal, costs: Decimal) -> Decimal:
        config = self.config.reward
        gain = self.equity / equity - 1
        cost = (self.costs - costs) / equity
        deeper = max(ZERO, (1 - self.equity / self.peak) - (1 - equity / peak))
        mean, square = self.mean, self.square
        self.mean += (gain - mean) / config.sharpe_bars
        self.square += (gain * gain - square) / config.sharpe_bars
        variance = self.square - self.mean**2
        sharpe = self.mean / variance.sqrt() if variance > Decimal("1e-12") else ZERO
        scale = decimal(config.scale)
        if config.scheme == "pnl":
            penalty = decimal(config.cost_penalty) * cost + decimal(config.drawdown_penalty) * deeper
            value = scale * (gain - penalty) + decimal(config.sharpe_bonus) * sharpe
        elif config.scheme == "weighted":
            parts = decimal(config.return_weight) * gain - decimal(config.cost_weight) * cost
            parts -= decimal(config.drawdown_weight) * deeper
            value = scale * parts + decimal(config.sharpe_weight) * sharpe
        else:
            variance, value = square - mean**2, ZERO
            if variance > Decimal("1e-12"):
                top = square * (gain - mean) - mean * (gain * gain - square) / 2
                value = top / (variance * variance.sqrt())
        clip = decimal(config.clip)
        return max(-clip, min(clip, value))
