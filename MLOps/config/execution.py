"""The section `execution:` of params.yaml: where independent parts of a stage are computed."""

from typing import Literal, Self

from pydantic import model_validator

from MLOps.config.schema import section
from MLOps.config.types import Positive, Text


@section
class ExecutionConfig:
    """Folds, seeds, trials, windows and chunks are independent of each other. No result depends on this section.

    Attributes:
        kind: `serial` computes one part after the other, `processes` several at once on this machine, `ray` on a
            cluster (docs/scaling.md).
        workers: parts computed at once, each with `threads` threads; null for as many as the cores allow.
        address: of the cluster, as 10.0.0.1:6379; for `ray`.
    """

    kind: Literal["serial", "processes", "ray"] = "serial"
    workers: Positive | None = None
    address: Text | None = None

    @model_validator(mode="after")
    def _address_of_a_cluster(self) -> Self:
        if (self.kind == "ray") != (self.address is not None):
            found = f"kind: {self.kind}, address: {self.address or 'null'}"
            raise ValueError(f"kind: ray needs the address of a cluster and no other kind has one, found {found}")
        return self
