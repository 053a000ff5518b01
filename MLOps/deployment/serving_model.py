"""The code of the registered MLflow model, which MLflow runs when it loads a version.

Nothing is unpickled: the model is this file, the package beside it, and a bundle of data.
"""

import logging
import os
from pathlib import Path
from typing import Any

# Both are read when the package and PyTorch are imported.
os.environ["MLOPS_NO_COMPILE_CACHE"] = "1"  # see MLOps/compiled.py
# Requests are small and answered in parallel. PyTorch's own thread setting holds only in the thread that sets it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from MLOps.config.serving import ServingConfig
from MLOps.deployment.parameters import Refusal, read_accounts, refuse_unknown_parameter
from MLOps.deployment.server import end_server, serve_in_place_of_mlflow
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.training.determinism import seed_torch


class ServingModel(PythonModel):
    """Answers bars with a decision for each symbol; see `TradingModel.decide`."""

    def load_context(self, context: Any) -> None:
        seed_torch(seed=0, threads=1)
        bundle = Path(context.artifacts["bundle"])
        try:
            self._model = TradingModel.load(bundle)
            # The server answers once the model is loaded. A first decision compiles everything before that.
            self._model.decide(self._model.example_bars(), self._model.trading.initial_cash, {})
        except UserError as error:
            end_server(str(error))
            raise
        logging.getLogger("mlflow.models.utils").addFilter(refuse_unknown_parameter)
        serve_in_place_of_mlflow(self._model, bundle.parents[1])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """As in a notebook; a server answers requests itself (MLOps/deployment/server.py)."""
        try:
            asked = read_accounts(self._model, params or {}, ServingConfig().max_symbols)
            return self._model.decide(model_input, asked.cash, asked.positions, asked.states)
        except UserError as error:
            raise Refusal(str(error)) from None


set_model(ServingModel())
