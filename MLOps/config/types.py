"""Number types shared by several sections of params.yaml."""

import re
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
PositiveNumber = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, lt=1)]  # neither nothing nor everything
Fraction = Annotated[float, Field(ge=0, le=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
Auto = Literal["auto"]
Text = Annotated[str, Field(min_length=1)]


def _day(text: str) -> str:
    try:
        if date.fromisoformat(text).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError(f"expected a day, found {text!r}; write it as 2024-01-31")


def variant_name(text: str) -> str:
    """`text` as the name of a predictor or an agent; raises ValueError for one that may lead out of a folder."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", text):
        return text
    raise ValueError(f"expected a name of letters, digits, _ and -, found {text!r}; rename it")


Day = Annotated[str, AfterValidator(_day)]
# Of a predictor or an agent; it names files, folders and a stage.
VariantName = Annotated[str, AfterValidator(variant_name)]
