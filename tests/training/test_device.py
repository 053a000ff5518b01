"""Which device trains: `auto` by the size of an update, the same in every run."""

import os
import subprocess
import sys

import pytest
import torch

from MLOps.errors import UserError
from MLOps.training.device import ACCELERATOR_MULTIPLY_ADDS, pick_device, weights_of
from tests.predictors.test_training import training
from tests.project import ROOT


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch finds CUDA; whether there is one is not asked before something is moved there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.mark.usefixtures("gpu")
def test_auto_takes_an_accelerator_for_large_updates_alone() -> None:
    assert pick_device("auto", ACCELERATOR_MULTIPLY_ADDS - 1, "predictors").type == "cpu"
    assert pick_device("auto", ACCELERATOR_MULTIPLY_ADDS, "predictors").type == "cuda"
    assert pick_device("cpu", ACCELERATOR_MULTIPLY_ADDS, "predictors").type == "cpu"
    assert pick_device("cuda", 1, "predictors").type == "cuda"


def test_without_an_accelerator_auto_is_the_cpu_and_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto", 10 * ACCELERATOR_MULTIPLY_ADDS, "agents").type == "cpu"
    with pytest.raises(UserError, match="agents: device: cuda is asked for and PyTorch finds cpu only"):
        pick_device("cuda", 1, "agents")


def test_a_training_on_the_cpu_keeps_its_configuration() -> None:
    """What is saved names a device only if `auto` has chosen an accelerator."""
    assert training(device="auto").config.device == "auto"


@pytest.mark.parametrize(("mode", "sequences", "bars"), [("windows", 64, 8), ("sequence", 4, 8 - 1 + 16)])
def test_every_weight_counts_once_for_each_bar_that_an_update_reads(
    mode: str, sequences: int, bars: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def pick(wanted: str, multiply_adds: int, setting: str) -> torch.device:
        asked.append(multiply_adds)
        return torch.device("cpu")

    monkeypatch.setattr("MLOps.predictors.training.pick_device", pick)
    network = training(mode=mode, sequence_bars=16).network
    assert asked == [weights_of(network) * sequences * bars]


def test_cublas_is_deterministic_wherever_seeds_are_set() -> None:
    code = (
        "import os, torch; from MLOps.training.determinism import seed_torch; seed_torch(0, 1); "
        "print(os.environ['CUBLAS_WORKSPACE_CONFIG'], torch.backends.cudnn.allow_tf32)"
    )
    environment = {name: value for name, value in os.environ.items() if name != "CUBLAS_WORKSPACE_CONFIG"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [":4096:8", "False"]
