"""The code of an agent logged to MLflow; MLflow runs this file when it loads the model."""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from MLOps.agents.policy import Agent


class AgentModel(PythonModel):
    """Observations (n, columns) float32 to actions, of recurrent agents at the first bar of an episode."""

    def load_context(self, context: Any) -> None:
        self._agent = Agent.load(Path(context.artifacts["agent"]))

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        states = np.zeros((len(model_input), self._agent.state_width), np.float32)
        return self._agent.decide(model_input, states)[0]


set_model(AgentModel())
