"""The section `features:` of params.yaml."""

from MLOps.config.schema import section
from MLOps.config.types import Names, Positive


@section
class FeatureConfig:
    """The features of a bar.

    Attributes:
        names: features and whole families of [the catalogue](../features.md#the-catalogue), in order.
        chunk_symbols: symbols whose features are in memory at once, and in one file; it changes no value.
    """

    names: Names
    chunk_symbols: Positive = 64
