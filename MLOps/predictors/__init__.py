"""Predictors: windows of features in, class probabilities, expected return and uncertainty out."""

from pathlib import Path

from MLOps.artifacts import read_json
from MLOps.errors import UserError
from MLOps.predictors.contract import Forecast, Predictor
from MLOps.predictors.logistic import LogisticPredictor
from MLOps.predictors.network import NetworkPredictor

# Adding a kind is one line here, beside its file and its section in MLOps/config/params.py.
PREDICTORS: dict[str, type[Predictor]] = {"lstm": NetworkPredictor, "logistic": LogisticPredictor}


def load_predictor(folder: Path) -> Predictor:
    """The predictor that was saved in `folder`.

    Raises:
        UserError: nothing was saved there, or a kind that this version does not know.
    """
    kind = read_json(folder / "predictor.json")["config"]["kind"]
    if kind not in PREDICTORS:
        raise UserError(f"{folder}: expected a predictor of kind {', '.join(PREDICTORS)}, found {kind!r}; retrain it")
    return PREDICTORS[kind].load(folder)


__all__ = ["PREDICTORS", "Forecast", "Predictor", "load_predictor"]
