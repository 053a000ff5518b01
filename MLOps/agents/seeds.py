"""An agent trained with several seeds, of which validation chooses one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from MLOps.agents.data import AgentData
from MLOps.agents.policy import Agent
from MLOps.agents.training import OnStep, train
from MLOps.config.agents import AgentConfig
from MLOps.config.trading import TradingConfig
from MLOps.training.seeds import derive_seed


@dataclass(frozen=True)
class Trained:
    """The agent of the seed with this number: its highest reward on validation, whose weights were kept, and its
    history (step, metrics)."""

    number: int
    agent: Agent
    reward: float
    history: list[tuple[int, Mapping[str, float]]]


def agent_seed(seed: int, name: str, number: int) -> int:
    """The seed of this number of the agent `name`."""
    return derive_seed(seed, name, number)


def train_seed(
    name: str,
    config: AgentConfig,
    data: AgentData,
    trading: TradingConfig,
    seed: int,
    number: int,
    on_step: OnStep,
    checkpoints: Path,
) -> Trained:
    """Train the agent `name` with the seed of this number; see `train`.

    Args:
        seed: of the run.
    """
    history: list[tuple[int, Mapping[str, float]]] = []

    def note(step: int, metrics: Mapping[str, float]) -> None:
        history.append((step, metrics))
        on_step(step, metrics)

    own = agent_seed(seed, name, number)
    agent, reward = train(
        config, data.view, data.training, data.validation, trading, own, note, checkpoints, data.pretrained
    )
    return Trained(number, agent, reward, history)


def best(trained: Sequence[Trained]) -> Trained:
    """The first of those with the highest reward on validation."""
    return max(trained, key=lambda one: one.reward)
