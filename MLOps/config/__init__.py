"""params.yaml as frozen dataclasses."""

from MLOps.config.params import Params, load_params

__all__ = ["Params", "load_params"]
