"""Baseline policies. They pay the agent's costs and are not subject to its stops."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from MLOps.config.backtest import BacktestConfig
from MLOps.config.trading import TradingConfig
from MLOps.features.windows import lagged_log_return, rolling_mean, rolling_std
from MLOps.predictors.ensemble import ENSEMBLE
from MLOps.predictors.signals import probability_columns
from MLOps.trading import Ledger, Market, observation_columns, replay
from MLOps.trading.simulation import Policy

# Fraction of the largest position from which on it counts as reached; costs and whole lots leave a rest.
FULLY_INVESTED = 0.95
# Least distance of a random shift, as a fraction of a symbol's bars. A shorter shift leaves trades near their own time:
# in a market with persistent regimes those a little before it would profit from moves that they precede.
LEAST_SHIFT = 0.1


def without_stops(trading: TradingConfig) -> TradingConfig:
    """The same costs, fills and limits without stop loss, take profit and turbulence stop."""
    return replace(trading, stop_loss=None, take_profit=None, turbulence_stop=None)


def has_stops(trading: TradingConfig) -> bool:
    return trading != without_stops(trading)


def in_weights(trading: TradingConfig) -> TradingConfig:
    """The same costs and limits for orders to any weight, which is how baselines trade.

    There is no rebalance band: a baseline orders nothing where it wants no trade. Whole shares stay whole.
    """
    lot_size = max(trading.lot_size, 1.0) if trading.scheme == "shares" else trading.lot_size
    return replace(trading, scheme="weights", rebalance_band=0.0, lot_size=lot_size)


def flat(market: Market, trading: TradingConfig) -> Policy:
    """Never trades."""
    return _long_while(np.zeros((market.n_symbols, market.n_bars), bool), market, trading)


def buy_and_hold(market: Market, trading: TradingConfig) -> Policy:
    """Buys at its first bar of each symbol, and holds; enters again after a stop, where `trading` has any."""
    return _long_while(np.ones((market.n_symbols, market.n_bars), bool), market, trading)


def moving_average_cross(bars: pd.DataFrame, market: Market, trading: TradingConfig, config: BacktestConfig) -> Policy:
    """Long while the fast mean of closes is above the slow one, flat otherwise.

    Args:
        bars: with history before the market's first bar, so that the means are defined from there on.
    """
    wanted = {
        str(symbol): pd.Series(
            rolling_mean(own["close"].to_numpy(), config.moving_average_fast_bars)
            > rolling_mean(own["close"].to_numpy(), config.moving_average_slow_bars),
            index=own["timestamp"],
        )
        for symbol, own in bars.groupby("symbol")
    }
    return _long_while(_on_market(wanted, market), market, trading)


def predictor_sign(signals: pd.DataFrame, market: Market, trading: TradingConfig) -> Policy:
    """Long while the ensemble gives the upper half of the classes more probability than the lower, flat otherwise."""
    own = signals[signals["predictor"] == ENSEMBLE]
    names = probability_columns(own)
    lower, upper = names[: len(names) // 2], names[-(len(names) // 2) :]
    wanted = {
        str(symbol): (rows[upper].sum(axis=1) > rows[lower].sum(axis=1)).set_axis(rows["timestamp"])
        for symbol, rows in own.groupby("symbol")
    }
    return _long_while(_on_market(wanted, market), market, trading)


def rebalanced_equal_weight(market: Market, trading: TradingConfig, config: BacktestConfig) -> Policy:
    """A portfolio of equal parts of the listed symbols, rebalanced (DeMiguel, Garlappi and Uppal, 2009)."""
    return _rebalanced(np.ones((market.n_symbols, market.n_bars)), market, trading, config)


def inverse_volatility(bars: pd.DataFrame, market: Market, trading: TradingConfig, config: BacktestConfig) -> Policy:
    """A portfolio of parts in proportion to 1 / volatility of the listed symbols' returns up to now, rebalanced.

    A symbol without enough bars, or whose price did not move, has no part.

    Args:
        bars: with history before the market's first bar, so that volatilities are known from there on.
    """
    clock = pd.DatetimeIndex(market.timestamps).tz_localize("UTC")
    scores = np.zeros((market.n_symbols, market.n_bars))
    for symbol, own in bars.groupby("symbol"):
        if symbol in market.symbols:
            volatility = rolling_std(lagged_log_return(own["close"].to_numpy(float), 1), config.volatility_bars)
            known = pd.Series(volatility, index=own["timestamp"]).reindex(clock, method="ffill").to_numpy()
            score = scores[market.symbols.index(str(symbol))]
            np.divide(1.0, known, out=score, where=known > 0)
    return _rebalanced(scores, market, trading, config)


def random_timing(ledger: Ledger, market: Market, trading: TradingConfig, draws: int, seed: int) -> Iterator[Ledger]:
    """Ledgers of the same trades at random times: a circular shift test of timing.

    Each draw shifts the exposures that the ledger's trades led to by one random share of every symbol's tradable bars,
    around the end to the beginning. So a draw trades as often as the ledger, holds as much for as long, and keeps the
    symbols together; what is random is the time alone. This is the circular shift test of a time series against
    another, with costs.

    Args:
        ledger: of a policy over `market`.
        trading: the rules that the ledger was made by; the draws follow them without stops.
    """
    weights = in_weights(without_stops(trading))
    timings = [_Timing(ledger, symbol) for symbol in range(market.n_symbols)]
    for share in np.random.default_rng(seed).uniform(LEAST_SHIFT, 1 - LEAST_SHIFT, draws):
        targets = np.full((market.n_symbols, market.n_bars), np.nan)
        for symbol, timing in enumerate(timings):
            timing.shifted(share, targets[symbol])
        yield replay(np.clip(targets, -1.0, 1.0), market, weights)


class _Timing:
    """When a symbol's position was changed, and to which exposure."""

    def __init__(self, ledger: Ledger, symbol: int) -> None:
        account = symbol % len(ledger.equity)
        equity = ledger.equity[account]
        close = pd.Series(ledger.close[symbol]).ffill().fillna(0).to_numpy()
        value = ledger.position[symbol] * close
        exposure = np.divide(value, equity, out=np.zeros_like(value), where=equity > 0)
        # There is no decision at the last bar.
        self._bars = np.flatnonzero(ledger.tradable[symbol])[:-1]
        self._after = exposure[self._bars + 1]
        self._traded = np.diff(ledger.position[symbol])[self._bars] != 0

    def shifted(self, share: float, targets: np.ndarray) -> None:
        """Write to `targets` (bars,) the exposure to trade to at each bar, NaN for no trade."""
        count = len(self._bars)
        if count < 2:
            return
        source = (np.arange(count) - 1 - int(share * (count - 1))) % count
        trades = self._traded[source]
        # The first bar takes up the exposure that the ledger had there, and the ledger's own first follows its last.
        trades[0] = trades[source == 0] = True
        targets[self._bars[trades]] = self._after[source[trades]]


def _on_market(wanted: dict[str, pd.Series], market: Market) -> np.ndarray:
    clock = pd.DatetimeIndex(market.timestamps).tz_localize("UTC")
    never = pd.Series(False, index=clock)
    return np.stack(
        [wanted.get(symbol, never).reindex(clock, fill_value=False).to_numpy(bool) for symbol in market.symbols]
    )


def _long_while(wanted: np.ndarray, market: Market, trading: TradingConfig) -> Policy:
    """Long where `wanted` (symbols, bars), each account fully or a portfolio to equal parts of the listed symbols; flat
    elsewhere.

    What is held is read from the observation: an order may have been cut or have found no bar to fill in.
    """
    columns = observation_columns(market, trading)
    portfolio = trading.account == "portfolio"
    position = [columns[f"{symbol}.position" if portfolio else "position"] for symbol in market.symbols]
    invested = np.zeros(market.n_symbols, dtype=bool)

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        held = observations[0, position] if portfolio else observations[:, position[0]]
        parts = max(1, _listed(market, held, bar).sum()) if portfolio else 1
        weight = min(trading.max_gross / parts, trading.max_position)
        want = wanted[symbols, bar]
        # A position that shrank with the price is not topped up; one that a stop closed is bought again.
        invested[symbols] = want & (held != 0) & (invested[symbols] | (held >= FULLY_INVESTED * weight))
        buys, sells = want & ~invested[symbols], ~want & (held != 0)
        targets = np.select([buys, sells], [weight, 0.0], np.nan)
        return targets[None] if portfolio else targets

    return policy


def _rebalanced(scores: np.ndarray, market: Market, trading: TradingConfig, config: BacktestConfig) -> Policy:
    """A portfolio whose parts are in proportion to `scores` (symbols, bars), brought back to them every
    `rebalance_bars` bars and when symbols come or go."""
    columns = observation_columns(market, trading)
    position = [columns[f"{symbol}.position"] for symbol in market.symbols]
    before = np.zeros(market.n_symbols, dtype=bool)

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        score = np.where(_listed(market, observations[0, position], bar), scores[:, bar], 0.0)
        if bar % config.rebalance_bars and ((score > 0) == before).all():
            return np.full((1, len(symbols)), np.nan)
        before[:] = score > 0
        whole = score.sum() / trading.max_gross
        return np.divide(score, whole, out=np.zeros_like(score), where=score > 0)[None]

    return policy


def _listed(market: Market, held: np.ndarray, bar: int) -> np.ndarray:
    """(symbols,) whether each symbol of a portfolio is observable, or held over an outage."""
    listed: np.ndarray = market.observable[:, bar] | (held != 0)
    return listed
