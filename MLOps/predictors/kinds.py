"""The class of a predictor kind, and loading of saved predictors."""

from pathlib import Path
from pkgutil import resolve_name

from MLOps.artifacts import read_json
from MLOps.errors import UserError
from MLOps.predictors import PREDICTORS
from MLOps.predictors.contract import Predictor


def predictor_class(kind: str) -> type[Predictor]:
    """The class of a kind listed in PREDICTORS."""
    found: type[Predictor] = resolve_name(PREDICTORS[kind])
    return found


def load_predictor(folder: Path) -> Predictor:
    """Load the predictor saved in `folder`.

    Raises:
        UserError: there is no saved predictor, or its kind is unknown to this version.
    """
    kind = read_json(folder / "predictor.json")["config"]["kind"]
    if not isinstance(kind, str) or kind not in PREDICTORS:
        raise UserError(f"{folder}: expected a predictor of kind {', '.join(PREDICTORS)}, found {kind!r}; retrain it")
    return predictor_class(kind).load(folder)
