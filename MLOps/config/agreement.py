"""Whether params.yaml is right as a whole: every section by itself, and the sections with each other."""

from pathlib import Path

from MLOps.config.params import SECTIONS, Params, load_params
from MLOps.config.schema import suggest
from MLOps.errors import UserError


def check_params(path: Path = Path("params.yaml")) -> Params:
    """params.yaml, with every section read.

    Raises:
        UserError: a key is unknown, missing or ill-typed, or two sections contradict each other.
    """
    params = load_params(path)
    for name in SECTIONS:
        getattr(params, name)
    for mistake in _mistakes(params):
        raise UserError(f"{path}: {mistake}")
    return params


def _mistakes(params: Params) -> list[str]:
    mistakes = [
        f"search.spaces: unknown predictor {name!r}; {suggest(name, params.predictors)}"
        for name in params.search.spaces
        if name not in params.predictors
    ]
    if (params.data.source == "labelled") != (params.labels.kind == "target"):
        mistakes.append(
            f"labels.kind: data.source is {params.data.source} and labels.kind {params.labels.kind}; "
            "the source labelled and the kind target go together, for neither works without the other"
        )
    if params.data.source == "labelled" and params.data.sentiment.enabled:
        mistakes.append("data.sentiment.enabled: a labelled table has no bars to join sentiment to; set false")
    if params.trading.scheme != "discrete":
        mistakes.append("trading.scheme: the pipeline's agents trade with the nine discrete actions: set discrete")
    if params.trading.turbulence_stop is not None:
        mistakes.append("trading.turbulence_stop: no stage gives the market its turbulence: set null")
    if "@" in params.tracking.uri.partition("//")[2].partition("/")[0]:
        mistakes.append("tracking.uri: credentials would reach the log: set MLFLOW_TRACKING_URI instead")
    return mistakes
