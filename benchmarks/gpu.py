"""The training engine and PPO on a GPU, beside the CPU of the same machine: `python -m benchmarks.gpu --json FILE`.

Without a GPU it says so and ends with status 1. It prints

- `labels_per_second_<network>_<how>`: of the networks of benchmarks.predictor, in windows mode with 512 labels an
  update; `cpu` on all cores, `cuda` in float32, `cuda_bfloat16`, and `cuda_compiled`, which is compiled in bfloat16;
- `frames_per_second_ppo_1280_<device>`: of PPO with networks of [1280, 640] for policy and value function;
- `ratio_lstm_<multiply-adds>`: labels a second of LSTMs of growing width on the GPU over those on the CPU. Where it
  passes 1 is what ACCELERATOR_MULTIPLY_ADDS in MLOps/training/device.py ought to be;
- `utilisation_<figure>`: of the GPU, in percent, the mean over what the figure measures.

All train as stages do, with deterministic kernels.
"""

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.agents import configured as configured_agent
from benchmarks.agents import learn
from benchmarks.predictor import FEATURES, LOOKBACK_BARS, NETWORKS, Task, configured, engine_seconds, planted_edge
from MLOps.execution.processes import cores
from MLOps.predictors.training import network_class
from MLOps.training.determinism import seed_torch
from MLOps.training.device import weights_of

ROWS, FRAMES = 40_000, 150_000
UPDATE: dict[str, Any] = {"mode": "windows", "learning_rate": 0.001, "batch_size": 512}
HOW: dict[str, dict[str, Any]] = {
    "cpu": {"device": "cpu"},
    "cuda": {"device": "cuda"},
    "cuda_bfloat16": {"device": "cuda", "mixed_precision": True},
    "cuda_compiled": {"device": "cuda", "mixed_precision": True, "compile": True},
}
WIDTHS = (16, 32, 64, 128, 256, 512)  # of the LSTMs of `crossover`
SAMPLE_S = 0.25


def labels_per_second(kind: str, task: Task, **changes: Any) -> float:
    """Of one epoch, after one that warms up, and compiles if that is asked for."""
    mode = {**UPDATE, **changes}
    engine_seconds(kind, mode, task)
    return len(task.train) / engine_seconds(kind, mode, task)


def frames_per_second(device: str, frames: int) -> float:
    """Of a training of PPO's networks of [1280, 640], with its evaluation."""
    agent, trading = configured_agent("default", "easy")
    wide = {"net_arch": (1280, 640), "device": device, "total_timesteps": frames, "evaluate_every_steps": frames}
    start = time.perf_counter()
    learn(replace(agent, **wide), trading, "easy", seed=0)
    return frames / (time.perf_counter() - start)


def crossover(task: Task, devices: tuple[str, str] = ("cuda", "cpu")) -> dict[str, float]:
    """By the multiply-adds of an update, the speed on the first device over that on the second."""
    figures = {}
    for width in WIDTHS:
        network = network_class("lstm")(FEATURES, 3, configured("lstm", {**UPDATE, "hidden_size": width}))
        multiply_adds = weights_of(network) * LOOKBACK_BARS * UPDATE["batch_size"]
        gpu, cpu = (labels_per_second("lstm", task, hidden_size=width, device=device) for device in devices)
        figures[f"ratio_lstm_{multiply_adds:.0e}"] = gpu / cpu
    return figures


@contextmanager
def watched(figures: dict[str, float], name: str) -> Iterator[None]:
    """Put the GPU's mean utilisation during the block into `figures`."""
    samples: list[float] = []
    over = threading.Event()

    def sample() -> None:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        while not over.wait(SAMPLE_S):
            samples.append(float(subprocess.run(query, capture_output=True, text=True, check=True).stdout))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if samples:
        figures[f"utilisation_{name}"] = statistics.mean(samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu: expected a GPU, PyTorch finds none; run it on a machine with CUDA")
    seed_torch(0, cores())
    print(f"{torch.cuda.get_device_name()}, {cores()} CPU cores", file=sys.stderr)
    task = planted_edge(ROWS, seed=5)
    figures: dict[str, float] = {}
    for kind in NETWORKS:
        for how, changes in HOW.items():
            name = f"labels_per_second_{kind}_{how}"
            with watched(figures, name):
                figures[name] = labels_per_second(kind, task, **changes)
            print(f"{name} {figures[name]:.0f}", file=sys.stderr)
    for device in ("cpu", "cuda"):
        name = f"frames_per_second_ppo_1280_{device}"
        with watched(figures, name):
            figures[name] = frames_per_second(device, FRAMES)
        print(f"{name} {figures[name]:.0f}", file=sys.stderr)
    figures |= crossover(task)
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
