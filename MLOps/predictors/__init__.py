"""Predictors: windows of features in, class probabilities, expected return and uncertainty out."""

from MLOps.predictors.networks import NETWORKS

# The class of each kind. Names, so that only those in use are imported. Adding a kind takes one line here (for a
# network: in networks/__init__.py), its file and its section in MLOps/config/predictors.py.
PREDICTORS: dict[str, str] = {
    "class_prior": "MLOps.predictors.class_prior:ClassPriorPredictor",
    "persistence": "MLOps.predictors.persistence:PersistencePredictor",
    "logistic": "MLOps.predictors.logistic:LogisticPredictor",
    "ridge": "MLOps.predictors.ridge:RidgePredictor",
    "gradient_boosting": "MLOps.predictors.gradient_boosting:GradientBoostingPredictor",
    **dict.fromkeys(NETWORKS, "MLOps.predictors.network:NetworkPredictor"),
}


def predictor_modules(kind: str) -> list[str]:
    """The modules of a kind: its class's, and of a network the architecture's."""
    return [place.partition(":")[0] for place in (PREDICTORS[kind], NETWORKS.get(kind)) if place]
