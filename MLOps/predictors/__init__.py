"""Predictors: windows of features in, class probabilities, expected return and uncertainty out."""

from pathlib import Path

from MLOps.artifacts import read_json
from MLOps.errors import UserError
from MLOps.predictors.class_prior import ClassPriorPredictor
from MLOps.predictors.contract import Forecast, Predictor
from MLOps.predictors.gradient_boosting import GradientBoostingPredictor
from MLOps.predictors.logistic import LogisticPredictor
from MLOps.predictors.network import NetworkPredictor
from MLOps.predictors.networks import NETWORKS
from MLOps.predictors.persistence import PersistencePredictor
from MLOps.predictors.ridge import RidgePredictor

# Adding a kind is one line here (of a network: in networks/__init__.py), beside its file and its section in
# MLOps/config/predictors.py.
PREDICTORS: dict[str, type[Predictor]] = {
    "class_prior": ClassPriorPredictor,
    "persistence": PersistencePredictor,
    "logistic": LogisticPredictor,
    "ridge": RidgePredictor,
    "gradient_boosting": GradientBoostingPredictor,
    **dict.fromkeys(NETWORKS, NetworkPredictor),
}


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
