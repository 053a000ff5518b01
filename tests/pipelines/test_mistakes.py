"""A user's mistake ends a stage with one sentence, a status that is not 0, and nothing half-written."""

import shutil
from collections.abc import Iterator

import pandas as pd
import pytest

from MLOps.artifacts import write_table
from MLOps.data.sources.files import bars_from_file
from tests.project import ROOT, Project

BARS = pd.read_csv(ROOT / "data/sample/bars.csv.gz").query("symbol != 'FB'").groupby("symbol").head(400)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project.copy(tmp_path_factory.mktemp("mistakes"))
    project.update({"data.source": "csv", "data.csv.path": "bars.csv"})
    return project


@pytest.fixture
def project(copy: Project) -> Iterator[Project]:
    """A project that has not run yet; params.yaml is put back afterwards."""
    for top in ("data/raw", "data/processed", "reports"):
        shutil.rmtree(copy.folder / top, ignore_errors=True)
    params = (copy.folder / "params.yaml").read_text()
    BARS.to_csv(copy.folder / "bars.csv", index=False)
    yield copy
    (copy.folder / "params.yaml").write_text(params)


def sentence(project: Project, *stage: str, **variables: str) -> str:
    """What the stage says, having checked how it says it."""
    done = project.run(f"MLOps.pipelines.{stage[0]}", *stage[1:], check=False, variables=variables)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith(f"{stage[0]}: ")]
    assert len(lines) == 1, done.stderr
    assert len(lines[0]) < 300, lines[0]
    return lines[0]


def ingest(project: Project, bars: pd.DataFrame) -> None:
    """As the stage leaves them, without starting a process for it."""
    bars.to_csv(project.folder / "bars.csv", index=False)
    write_table(project.folder / "data/raw/bars.parquet", bars_from_file(project.folder / "bars.csv"))


def test_a_negative_price(project: Project) -> None:
    BARS.assign(low=BARS["low"].mask(BARS.index == BARS.index[7], -3.0)).to_csv(
        project.folder / "bars.csv", index=False
    )
    told = sentence(project, "ingest")
    assert all(word in told for word in ["bars.csv", "low must be positive", "first row 7", "-3"]), told
    assert project.outputs() == {}
    runs = project.client().search_runs(["1"])
    assert runs[0].info.status == "FAILED"
    assert "low must be positive" in runs[0].data.tags["failure"]


def test_one_symbol_goes_on_without_the_features_that_compare_symbols(project: Project) -> None:
    ingest(project, BARS.query("symbol == 'IBM'"))
    project.run("MLOps.pipelines.validate_data")
    told = project.run("MLOps.pipelines.features").stdout
    assert "features: rank_5 left out: it compares symbols, and the training span has IBM only" in told


def test_bars_of_poor_quality_stop_the_pipeline(project: Project) -> None:
    values = [name for name in BARS.columns if name not in ("symbol", "date")]
    copied = BARS.copy()
    copied.iloc[1::2, [copied.columns.get_loc(name) for name in values]] = copied.iloc[::2][values].to_numpy()
    ingest(project, copied)
    told = sentence(project, "validate_data")
    assert all(word in told for word in ["at least 0.8", "copied bar", "data.quality_threshold"]), told
    assert not (project.folder / "reports/quality.json").exists()
    assert not (project.folder / "data/processed").exists()
    assert (project.folder / "reports/records/validate_data/quality.html").exists()


def test_one_wrong_bar_stops_the_pipeline_whatever_the_score(project: Project) -> None:
    wrong = BARS.reset_index(drop=True)
    wrong.loc[700, ["open", "high", "low", "close", "adj_close"]] *= 10
    ingest(project, wrong)
    told = sentence(project, "validate_data")
    row = f"{wrong['symbol'][700]} {wrong['date'][700]}"
    assert all(word in told for word in ["1 × price spike", row, "data.accept_findings: ['price spike']"]), told
    assert not (project.folder / "data/processed").exists()
    project.update({"data.accept_findings": ["price spike"]})
    accepted = project.run("MLOps.pipelines.validate_data").stdout
    assert f"validate_data: warning: 1 × price spike ({row}" in accepted


def test_an_unknown_key(project: Project) -> None:
    path = project.folder / "params.yaml"
    path.write_text(path.read_text().replace("quality_threshold", "quality_treshold"))
    for stage in ("prepare", "ingest"):
        told = sentence(project, stage)
        assert "unknown key 'data.quality_treshold'; did you mean 'quality_threshold'?" in told


def test_a_mistake_in_the_last_section_is_told_before_the_first_stage(project: Project) -> None:
    project.update({"gate.deflated_sharp": 0.5})
    done = project.run("dvc", "repro", check=False)
    assert done.returncode != 0
    assert "prepare: params.yaml: unknown key 'gate.deflated_sharp'; did you mean 'deflated_sharpe'?" in done.stderr
    assert project.outputs() == {}


def test_a_missing_input_names_the_way_to_it(project: Project) -> None:
    assert "data/raw/bars.parquet" in (told := sentence(project, "validate_data"))
    assert "dvc repro" in told


def test_a_folder_that_cannot_be_written(project: Project) -> None:
    (project.folder / "data/raw").symlink_to("/proc")
    told = sentence(project, "ingest")
    (project.folder / "data/raw").unlink()
    assert "data/raw/bars.parquet: cannot be written" in told


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/nowhere/mlflow.db"])
def test_a_store_that_cannot_be_reached(project: Project, uri: str) -> None:
    told = sentence(project, "ingest", MLFLOW_TRACKING_URI=uri)
    assert "cannot be reached" in told
    assert "tracking.uri" in told
    assert project.outputs() == {}


@pytest.mark.parametrize("uri", ["http://ann:secret@127.0.0.1:9", "http://ann:secret@localhost"])
def test_a_login_in_the_address_of_a_store(project: Project, uri: str) -> None:
    told = sentence(project, "ingest", MLFLOW_TRACKING_URI=uri)
    assert "MLFLOW_TRACKING_PASSWORD" in told
    assert "secret" not in told
    assert project.outputs() == {}


def test_credentials_stay_out_of_the_file(project: Project) -> None:
    project.update({"tracking.uri": "http://ann:secret@127.0.0.1:9"})
    told = sentence(project, "prepare")
    assert "MLFLOW_TRACKING_URI" in told
    assert "secret" not in told
    assert project.outputs() == {}


def test_a_mistake_at_the_very_end_fails_the_run(project: Project) -> None:
    (project.folder / "reports").mkdir(exist_ok=True)
    (project.folder / "reports/metrics").symlink_to("/proc")
    told = sentence(project, "ingest")
    (project.folder / "reports/metrics").unlink()
    assert "reports/metrics/ingest/metrics.json: cannot be written" in told
    assert project.client().search_runs(["1"])[0].info.status == "FAILED"


def test_dvc_tells_it_too(project: Project) -> None:
    (project.folder / "bars.csv").write_text("")
    done = project.run("dvc", "repro", "ingest", check=False)
    assert done.returncode != 0
    assert "bars.csv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_feature_that_is_not_computed_is_told_before_the_first_stage(project: Project) -> None:
    project.update({"agents.ppo.observe.features": ["return_1", "rsi_41"]})
    told = sentence(project, "prepare")
    assert "agents.ppo.observe.features: expected features of features.names, found 'rsi_41'" in told
    assert "did you mean 'rsi_14'?" in told
    project.update({"agents.ppo.observe.features": ["return_1"], "trading.turbulence_stop": 1.5})
    assert "trading.turbulence_stop: features.names lacks turbulence_60; add it" in sentence(project, "prepare")
    assert project.outputs() == {}


def test_one_symbol_has_no_turbulence_to_stop_at(project: Project) -> None:
    project.update({"features.names": ["return_1", "turbulence"], "trading.turbulence_stop": 1.5})
    ingest(project, BARS.query("symbol == 'IBM'"))
    project.run("MLOps.pipelines.validate_data")
    told = sentence(project, "features")
    assert "trading.turbulence_stop: the feature turbulence_60 cannot be computed from these bars" in told
    assert "the training span has IBM only; set null" in told
    assert not (project.folder / "data/processed/features").exists()
