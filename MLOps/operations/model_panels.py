"""The panels that monitoring compares, from what a model does with bars: in its making, and on newer ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from MLOps.config.labels import UNKNOWN, LabelConfig
from MLOps.data.bars import KEYS
from MLOps.data.splits import TICK, LearningSplits, Span
from MLOps.deployment.trading_model import TradingModel
from MLOps.evaluation.performance import Portfolio
from MLOps.evaluation.report import AGENT
from MLOps.features.families import calendar
from MLOps.features.labels import make_labels
from MLOps.monitoring.feed import FeedReference
from MLOps.monitoring.panel import Panel
from MLOps.monitoring.reference import Reference
from MLOps.predictors.ensemble import ENSEMBLE
from MLOps.predictors.signals import PROBABILITY, signals_of
from MLOps.statistics.forecasts import log_losses
from MLOps.trading import Ledger

UNCERTAINTY, LOG_LOSS, BIAS = "uncertainty", "log_loss", "bias_"
POSITION, TURNOVER, RETURN = "position", "turnover", "return"
LEAST_EQUITY = 1e-9


def features_panel(features: pd.DataFrame) -> Panel:
    """Of the features that depend on the market; those of the calendar are known long before."""
    return Panel.of(features, [name for name in features if name not in (*KEYS, *calendar.FEATURES)])


def forecasts_panel(signals: pd.DataFrame, labels: pd.DataFrame) -> Panel:
    """Of one predictor: probabilities and their uncertainty; where the outcome is known the log loss and, by class, the
    outcome, 1 or 0, less its probability."""
    classes = [name for name in signals if name.startswith(PROBABILITY)]
    joined = signals.merge(labels[[*KEYS, "label"]], on=list(KEYS), how="left", validate="one_to_one")
    label = joined["label"].fillna(UNKNOWN).to_numpy(int)
    probabilities = joined[classes].to_numpy(float)
    known = label != UNKNOWN
    added = {LOG_LOSS: np.full(len(joined), np.nan)}
    added[LOG_LOSS][known] = log_losses(probabilities[known], label[known])
    for number, name in enumerate(classes):
        bias = np.where(known, (label == number) - probabilities[:, number], np.nan)
        added[BIAS + name.removeprefix(PROBABILITY)] = bias
    return Panel.of(joined.assign(**added), [*classes, UNCERTAINTY, *added])


def decisions_panel(ledger: Ledger) -> Panel:
    """Of the agent: its positions and the value of its orders, both as fractions of the account's equity."""
    equity = np.maximum(np.broadcast_to(ledger.equity, ledger.position.shape), LEAST_EQUITY)
    decided = np.where(ledger.tradable, 1.0, np.nan)
    table = ledger.to_frame()[list(KEYS)].assign(
        **{
            POSITION: (decided * ledger.position * ledger.close / equity).ravel(),
            TURNOVER: (decided * np.abs(ledger.order_shares) * ledger.close / equity).ravel(),
        }
    )
    return Panel.of(table, (POSITION, TURNOVER))


def performance_panel(timestamps: np.ndarray, returns: np.ndarray) -> Panel:
    """Of the agent's returns per bar of all accounts, (bars,), by the timestamp at which each ends."""
    stamps = pd.DatetimeIndex(timestamps)
    stamps = stamps.tz_localize("UTC") if stamps.tz is None else stamps
    return Panel.of(pd.DataFrame({"timestamp": stamps, "symbol": AGENT, RETURN: returns}), (RETURN,))


@dataclass(frozen=True, eq=False)
class Observed:
    """A model on a span of bars."""

    features: pd.DataFrame
    signals: pd.DataFrame
    ledger: Ledger

    @classmethod
    def of(cls, model: TradingModel, bars: pd.DataFrame, span: Span) -> "Observed":
        features = model.pipeline.compute(bars)
        signals = model.signals(features, span.rows(features["timestamp"]))
        return cls(features, signals, model.simulated(bars, features, signals, span, model.trading))


def make_reference(
    model: TradingModel,
    bars: pd.DataFrame,
    splits: LearningSplits,
    labels: LabelConfig,
    returns: pd.Series,
    bars_per_year: float,
) -> Reference:
    """The reference of a model.

    Features and feed are those of the training and the validation span. Forecasts and decisions are those of the
    validation span, whose labels the model has not seen.

    Args:
        bars: all bars that the model was made with.
        returns: out of sample, of the agent, by timestamp: the evidence that the gate judged.
    """
    learned = Span(splits.train.start, splits.validation.end)
    past = bars[(bars["timestamp"] < learned.end).to_numpy()]
    observed = Observed.of(model, past, splits.validation)
    within = learned.rows(observed.features["timestamp"])
    panels = {
        "inputs": features_panel(observed.features[within]),
        "forecasts": forecasts_panel(signals_of(ENSEMBLE, observed.signals), make_labels(past, labels)),
        "decisions": decisions_panel(observed.ledger),
        "performance": performance_panel(returns.index.to_numpy(), returns.to_numpy()),
    }
    return Reference(panels, FeedReference.of(bars), bars_per_year)


def observe(model: TradingModel, bars: pd.DataFrame, labels: LabelConfig, newest_bars: int) -> Mapping[str, Panel]:
    """The panels of the newest bars.

    The agent begins without a position as many bars earlier, so that it holds what it would by then.
    """
    clock = np.sort(bars["timestamp"].unique())
    first = pd.Timestamp(clock[-min(2 * newest_bars, len(clock))])
    observed = Observed.of(model, bars, Span(first, pd.Timestamp(clock[-1]) + TICK))
    portfolio = Portfolio.of(observed.ledger)
    panels = {
        "inputs": features_panel(observed.features),
        "forecasts": forecasts_panel(signals_of(ENSEMBLE, observed.signals), make_labels(bars, labels)),
        "decisions": decisions_panel(observed.ledger),
        "performance": performance_panel(portfolio.timestamps[1:], portfolio.returns),
    }
    return {name: panel.newest(newest_bars) for name, panel in panels.items()}
