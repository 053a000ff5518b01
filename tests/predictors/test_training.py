"""The training engine: what it trains on, what it repeats, and what it says to bad input."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MLOps.config.predictors import AugmentationConfig, parse_predictor
from MLOps.errors import UserError
from MLOps.predictors import batch_size
from MLOps.predictors.augmentation import augment
from MLOps.predictors.batch_size import MIN_UPDATES, saved_bytes
from MLOps.predictors.network import NetworkPredictor
from MLOps.predictors.schedule import metric_names
from MLOps.predictors.training import Training, recompute_activations
from MLOps.predictors.windows import Windows
from tests.predictors.markets import FEATURES, NETWORKS, fit, small_market

MARKET = small_market(100.0, symbols=2, bars=400)
QUICK = {**NETWORKS["lstm"], "hidden_size": 4, "max_epochs": 3, "batch_size": 64}


def training(**changes: Any) -> Training:
    torch.set_num_threads(1)
    config = parse_predictor(changes if "kind" in changes else {**QUICK, **changes}, "test")
    data = MARKET.data(config.lookback_bars)
    return Training(config, data, data.train, 7, config.batch_size)


def weights(predictor: Any) -> dict[str, torch.Tensor]:
    assert isinstance(predictor, NetworkPredictor)
    return predictor.network.state_dict()


def equal(one: Any, other: Any) -> bool:
    own, theirs = weights(one), weights(other)
    return all(torch.equal(own[name], theirs[name]) for name in own)


@pytest.mark.parametrize("mode", ["windows", "sequence"])
def test_an_epoch_learns_from_every_label_once(mode: str) -> None:
    own = training(mode=mode, sequence_bars=50)
    symbol = MARKET.features["symbol"].to_numpy()
    for epoch in range(1, 4):
        firsts, counts = own._sequences(epoch)
        assert counts.max() <= (50 if mode == "sequence" else 1)
        seen = np.concatenate([np.arange(first, first + count) for first, count in zip(firsts, counts, strict=True)])
        assert sorted(seen) == own.rows.tolist()
        assert (symbol[firsts] == symbol[firsts + counts - 1]).all()


def test_sequences_and_windows_see_the_same_loss() -> None:
    """Where every sequence has one label the modes are one, but for the order of additions."""
    one, other = training(dropout=0.0), training(dropout=0.0, mode="sequence", sequence_bars=1)
    firsts, counts = one._sequences(1)
    assert one._update(firsts[:64], counts[:64]) == pytest.approx(other._update(firsts[:64], counts[:64]))


def test_what_fills_a_sequence_up_teaches_nothing() -> None:
    own, other = (training(mode="sequence", sequence_bars=50, dropout=0.0) for _ in range(2))
    firsts, counts = own.rows[[0, 60]], np.array([50, 10])
    beyond = firsts[1] + 10
    other._values[beyond : firsts[1] + 50] = 1e3
    other._values[: firsts[0] + 50] = own._values[: firsts[0] + 50]
    assert beyond > firsts[0] + 50
    assert own._update(firsts, counts) == other._update(firsts, counts)


@pytest.mark.parametrize("task", [(1.0, 0.0), (0.0, 1.0), (0.6, 0.4)])
def test_every_task_is_learnt(task: tuple[float, float], tmp_path: Path) -> None:
    history: list[dict[str, float]] = []
    config = parse_predictor({**QUICK, "class_loss_weight": task[0], "return_loss_weight": task[1]}, "test")
    data = MARKET.data(config.lookback_bars)
    NetworkPredictor.fit(config, data, 7, lambda _, m: history.append(dict(m)), tmp_path)
    assert list(history[0]) == ["train_loss", "gradient_norm", "learning_rate"] + [
        name for name in history[0] if name.startswith("selection_")
    ]
    assert set(history[0]) == set(metric_names(config))
    assert history[-1]["selection_loss"] < history[0]["selection_loss"]


def test_refit_repeats_what_fit_chose(tmp_path: Path) -> None:
    own = fit(QUICK, MARKET, tmp_path, schedule="cosine", patience_epochs=99)
    data = MARKET.data(own.lookback_bars)
    again = own.refit(data, data.train, 7, tmp_path)
    assert equal(own, again)


@pytest.mark.parametrize("changes", [{}, {"mode": "sequence", "sequence_bars": 50}, {"augmentation": {
    "jitter_std": 0.01, "time_shift_bars": 5, "magnitude_warp_std": 0.1}}, {"mixed_precision": True}])  # fmt: skip
def test_the_same_inputs_give_the_same_weights(changes: dict[str, Any], tmp_path: Path) -> None:
    assert equal(fit(QUICK, MARKET, tmp_path / "a", **changes), fit(QUICK, MARKET, tmp_path / "b", **changes))


def test_two_fresh_processes_give_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.predictors.markets import *; "
        "market = small_market(100.0, symbols=2, bars=400); folder = Path(sys.argv[1]); "
        "[fit({**NETWORKS[n], 'max_epochs': 1}, market, folder / 'cache').save(folder / n) for n in NETWORKS]"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / name)]) for name in "ab"]
    assert [process.wait() for process in processes] == [0, 0]
    for name in NETWORKS:
        for file in ("weights.safetensors", "predictor.json"):
            assert (tmp_path / "a" / name / file).read_bytes() == (tmp_path / "b" / name / file).read_bytes()


@pytest.mark.parametrize("name", ["lstm", "hybrid", "cnn_lstm"])
def test_recomputed_activations_save_memory_and_change_nothing(name: str) -> None:
    values = {**NETWORKS[name], "hidden_size": 32, "lookback_bars": 40}
    firsts, counts = training(**values)._sequences(1)
    plain, thrifty = training(**values), training(**values, gradient_checkpointing=True)
    updates = []
    for one in (plain, thrifty):
        torch.manual_seed(0)
        updates.append(one._update(firsts[:64], counts[:64]))
    assert updates[0] == updates[1]
    plain_weights, thrifty_weights = plain.weights(), thrifty.weights()
    assert all(np.array_equal(plain_weights[key], thrifty_weights[key]) for key in plain_weights)
    network = training(**values).network
    before = saved_bytes(network, torch.zeros(64, 40, 2))
    recompute_activations(network)
    assert saved_bytes(network, torch.zeros(64, 40, 2)) < 0.7 * before


def test_a_batch_of_automatic_size_is_a_power_of_two_that_leaves_updates() -> None:
    size = training(batch_size=0).batch_size
    assert size & (size - 1) == 0
    assert size <= len(training().rows) / MIN_UPDATES < 2 * size


def test_a_batch_of_automatic_size_fits_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    per_label = saved_bytes(training().network, torch.zeros(8, 8, 2)) / 8
    monkeypatch.setattr(batch_size.psutil, "virtual_memory", lambda: type("Memory", (), {"total": 40 * per_label}))
    assert training(batch_size=0).batch_size == 8  # of 10 that half of it holds, there and back


def test_augmentation_shows_no_bar_a_later_one() -> None:
    windows = torch.arange(40.0).reshape(1, 40, 1).expand(16, 40, 1)
    torch.manual_seed(0)
    shifted = augment(windows, AugmentationConfig(time_shift_bars=5))
    lag = windows - shifted
    assert lag.min() == 0 and lag.max() == 5
    noise = augment(torch.zeros(64, 40, 3), AugmentationConfig(jitter_std=0.01))
    assert noise.std().item() == pytest.approx(0.01, rel=0.05)
    warped = augment(torch.ones(64, 40, 3), AugmentationConfig(magnitude_warp_std=0.2))
    assert torch.equal(warped[..., 0], warped[..., 2]) and 0.1 < warped.std() < 0.3
    assert augment(windows, AugmentationConfig()) is windows


def test_no_window_is_ever_copied_for_the_whole_table() -> None:
    """The engine holds the rows, raw and scaled; windows of 8 bars would be 8 times as much."""
    own = training()
    held = sum(tensor.nbytes for tensor in (own._values, own._classes, own._returns))
    assert held < 3 * own._windows.values.nbytes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"monitor": "selection_los"}, "monitor: unknown metric 'selection_los'; did you mean 'selection_loss'"),
        ({"device": "cuda"}, "device: cuda is asked for and PyTorch finds cpu only"),
        ({"lookback_bars": 500}, "look-back of 500 bars needs that many rows"),
        ({"kind": "hybrid", "filters": [4], "kernels": [3, 5], "heads": 2}, "filters and kernels must be lists of one"),
        ({"kind": "bilstm", "mode": "sequence"}, "mode sequence needs a unidirectional recurrent network"),
        ({"class_loss_weight": 0.0}, "are both 0"),
        ({"uncertainty_samples": 4, "dropout": 0.0}, "uncertainty_samples need dropout"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="one case asks for a GPU that must be absent")
def test_bad_settings_are_told_in_a_sentence(changes: dict[str, Any], words: str) -> None:
    values = {key: value for key, value in QUICK.items() if changes.get("kind") != "hybrid" or key != "layers"}
    with pytest.raises(UserError, match=words):
        config = parse_predictor({**values, **changes}, "predictors.own")
        data = MARKET.data(config.lookback_bars)
        Training(config, data, data.train, 7, 64)


def test_a_feature_that_is_never_finite_is_named() -> None:
    features = MARKET.features.assign(volume=np.float32(np.nan))
    windows = Windows(features, FEATURES, 8)
    with pytest.raises(UserError, match="features: volume has no finite value"):
        windows.fit_scaler(MARKET.rows("train", windows))


def test_a_training_that_diverges_is_told_in_a_sentence(tmp_path: Path) -> None:
    values = {**QUICK, "class_loss_weight": 0.0, "return_loss_weight": 1.0}
    with pytest.raises(UserError, match=r"the loss of epoch 1 is .*; lower learning_rate"):
        fit(values, MARKET, tmp_path, learning_rate=1e30)


def test_the_optimiser_has_the_configured_betas() -> None:
    assert training(betas=[0.8, 0.99])._optimiser.param_groups[0]["betas"] == (0.8, 0.99)
    assert training()._optimiser.param_groups[0]["betas"] == torch.optim.AdamW([torch.zeros(1)]).defaults["betas"]
