"""The catalogue of features, by family and name; `docs/features.md` lists it."""

from collections.abc import Iterable

from MLOps.config.schema import suggest
from MLOps.errors import UserError
from MLOps.features.families import (
    calendar,
    cross_asset,
    fourier,
    fractal,
    returns,
    sentiment,
    technical,
    turbulence,
    volatility,
    volume,
    wavelet,
)
from MLOps.features.feature import Feature

FAMILIES: dict[str, dict[str, Feature]] = {
    "returns": returns.FEATURES,
    "volatility": volatility.FEATURES,
    "volume": volume.FEATURES,
    "technical": technical.FEATURES,
    "calendar": calendar.FEATURES,
    "wavelet": wavelet.FEATURES,
    "fourier": fourier.FEATURES,
    "fractal": fractal.FEATURES,
    "cross_asset": cross_asset.FEATURES,
    "turbulence": turbulence.FEATURES,
    "sentiment": sentiment.FEATURES,
}
CATALOGUE: dict[str, Feature] = {name: feature for family in FAMILIES.values() for name, feature in family.items()}


def chosen(entries: Iterable[str]) -> tuple[str, ...]:
    """Names of the features selected by `entries`, in their order; each entry is a feature or a family.

    Raises:
        UserError: an entry is neither, or a feature is chosen twice.
    """
    names: list[str] = []
    for entry in entries:
        if entry not in FAMILIES and entry not in CATALOGUE:
            raise UserError(f"features.names: unknown feature {entry!r}; {suggest(entry, [*FAMILIES, *CATALOGUE])}")
        for name in FAMILIES.get(entry, (entry,)):
            if name in names:
                raise UserError(f"features.names: {name!r} is listed twice; list each feature once")
            names.append(name)
    return tuple(names)


def as_markdown() -> str:
    """One Markdown table per family: name, warm-up in bars, formula."""
    parts = []
    for family, features in FAMILIES.items():
        rows = [f"| `{name}` | {feature.warmup_bars} | {feature.formula} |" for name, feature in features.items()]
        parts.append("\n".join([f"### {family}", "", "| name | warm-up | formula |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(as_markdown())
