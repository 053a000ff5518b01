"""The compiled trading rules: how an account moves from one bar's close to the next.

All account arithmetic is here. Training, backtest and serving call the same functions on the same arrays, so their
numbers agree bit for bit. docs/trading.md describes the rules. All compiled functions are in this one file because
Numba's cache detects changes in a function's own file only, not in the functions it calls.

Arrays, with N accounts, A assets per account, S symbols, B bars and F observations:

- `prices` (S, B, 4), `details` (S, B, 3), `observations` (S, B, F) and `flags` (S, B): the market's `Block`.
- `accounts` (N,) `ACCOUNT`; `holdings` (N, A) `HOLDING`: the full state, which can be copied and saved.
- `actions`: (N,) int64 for the nine discrete actions, or (N, A) float32 for shares and weights.
- `rules` (1,) `RULES`: the configuration as numbers.

An account of one symbol moves over the bars of its symbol, a portfolio over the bars of the clock. `bar` is the bar at
whose close an account decides, `arrival` the next bar it moves to.
"""

# Numba infers the argument types of compiled functions at the first call; they are described above.
# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-incomplete-defs=False

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from MLOps.compiled import CACHE
from MLOps.config.trading import TradingConfig
from MLOps.trading.market import CLOSE, DELISTED, HIGH, LOW, OBSERVABLE, OPEN, TURBULENCE, VOLUME, YEARS

ACCOUNT = np.dtype(
    [
        ("cash", np.float64),
        ("equity", np.float64),  # cash + shares × last close
        ("peak_equity", np.float64),
        ("costs", np.float64),  # commission, fixed fees, slippage and borrowing paid so far
        ("return_mean", np.float64),  # running first and second moments of the returns per bar
        ("return_square", np.float64),
        ("reward_sum", np.float64),
        ("bar", np.int64),  # the account is at this bar's close
        ("stop", np.int64),  # the last bar of the episode, at which no order is placed
        ("steps", np.int64),  # moves since the episode began
        ("generator", np.uint64),
        ("bankrupt", np.int64),
    ]
)
HOLDING = np.dtype(
    [
        ("symbol", np.int64),
        ("shares", np.float64),
        ("entry_price", np.float64),  # average over the fills that built the position, slippage included, fees not
        ("price", np.float64),  # last close seen
        ("holding_bars", np.int64),
        ("waiting", np.float64),  # the action pending until the symbol's next bar; NaN for none
        ("wish", np.float64),  # temporary order size within a step under the schemes shares and weights
        # Fills between the previous close and this one: the order, then a forced exit.
        ("order_shares", np.float64),
        ("order_price", np.float64),
        ("exit_shares", np.float64),
        ("exit_price", np.float64),
    ]
)
NUMBERS = (
    *("initial_cash", "fee_rate", "fee_fixed", "slippage", "borrow_rate", "lot_size", "max_position", "max_gross"),
    *("rebalance_band", "max_order_shares", "max_participation", "stop_loss", "take_profit", "turbulence_stop"),
    *("maintenance_margin", "delisting_loss"),
    *("scale", "clip", "cost_penalty", "drawdown_penalty", "sharpe_bonus"),
    *("sharpe_weight", "return_weight", "drawdown_weight", "cost_weight", "adaptation"),
)
CHOICES = ("scheme", "portfolio", "reward_scheme", "fill_at_close", "allow_short")
RULES = np.dtype([(name, np.float64) for name in NUMBERS] + [(name, np.int64) for name in CHOICES])

# Without Numba's runtime, compiled code cannot allocate and counts no references; that and inlining make it three times
# faster.
compiled: Any = njit(cache=CACHE, error_model="numpy", _nrt=False, forceinline=True)  # type: ignore[call-overload]

HOLD, BUY_25, BUY_50, BUY_100, SELL_25, SELL_50, SELL_100, CLOSE_POSITION, REVERSE = range(9)
# By action: the fraction of cash spent, and the fraction of the position sold.
SPENT_OF_CASH = np.array([0.0, 0.25, 0.5, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
SOLD_OF_POSITION = np.array([0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 1.0, 2.0])

SCHEMES = ("discrete", "shares", "weights")
DISCRETE, SHARES, WEIGHTS = range(3)
REWARD_SCHEMES = ("pnl", "weighted", "differential_sharpe")
PNL, WEIGHTED, DIFFERENTIAL_SHARPE = range(3)

# Columns of an observation that describe the holding of one asset.
HOLDING_COLUMNS = 3
# Bars after which `holding_bars` stops growing in the observation, where it is divided by this number.
HOLDING_BARS_SCALE = 100
# Orders with a smaller value are rounding errors and not placed; a smaller remainder of a position is closed with it.
MIN_ORDER_VALUE = 1e-6
# Tolerance, as a fraction of a lot, before rounding down, so that 10 shares computed as 9.999999999 stay 10.
LOT_TOLERANCE = 1e-9
# Orders spend at most the cash, up to rounding: cash may be below zero by this fraction of the account's size, which
# follows from the tolerance of lots, plus the value of two orders too small to be placed.
CASH_DUST = 1e-8
# Discrete actions that lead to positions closer than this, as a fraction of equity, count as the same action.
MIN_POSITION_CHANGE = 1e-4
# Variance of returns below which the Sharpe ratio is set to 0.
MIN_VARIANCE = 1e-12


def rules_of(config: TradingConfig) -> NDArray[Any]:
    """The configuration as a (1,) array of `RULES`; a limit that is not set becomes infinite."""
    rules = np.zeros(1, RULES)
    values = {name: getattr(config, name, getattr(config.reward, name, None)) for name in (*NUMBERS, *CHOICES)}
    values |= {
        "fee_rate": config.fee_bps / 10_000,
        "slippage": config.slippage_bps / 10_000,
        "borrow_rate": config.borrow_bps_per_year / 10_000,
        "portfolio": config.account == "portfolio",
        "adaptation": 1 / config.reward.sharpe_bars,
        "fill_at_close": config.fill == "close",
        # A target is a weight; what differs is what a policy chooses from.
        "scheme": SCHEMES.index("weights" if config.scheme == "targets" else config.scheme),
        "reward_scheme": REWARD_SCHEMES.index(config.reward.scheme),
    }
    if config.scheme == "shares":
        values["lot_size"] = max(config.lot_size, 1.0)
    for name, value in values.items():
        rules[name] = math.inf if value is None else value
    return rules


# Orders ------------------------------------------------------------------------------------------------------------


@compiled
def discrete_wish(action, cash, shares, price, rules):
    """The signed number of shares that a discrete action orders at reference `price`, before any limit."""
    if SPENT_OF_CASH[action] > 0.0:
        budget = SPENT_OF_CASH[action] * cash - rules["fee_fixed"]
        return max(0.0, budget / (price * (1.0 + rules["slippage"]) * (1.0 + rules["fee_rate"])))
    sold = SOLD_OF_POSITION[action]
    return -shares * (sold if rules["allow_short"] else min(sold, 1.0))


@compiled
def limited_order(wish, cash, shares, others_value, price, most, rules):
    """`wish` limited by cash, the largest position, `most` shares and whole lots; 0 when nothing is left.

    `others_value` is the value of the account's other positions and `price` the reference price.
    """
    if wish == 0.0:
        return 0.0
    fill = price * (1.0 + math.copysign(rules["slippage"], wish))
    fee_rate = rules["fee_rate"]
    target = shares + wish
    if not rules["allow_short"]:
        target = max(target, 0.0)
    size, held = abs(target), abs(shares)
    crossing = target * shares < 0.0
    if size > held or crossing:
        # Largest position whose value does not exceed max_position × equity once this order's costs are paid.
        fraction = rules["max_position"]
        equity = cash + others_value + shares * fill - rules["fee_fixed"]
        costs_to_zero = -fee_rate * held * fill if crossing else fee_rate * held * fill
        largest = fraction * (equity + costs_to_zero) / (fill * (1.0 + fraction * fee_rate))
        size = min(size, max(largest, 0.0 if crossing else held))
        target = size if target > 0.0 else -size
    order = target - shares
    if wish > 0.0:
        affordable = (cash - rules["fee_fixed"]) / (fill * (1.0 + fee_rate))
        order = min(order, max(affordable, 0.0))
    if abs(order) > most:
        order = math.copysign(most, order)
    lot = rules["lot_size"]
    if lot > 0.0 and order != -shares:
        whole = math.floor(abs(order) / lot + LOT_TOLERANCE) * lot
        order = whole if order > 0.0 else -whole
    if abs(shares + order) * fill < MIN_ORDER_VALUE:
        order = -shares
    elif abs(order) * fill < MIN_ORDER_VALUE:
        return 0.0
    # The fixed fee must not make cash negative.
    proceeds = max(-order, 0.0) * fill * (1.0 - fee_rate)
    if proceeds < rules["fee_fixed"] and cash + proceeds < rules["fee_fixed"]:
        return 0.0
    return order


@compiled
def fill_order(order, price, account, holding, rules):
    """Trade `order` shares at reference `price` worsened by slippage; pays the costs and returns the fill price."""
    slippage = rules["slippage"]
    fill = price * (1.0 + math.copysign(slippage, order))
    fee = rules["fee_rate"] * abs(order) * fill + rules["fee_fixed"]
    account["cash"] -= order * fill + fee
    account["costs"] += fee + abs(order) * price * slippage
    shares = holding["shares"]
    target = shares + order
    if order == -shares:
        holding["entry_price"] = 0.0
        holding["holding_bars"] = 0
    elif shares * target <= 0.0:
        holding["entry_price"] = fill
        holding["holding_bars"] = 0
    elif abs(target) > abs(shares):
        holding["entry_price"] = (holding["entry_price"] * abs(shares) + fill * abs(order)) / abs(target)
    holding["shares"] = target
    return fill


@compiled
def place_order(wish, others_value, price, account, holding, prices, details, arrival, rules):
    """Apply the limits to `wish` and fill the order at reference `price`."""
    most = largest_order(holding["symbol"], prices, details, arrival, rules)
    order = limited_order(wish, account["cash"], holding["shares"], others_value, price, most, rules)
    if order != 0.0:
        holding["order_price"] = fill_order(order, price, account, holding, rules)
        holding["order_shares"] = order


@compiled
def largest_order(symbol, prices, details, arrival, rules):
    """Largest order in shares: a fraction of the volume of the bar in which it fills."""
    if rules["max_participation"] == math.inf:
        return math.inf
    bar = arrival
    if rules["fill_at_close"]:
        bar -= 1
        while bar > 0 and math.isnan(prices[symbol, bar, CLOSE]):
            bar -= 1
    return rules["max_participation"] * details[symbol, bar, VOLUME]


@compiled
def reference_price(holding, prices, arrival, rules):
    """The price before slippage of an order that fills in the move to `arrival`; NaN if the symbol has no bar there."""
    open_ = prices[holding["symbol"], arrival, OPEN]
    return holding["price"] if rules["fill_at_close"] and not math.isnan(open_) else open_


@compiled
def discrete_target(action, cash, shares, price, turbulence, rules):
    """The position after a discrete `action` filled at reference `price`."""
    if turbulence >= rules[0]["turbulence_stop"]:
        action = CLOSE_POSITION
    wish = discrete_wish(action, cash, shares, price, rules[0])
    return shares + limited_order(wish, cash, shares, 0.0, price, math.inf, rules[0])


@compiled
def weight_target(weight, cash, shares, price, turbulence, rules):
    """The position after an order to `weight` filled at reference `price`, for a single-asset account."""
    if turbulence >= rules[0]["turbulence_stop"]:
        weight = 0.0
    if math.isnan(weight):
        return shares
    wish = weight_wish(weight, 0.0, cash + shares * price, shares, price, 1, rules[0])
    return shares + limited_order(wish, cash, shares, 0.0, price, math.inf, rules[0])


@compiled
def distinct_actions(positions, cash_ratios, rules, out):
    """Write to `out` (n, 9) which discrete actions lead to a position that no action before leads to.

    In units of equity, so the fixed fee and whole lots do not count. HOLD is always distinct.
    """
    for i in range(out.shape[0]):
        for action in range(HOLD, REVERSE + 1):
            wish = discrete_wish(action, cash_ratios[i], positions[i], 1.0, rules[0])
            order = limited_order(wish, cash_ratios[i], positions[i], 0.0, 1.0, math.inf, rules[0])
            out[i, action] = order != 0.0 or action == HOLD
            for other in range(HOLD, action):
                wish = discrete_wish(other, cash_ratios[i], positions[i], 1.0, rules[0])
                same = limited_order(wish, cash_ratios[i], positions[i], 0.0, 1.0, math.inf, rules[0])
                out[i, action] = out[i, action] and abs(order - same) > MIN_POSITION_CHANGE


@compiled
def place_discrete(action, account, holdings, prices, details, arrival, stopped, rules):
    """Fill the discrete `action` in the move to `arrival`, for a single-asset account."""
    holding = holdings[0]
    price = reference_price(holding, prices, arrival, rules)
    if math.isnan(price):
        return
    if stopped:
        action = CLOSE_POSITION
    wish = discrete_wish(action, account["cash"], holding["shares"], price, rules)
    if wish != 0.0:
        place_order(wish, 0.0, price, account, holding, prices, details, arrival, rules)


@compiled
def decide_wishes(action, holdings, prices, flags, bar, arrival, stopped, rules):
    """Set the wishes of the symbols that have a bar at `arrival`, from `action` (A,) decided at `bar` or from an action
    pending since earlier bars; the others remain pending. Returns the value of all holdings at reference prices.

    A wish is an order in shares, or under the scheme weights a weight.
    """
    value = 0.0
    for a in range(holdings.shape[0]):
        holding = holdings[a]
        symbol = holding["symbol"]
        if stopped:
            holding["waiting"] = -math.inf if rules["scheme"] == SHARES else 0.0
        elif flags[symbol, bar] & OBSERVABLE:
            holding["waiting"] = action[a]
        elif not math.isnan(prices[symbol, bar, CLOSE]):
            holding["waiting"] = math.nan
        price = reference_price(holding, prices, arrival, rules)
        holding["wish"] = math.nan
        if math.isnan(price):
            value += holding["shares"] * holding["price"]
            continue
        value += holding["shares"] * price
        holding["wish"] = holding["waiting"]
        if rules["scheme"] == SHARES:
            # In float32, like the action: 0.29 of 100 shares are 29.
            holding["wish"] = float(np.trunc(np.float32(holding["wish"]) * np.float32(rules["max_order_shares"])))
    return value


@compiled
def place_actions(action, account, holdings, prices, details, flags, bar, arrival, stopped, rules):
    """Fill the orders of shares and weights: sells before buys, the largest first."""
    value = decide_wishes(action, holdings, prices, flags, bar, arrival, stopped, rules)
    if rules["scheme"] == WEIGHTS:
        weights_to_shares(account["cash"] + value, holdings, prices, arrival, rules)
    for a in range(holdings.shape[0]):
        if holdings[a]["wish"] < 0.0:
            value += place_wish(value, account, holdings[a], prices, details, arrival, rules)
    for _ in range(holdings.shape[0]):
        largest = -1
        for a in range(holdings.shape[0]):
            if holdings[a]["wish"] > 0.0 and (largest < 0 or holdings[a]["wish"] >= holdings[largest]["wish"]):
                largest = a
        if largest < 0:
            break
        value += place_wish(value, account, holdings[largest], prices, details, arrival, rules)


@compiled
def fill_decision(action, turbulence, accounts, holdings, prices, details, flags, rules):
    """Fill the orders of a decision `action` (A,) at the first of two bars in the move to the second, for the only one
    of `accounts`."""
    stopped = turbulence >= rules[0]["turbulence_stop"]
    place_actions(action, accounts[0], holdings[0], prices, details, flags, 0, 1, stopped, rules[0])


@compiled
def place_wish(value, account, holding, prices, details, arrival, rules):
    """Place the holding's wish and reset it; returns the change of `value`, the value of all holdings."""
    price = reference_price(holding, prices, arrival, rules)
    held = holding["shares"]
    place_order(holding["wish"], value - held * price, price, account, holding, prices, details, arrival, rules)
    holding["wish"] = math.nan
    return (holding["shares"] - held) * price


@compiled
def weight_wish(weight, lowered, equity, shares, price, parts, rules):
    """The order in shares that brings a position to `weight` of `equity`, with |weight| lowered and capped; 0 if the
    position is within `rebalance_band` of a weight other than 0, in units of the equity over `parts` symbols."""
    size = min(max(abs(weight) - lowered, 0.0), rules["max_position"])
    if weight < 0.0:
        size = -size if rules["allow_short"] else 0.0
    if size != 0.0 and abs(size * equity - shares * price) <= rules["rebalance_band"] * equity / parts:
        return 0.0
    return size * equity / price - shares


@compiled
def weights_to_shares(equity, holdings, prices, arrival, rules):
    """Convert target weights of `equity` to orders, projecting them onto |w| <= max_position and
    sum |w| <= max_gross.

    The Euclidean projection lowers every |w| by the same amount (Duchi et al. 2008, "Efficient projections onto the
    l1-ball"); the sum decreases with that amount, which is found by bisection to the last bit. The remainder is cash.
    If shorts are not allowed, a negative weight counts as 0.
    """
    cap = rules["max_position"]
    low, high, lowered = 0.0, 0.0, 0.0
    for a in range(holdings.shape[0]):
        if not rules["allow_short"] and holdings[a]["wish"] < 0.0:
            holdings[a]["wish"] = 0.0
        if not math.isnan(holdings[a]["wish"]):
            high = max(high, abs(holdings[a]["wish"]))
    # The first attempt lowers nothing.
    while True:
        total = 0.0
        for a in range(holdings.shape[0]):
            if not math.isnan(holdings[a]["wish"]):
                total += min(max(abs(holdings[a]["wish"]) - lowered, 0.0), cap)
        if total > rules["max_gross"]:
            low = lowered
        else:
            high = lowered
        lowered = 0.5 * (low + high)
        if lowered in (low, high):
            break
    for a in range(holdings.shape[0]):
        holding = holdings[a]
        if not math.isnan(holding["wish"]):
            price = reference_price(holding, prices, arrival, rules)
            parts = holdings.shape[0]
            holding["wish"] = weight_wish(holding["wish"], high, equity, holding["shares"], price, parts, rules)


# Bars --------------------------------------------------------------------------------------------------------------


@compiled
def pay_borrowing(account, holdings, details, arrival, rules):
    """Charge borrowing on short positions, valued at their last close, from their symbol's last bar to `arrival`."""
    for a in range(holdings.shape[0]):
        holding = holdings[a]
        if holding["shares"] < 0.0:
            years = details[holding["symbol"], arrival, YEARS]
            if not math.isnan(years):
                borrowing = rules["borrow_rate"] * years * -holding["shares"] * holding["price"]
                account["cash"] -= borrowing
                account["costs"] += borrowing


@compiled
def exit_level(holding, distance):
    """The price at which a position has lost `distance`, a fraction of its entry price; negative for a gain."""
    side = 1.0 if holding["shares"] > 0.0 else -1.0
    return holding["entry_price"] * (1.0 - side * distance)


@compiled
def way_to_exit(holding, prices, bar, rules):
    """Point on the bar's path at which stop-loss or take-profit closes a position; infinite if neither does.

    0: at the open, which has reached or passed one of them. Up to 1: at the stop-loss, as a fraction of the path from
    the open to the bar's worst price. 2: at the take-profit, between the worst and the best price.
    """
    if holding["shares"] == 0.0:
        return math.inf
    side, worst, best = (1.0, LOW, HIGH) if holding["shares"] > 0.0 else (-1.0, HIGH, LOW)
    worst, best = prices[holding["symbol"], bar, worst], prices[holding["symbol"], bar, best]
    open_ = prices[holding["symbol"], bar, OPEN]
    stop, profit = exit_level(holding, rules["stop_loss"]), exit_level(holding, -rules["take_profit"])
    if side * (open_ - stop) <= 0.0 or side * (open_ - profit) >= 0.0:
        return 0.0
    if side * (worst - stop) <= 0.0:
        return (stop - open_) / (worst - open_)
    return 2.0 if side * (best - profit) >= 0.0 else math.inf


@compiled
def way_to_call(account, holdings, prices, bar, rules):
    """Fraction of the path from the open to the worst prices at which equity falls to the maintenance margin; infinite
    if it does not, or if no short can be bought back.

    All prices move linearly and simultaneously, to the low for longs and the high for shorts, so the excess over the
    margin is linear too. A symbol without a bar keeps its last close.
    """
    at_open, at_worst, shorts = account["cash"], account["cash"], False
    for a in range(holdings.shape[0]):
        holding = holdings[a]
        if holding["shares"] == 0.0:
            continue
        weight, worst = holding["shares"], prices[holding["symbol"], bar, LOW]
        open_ = prices[holding["symbol"], bar, OPEN]
        if holding["shares"] < 0.0:
            weight, worst = weight * (1.0 + rules["maintenance_margin"]), prices[holding["symbol"], bar, HIGH]
        if math.isnan(open_):
            open_, worst = holding["price"], holding["price"]
        elif holding["shares"] < 0.0:
            shorts = True
        at_open += weight * open_
        at_worst += weight * worst
    if not shorts or (at_open > 0.0 and at_worst > 0.0):
        return math.inf
    return at_open / (at_open - at_worst) if at_open > 0.0 else 0.0


@compiled
def may_exit(holdings, rules):
    """Whether a forced exit within a bar is possible; for most accounts it is not."""
    watched = rules["stop_loss"] < math.inf or rules["take_profit"] < math.inf
    for a in range(holdings.shape[0]):
        if holdings[a]["shares"] < 0.0 or (watched and holdings[a]["shares"] != 0.0):
            return True
    return False


@compiled
def exit_within(account, holdings, prices, bar, rules):
    """Apply stop-loss, take-profit and margin call within `bar`, in the order of the bar's path: the open, the worst
    prices, the best prices. A margin call buys back all shorts that have a bar; if a stop and the call occur at the
    same point, the stop comes first.
    """
    passed = 0.0
    while may_exit(holdings, rules):
        closing = -1
        reached = max(way_to_call(account, holdings, prices, bar, rules), passed) if passed <= 1.0 else math.inf
        for a in range(holdings.shape[0]):
            way = way_to_exit(holdings[a], prices, bar, rules)
            if way <= reached and way < math.inf and (closing < 0 or way < reached):
                reached, closing = way, a
        if reached == math.inf:
            break
        passed = reached
        for a in range(holdings.shape[0]):
            holding = holdings[a]
            price = prices[holding["symbol"], bar, OPEN]
            if closing < 0:
                price += reached * (prices[holding["symbol"], bar, HIGH] - price)
                if math.isnan(price) or holding["shares"] >= 0.0:
                    continue
            elif closing != a:
                continue
            elif reached > 1.0:
                price = exit_level(holding, -rules["take_profit"])
            elif reached > 0.0:
                price = exit_level(holding, rules["stop_loss"])
            holding["exit_shares"] = -holding["shares"]
            holding["exit_price"] = fill_order(-holding["shares"], price, account, holding, rules)


@compiled
def settle(price, holding):
    """Close a position at `price` without costs; returns the proceeds."""
    money = holding["shares"] * price
    holding["exit_shares"], holding["exit_price"] = -holding["shares"], price
    holding["shares"], holding["entry_price"], holding["holding_bars"] = 0.0, 0.0, 0
    return money


@compiled
def mark(account, holdings, prices, flags, bar, rules):
    """Value the account at the close of `bar`, after closing positions in delisted symbols."""
    value = 0.0
    for a in range(holdings.shape[0]):
        holding = holdings[a]
        close = prices[holding["symbol"], bar, CLOSE]
        if not math.isnan(close):
            holding["price"] = close
            if holding["shares"] != 0.0:
                holding["holding_bars"] += 1
                if flags[holding["symbol"], bar] & DELISTED:
                    loss = math.copysign(rules["delisting_loss"], holding["shares"])
                    account["cash"] += settle(close * (1.0 - loss), holding)
        value += holding["shares"] * holding["price"]
    account["equity"] = account["cash"] + value
    account["peak_equity"] = max(account["peak_equity"], account["equity"])


@compiled
def go_bankrupt(account, holdings):
    """Liquidate an account without equity: every position is closed at its last close, without costs."""
    account["bankrupt"] = 1
    account["cash"] = account["equity"]
    for a in range(holdings.shape[0]):
        if holdings[a]["shares"] != 0.0:
            settle(holdings[a]["price"], holdings[a])


@compiled
def reward_of(account, equity_before, peak_before, costs_before, rules):
    """Reward of the last bar.

    With r = equity / equity_before - 1, c = costs of the bar / equity_before, d = increase of the drawdown
    1 - equity / peak (0 if it did not increase), and the running Sharpe ratio S:

    - pnl:                 scale × (r - cost_penalty × c - drawdown_penalty × d) + sharpe_bonus × S
    - weighted:            scale × (return_weight × r - cost_weight × c - drawdown_weight × d) + sharpe_weight × S
    - differential_sharpe: (B ΔA - A ΔB / 2) / (B - A²)^(3/2), Moody and Saffell 2001, "Learning to trade via direct
      reinforcement", with A and B the running moments before this bar, ΔA = r - A and ΔB = r² - B

    each clipped to ±clip. S = A / sqrt(B - A²) after this bar; the moments move by ΔA and ΔB over sharpe_bars.
    """
    gain = account["equity"] / equity_before - 1.0
    cost = (account["costs"] - costs_before) / equity_before
    deepened = max(0.0, equity_before / peak_before - account["equity"] / account["peak_equity"])
    mean, square = account["return_mean"], account["return_square"]
    mean_step, square_step = gain - mean, gain * gain - square
    account["return_mean"] = mean + rules["adaptation"] * mean_step
    account["return_square"] = square + rules["adaptation"] * square_step
    scale = rules["scale"]
    if rules["reward_scheme"] == PNL:
        reward = scale * (gain - rules["cost_penalty"] * cost - rules["drawdown_penalty"] * deepened)
        # Computing a Sharpe ratio takes longer than everything else here.
        if rules["sharpe_bonus"] > 0.0:
            reward += rules["sharpe_bonus"] * running_sharpe(account)
    elif rules["reward_scheme"] == WEIGHTED:
        penalties = rules["cost_weight"] * cost + rules["drawdown_weight"] * deepened
        reward = scale * (rules["return_weight"] * gain - penalties)
        reward += rules["sharpe_weight"] * running_sharpe(account)
    else:
        variance = square - mean * mean
        reward = 0.0
        if variance > MIN_VARIANCE:
            reward = (square * mean_step - 0.5 * mean * square_step) / (variance * math.sqrt(variance))
    return min(max(reward, -rules["clip"]), rules["clip"])


@compiled
def running_sharpe(account):
    mean = account["return_mean"]
    variance = account["return_square"] - mean * mean
    return mean / math.sqrt(variance) if variance > MIN_VARIANCE else 0.0


@compiled
def turbulent(holdings, details, bar, rules):
    """Whether the turbulence known at `bar` stops all trades except closing."""
    stop = rules["turbulence_stop"]
    return stop < math.inf and details[holdings[0]["symbol"], bar, TURBULENCE] >= stop


@compiled
def next_bar(account, holdings, prices, rules):
    """The bar to which the account moves: the clock's next for a portfolio, else its symbol's next up to the stop."""
    arrival = account["bar"] + 1
    if not rules["portfolio"]:
        while arrival < account["stop"] and math.isnan(prices[holdings[0]["symbol"], arrival, CLOSE]):
            arrival += 1
    return arrival


@compiled
def advance(i, actions, accounts, all_holdings, prices, details, flags, rules):
    """Move account `i` from the close at which its action is decided to the next; returns the reward."""
    account, holdings = accounts[i], all_holdings[i]
    bar, arrival = account["bar"], next_bar(account, holdings, prices, rules)
    account["bar"] = arrival
    account["steps"] += 1
    for a in range(holdings.shape[0]):
        holdings[a]["order_shares"] = 0.0
        holdings[a]["order_price"] = math.nan
        holdings[a]["exit_shares"] = 0.0
        holdings[a]["exit_price"] = math.nan
    if account["bankrupt"]:
        return 0.0
    equity_before, peak_before, costs_before = account["equity"], account["peak_equity"], account["costs"]
    stopped = turbulent(holdings, details, bar, rules)
    pay_borrowing(account, holdings, details, arrival, rules)
    if actions.ndim == 1:
        place_discrete(actions[i], account, holdings, prices, details, arrival, stopped, rules)
    else:
        place_actions(actions[i], account, holdings, prices, details, flags, bar, arrival, stopped, rules)
    exit_within(account, holdings, prices, arrival, rules)
    mark(account, holdings, prices, flags, arrival, rules)
    if account["equity"] <= 0.0:
        go_bankrupt(account, holdings)
    reward = reward_of(account, equity_before, peak_before, costs_before, rules)
    account["reward_sum"] += reward
    return reward


@compiled
def open_account(account, holdings, start, stop, prices, rules):
    """Reset the account at the close of bar `start`, to end at `stop`; its generator and symbols are kept."""
    cash = rules["initial_cash"]
    account["cash"], account["equity"], account["peak_equity"] = cash, cash, cash
    account["costs"], account["reward_sum"] = 0.0, 0.0
    account["return_mean"], account["return_square"] = 0.0, 0.0
    account["bar"], account["stop"], account["steps"], account["bankrupt"] = start, stop, 0, 0
    for a in range(holdings.shape[0]):
        holding = holdings[a]
        price = prices[holding["symbol"], start, CLOSE]
        holding["price"] = 0.0 if math.isnan(price) else price
        holding["shares"], holding["entry_price"], holding["holding_bars"] = 0.0, 0.0, 0
        holding["waiting"], holding["wish"] = math.nan, math.nan
        holding["order_shares"], holding["order_price"] = 0.0, math.nan
        holding["exit_shares"], holding["exit_price"] = 0.0, math.nan


# Observations ------------------------------------------------------------------------------------------------------


@compiled
def observe_holding(shares, entry_price, holding_bars, price, equity, out):
    """Write position, unrealised gain relative to the entry price, and holding time to `out` (3,)."""
    out[0] = shares * price / equity if equity > 0.0 else 0.0
    if shares > 0.0:
        out[1] = price / entry_price - 1.0
    elif shares < 0.0:
        out[1] = 1.0 - price / entry_price
    else:
        out[1] = 0.0
    out[2] = min(holding_bars, HOLDING_BARS_SCALE) / HOLDING_BARS_SCALE


@compiled
def cash_ratio(cash, equity):
    return cash / equity if equity > 0.0 else 0.0


@compiled
def observe(account, holdings, observations, flags, rules, out):
    """Write the account's observation at its bar's close to `out` (D,), in the order of `observation_columns`."""
    n_features = observations.shape[2]
    portfolio = rules["portfolio"]
    bar, equity = account["bar"], account["equity"]
    column = 0
    for a in range(holdings.shape[0]):
        holding = holdings[a]
        symbol = holding["symbol"]
        if portfolio and not flags[symbol, bar] & OBSERVABLE:
            for f in range(n_features):
                out[column + f] = 0.0
        else:
            row, seen = observations[symbol, bar], out[column : column + n_features]
            for f in range(n_features):
                seen[f] = row[f]
        column += n_features
        observe_holding(
            holding["shares"],
            holding["entry_price"],
            holding["holding_bars"],
            holding["price"],
            equity,
            out[column : column + HOLDING_COLUMNS],
        )
        column += HOLDING_COLUMNS
    out[column] = cash_ratio(account["cash"], equity)
    if portfolio:
        for a in range(holdings.shape[0]):
            out[column + 1 + a] = flags[holdings[a]["symbol"], bar] & OBSERVABLE


@compiled
def observe_decision(cash, shares, entry_price, holding_bars, price, out):
    """Write the account columns of a single-asset account at close `price` to `out` (4,)."""
    equity = cash + shares * price
    observe_holding(shares, entry_price, holding_bars, price, equity, out)
    out[HOLDING_COLUMNS] = cash_ratio(cash, equity)


@compiled
def observe_portfolio(accounts, holdings, observations, flags, rules, out):
    """Value the only one of `accounts`, a portfolio, at the last closes of its holdings; write its observation at the
    only bar of `observations` and `flags` to `out` (D,)."""
    value = 0.0
    for a in range(holdings.shape[1]):
        value += holdings[0, a]["shares"] * holdings[0, a]["price"]
    accounts[0]["equity"] = accounts[0]["cash"] + value
    observe(accounts[0], holdings[0], observations, flags, rules[0], out)


# Batches -----------------------------------------------------------------------------------------------------------


@compiled
def next_uniform(account):
    """A number in [0, 1) from the account's own generator, SplitMix64 (Steele, Lea and Flood 2014)."""
    account["generator"] += np.uint64(0x9E3779B97F4A7C15)
    z = account["generator"]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)) * (1.0 / (1 << 53))


@compiled
def start_episode(account, holdings, starts, prices, rules):
    """Reset the account to a random row of `starts` (E, 3): symbol (-1 for all), first bar, last bar."""
    episode = starts[int(next_uniform(account) * starts.shape[0])]
    if episode[0] >= 0:
        holdings[0]["symbol"] = episode[0]
    open_account(account, holdings, episode[1], episode[2], prices, rules)


@compiled
def valid(actions):
    """Whether every action is a valid discrete one, or in [-1, 1]."""
    if actions.ndim == 1:
        for i in range(actions.shape[0]):
            if actions[i] < HOLD or actions[i] > REVERSE:
                return False
    else:
        for i in range(actions.shape[0]):
            for a in range(actions.shape[1]):
                if not abs(actions[i, a]) <= 1.0:  # refuses NaN too
                    return False
    return True


@compiled
def start_episodes(accounts, holdings, starts, prices, rules):
    for i in range(accounts.shape[0]):
        start_episode(accounts[i], holdings[i], starts, prices, rules[0])


@compiled
def open_all(accounts, holdings, start, stop, prices, rules):
    for i in range(accounts.shape[0]):
        open_account(accounts[i], holdings[i], start, stop, prices, rules[0])


@compiled
def observe_all(accounts, holdings, observations, flags, rules, out):
    for i in range(accounts.shape[0]):
        observe(accounts[i], holdings[i], observations, flags, rules[0], out[i])


@compiled
def advance_some(which, actions, accounts, holdings, prices, details, flags, rules, rewards):
    """Step the accounts with indices `which` (n,), without starting new episodes."""
    for i in which:
        rewards[i] = advance(i, actions, accounts, holdings, prices, details, flags, rules[0])


@compiled
def replay(
    targets,
    decides,
    goes_on,
    first,
    actions,
    accounts,
    holdings,
    prices,
    details,
    flags,
    rules,
    history,
    holding_history,
    rewards,
):
    """Step every account over all bars with target weights known in advance, and record every state.

    `targets` (S, B) float32 are used where `decides` (S, B); an account moves on from a bar where `goes_on` (N, B).
    Writes the states to `history` (N, B), `holding_history` (N, B, A) and `rewards` (N, B) at the bars visited.
    """
    for bar in range(targets.shape[1] - 1):
        for i in range(accounts.shape[0]):
            account = accounts[i]
            if account["bar"] != first + bar or not goes_on[i, bar]:
                continue
            asked = False
            for a in range(holdings.shape[1]):
                asked = asked or decides[holdings[i, a]["symbol"], bar]
            for a in range(holdings.shape[1]):
                actions[i, a] = targets[holdings[i, a]["symbol"], bar] if asked else np.nan
            reward = advance(i, actions, accounts, holdings, prices, details, flags, rules[0])
            arrival = account["bar"] - first
            history[i, arrival] = account
            for a in range(holdings.shape[1]):
                holding_history[i, arrival, a] = holdings[i, a]
            rewards[i, arrival] = reward


@compiled
def step_episodes(
    actions,
    accounts,
    holdings,
    starts,
    prices,
    details,
    observations,
    flags,
    rules,
    out,
    rewards,
    dones,
    last_out,
    finished,
):
    """Step every account, start a new episode where one ended, and observe.

    Writes the next observations to `out` (N, D), `rewards` (N,), `dones` (N,), and for the accounts whose episode ended
    their last observation to `last_out` (N, D) and their final state to `finished` (N,).

    Returns:
        The number of ended episodes; -1, with nothing changed, if an action is invalid.
    """
    if not valid(actions):
        return -1
    n_done = 0
    for i in range(accounts.shape[0]):
        rewards[i] = advance(i, actions, accounts, holdings, prices, details, flags, rules[0])
        account = accounts[i]
        done = account["bankrupt"] != 0 or account["bar"] >= account["stop"]
        dones[i] = done
        if done:
            n_done += 1
            observe(account, holdings[i], observations, flags, rules[0], last_out[i])
            finished[i] = account
            start_episode(account, holdings[i], starts, prices, rules[0])
        observe(account, holdings[i], observations, flags, rules[0], out[i])
    return n_done
