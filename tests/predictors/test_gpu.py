"""Networks on CUDA: as on the CPU but for rounding, the same bytes on repeat and after a kill."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MLOps.predictors import training
from MLOps.predictors.network import NetworkPredictor
from MLOps.training.determinism import seed_torch
from tests.predictors.markets import NETWORKS, small_market
from tests.predictors.markets import fit as fit_on_cpu

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

MARKET = small_market(100.0, symbols=2, bars=400)
SHORT: dict[str, Any] = {"max_epochs": 2, "batch_size": 64}


def fit(name: str, folder: Path, **changes: Any) -> NetworkPredictor:
    seed_torch(0, 1)
    predictor = fit_on_cpu(NETWORKS[name], MARKET, folder, **{**SHORT, "device": "cuda", **changes})
    assert isinstance(predictor, NetworkPredictor)
    return predictor


@pytest.mark.parametrize("name", NETWORKS)
def test_a_gpu_learns_what_the_cpu_learns(name: str, tmp_path: Path) -> None:
    # One epoch of small steps: Adam makes more of rounding the longer it goes on.
    same = {"dropout": 0.0, "max_epochs": 1, "learning_rate": 1e-4}
    gpu, cpu = (fit(name, tmp_path, **same, device=device) for device in ("cuda", "cpu"))
    windows = MARKET.data(8).windows
    inputs = windows.ending_at(np.flatnonzero(windows.whole))
    np.testing.assert_allclose(gpu.predict(inputs).probabilities, cpu.predict(inputs).probabilities, atol=1e-3)
    assert gpu.config.device == "cuda"


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("changes", [{}, {"mixed_precision": True}])
def test_a_gpu_gives_the_same_bytes_on_repeat(name: str, changes: dict[str, Any], tmp_path: Path) -> None:
    first, second = (fit(name, tmp_path / which, **changes) for which in "ab")
    assert first.content_hash() == second.content_hash()


def test_a_training_stopped_on_a_gpu_resumes_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit("hybrid", tmp_path / "whole")
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    update, updates = training.Training._update, 0

    def stop(self: training.Training, firsts: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
        nonlocal updates
        updates += 1
        if updates == 12:
            raise KeyboardInterrupt
        return update(self, firsts, counts)

    monkeypatch.setattr(training.Training, "_update", stop)
    with pytest.raises(KeyboardInterrupt):
        fit("hybrid", tmp_path / "stopped")
    assert fit("hybrid", tmp_path / "stopped").content_hash() == whole.content_hash()


def test_a_large_network_is_trained_on_the_gpu_by_itself(tmp_path: Path) -> None:
    assert fit("lstm", tmp_path, device="auto").config.device == "auto"
    assert fit("lstm", tmp_path, device="auto", hidden_size=256, batch_size=512).config.device == "cuda"
