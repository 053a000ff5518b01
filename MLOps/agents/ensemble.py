"""Several agents that decide together, as one agent: data, saved, simulated and served like one."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from MLOps.agents.network import PolicyNetwork
from MLOps.agents.observations import MarketView
from MLOps.agents.policy import Agent, TradingAgent
from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.trading import TradingConfig
from MLOps.config.types import variant_name
from MLOps.errors import UserError

DESCRIPTION = "ensemble.json"
SELECTOR = "selector.safetensors"


@dataclass(frozen=True)
class AgentEnsemble(TradingAgent):
    """The weighted mean of the members' positions, or the position of the member that a selector chooses.

    Weights and selector do not change after the fit, so a decision is a function of its observation and of the
    members' recurrent states.

    Attributes:
        members: by name; they trade by the same rules and observe the same columns.
        weights: of each member, at least 0, with the sum 1.
        selector: scores of the members from the market's columns of the observation; the highest is chosen. With a
            selector, `weights` are not used.
    """

    members: dict[str, Agent]
    weights: tuple[float, ...]
    selector: PolicyNetwork | None = None
    trading: TradingConfig = field(init=False)
    view: MarketView = field(init=False)
    columns: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        first, *others = self.members.items()
        for shared in ("trading", "view", "columns"):
            object.__setattr__(self, shared, getattr(first[1], shared))
        for name, agent in others:
            if agent.columns != first[1].columns or agent.view.to_dict() != first[1].view.to_dict():
                raise UserError(
                    f"agent_ensemble: expected agents that observe the same, found a difference between {first[0]} and "
                    f"{name}; give them the same agents.*.observe"
                )

    @property
    def state_width(self) -> int:
        """Of the members' recurrent states, side by side."""
        return sum(agent.state_width for agent in self.members.values())

    def decide(self, observations: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Positions (n,) float32 and the new states; see `Agent.decide`."""
        after = np.empty_like(states)
        positions = np.empty((len(self.members), len(observations)), np.float32)
        first = 0
        for number, agent in enumerate(self.members.values()):
            own = slice(first, first + agent.state_width)
            positions[number], after[:, own] = agent.decide(observations, states[:, own])
            first = own.stop
        if self.selector is not None:
            chosen = self.selector.outputs(observations[:, : self.selector.n_inputs]).argmax(axis=1)
            return positions[chosen, np.arange(len(chosen))], after
        mean = np.zeros(len(observations))
        # One addition after another, so that the result does not depend on the batch.
        for weight, position in zip(self.weights, positions, strict=True):
            mean += weight * position.astype(np.float64)
        return mean.clip(-1, 1).astype(np.float32), after

    def save(self, folder: Path) -> None:
        for name, agent in self.members.items():
            agent.save(folder / "members" / name)
        if self.selector is not None:
            write_arrays(folder / SELECTOR, self.selector.to_arrays())
        write_json(folder / DESCRIPTION, {"members": list(self.members), "weights": list(self.weights)})

    @classmethod
    def load(cls, folder: Path) -> "AgentEnsemble":
        """The ensemble saved in `folder`.

        Raises:
            UserError: its parts do not fit each other.
        """
        saved = read_json(folder / DESCRIPTION)
        members = {name: Agent.load(folder / "members" / variant_name(name)) for name in saved["members"]}
        weights, selector = tuple(saved["weights"]), None
        if (folder / SELECTOR).exists():
            selector = PolicyNetwork.from_arrays(read_arrays(folder / SELECTOR))
        if len(weights) != len(members) or (selector is not None and selector.n_outputs != len(members)):
            raise UserError(f"{folder}: expected a weight and a score for each of {len(members)} members; fit it anew")
        return cls(members, weights, selector)


def load_agent(folder: Path) -> TradingAgent:
    """The agent or the ensemble saved in `folder`."""
    return AgentEnsemble.load(folder) if (folder / DESCRIPTION).exists() else Agent.load(folder)
