"""The section `trading:` of params.yaml: trading rules and rewards of every account."""

import math
from typing import Annotated, Literal

from pydantic import Field

from MLOps.config.schema import section
from MLOps.config.types import NonNegative, PositiveNumber

# The kinds of account that each scheme supports.
ACCOUNTS = {
    "targets": ("per_symbol",),
    "weights": ("per_symbol", "portfolio"),
    "discrete": ("per_symbol",),
    "shares": ("portfolio",),
}
Weight = Annotated[float, Field(ge=-1, le=1)]


@section
class RewardConfig:
    """The reward of one step; `MLOps.trading.kernel` gives formulas and sources.

    Attributes:
        scheme: formula of the reward.
        scale: factor of returns, which are fractions of about 0.01, to bring them to the order of 1.
        clip: largest size of a reward.
        cost_penalty: scheme `pnl`: weight of the step's costs relative to its return.
        drawdown_penalty: scheme `pnl`: weight of an increase of the drawdown relative to the return.
        sharpe_bonus: scheme `pnl`: weight of the running Sharpe ratio.
        sharpe_weight: scheme `weighted`: weight of the running Sharpe ratio.
        return_weight: scheme `weighted`: weight of the return.
        drawdown_weight: scheme `weighted`: weight of an increase of the drawdown.
        cost_weight: scheme `weighted`: weight of the costs.
        sharpe_bars: memory of the running moments of returns for Sharpe ratios; the adaptation rate is 1 / sharpe_bars.
    """

    scheme: Literal["pnl", "weighted", "differential_sharpe"] = "pnl"
    scale: PositiveNumber = 100.0
    clip: PositiveNumber = 10.0
    cost_penalty: NonNegative = 0.0
    drawdown_penalty: NonNegative = 0.0
    sharpe_bonus: NonNegative = 0.0
    sharpe_weight: NonNegative = 0.4
    return_weight: NonNegative = 0.3
    drawdown_weight: NonNegative = 0.3
    cost_weight: NonNegative = 0.1
    sharpe_bars: Annotated[int, Field(ge=2)] = 60


@section
class TradingConfig:
    """Trading rules: costs, limits, orders and episodes, the same in training, backtest and serving.

    0.05 as a fraction is 5 %; a basis point is 0.0001; money is in the currency of the bars.

    Attributes:
        initial_cash: money in each account.
        scheme: meaning of an action: one of the positions in `targets`; any position, `weights`; one of nine orders,
            `discrete`; a number of shares to trade, `shares`. A position is a fraction of equity, negative when short.
        targets: positions to choose from under the scheme `targets`.
        rebalance_band: schemes `targets` and `weights`: no order is placed while the position is within this distance
            of its target, as a fraction of equity (of a portfolio of S symbols: of equity / S), unless the target is 0.
            It saves the costs of following each change of prices.
        account: one account for each symbol, or one that holds all symbols.
        fill: next_open: an order decided at a bar's close fills at the next bar's open. close: it fills at the observed
            close, which is unrealistic and biased upwards; for comparison with systems that assume it.
        fee_bps: of the value of each fill.
        fee_fixed: money per filled order.
        slippage_bps: by which a fill is worse than the price.
        borrow_bps_per_year: of the value of short positions, for the time between two bars, weekends and gaps included.
        allow_short: whether positions may be negative.
        maintenance_margin: short positions are bought back when equity falls to this fraction of their value. FINRA
            Rule 4210 requires 30 % for a short stock.
        lot_size: orders are rounded down to multiples of this many shares; 0 trades fractions of a share.
        max_position: largest exposure to one symbol, as a fraction of the account's equity; at most 1, because there is
            no leverage.
        max_gross: scheme `weights` of a portfolio: largest sum of the sizes of all target weights; the rest is cash.
        max_participation: largest order, as a fraction of the volume of the bar in which it fills; null for no limit.
        delisting_loss: loss of a position, long or short, when its symbol is delisted, as a fraction of its last close.
            Bars do not show why a symbol ends; 30 % is the mean loss at delistings for poor performance (Shumway 1997,
            "The delisting bias in CRSP data", Journal of Finance 52).
        max_order_shares: scheme `shares`: shares that an action of 1 buys (FinRL's hmax).
        stop_loss: a position is closed at this loss, as a fraction of its average entry price; null for none.
        take_profit: a position is closed at this gain, likewise; null for none.
        turbulence_stop: all positions are closed, and none opened, at bars at which the feature `turbulence_feature` is
            at or above this; null for never. The feature is the logarithm of 1 + turbulence.
        turbulence_feature: that feature.
        episode_bars: length of a training episode, whose start is random; null runs each to the end of the market.
        reward: what the agent learns from.
    """

    initial_cash: PositiveNumber = 100_000.0
    scheme: Literal["targets", "weights", "discrete", "shares"] = "targets"
    targets: Annotated[tuple[Weight, ...], Field(min_length=2)] = (0.0, 0.5, 1.0)
    rebalance_band: Annotated[float, Field(ge=0, lt=1)] = 0.0
    account: Literal["per_symbol", "portfolio"] = "per_symbol"
    fill: Literal["next_open", "close"] = "next_open"
    fee_bps: Annotated[float, Field(ge=0, lt=10_000)] = 10.0
    fee_fixed: NonNegative = 0.0
    slippage_bps: Annotated[float, Field(ge=0, lt=10_000)] = 0.0
    borrow_bps_per_year: NonNegative = 300.0
    allow_short: bool = False
    maintenance_margin: Annotated[float, Field(ge=0, lt=1)] = 0.3
    lot_size: NonNegative = 0.0
    max_position: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_gross: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_participation: Annotated[float, Field(gt=0, le=1)] | None = None
    delisting_loss: Annotated[float, Field(ge=0, le=1)] = 0.3
    max_order_shares: Annotated[int, Field(ge=1)] = 100
    stop_loss: Annotated[float, Field(gt=0, lt=1)] | None = None
    take_profit: PositiveNumber | None = None
    turbulence_stop: PositiveNumber | None = None
    turbulence_feature: Literal["turbulence_20", "turbulence_60"] = "turbulence_60"
    episode_bars: Annotated[int, Field(ge=1)] | None = 252
    reward: RewardConfig = RewardConfig()

    def __post_init__(self) -> None:
        if self.account not in ACCOUNTS[self.scheme]:
            raise ValueError(
                f"the scheme {self.scheme!r} does not work with account {self.account!r}; "
                f"set account to {ACCOUNTS[self.scheme][0]!r}"
            )
        if self.max_gross < 1 and (self.account, self.scheme) != ("portfolio", "weights"):
            raise ValueError(
                f"max_gross limits the weights of a portfolio, found scheme {self.scheme!r} with account "
                f"{self.account!r}; set max_gross to 1, or limit each symbol by max_position"
            )
        if len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets: expected different positions, found {list(self.targets)}; remove the repeated")
        if self.scheme == "targets" and min(self.targets) < 0 and not self.allow_short:
            raise ValueError(
                f"targets: {min(self.targets)} is a short position; set allow_short to true or remove negative targets"
            )
        if self.scheme == "shares" and self.allow_short:
            raise ValueError("the scheme 'shares' is long only; set allow_short to false or the scheme to 'weights'")
        if self.scheme == "shares" and not math.isclose(self.lot_size, round(self.lot_size)):
            raise ValueError("the scheme 'shares' trades whole shares; set lot_size to a whole number")
