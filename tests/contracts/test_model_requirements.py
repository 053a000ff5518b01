"""A logged model asks for the packages that its code imports when it runs, and for no others."""

import ast
import sys
from importlib.metadata import packages_distributions

from MLOps.experiment_tracking.runs import MODEL_REQUIREMENTS
from MLOps.imports import ROOT, imported_files
from MLOps.predictors import PREDICTORS
from MLOps.predictors.networks import NETWORKS

# MLflow runs these files, and the classes that a saved predictor names are imported when it is loaded.
ENTRIES = [f"MLOps.deployment.{name}" for name in ("serving_model", "predictor_model", "agent_model")]
ENTRIES += [place.partition(":")[0] for place in (*PREDICTORS.values(), *NETWORKS.values())]


def imported_packages() -> set[str]:
    """Distributions behind the imports at the top of every file that a logged model may load."""
    modules = set()
    for file in imported_files(*ENTRIES):
        for node in ast.parse((ROOT / file).read_text()).body:
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.partition(".")[0])
    distributions = packages_distributions()
    # Several distributions share the module mlflow; the one that is asked for has its name.
    return {
        module if module in distributions[module] else distributions[module][0]
        for module in modules - set(sys.stdlib_module_names) - {"MLOps"}
    }


def test_the_requirements_are_what_is_imported() -> None:
    wanted = {name.lower().replace("-", "_") for name in imported_packages()}
    assert {name.lower().replace("-", "_") for name in MODEL_REQUIREMENTS} == wanted
