"""Contract form of raw bars: columns, types and single values, checked by a pandera schema."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pandera.pandas as pa

from MLOps.data.bars import ADJUSTED_CLOSE, PRICES, VOLUME


@dataclass(frozen=True)
class FormFailure:
    """A broken rule: the columns, and the index labels of the rows; `rows` is empty if whole columns are at fault."""

    check: str
    columns: tuple[str, ...]
    rows: tuple[object, ...]
    advice: str


def _number(check: pa.Check, nullable: bool = False, required: bool = True) -> pa.Column:
    finite = pa.Check(np.isfinite, name="value not finite")
    return pa.Column("float64", [finite, check], nullable=nullable, required=required)


_POSITIVE = pa.Check(lambda price: price > 0, name="price not positive")
_UTC = pa.Check(lambda stamps: str(getattr(stamps.dtype, "tz", None)) == "UTC", name="wrong type")
SCHEMA = pa.DataFrameSchema(
    {
        "timestamp": pa.Column(checks=_UTC),
        "symbol": pa.Column(checks=pa.Check(lambda names: names.str.strip() != "", name="empty value")),
        **{name: _number(_POSITIVE) for name in PRICES},
        # NaN in every row of a symbol without volume or adjusted close.
        VOLUME: _number(pa.Check(lambda volume: volume >= 0, name="negative volume"), nullable=True, required=False),
        ADJUSTED_CLOSE: _number(_POSITIVE, nullable=True, required=False),
    }
)
WHOLE_TABLE = ("missing column", "wrong type")
ADVICE = {
    "missing column": "add or rename it",
    "wrong type": "convert it: times to UTC with their zone, values to float64",
    "empty value": "fill or remove the rows",
    "value not finite": "correct or remove the rows",
    "price not positive": "correct or remove the rows",
    "negative volume": "correct or remove the rows",
}
_PANDERA_CHECKS = {"column_in_dataframe": "missing column", "not_nullable": "empty value"}


def form_failures(bars: pd.DataFrame) -> list[FormFailure]:
    """The rules that `bars` break; empty for raw bars in contract form."""
    try:
        SCHEMA.validate(bars, lazy=True)
    except pa.errors.SchemaErrors as error:
        cases = error.failure_cases
        checks = cases["check"].map(lambda name: _PANDERA_CHECKS.get(name, name))
        checks = checks.mask(~checks.isin(ADVICE), "wrong type")  # pandera reports the expected type
        found = []
        for check, advice in ADVICE.items():
            own = cases[checks == check]
            if len(own):
                columns = own["failure_case"] if check == "missing column" else own["column"]
                rows = () if check in WHOLE_TABLE else tuple(own["index"].dropna().unique())
                found.append(FormFailure(check, tuple(dict.fromkeys(map(str, columns))), rows, advice))
        return found
    return []
