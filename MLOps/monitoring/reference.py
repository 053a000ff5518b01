"""What a bundle carries for monitoring: the values that its model was made on, and how its feed behaved."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.monitoring.feed import FeedReference
from MLOps.monitoring.panel import Panel

REFERENCE = "reference"  # its folder in a bundle


@dataclass(frozen=True)
class Reference:
    """
    Attributes:
        panels: by the name of the check that compares them with newer ones.
        bars_per_year: of the market.
    """

    panels: Mapping[str, Panel]
    feed: FeedReference
    bars_per_year: float

    def save(self, folder: Path) -> None:
        panels = {name: panel.bounded() for name, panel in self.panels.items()}
        write_json(
            folder / "reference.json",
            {
                "bars_per_year": self.bars_per_year,
                "feed": self.feed.to_dict(),
                "panels": {name: {"symbols": own.symbols, "names": own.names} for name, own in panels.items()},
            },
        )
        for name, panel in panels.items():
            write_arrays(folder / f"{name}.safetensors", panel.arrays())

    @classmethod
    def load(cls, folder: Path) -> Self:
        told = read_json(folder / "reference.json")
        panels = {
            name: Panel.from_arrays(read_arrays(folder / f"{name}.safetensors"), own["symbols"], own["names"])
            for name, own in told["panels"].items()
        }
        return cls(panels, FeedReference.from_dict(told["feed"]), told["bars_per_year"])
