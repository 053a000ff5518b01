"""What a window of a walk-forward evaluation shows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from MLOps.artifacts import content_hash, read_json, read_table, whole_folder, write_json, write_table
from MLOps.data.splits import Splits
from MLOps.errors import UserError
from MLOps.evaluation.report import BacktestReport

REPORT, RETURNS, HASHES = "report.json", "returns.parquet", "hashes.json"


@dataclass(frozen=True)
class Outcome:
    """What a window shows: see `window_report`; and the returns of each policy, as `Backtest.returns` has them."""

    report: dict[str, Any]
    returns: pd.DataFrame

    def save(self, folder: Path) -> None:
        with whole_folder(folder) as temporary:
            write_json(temporary / REPORT, self.report)
            write_table(temporary / RETURNS, self.returns)
            write_json(temporary / HASHES, {name: content_hash(temporary / name) for name in (REPORT, RETURNS)})

    @classmethod
    def load(cls, folder: Path) -> "Outcome":
        """The outcome saved in `folder`.

        Raises:
            UserError: a file is missing, or is not as it was saved.
        """
        if read_json(folder / HASHES) != {name: content_hash(folder / name) for name in (REPORT, RETURNS)}:
            raise UserError(f"{folder}: the files are not as they were saved; delete the folder")
        return cls(read_json(folder / REPORT), read_table(folder / RETURNS))


def window_report(report: BacktestReport, splits: Splits, seed: int | None) -> dict[str, Any]:
    """The backtest of a window as data: test span, the spans before it, chosen agent and its seed, metrics.

    Args:
        seed: the number of the seed that validation chose; None for an ensemble of agents.
    """
    values = report.to_dict()
    spans = splits.to_dict()
    return {
        **values.pop("span"),
        "train": spans["train"],
        "validation": spans["validation"],
        "seed": seed,
        **values,
    }
