"""Checkpoints of an agent's training, as a callback of stable-baselines3."""

from typing import Any, Protocol

from stable_baselines3.common.callbacks import BaseCallback

from MLOps.agents.learner_state import Arrays, by_part, capture, restore
from MLOps.training.checkpoints import Checkpoints


class Resumable(Protocol):
    """What a training keeps besides its learner."""

    def capture(self) -> tuple[Arrays, dict[str, Any]]:
        """The state as arrays and JSON values."""
        ...

    def restore(self, arrays: Arrays, metadata: dict[str, Any]) -> None:
        """Continue from a captured state."""
        ...


class Checkpointing(BaseCallback):
    """Saves a training every `every_steps` environment steps, and resumes it from its newest checkpoint.

    Both are done at the start of a rollout: the first rollout of a resumed training begins where the saved one was.

    Args:
        others: what is saved besides the learner. A callback among `others` comes before this one.
    """

    def __init__(self, checkpoints: Checkpoints, every_steps: int, others: Resumable) -> None:
        super().__init__()
        self._checkpoints, self._every_steps, self._others = checkpoints, every_steps, others
        self._newest = checkpoints.newest()
        self._saved_at = 0

    def restore_finished(self) -> bool:
        """Whether the training was finished before; if so, restore what it kept besides the learner."""
        if self._newest is None or "learner" in self._newest[1]:
            return False
        self._restore_others(*self._newest)
        return True

    def save_finished(self) -> None:
        """Save the end of the training, which needs no learner any more."""
        arrays, metadata = self._others.capture()
        named = {f"others.{name}": array for name, array in arrays.items()}
        self._checkpoints.save(self.model.num_timesteps, named, {"others": metadata})

    def _on_rollout_start(self) -> None:
        if self._newest is not None:
            restore(self.model, by_part(self._newest[0])["learner"], self._newest[1]["learner"])
            self._restore_others(*self._newest)
            self._saved_at, self._newest = self.model.num_timesteps, None
        elif self.model.num_timesteps - self._saved_at >= self._every_steps:
            self._save()

    def _save(self) -> None:
        arrays, metadata = capture(self.model)
        others, others_metadata = self._others.capture()
        named = {f"learner.{name}": array for name, array in arrays.items()}
        named |= {f"others.{name}": array for name, array in others.items()}
        self._saved_at = self.model.num_timesteps
        self._checkpoints.save(self._saved_at, named, {"learner": metadata, "others": others_metadata})

    def _restore_others(self, arrays: Arrays, metadata: dict[str, Any]) -> None:
        self._others.restore(by_part(arrays).get("others", {}), metadata["others"])

    def _on_step(self) -> bool:
        return True
