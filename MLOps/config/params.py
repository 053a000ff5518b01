"""Read params.yaml one section at a time, so that a stage depends only on the sections it reads."""

from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import yaml

from MLOps.config.schema import parse, suggest
from MLOps.errors import UserError, one_line

if TYPE_CHECKING:
    from MLOps.config.agent_ensemble import AgentEnsembleConfig
    from MLOps.config.agents import AgentConfig
    from MLOps.config.backtest import BacktestConfig
    from MLOps.config.data import DataConfig
    from MLOps.config.execution import ExecutionConfig
    from MLOps.config.features import FeatureConfig
    from MLOps.config.gate import GateConfig
    from MLOps.config.labels import LabelConfig
    from MLOps.config.monitoring import MonitoringConfig
    from MLOps.config.predictors import PredictorConfig
    from MLOps.config.search import SearchConfigs
    from MLOps.config.serving import ServingConfig
    from MLOps.config.splits import SplitConfig
    from MLOps.config.tracking import TrackingConfig
    from MLOps.config.trading import TradingConfig
    from MLOps.config.validation import ValidationConfig
    from MLOps.config.walk_forward import WalkForwardConfig

# The type of each section. Names, so that only the sections that are read are imported.
SECTIONS = {
    "seed": "MLOps.config.types:Count",
    "threads": "MLOps.config.types:Positive",
    "execution": "MLOps.config.execution:ExecutionConfig",
    "tracking": "MLOps.config.tracking:TrackingConfig",
    "data": "MLOps.config.data:DataConfig",
    "splits": "MLOps.config.splits:SplitConfig",
    "features": "MLOps.config.features:FeatureConfig",
    "labels": "MLOps.config.labels:LabelConfig",
    "predictors": "MLOps.config.predictors:PredictorConfigs",
    "search": "MLOps.config.search:SearchConfigs",
    "validation": "MLOps.config.validation:ValidationConfig",
    "trading": "MLOps.config.trading:TradingConfig",
    "agents": "MLOps.config.agents:AgentConfigs",
    "agent_ensemble": "MLOps.config.agent_ensemble:AgentEnsembleConfig",
    "backtest": "MLOps.config.backtest:BacktestConfig",
    "walk_forward": "MLOps.config.walk_forward:WalkForwardConfig",
    "gate": "MLOps.config.gate:GateConfig",
    "serving": "MLOps.config.serving:ServingConfig",
    "monitoring": "MLOps.config.monitoring:MonitoringConfig",
}
# Sections that no result of the pipeline depends on; all of their keys have defaults.
OPTIONAL = ("execution", "serving", "monitoring")


class Params:
    """params.yaml as typed, frozen sections. A section is checked when it is first read; `check_params` checks all.

    Attributes:
        seed: all random draws derive from it.
        threads: of PyTorch and BLAS, in each process; more speed up large networks, but slow down a busy machine.
        labels: what predictors forecast; a change of `kind` changes the other keys too.
        predictors: by names that you choose; each is trained.
        agents: by names that you choose; each is trained.
        agent_ensemble: how the agents decide together.

    Raises:
        UserError: on reading a section in which a key is unknown, missing or of the wrong type.
    """

    seed: int
    threads: int
    execution: "ExecutionConfig"
    tracking: "TrackingConfig"
    data: "DataConfig"
    splits: "SplitConfig"
    features: "FeatureConfig"
    labels: "LabelConfig"
    predictors: "dict[str, PredictorConfig]"
    search: "SearchConfigs"
    validation: "ValidationConfig"
    trading: "TradingConfig"
    agents: "dict[str, AgentConfig]"
    agent_ensemble: "AgentEnsembleConfig"
    backtest: "BacktestConfig"
    walk_forward: "WalkForwardConfig"
    gate: "GateConfig"
    serving: "ServingConfig"
    monitoring: "MonitoringConfig"

    def __init__(self, values: dict[str, Any], where: str) -> None:
        self._values, self._where = values, where

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in SECTIONS:
            raise AttributeError(f"params.yaml has no section {name!r}")
        if name not in self._values and name not in OPTIONAL:
            raise UserError(f"{self._where}: the key {name!r} is missing; add it")
        section = parse(resolve_name(SECTIONS[name]), self._values.get(name, {}), self._where, name)
        self.__dict__[name] = section
        return section


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's parser, in C where it has it, which is ten times faster; a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and key.tag != MERGE and lines.setdefault(key.value, line) != line:
                raise yaml.YAMLError(
                    f"the key {key.value!r} stands in line {lines[key.value]} and again in line {line}"
                )
        return super().construct_mapping(node, deep)


MERGE = "tag:yaml.org,2002:merge"


def parse_yaml(text: str) -> Any:
    """The values in a YAML text.

    Raises:
        yaml.YAMLError: the text is not YAML, or has a key twice.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml.

    Raises:
        UserError: the file is missing or not YAML, or has a section that is not in SECTIONS.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file in {path.resolve().parent}; run from the folder that holds it")
    try:
        values = parse_yaml(path.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not readable as YAML: {one_line(error, 250)}; correct it") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected sections {', '.join(SECTIONS)}, found {values!r}; restore the file")
    for name in values:
        if name not in SECTIONS:
            raise UserError(f"{path}: unknown key {str(name)!r}; {suggest(str(name), SECTIONS)}")
    return Params(values, str(path))
