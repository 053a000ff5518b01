"""The section `features:` of params.yaml."""

from MLOps.config.schema import section
from MLOps.config.types import Names


@section
class FeatureConfig:
    """`names` selects features and families of MLOps/features/catalogue.py, in order."""

    names: Names
