"""benchmarks.gpu says that there is no GPU; what it measures runs, here on the CPU."""

import os
import subprocess
import sys

import pytest

from benchmarks import gpu
from benchmarks.predictor import planted_edge
from tests.project import ROOT


def test_without_a_gpu_it_says_so_in_a_sentence() -> None:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    words = [sys.executable, "-m", "benchmarks.gpu"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "benchmarks.gpu: expected a GPU, PyTorch finds none; run it on a machine with CUDA\n"


@pytest.mark.slow
def test_its_figures_are_speeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "WIDTHS", (4, 8))
    task = planted_edge(2_000, seed=5)
    assert gpu.labels_per_second("gru", task, device="cpu", hidden_size=4) > 0
    assert gpu.frames_per_second("cpu", 8192) > 0
    ratios = gpu.crossover(task, ("cpu", "cpu"))
    assert len(ratios) == 2 and min(ratios.values()) > 0
