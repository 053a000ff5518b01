"""The code of an agent logged to MLflow; MLflow runs this file when it loads the model."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np

from MLOps.agents.policy import Agent


class AgentModel(mlflow.pyfunc.PythonModel):
    """Observations (n, columns) float32 to actions (n,)."""

    def load_context(self, context: Any) -> None:
        self._agent = Agent.load(Path(context.artifacts["agent"]))

    def predict(self, context: Any, model_input: np.ndarray, params: dict[str, Any] | None = None) -> np.ndarray:
        return self._agent.decide(model_input)


mlflow.models.set_model(AgentModel())
