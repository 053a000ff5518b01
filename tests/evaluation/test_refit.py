"""A refit learns from the newest bars, keeps what was chosen, and is what a bundle serves."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from MLOps.agents.ensemble import AgentEnsemble
from MLOps.artifacts import content_hash, read_json, write_table
from MLOps.config.agent_ensemble import HedgeConfig, NoEnsembleConfig
from MLOps.config.agents import parse_agent
from MLOps.config.predictors import parse_predictor
from MLOps.data.settle import settle
from MLOps.data.splits import LearningSplits
from MLOps.data.walk_forward import refit_splits, windows_of
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.evaluation.refit import Choices, Refit, needed_predictors, refit
from MLOps.model_registry.bundle import build_bundle
from MLOps.model_registry.versions import Registry
from MLOps.operations.champion import champion_returns
from MLOps.operations.model_card import refit_in_words
from MLOps.predictors.ensemble import Ensemble
from MLOps.training.checkpoints import Checkpoints
from tests.data.markets import MARKETS
from tests.evaluation.test_walk_forward import AGENT, RECIPE, WINDOWS

PRIOR = np.array([0.3, 0.3, 0.4])


def logistic(lookback_bars: int, **changes: Any) -> Any:
    return parse_predictor({"kind": "logistic", "lookback_bars": lookback_bars, "l2_penalty": 10.0, **changes}, "test")


# Some of the test span's bars go to the refit's training span.
SPLITS = replace(RECIPE.splits, validation=0.15, test=0.25)
CHOICES = Choices(
    seed=7,
    threads=1,
    features=RECIPE.features,
    splits=SPLITS,
    labels=RECIPE.labels,
    predictors={"near": logistic(2), "far": logistic(4)},
    ensemble=Ensemble(("fall", "still", "rise"), ("near", "far"), (0.75, 0.25), None, PRIOR, 0.0),
    ensemble_kind="weighted",
    trading=RECIPE.trading,
    agents=RECIPE.agents,
    agent_ensemble=NoEnsembleConfig(kind="none"),
)

TWO_SEEDS = replace(CHOICES, agents={"ppo": parse_agent({**AGENT, "seeds": 2}, "test")})


def bars_of(market: str) -> pd.DataFrame:
    return settle(MARKETS[market](5), "trade_without", 30, "test")[0]


def splits_of(bars: pd.DataFrame, **changes: Any) -> LearningSplits:
    return refit_splits(bars["timestamp"], CHOICES.splits, replace(WINDOWS, **changes))


def made(folder: Path, choices: Choices, bars: pd.DataFrame, splits: LearningSplits) -> tuple[Refit, dict[str, str]]:
    """A refit, and the hash of each file that it saves."""
    own = refit(choices, bars, splits, folder / "checkpoints")
    own.save(folder / "saved")
    files = sorted(path for path in (folder / "saved").rglob("*") if path.is_file())
    return own, {path.relative_to(folder / "saved").as_posix(): content_hash(path) for path in files}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Refit, dict[str, str], Path]:
    """A refit on daily stocks, the hash of each file that it saves, and their folder."""
    bars, folder = bars_of("daily stocks"), tmp_path_factory.mktemp("undisturbed")
    return *made(folder, TWO_SEEDS, bars, splits_of(bars)), folder / "saved"


def test_a_changed_bar_of_the_test_span_changes_the_refit_and_not_what_was_judged(tmp_path: Path) -> None:
    bars = bars_of("one symbol")
    *_, own = windows_of(bars["timestamp"], CHOICES.splits, WINDOWS)
    judged, whole = own.splits(bars["timestamp"], CHOICES.splits), splits_of(bars)
    timeline = np.sort(bars["timestamp"].unique())
    # Of the test span, and of the refit's training span.
    place = int(timeline.searchsorted(judged.test.start)) + 10
    assert whole.train.start <= timeline[place] < whole.train.end
    changed = bars.copy()
    rows = (changed["timestamp"] == timeline[place]).to_numpy()
    changed.loc[rows, ["open", "high", "low", "close"]] *= 1.05
    before, after = (made(tmp_path / name, CHOICES, table, judged)[1] for name, table in (("b", bars), ("a", changed)))
    assert before == after
    before, after = (made(tmp_path / name, CHOICES, table, whole)[1] for name, table in (("c", bars), ("d", changed)))
    assert before.keys() == after.keys()
    weights = [name for name in before if name.endswith(".safetensors")]
    assert len(weights) == 3
    assert [name for name in weights if before[name] == after[name]] == []


def test_an_interrupted_refit_resumes_and_ends_with_the_same_bytes(
    undisturbed: tuple[Refit, dict[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = bars_of("daily stocks")
    splits, (own, files, _) = splits_of(bars), undisturbed
    assert own.seeds["ppo"] in (0, 1)
    assert own.trained_until == bars["timestamp"].max()
    save, saves = Checkpoints.save, []

    def interrupt(*state: Any) -> None:
        save(*state)
        saves.append(state)
        if len(saves) == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoints, "save", interrupt)
        with pytest.raises(KeyboardInterrupt):
            refit(TWO_SEEDS, bars, splits, tmp_path / "killed/checkpoints")
    assert list((tmp_path / "killed").rglob("*.safetensors"))
    assert made(tmp_path / "killed", TWO_SEEDS, bars, splits)[1] == files


def test_what_was_chosen_is_kept_and_what_learns_learns_again(
    undisturbed: tuple[Refit, dict[str, str], Path], tmp_path: Path
) -> None:
    bars, (own, _, _) = bars_of("one symbol"), undisturbed
    assert own.ensemble.members == ("near", "far")
    assert own.ensemble.weights == pytest.approx((0.75, 0.25))
    assert not np.array_equal(own.ensemble.prior, PRIOR)
    # Another stack for other predictors; several agents are weighted anew.
    second = parse_agent({**AGENT, "gamma": 0.5}, "test")
    several = {"first": CHOICES.agents["ppo"], "second": second}
    choices = replace(CHOICES, ensemble_kind="stacking", agents=several, agent_ensemble=HedgeConfig(kind="hedge"))
    own, files = made(tmp_path / "stacking", choices, bars, splits_of(bars, training="sliding"))
    assert own.ensemble.stack is not None
    assert isinstance(own.agent, AgentEnsemble)
    assert sum(own.agent.weights) == pytest.approx(1)
    assert {f"agent/members/{name}/policy.safetensors" for name in several} < files.keys()


def test_only_predictors_that_are_needed_are_trained() -> None:
    def agent(**observe: Any) -> Any:
        return parse_agent({**AGENT, "observe": {"features": ["return_1"], **observe}}, "test")

    nobody = replace(CHOICES.ensemble, members=(), weights=())
    assert needed_predictors(nobody, {"a": agent()}) == []
    assert needed_predictors(nobody, {"a": agent(predictors=["ensemble"])}) == []
    assert needed_predictors(CHOICES.ensemble, {"a": agent(predictors=["ensemble"])}) == ["near", "far"]
    observers = {
        "a": agent(predictors=["other", "near"]),
        "b": agent(embeddings=["lstm"]),
        "c": agent(fine_tuned="gru"),
    }
    assert needed_predictors(nobody, observers) == ["other", "near", "lstm", "gru"]


class OneVersion:
    """A registry whose only version is this bundle."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def bundle(self, _: str) -> Path:
        return self._folder


def test_a_bundle_of_a_refit_is_served_and_not_compared_on_bars_that_it_learnt_from(
    undisturbed: tuple[Refit, dict[str, str], Path], tmp_path: Path
) -> None:
    bars = bars_of("daily stocks")
    *_, own = windows_of(bars["timestamp"], CHOICES.splits, WINDOWS)
    test = own.splits(bars["timestamp"], CHOICES.splits).test
    *_, saved = undisturbed
    values = read_json(saved / "refit.json")
    parts = {name: saved / name for name in ("feature_pipeline.json", "agent", "predictors")}
    metadata = {"ensemble": values["ensemble"], "splits": values["splits"], "trading": asdict(CHOICES.trading)}
    build_bundle(tmp_path / "bundle", parts, metadata)
    model = TradingModel.load(tmp_path / "bundle")
    decided = model.decide(model.example_request(bars), 1000.0, {})
    assert sorted(decided["symbol"]) == sorted(bars.loc[bars["timestamp"] == bars["timestamp"].max(), "symbol"])
    write_table(tmp_path / "bars.parquet", bars)
    registry = cast(Registry, OneVersion(tmp_path / "bundle"))
    newest = bars["timestamp"].max().date()
    with pytest.raises(UserError, match=f"trained and chosen on bars up to {newest}, the span begins before that"):
        champion_returns(registry, "1", tmp_path / "bars.parquet", test, CHOICES.trading)


def test_words_for_a_refit_alone() -> None:
    assert refit_in_words({"splits": {}}) is None
    refitted = {
        "trained_until": "2024-12-31T00:00:00+00:00",
        "judged_splits": {"validation": {"start": "2021-01-01", "end": "2022-12-23T00:00:00+00:00"}},
    }
    words = refit_in_words({"refit": refitted})
    assert words is not None
    assert "until 2024-12-31" in words and "until 2022-12-23" in words and words.endswith("these weights were not")
