"""The whole decision on a market with a planted edge: the recipe of params.yaml in every window, then the gate.

What the stages do, by the same functions: each window of `walk_forward` is computed from the raw bars that it knows,
the last one on all of them being the pipeline; their returns are joined, and the gate judges the one trial.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from MLOps.artifacts import write_table
from MLOps.config.params import Params
from MLOps.data.clock import Clock
from MLOps.data.sources import load_bars
from MLOps.data.walk_forward import windows_of
from MLOps.evaluation.evidence import Evidence
from MLOps.evaluation.gate import Case, CheckResult, judge
from MLOps.evaluation.report import AGENT
from MLOps.evaluation.walk_forward import Task, compute
from MLOps.pipelines.gate_case import case_of
from MLOps.pipelines.stage import environment
from MLOps.pipelines.walk_forward import recipe_of

SYMBOLS, BARS, REGIME_BARS, VOLATILITY_BPS = 4, 1500, 20, 100.0
KEPT = Path(".cache/gate_benchmark")


@dataclass(frozen=True)
class Market:
    """A market of `data.source: synthetic`, and the recipe that it is judged by.

    Attributes:
        seed: of the market and of the recipe.
        values: of params.yaml; the market replaces its `seed` and its `data`.
    """

    edge_bps: float
    seed: int
    values: dict[str, Any]

    @property
    def params(self) -> Params:
        planted = {
            "symbols": SYMBOLS,
            "bars": BARS,
            "volatility_bps": VOLATILITY_BPS,
            "edge_bps": self.edge_bps,
            "regime_bars": REGIME_BARS,
        }
        data = self.values["data"] | {"source": "synthetic", "synthetic": planted}
        return Params(self.values | {"seed": self.seed, "data": data}, "params.yaml")


def decide(market: Market) -> list[CheckResult]:
    """The gate's checks of a market; the agent is promoted if all passed."""
    return judge(case(market), market.params.gate)


def case(market: Market) -> Case:
    """What the gate judges; windows that were finished before are read."""
    params, folder = market.params, KEPT / f"edge_{market.edge_bps:g}" / str(market.seed)
    raw = load_bars(params.data, params.seed)
    write_table(folder / "bars.parquet", raw)
    windows = windows_of(raw["timestamp"], params.splits, params.walk_forward)
    versions, recipe = environment(params.threads), recipe_of(params)
    outcomes = [
        compute(Task(number, window, recipe, folder / "bars.parquet", versions, folder))
        for number, window in enumerate(windows)
    ]
    bars_per_year = Clock.of(raw, params.data.calendar, params.data.bars_per_year).bars_per_year
    evidence = Evidence.join([outcome.returns for outcome in outcomes], bars_per_year)
    own = pd.DataFrame({"own": evidence.returns[AGENT]}, index=pd.DatetimeIndex(evidence.timestamps))
    return case_of(evidence, [outcome.report for outcome in outcomes], own, params)
