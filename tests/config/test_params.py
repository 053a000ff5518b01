"""params.yaml: what it says is typed, and a mistake in it is told in one sentence with the key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from MLOps.config.params import load_params
from MLOps.errors import UserError
from tests.project import ROOT


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
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


def test_the_file_of_the_repository_is_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    assert params.predictors["lstm"].kind == "lstm"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sead": 1}, ["unknown key 'sead'", "'seed'"]),
        ({"trading__fee_pbs": 1.0}, ["unknown key 'trading.fee_pbs'", "'fee_bps'"]),
        ({"trading__reward": {"scael": 1.0}}, ["unknown key 'trading.reward.scael'", "'scale'"]),
        ({"predictors__lstm__hiden_size": 8}, ["unknown key 'predictors.lstm.hiden_size'", "'hidden_size'"]),
        ({"agents__ppo__learning_rat": 0.1}, ["unknown key 'agents.ppo.learning_rat'", "'learning_rate'"]),
        ({"predictors__lstm__hidden_size": "32"}, ["predictors.lstm.hidden_size", "integer", "'32'"]),
        ({"predictors__lstm__hidden_size": 0}, ["predictors.lstm.hidden_size", "greater than 0"]),
        ({"predictors__lstm__kind": "lstn"}, ["predictors.lstm", "lstn"]),
        ({"predictors": {}}, ["predictors", "at least 1"]),
        ({"seed": None}, ["'seed' is missing"]),
        ({"gate__min_sharpe": None}, ["'gate.min_sharpe' is missing"]),
        ({"trading__fee_bps": -1.0}, ["trading.fee_bps", "greater than or equal to 0"]),
        ({"splits__train": 0.8}, ["splits", "must be 1", "1.1"]),
        ({"data__source": "yaho"}, ["data.source", "yaho"]),
    ],
)
def test_a_mistake_is_told_with_its_key(tmp_path: Path, values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(UserError) as error:
        load_params(altered(tmp_path, **values))
    sentence = str(error.value)
    assert "params.yaml" in sentence
    assert "\n" not in sentence
    assert all(word in sentence for word in words), sentence


def test_a_file_that_is_no_yaml_is_told(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("seed: [1\n")
    with pytest.raises(UserError, match="not readable as YAML"):
        load_params(tmp_path / "params.yaml")
    with pytest.raises(UserError, match="no such file"):
        load_params(tmp_path / "elsewhere.yaml")
