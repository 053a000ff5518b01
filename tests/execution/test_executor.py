"""Where independent parts are computed does not show in what they give."""

import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from MLOps.artifacts import content_hash
from MLOps.config.execution import ExecutionConfig
from MLOps.config.labels import CLASSES
from MLOps.config.predictors import parse_predictor
from MLOps.config.schema import parse
from MLOps.errors import UserError
from MLOps.execution.contract import Map, in_turn
from MLOps.execution.executor import executor
from MLOps.execution.processes import Processes
from MLOps.pipelines.workers import reproducible
from MLOps.predictors.kinds import predictor_class
from MLOps.predictors.learning import learning_data
from MLOps.predictors.signals import train_with_signals
from MLOps.predictors.tuning import trial_of
from tests.predictors.markets import FEATURES
from tests.predictors.test_selection import KINDS, SPLITS, tables
from tests.project import ROOT, environment


def trained(kind: str, folder: Path, run: Map) -> tuple[str, pd.DataFrame]:
    """The content hash of a predictor, and its signals."""
    config = parse_predictor(KINDS[kind], "test")
    features, labels, splits = tables()
    data = learning_data(config.lookback_bars, features, labels, CLASSES, FEATURES, splits)
    own = predictor_class(config.kind)
    model, signals = train_with_signals(own, config, data, SPLITS, 7, lambda *_: None, folder / "checkpoints", run=run)
    model.save(folder / "model")
    return content_hash(folder / "model"), signals


@pytest.fixture(scope="module")
def run() -> Any:
    with executor(ExecutionConfig(kind="processes", workers=2), threads=1) as run:
        yield run


@pytest.mark.parametrize("kind", KINDS)
def test_models_and_signals_are_the_same_from_processes(kind: str, run: Map, tmp_path: Path) -> None:
    here, signals = trained(kind, tmp_path / "here", in_turn)
    there, same = trained(kind, tmp_path / "there", run)
    assert here == there
    pd.testing.assert_frame_equal(signals, same, check_exact=True)


def settings(trial: Any, _: int) -> tuple[int, bool]:
    import torch

    assert trial is not None
    return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()


def test_the_first_trial_of_a_process_has_the_threads_of_the_others() -> None:
    """The network is imported with the trial, before threads and algorithms are set; PyTorch has none of ours yet."""
    features, labels, splits = tables()
    trial = trial_of("lstm", KINDS["lstm"], features, labels, CLASSES, FEATURES, splits, 7)
    with closing(Processes(1)) as processes:
        found = dict(processes.results(reproducible(partial(settings, trial), 1, 1), [0, 1]))
    assert found == {0: (1, True), 1: (1, True)}


def text(number: int) -> str:
    return str(number)


@pytest.mark.parametrize("items", [[], [3], [1, 2, 3, 1]])
def test_results_have_the_order_of_the_items(items: list[int], run: Map) -> None:
    assert run(text, items, "texts") == in_turn(text, items, "texts") == [str(item) for item in items]


def test_ray_is_asked_for_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    config = ExecutionConfig(kind="ray", address="10.0.0.1:6379")
    told = r"needs the package ray; install it with pip install -r requirements-ray\.txt"
    with pytest.raises(UserError, match=told), executor(config, threads=1):
        pass


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"kind": "ray"}, "execution: kind: ray needs the address of a cluster"),
        ({"kind": "processes", "address": "10.0.0.1:6379"}, "execution: kind: ray needs the address of a cluster"),
        ({"kind": "process"}, "execution.kind: unknown value 'process'; did you mean 'processes'"),
        ({"kind": "processes", "workers": 0}, "execution.workers"),
    ],
)
def test_a_mistake_in_the_section_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse(ExecutionConfig, values, "params.yaml", "execution")


def test_ray_is_imported_by_its_users_alone(tmp_path: Path) -> None:
    (tmp_path / "ray.py").write_text("raise SystemExit('Ray was imported')")
    use = (
        "import MLOps.pipelines.train_predictor; "
        "from MLOps.config.execution import ExecutionConfig as Config; from MLOps.execution.executor import executor\n"
        "if __name__ == '__main__':\n"
        "    with executor(Config(kind=sys.argv[1], address=sys.argv[2] or None, workers=2), 1) as run:\n"
        "        assert run(abs, [-1, -2], 'numbers') == [1, 2]\n"
    )
    script = tmp_path / "use.py"
    script.write_text(f"import sys\n{use}")
    variables = environment() | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    for kind, address, expected in (("processes", "", 0), ("ray", "10.0.0.1:6379", 1)):
        done = subprocess.run([sys.executable, script, kind, address], env=variables, capture_output=True, text=True)
        assert done.returncode == expected, done.stderr
        assert ("Ray was imported" in done.stderr) == (kind == "ray")
