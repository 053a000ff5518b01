"""The Python that the pages show runs: the blocks of a page one after the other, in the folder of a finished run.

tests/deployment/test_serving.py runs the requests to a server.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import read_json, read_table
from MLOps.config.params import load_params
from MLOps.data.splits import Splits
from MLOps.features.dataset import read_features
from tests.docs.pages import blocks
from tests.project import Project

# Those with a title are files: tests/docs/test_recipes.py.
BLOCKS = [block for block in blocks("python") if not block.title]
PAGES = sorted({block.page for block in BLOCKS})


def given(name: str) -> dict[str, Any]:
    """What the text before a page's blocks introduces, from the folder of the run."""
    bars = read_table(Path("data/processed/bars.parquet"))
    if name == "features.md":
        return {"bars": bars[bars["symbol"].isin(["AAPL", "IBM"])].groupby("symbol").tail(260)}
    if name == "predictors.md":
        params = load_params()
        features = read_features(Path("data/processed/features"))
        columns = read_json(Path("data/processed/feature_pipeline.json"))["names"]
        rows = features[features["symbol"] == "IBM"][columns].to_numpy(np.float32)
        return {
            "windows": np.stack([rows[end - params.predictors["lstm"].lookback_bars : end] for end in (200, 201, 202)]),
            "signals": pd.read_parquet("data/processed/signals/lstm.parquet"),
            "labels": read_table(Path("data/processed/labels.parquet")),
            "splits": Splits.from_dict(read_json(Path("data/processed/splits.json"))),
            "params": params,
        }
    if name == "trading.md":
        keys = ["timestamp", "symbol"]
        return {"bars": bars, "observations": bars[keys].assign(gap=np.float32(0))}
    if name == "statistics.md":
        draws = np.random.default_rng(0).normal(0.001, 0.01, (500, 4))
        return {"returns": draws[:, 0], "ours": draws[:, 0], "theirs": draws[:, 1], "benchmark": draws[:, 3],
                "trials": draws, "trial_sharpes": draws.mean(axis=0) / draws.std(axis=0, ddof=1)}  # fmt: skip
    return {}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "README.md"], ids=lambda page: page.name)
def test_blocks_run(page: Path, finished: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.folder)
    names = given(page.name)
    for block in BLOCKS:
        if block.page == page:
            exec(compile(block.text, str(block), "exec"), names)  # noqa: S102
