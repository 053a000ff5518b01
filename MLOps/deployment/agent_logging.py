"""A trained agent as an MLflow model: code and data, with signature and input example."""

from pathlib import Path

import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from MLOps.agents.policy import Agent
from MLOps.experiment_tracking.runs import Run

CODE = Path(__file__).with_name("agent_model.py")


def log_agent(run: Run, folder: Path) -> None:
    """Log the agent saved in `folder`: observations (n, columns) in, actions out."""
    agent = Agent.load(folder)
    example = np.zeros((2, len(agent.columns)), np.float32)
    actions, _ = agent.decide(example, np.zeros((2, agent.state_width), np.float32))
    signature = ModelSignature(
        inputs=Schema([TensorSpec(example.dtype, (-1, example.shape[1]))]),
        outputs=Schema([TensorSpec(actions.dtype, (-1, *actions.shape[1:]))]),
    )
    run.log_model("agent", CODE, {"agent": folder}, signature, example)
