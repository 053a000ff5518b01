"""The report of a backtest, read by the gate, the summary and the bundle."""

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from MLOps.data.splits import Span

ENSEMBLE = "ensemble"  # the name of an ensemble of agents, where an agent has its own
AGENT = "agent"  # the name of the agent's metrics and ledger beside those of the baselines
# The baselines that an agent must beat: a plain long position, and one under the agent's own stops.
BUY_AND_HOLD = "buy_and_hold"
BUY_AND_HOLD_WITH_STOPS = "buy_and_hold_with_stops"
# The ensemble's member with the highest reward on validation.
BEST_MEMBER = "best_member"
# Total returns closer than this are equal: rounding must not decide a rank.
SAME_RETURN = 1e-6


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds of its confidence interval."""

    mean: float
    lower: float
    upper: float


@dataclass(frozen=True)
class BacktestReport:
    """The chosen agent and the baselines over the test span.

    Attributes:
        agent: name of the agent that was chosen; ENSEMBLE if the agents decide together.
        validation_rewards: mean reward per bar on the validation span, by agent; the best was chosen, or is the
            ensemble's best member.
        span: the test span.
        metrics: `performance.performance` by policy: AGENT and each baseline.
        excess: mean return per bar of the agent over that of each baseline.
        random_total_returns: of the draws with random timing, ascending.
        random_rank: share of these draws that earn less than the agent.
    """

    agent: str
    validation_rewards: dict[str, float]
    span: Span
    metrics: dict[str, dict[str, float]]
    excess: dict[str, Interval]
    random_total_returns: tuple[float, ...]
    random_rank: float

    def to_dict(self) -> dict[str, Any]:
        span = {"start": self.span.start.isoformat(), "end": self.span.end.isoformat()}
        return {**asdict(self), "span": span, "random_total_returns": list(self.random_total_returns)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "BacktestReport":
        span = Span(**{name: pd.Timestamp(bound) for name, bound in values["span"].items()})
        excess = {name: Interval(**interval) for name, interval in values["excess"].items()}
        returns = tuple(values["random_total_returns"])
        return cls(**{**values, "span": span, "excess": excess, "random_total_returns": returns})
