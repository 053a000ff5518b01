"""params.yaml: sections are typed and read one by one; a mistake is told in one sentence with its key."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import parse_yaml as parse_for_dvc

from MLOps.config.agreement import check_params
from MLOps.config.params import SECTIONS, load_params, parse_yaml
from MLOps.config.schema import as_json
from MLOps.errors import UserError
from tests.project import ROOT

TARGET = {"kind": "target", "n_classes": 5, "horizon_rows": 1}


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def altered(tmp_path: Path, **values: Any) -> Path:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key, value in values.items():
        *sections, last = key.split("__")
        section = params
        for name in sections:
            section = section[name]
        if value is None:
            del section[last]
        else:
            section[last] = value
    return written(tmp_path, params)


def test_the_file_of_the_repository_is_valid() -> None:
    params = check_params(ROOT / "params.yaml")
    assert params.predictors["lstm"].kind == "lstm"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sead": 1}, ["unknown key 'sead'", "'seed'"]),
        ({"seed": "7"}, ["seed", "integer", "'7'"]),
        ({"trading__fee_pbs": 1.0}, ["unknown key 'trading.fee_pbs'", "'fee_bps'"]),
        ({"trading__reward": {"scael": 1.0}}, ["unknown key 'trading.reward.scael'", "'scale'"]),
        ({"predictors__lstm__hiden_size": 8}, ["unknown key 'predictors.lstm.hiden_size'", "'hidden_size'"]),
        ({"agents__ppo__learning_rat": 0.1}, ["unknown key 'agents.ppo.learning_rat'", "'learning_rate'"]),
        ({"predictors__lstm__hidden_size": "32"}, ["predictors.lstm.hidden_size", "integer", "'32'"]),
        ({"predictors__lstm__hidden_size": 0}, ["predictors.lstm.hidden_size", "greater than 0"]),
        ({"predictors__lstm__kind": "lstn"}, ["predictors.lstm", "lstn"]),
        ({"predictors": {}}, ["predictors", "at least 1"]),
        ({"seed": None}, ["'seed' is missing"]),
        ({"gate__deflated_sharpe": 1.5}, ["gate.deflated_sharpe", "less than 1"]),
        ({"trading__fee_bps": -1.0}, ["trading.fee_bps", "greater than or equal to 0"]),
        ({"splits__train": 0.8}, ["splits", "must be 1", "1.1"]),
        ({"data__source": "yaho"}, ["data.source", "yaho"]),
        ({"search__predictors__spaces": {"lstn": {}}}, ["search.predictors.spaces", "unknown name 'lstn'", "'lstm'"]),
        (
            {"search__agents__spaces": {"ppo": {"gama": {"low": 0.9, "high": 0.99}}}},
            ["search.agents.spaces.ppo", "unknown parameter 'gama'", "'gamma'"],
        ),
        ({"search__agents__spaces": {"pqo": {}}}, ["search.agents.spaces", "unknown name 'pqo'", "'ppo'"]),
        ({"data__source": "labelled"}, ["labels.kind", "found data.source labelled and labels.kind smoothed"]),
        ({"labels": TARGET}, ["labels.kind", "found data.source sample and labels.kind target"]),
        (
            {"labels": TARGET, "data__source": "labelled", "data__sentiment__enabled": True},
            ["data.sentiment.enabled", "set false"],
        ),
        (
            {
                "trading__scheme": "weights",
                "agents": {"q": {"kind": "dqn", "observe": {"features": ["gap"]}, "total_timesteps": 1}},
            },
            ["agents.q: dqn acts in the scheme targets or discrete, found trading.scheme weights"],
        ),
        ({"agents__ppo__mask": True}, ["unknown key 'agents.ppo.mask'"]),
        ({"agent_ensemble__kind": "votes"}, ["agent_ensemble", "votes"]),
        ({"agent_ensemble__horizon_bars": 5}, ["unknown key 'agent_ensemble.horizon_bars'"]),
        (
            {"agent_ensemble__kind": "vote", "trading__scheme": "discrete"},
            ["agent_ensemble.kind", "targets or weights"],
        ),
        (
            {"agent_ensemble__kind": "vote", "trading__scheme": "targets"},
            ["agent_ensemble.kind: expected two agents or more, found 1", "set none"],
        ),
        (
            {
                "agent_ensemble__kind": "vote",
                "trading__scheme": "targets",
                "agents__b": {"kind": "ppo", "observe": {"features": ["return_1"]}, "total_timesteps": 1},
            },
            ["agent_ensemble.kind", "agents.ppo.observe unlike agents.b.observe"],
        ),
        ({"agents__ppo__observe__features": []}, ["agents.ppo.observe.features", "at least 1"]),
        ({"agents__ppo__observe__predictors": ["lsmt"]}, ["observe.predictors", "unknown predictor 'lsmt'", "'lstm'"]),
        ({"agents__ppo__observe__predictors": ["lstm", "lstm"]}, ["observe.predictors", "'lstm' is listed twice"]),
        ({"agents__ppo__observe__embeddings": ["ensemble"]}, ["observe.embeddings", "unknown predictor 'ensemble'"]),
        ({"agents__ppo__observe__embeddings": ["lstm"]}, ["'lstm' has no embedding", "predictors.lstm.embedding_size"]),
        ({"agents__ppo__observe__embeddings": ["logistic"]}, ["'logistic' has no embedding", "or leave it out"]),
        (
            {"agents__ppo__observe__fine_tuned": "lsmt"},
            ["agents.ppo.observe.fine_tuned: unknown predictor 'lsmt'", "'lstm'"],
        ),
        (
            {"agents__ppo__observe__fine_tuned": "lstm"},
            ["observe.fine_tuned: 'lstm' has no embedding", "predictors.lstm.embedding_size"],
        ),
        (
            {
                "predictors__lstm__embedding_size": 2,
                "agents__ppo": {
                    "kind": "trpo",
                    "observe": {"features": ["return_1"], "fine_tuned": "lstm"},
                    "total_timesteps": 1,
                    "device": "cuda",
                },
            },
            ["agents.ppo.device: trpo differentiates a fine-tuned network twice", "found cuda; set cpu"],
        ),
        (
            {
                "predictors__lstm__embedding_size": 2,
                "agent_ensemble__kind": "vote",
                "agents": {
                    name: {
                        "kind": "ppo",
                        "observe": {"features": ["return_1"], "fine_tuned": "lstm"},
                        "total_timesteps": 1,
                    }
                    for name in "ab"
                },
            },
            ["agent_ensemble.kind", "found agents.a.observe.fine_tuned", "a network of its own"],
        ),
        ({"predictors__ensemble": {"kind": "class_prior"}}, ["predictors.ensemble", "choose another"]),
        ({"tracking__uri": "http://ann:secret@host"}, ["tracking.uri", "MLFLOW_TRACKING_URI"]),
    ],
)
def test_a_mistake_is_told_with_its_key(tmp_path: Path, values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        check_params(altered(tmp_path, **values))
    sentence = str(error.value)
    assert "params.yaml" in sentence
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence
    assert "secret" not in sentence


@pytest.mark.parametrize("wrong", SECTIONS)
def test_a_mistake_in_one_section_stops_nobody_who_reads_another(wrong: str, tmp_path: Path) -> None:
    path = altered(tmp_path, **{wrong: "no section"})
    whole, params = load_params(ROOT / "params.yaml"), load_params(path)
    for name in SECTIONS:
        if name == wrong:
            with pytest.raises(UserError, match=f"params.yaml: {name}: "):
                getattr(params, name)
        else:
            assert getattr(params, name) == getattr(whole, name)
    with pytest.raises(UserError, match=f"params.yaml: {wrong}: "):
        check_params(path)


def test_a_section_is_missed_by_its_reader_alone(tmp_path: Path) -> None:
    path = altered(tmp_path, gate=None)
    assert load_params(path).splits == load_params(ROOT / "params.yaml").splits
    for read in (lambda: load_params(path).gate, lambda: check_params(path)):
        with pytest.raises(UserError, match="the key 'gate' is missing; add it"):
            read()


def test_what_follows_promotion_has_defaults(tmp_path: Path) -> None:
    params = load_params(altered(tmp_path, serving=None, monitoring=None))
    assert params.serving == load_params(ROOT / "params.yaml").serving
    assert params.monitoring == load_params(ROOT / "params.yaml").monitoring


def test_a_misspelt_section_is_told_before_any_is_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"unknown key 'splitz'; did you mean 'splits'\?"):
        load_params(altered(tmp_path, splitz={}))
    with pytest.raises(UserError, match="unknown key 'wholly other'; known here: agent_ensemble, agents, backtest, "):
        load_params(altered(tmp_path, **{"wholly other": {}}))
    with pytest.raises(UserError, match=r"expected sections seed, threads, .* found 'text'"):
        load_params(written(tmp_path, "text"))
    with pytest.raises(AttributeError, match="no section 'splitz'"):
        _ = load_params(ROOT / "params.yaml").splitz


def test_reading_a_section_imports_no_other(tmp_path: Path) -> None:
    """So that a stage depends on the code of the sections that it reads alone."""
    code = (
        "import sys; from MLOps.config.params import load_params; load_params().gate; "
        "print(*(name for name in sys.modules if name.startswith('MLOps.config.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    own = {f"MLOps.config.{name}" for name in ("params", "schema", "types", "gate")}
    assert set(done.stdout.split()) == own


def test_a_file_that_is_no_yaml_is_told(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: [1\n")
    with pytest.raises(UserError, match="not readable as YAML"):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(UserError, match="no such file"):
        load_params(tmp_path / "elsewhere.yaml")


def test_variants_share_what_an_anchor_names(tmp_path: Path) -> None:
    """As docs/predictors.md shows it; DVC reads the file by its own parser."""
    text = (ROOT / "params.yaml").read_text()
    variant = "  lstm_wide:\n    <<: *lstm\n    hidden_size: 96\n  logistic:\n"
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("  lstm:\n    kind", "  lstm: &lstm\n    kind").replace("  logistic:\n", variant, 1))
    predictors = check_params(path).predictors
    assert as_json(predictors["lstm_wide"]) == {**as_json(predictors["lstm"]), "hidden_size": 96}
    assert parse_for_dvc(path.read_text(), path)["predictors"] == parse_yaml(path.read_text())["predictors"]
