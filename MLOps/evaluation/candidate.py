"""The agent that goes on to the test span, chosen on validation."""

from collections.abc import Mapping
from dataclasses import dataclass

from MLOps.agents.policy import TradingAgent
from MLOps.evaluation.report import BEST_MEMBER, ENSEMBLE
from MLOps.trading.simulation import Policy


@dataclass(frozen=True)
class Candidate:
    """The chosen agent with its name, and the policies that trade beside it by its rules."""

    name: str
    agent: TradingAgent
    others: dict[str, Policy]

    @classmethod
    def choose(
        cls, agents: Mapping[str, TradingAgent], rewards: Mapping[str, float], ensemble: TradingAgent | None
    ) -> "Candidate":
        """The ensemble, beside its best member; without one the agent with the highest reward on validation."""
        best = max(rewards, key=lambda name: rewards[name])
        if ensemble is None:
            return cls(best, agents[best], {})
        return cls(ENSEMBLE, ensemble, {BEST_MEMBER: agents[best].policy()})
