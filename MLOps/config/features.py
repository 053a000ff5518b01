"""The section `features:` of params.yaml."""

from MLOps.config.schema import section
from MLOps.config.types import Names


@section
class FeatureConfig:
    """The features of a bar.

    Attributes:
        names: features and whole families of [the catalogue](../features.md#the-catalogue), in order.
    """

    names: Names
