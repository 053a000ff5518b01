"""Killed anywhere, run again, same result; and every part of a checkpoint earns its place."""

import multiprocessing
import random
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch._dynamo  # noqa: F401  the first optimiser imports it, which would take every killed process a second

from MLOps.artifacts import content_hash
from MLOps.config.predictors import parse_predictor
from MLOps.predictors import training as engine
from MLOps.predictors.network import NetworkPredictor
from MLOps.predictors.training_state import save_state
from MLOps.training import checkpoints as store
from MLOps.training.checkpoints import KEPT, Checkpoints
from tests.predictors.markets import NETWORKS, fit, small_market

CONFIG = {**NETWORKS["lstm"], "hidden_size": 4, "layers": 2, "batch_size": 64, "max_epochs": 6, "patience_epochs": 99}
MARKET = small_market(100.0, symbols=2, bars=400)
KILLS = 20


def train(folder: Path, pause_s: float, begun: Event, saved: Event) -> None:
    """Train with a checkpoint and a pause after every batch, so that kills find their mark, and save."""
    begun.set()
    engine.SAVE_SECONDS = 0.0

    def slow_save(*state: Any) -> None:
        save_state(*state)
        saved.set()
        time.sleep(pause_s)

    engine.save_state = slow_save  # type: ignore[assignment]
    train_and_refit(folder)


def train_and_refit(folder: Path) -> None:
    """What a stage does: the model of all training rows, and one of some of them, as a fold's is."""
    predictor = fit(CONFIG, MARKET, folder / "checkpoints")
    data = MARKET.data(predictor.lookback_bars)
    fold = predictor.refit(data, data.train[100:], 8, folder / "checkpoints")
    fold.save(folder / "fold")
    predictor.save(folder / "model")


def result(folder: Path) -> tuple[bytes, bytes]:
    return (folder / "model" / "weights.safetensors").read_bytes(), (folder / "model" / "predictor.json").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    train_and_refit(folder)
    return result(folder)


def test_twenty_kills_change_nothing(uninterrupted: tuple[bytes, bytes], tmp_path: Path) -> None:
    # A server with everything imported forks the trainings, so that a kill costs no new start of Python.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.test_checkpoints"])
    chance = random.Random(11)
    kills, steps = 0, []
    while True:
        begun, saved = context.Event(), context.Event()
        process = context.Process(target=train, args=(tmp_path, 0.05, begun, saved))
        process.start()
        # Some are killed while they start or resume, the others some batches on, however slow the machine is.
        assert (begun if kills % 4 == 0 else saved).wait(timeout=120), "the training neither began nor ended"
        process.join(timeout=chance.uniform(0.0, 0.15) if kills < KILLS else None)
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += 1
        steps.append(max((file.name for file in tmp_path.rglob("*.safetensors")), default=""))
    assert process.exitcode == 0
    assert kills == KILLS
    assert len(set(steps)) > 3, "the kills must fall on different batches"
    assert result(tmp_path) == uninterrupted
    train_and_refit(tmp_path / "whole")
    assert content_hash(tmp_path / "fold") == content_hash(tmp_path / "whole" / "fold")


class KilledError(Exception):
    """Stands for a kill within this process."""


def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch, saves: int) -> Checkpoints:
    """Stop the training after so many checkpoints; where they lie."""
    left = [saves]

    def count(*state: Any) -> None:
        save_state(*state)
        left[0] -= 1
        if not left[0]:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(engine, "SAVE_SECONDS", 0.0)
        patch.setattr(engine, "save_state", count)
        with pytest.raises(KilledError):
            fit(CONFIG, MARKET, folder / "checkpoints")
    return Checkpoints(next((folder / "checkpoints").iterdir()))


def batches_an_epoch() -> int:
    return -(-sum((MARKET.features["symbol"] == s).sum() * 7 // 10 - 8 for s in ("SYN00", "SYN01")) // 64)


PARTS = ("nothing", "network", "best", "optimiser", "history", "batch", "loss_sum", "norm_sum")


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_checkpoint_is_needed(
    part: str, uninterrupted: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out starts as in a new training; then the result or what was logged must differ."""
    log: list[dict[str, float]] = []
    # No epoch after the fourth is better, so that the best weights can come from the checkpoint alone.
    monkeypatch.setattr(engine, "best_epoch", lambda history, monitor: min(len(history), 4))
    # In the midst of the last epoch but one: a best epoch, moments and half an epoch's sums are behind.
    checkpoints = interrupted(tmp_path, monkeypatch, 4 * (batches_an_epoch() + 1) + 3)
    state = checkpoints.newest()
    assert state is not None
    arrays, metadata = state
    assert metadata["batch"] > 0 and len(metadata["history"]) == 4
    fresh = engine.Training(**arguments())
    if part in ("network", "best"):
        arrays |= {f"{part}.{name}": array for name, array in fresh.weights().items()}
    elif part == "optimiser":
        arrays = {name: array for name, array in arrays.items() if not name.startswith("optimiser.")}
    elif part == "history":
        metadata["history"] = []
    elif part != "nothing":
        metadata[part] = 0
    checkpoints.save(10**9, arrays, metadata)
    predictor = fit_logging(tmp_path / "checkpoints", log)
    predictor.save(tmp_path / "model")
    whole: list[dict[str, float]] = []
    reference = fit_logging(tmp_path / "elsewhere", whole)
    reference.save(tmp_path / "reference" / "model")
    same = result(tmp_path) == result(tmp_path / "reference") and log == whole
    assert same == (part == "nothing")


def arguments() -> dict[str, Any]:
    config = parse_predictor(CONFIG, "test")
    data = MARKET.data(config.lookback_bars)
    return {"config": config, "data": data, "rows": data.fitting, "seed": 7, "batch_size": 64}


def fit_logging(folder: Path, log: list[dict[str, float]]) -> NetworkPredictor:
    given = arguments()
    return NetworkPredictor.fit(
        given["config"], given["data"], given["seed"], lambda _, metrics: log.append(dict(metrics)), folder
    )


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    damage: str, uninterrupted: tuple[bytes, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = interrupted(tmp_path, monkeypatch, 15)
    newest = max(checkpoints.folder.iterdir())
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes({"truncated": bytes(content[:-100]), "flipped": bytes(content), "empty": b""}[damage])
    with pytest.warns(UserWarning, match="damaged; the one before is used"):
        state = checkpoints.newest()
    assert state is not None
    with pytest.warns(UserWarning, match="the one before is used"):
        fit(CONFIG, MARKET, tmp_path / "checkpoints").save(tmp_path / "model")
    assert result(tmp_path) == uninterrupted


def test_a_training_without_any_whole_checkpoint_says_that_it_starts_again(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"a": np.zeros(3)}, {})
    next(tmp_path.iterdir()).write_bytes(b"nothing")
    with pytest.warns(UserWarning, match="the training starts again"):
        assert checkpoints.newest() is None


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    for step in range(5):
        checkpoints.save(step, {"a": np.full(3, step)}, {"step": step})
    assert len(list(tmp_path.iterdir())) == KEPT
    state = checkpoints.newest()
    assert state is not None and state[1] == {"step": 4} and (state[0]["a"] == 4).all()


def test_a_finished_training_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fit(CONFIG, MARKET, tmp_path)
    monkeypatch.setattr(engine, "augment", lambda *_: pytest.fail("an update"))
    first.save(tmp_path / "a")
    fit(CONFIG, MARKET, tmp_path).save(tmp_path / "b")
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b")


def test_what_a_training_depends_on_names_its_folder(tmp_path: Path) -> None:
    fit(CONFIG, MARKET, tmp_path, max_epochs=1)
    fit(CONFIG, MARKET, tmp_path, max_epochs=1, seed=8)
    fit(CONFIG, MARKET, tmp_path, max_epochs=2)
    fit(CONFIG, small_market(90.0, symbols=2, bars=400), tmp_path, max_epochs=1)
    assert len(list(tmp_path.iterdir())) == 4


def test_only_changed_blocks_of_a_large_array_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring of rows, filled and then overwritten as in a replay buffer."""
    monkeypatch.setattr(store, "BLOCK_BYTES", 400)  # 10 rows
    checkpoints, ring = Checkpoints(tmp_path), np.zeros((95, 2, 5), np.float32)
    blocks: set[str] = set()
    for step in range(40):
        rows = np.arange(step * 5, step * 5 + 5)
        ring[rows % 95] = 1 + rows[:, None, None]
        filled = ring[: min(95, (step + 1) * 5)]
        checkpoints.save(step, {"ring": filled, "scalar": np.array(step)}, {})
        there = {file.name for file in tmp_path.glob("*.block")}
        assert len(there - blocks) <= 2
        assert len(there) <= 10 + 2, "blocks of deleted checkpoints are deleted"
        blocks |= there
        state = checkpoints.newest()
        assert state is not None
        np.testing.assert_array_equal(state[0]["ring"], filled)
        assert state[0]["ring"].dtype == filled.dtype and state[0]["scalar"].shape == ()
        state[0]["ring"][:] = 0  # what is loaded may be written to


@pytest.mark.parametrize("damage", ["truncated", "flipped", "missing"])
def test_a_damaged_block_gives_way_and_is_written_anew(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BLOCK_BYTES", 300)
    checkpoints, first = Checkpoints(tmp_path), np.ones(50)
    checkpoints.save(1, {"a": first}, {})
    blocks = set(tmp_path.glob("*.block"))
    second = np.arange(50.0)
    checkpoints.save(2, {"a": second}, {})
    block = max(set(tmp_path.glob("*.block")) - blocks)
    content = bytearray(block.read_bytes())
    content[7] ^= 1
    if damage == "missing":
        block.unlink()
    else:
        block.write_bytes(content[:-1] if damage == "truncated" else content)
    with pytest.warns(UserWarning, match="damaged; the one before is used"):
        state = checkpoints.newest()
    assert state is not None
    np.testing.assert_array_equal(state[0]["a"], first)
    checkpoints.save(2, {"a": second}, {})
    state = checkpoints.newest()
    assert state is not None
    np.testing.assert_array_equal(state[0]["a"], second)


def test_arrays_that_are_not_contiguous_are_saved_by_value(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    array = np.arange(12.0).reshape(3, 4)
    checkpoints.save(1, {"transposed": array.T, "strided": array[:, ::2]}, {})
    state = checkpoints.newest()
    assert state is not None
    np.testing.assert_array_equal(state[0]["transposed"], array.T)
    np.testing.assert_array_equal(state[0]["strided"], array[:, ::2])
