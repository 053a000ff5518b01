"""A slow second bookkeeper, in decimal arithmetic, written from the rules in docs/trading.md and from nothing else.

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
    """One symbol's bar; a symbol without a bar has None in its place."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal


@dataclass
class Position:
    shares: Decimal = ZERO
    entry: Decimal = ZERO
    bars: int = 0
    mark: Decimal = ZERO


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

    # One step, from a close to the next -------------------------------------------------------------------------

    def step(
        self, action: Any, now: list[Bar | None], then: list[Bar | None], observable: list[bool], turbulence: float
    ) -> Decimal:
        """Carry `action`, decided at the bars `now`, through the bars `then`; returns the reward."""
        with localcontext() as context:
            context.prec = DIGITS
            self.orders, self.exits = [], []
            if self.bankrupt:
                return ZERO
            before = (self.equity, self.peak, self.costs)
            stop = self.config.turbulence_stop
            alarm = stop is not None and not math.isnan(turbulence) and turbulence >= stop
            prices = [self.reference(a, b) for a, b in zip(now, then, strict=True)]
            if self.config.scheme == "discrete":
                if prices[0] is not None:
                    self.trade(0, self.wish_of(Action.CLOSE if alarm else action, prices[0]), prices)
            else:
                self.rebalance(action, prices, observable, alarm)
            for symbol, bar in enumerate(then):
                if bar is not None:
                    self.live(symbol, bar)
            self.equity = self.cash + sum(p.shares * p.mark for p in self.positions)
            self.peak = max(self.peak, self.equity)
            if self.equity <= 0:
                self.fail()
            return self.reward(*before)

    def reference(self, now: Bar | None, then: Bar | None) -> Decimal | None:
        if now is None or then is None:
            return None
        return now.close if self.config.fill == "close" else then.open

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

    def rebalance(self, action: Any, prices: Prices, observable: list[bool], alarm: bool) -> None:
        wishes: dict[int, Decimal] = {}
        dealt = [s for s, price in enumerate(prices) if price is not None and (alarm or observable[s])]
        if alarm:
            wishes = {s: -self.positions[s].shares for s in dealt}
        elif self.config.scheme == "shares":
            most = np.float32(self.config.max_order_shares)
            wishes = {s: Decimal(int(np.float32(action[s]) * most)) for s in dealt}
        else:
            value = self.cash
            for position, price in zip(self.positions, prices, strict=True):
                value += position.shares * (position.mark if price is None else price)
            raw = [decimal(action[s]) for s in dealt]
            for s, weight in zip(dealt, self.projected(raw), strict=True):
                wishes[s] = weight * value / prices[s] - self.positions[s].shares
        for s, wish in wishes.items():
            if wish < 0:
                self.trade(s, wish, prices)
        for s in sorted((s for s in wishes if wishes[s] > 0), key=lambda s: (wishes[s], s), reverse=True):
            self.trade(s, wishes[s], prices)

    def projected(self, raw: list[Decimal]) -> list[Decimal]:
        """The nearest weights with |w| <= max_position and sum |w| <= 1, from the corners of the piecewise line."""
        cap = decimal(self.config.max_position)
        sizes = [abs(w) if w > 0 or self.config.allow_short else ZERO for w in raw]

        def total(lowered: Decimal) -> Decimal:
            return sum((min(max(size - lowered, ZERO), cap) for size in sizes), ZERO)

        lowered = ZERO
        if total(ZERO) > 1:
            corners = sorted({ZERO, *sizes, *(size - cap for size in sizes if size > cap)})
            left = max(c for c in corners if total(c) > 1)
            right = min(c for c in corners if total(c) <= 1)
            lowered = left + (right - left) * (total(left) - 1) / (total(left) - total(right))
        kept = [min(max(size - lowered, ZERO), cap) for size in sizes]
        return [size.copy_sign(w) for size, w in zip(kept, raw, strict=True)]

    def trade(self, symbol: int, wish: Decimal, prices: Prices) -> None:
        """Fill what the limits leave of a wish."""
        if wish == 0:
            return
        config, position = self.config, self.positions[symbol]
        held, price = position.shares, self.worsened(prices[symbol], wish)
        aim = held + wish
        if not config.allow_short and aim < 0:
            aim = ZERO
        grows, turns = abs(aim) > abs(held), aim * held < 0
        if grows or turns:
            # After the order: |aim| price <= m (equity - fixed - fee price |aim - held|), solved for |aim|.
            m = decimal(config.max_position)
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
            order = min(order, max(funds, -held, ZERO))
        closes = order == -held
        lot = decimal(config.lot_size)
        if config.scheme == "shares":
            lot = max(lot, ONE)
        if lot > 0 and not closes:
            lots = (abs(order) / lot + BILLIONTH).to_integral_value("ROUND_FLOOR")
            order = (lots * lot).copy_sign(order)
        if abs(held + order) * price < MILLIONTH:
            order, closes = -held, True
        if order == 0 or (not closes and abs(order) * price < MILLIONTH):
            return
        self.orders.append(self.fill(symbol, order, prices[symbol]))

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

    def live(self, symbol: int, bar: Bar) -> None:
        position = self.positions[symbol]
        position.mark = bar.close
        if position.shares != 0:
            leave = self.exit_at(position, bar)
            if leave is not None:
                self.exits.append(self.fill(symbol, -position.shares, leave))
        if position.shares != 0:
            position.bars += 1
        if position.shares < 0:
            rent = -position.shares * bar.close * decimal(self.config.borrow_bps_per_bar) / 10_000
            self.cash -= rent
            self.costs += rent

    def exit_at(self, position: Position, bar: Bar) -> Decimal | None:
        side = 1 if position.shares > 0 else -1
        worst, best = (bar.low, bar.high) if side > 0 else (bar.high, bar.low)
        loss, gain = self.config.stop_loss, self.config.take_profit
        levels = []
        if loss is not None:
            level = position.entry * (ONE - side * decimal(loss))
            levels.append((level, lambda price: side * (price - level) <= 0, worst))
        if gain is not None:
            goal = position.entry * (ONE + side * decimal(gain))
            levels.append((goal, lambda price: side * (price - goal) >= 0, best))
        for _, reached, _ in levels:
            if reached(bar.open):
                return bar.open
        for price, reached, extreme in levels:
            if reached(extreme):
                return price
        return None

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
