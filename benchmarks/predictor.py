"""The training engine against the loop that most projects use: `python -m benchmarks.predictor --json FILE`.

The plain loop, written out below, materialises every window and feeds a DataLoader of 32. Both train the same network
(64 units, one layer, 60 bars, 26 features) on the market with a planted edge, whose best possible forecast is known.
Timings of the two alternate, and the median of each counts, so that a busy machine slows both alike.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from MLOps.config.data import SyntheticConfig
from MLOps.config.params import load_params
from MLOps.config.predictors import parse_predictor
from MLOps.data.sources.synthetic import best_probabilities, make_synthetic
from MLOps.data.splits import Span, Splits
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.contract import forecast
from MLOps.predictors.learning import LearningData, Targets
from MLOps.predictors.network import NetworkPredictor
from MLOps.predictors.training import Training
from MLOps.predictors.windows import Windows
from MLOps.statistics.forecasts import log_losses

ROOT = Path(__file__).parents[1]
LOOKBACK_BARS, FEATURES, HIDDEN_SIZE = 60, 26, 64
THRESHOLD = 0.005
FOUND = 0.8  # of what the best possible forecast gains over the class prior: the loss to reach
ROUNDS = 3  # of each timing
SEEDS = range(10, 15)  # on others the settings below were chosen
EPOCHS = 8  # of training at which the modes' losses are compared

SHARED: dict[str, Any] = {
    "lookback_bars": LOOKBACK_BARS,
    "hidden_size": HIDDEN_SIZE,
    "dropout": 0.0,
    "weight_decay": 0.0,
    "max_epochs": EPOCHS,
    "patience_epochs": EPOCHS,
    "gradient_clip": 1.0,
    "optimiser": "adam",
    "device": "cpu",
}
PLAIN = {"learning_rate": 0.001, "batch_size": 32}
WINDOWS = {"mode": "windows", "learning_rate": 0.002, "batch_size": 64, "mixed_precision": True}
# Labels an update are many, so the rate is higher and falls along a cosine; and weights decay, for the noise of small
# batches, which keeps the plain loop from learning the noise features by heart, is gone. Each step through time costs
# torch's GRU as much for 4 sequences as for 16, where the LSTM has a kernel of its own; so the GRU takes more at once.
SEQUENCE = {"mode": "sequence", "learning_rate": 0.02, "schedule": "cosine", "optimiser": "adamw"}
SEQUENCE_LSTM = {**SEQUENCE, "sequence_bars": 160, "batch_size": 640, "weight_decay": 1.5}
SEQUENCE_GRU = {**SEQUENCE, "sequence_bars": 60, "batch_size": 1440, "weight_decay": 1.0}
NETWORKS: dict[str, dict[str, Any]] = {
    "lstm": {"kind": "lstm", "layers": 1},
    "gru": {"kind": "gru", "layers": 1},
    "bilstm": {"kind": "bilstm", "layers": 1},
    "dlstm": {"kind": "dlstm", "layers": 1, "trend_bars": 5},
    "cnn_lstm": {"kind": "cnn_lstm", "filters": [32, 64], "kernels": [3, 3], "heads": 4},
    "hybrid": {"kind": "hybrid", "filters": [16, 16, 16, 16], "kernels": [3, 5, 7, 11], "heads": 4},
}
FORWARD = {"lstm": SEQUENCE_LSTM, "gru": SEQUENCE_GRU, "dlstm": SEQUENCE_LSTM}


@dataclass(frozen=True)
class Task:
    """Rows to learn from and to judge by; `prior_loss` and `best_loss` are the class prior's and the best there is."""

    data: LearningData
    prior_loss: float
    best_loss: float

    @property
    def windows(self) -> Windows:
        return self.data.windows

    @property
    def targets(self) -> Targets:
        return self.data.targets

    @property
    def train(self) -> np.ndarray:
        return self.data.train

    @property
    def validation(self) -> np.ndarray:
        return self.data.selection

    @property
    def goal(self) -> float:
        return self.prior_loss - FOUND * (self.prior_loss - self.best_loss)


@cache
def planted_edge(rows: int, seed: int) -> Task:
    """A market of ten symbols; its return and volume, and noise for the other features."""
    market = SyntheticConfig(symbols=10, bars=rows // 10, volatility_bps=100.0, edge_bps=100.0, regime_bars=20)
    data = load_params(ROOT / "params.yaml").data
    bars = make_synthetic(replace(data, source="synthetic", synthetic=market), seed)
    close = bars.groupby("symbol")["close"]
    forward = (close.shift(-1) / bars["close"] - 1).to_numpy()
    values = np.random.default_rng(seed).standard_normal((len(bars), FEATURES)).astype(np.float32)
    values[:, 0], values[:, 1] = np.log(bars["close"] / close.shift()).fillna(0.0), np.log(bars["volume"])
    names = tuple(f"feature_{number:02d}" for number in range(FEATURES))
    table = pd.concat([bars[["timestamp", "symbol"]], pd.DataFrame(values, columns=list(names))], axis=1)
    classes = np.where(np.isnan(forward), -1, np.digitize(forward, [-THRESHOLD, THRESHOLD]))
    targets = Targets(classes, forward, bars["timestamp"].to_numpy("datetime64[us]").astype(np.int64), 3)
    windows = Windows(table, names, LOOKBACK_BARS)
    place = bars.groupby("symbol").cumcount().to_numpy()
    cut = 0.85 * len(bars) / 10
    train = np.flatnonzero(windows.whole & (place < cut))
    validation = np.flatnonzero(windows.whole & (place > cut) & (classes >= 0))
    prior = np.tile(class_prior(classes[train], 3), (len(validation), 1))
    best = best_probabilities(bars, market, THRESHOLD)[validation]
    judged = classes[validation]
    # The rows of each span are given; no folds are cut.
    splits = Splits(*[Span(bars["timestamp"].min(), bars["timestamp"].max())] * 5)
    return Task(
        LearningData(windows, targets, train, train, validation, table, ("fall", "stationary", "rise"), splits),
        float(log_losses(prior, judged).mean()), float(log_losses(best, judged).mean()),
    )  # fmt: skip


class PlainNetwork(nn.Module):
    def __init__(self, cell: type[nn.LSTM] | type[nn.GRU]) -> None:
        super().__init__()
        self.recurrent = cell(FEATURES, HIDDEN_SIZE, batch_first=True)
        self.head = nn.Linear(HIDDEN_SIZE, 3)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        hidden, _ = self.recurrent(windows)
        return self.head(hidden[:, -1])


class PlainLoop:
    """Windows materialised, a DataLoader of 32, Adam, float32: the reference."""

    def __init__(self, kind: str, task: Task, seed: int) -> None:
        torch.manual_seed(seed)
        values = task.windows.values
        mean, std = values[task.train].mean(axis=0), values[task.train].std(axis=0)
        self._task = task
        self._train, self._validation = (
            (
                torch.from_numpy((task.windows.ending_at(rows) - mean) / std),
                torch.from_numpy(task.targets.labels[rows]),
            )
            for rows in (task.train, task.validation)
        )
        self._batches = DataLoader(TensorDataset(*self._train), batch_size=int(PLAIN["batch_size"]), shuffle=True)
        self._network = PlainNetwork({"lstm": nn.LSTM, "gru": nn.GRU}[kind])
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=PLAIN["learning_rate"])

    def epoch(self) -> None:
        self._network.train()
        for windows, classes in self._batches:
            self._optimiser.zero_grad()
            loss = cross_entropy(self._network(windows), classes)
            loss.backward()
            nn.utils.clip_grad_norm_(self._network.parameters(), SHARED["gradient_clip"])
            self._optimiser.step()

    def loss(self) -> float:
        self._network.eval()
        with torch.inference_mode():
            logits = torch.cat([self._network(batch) for batch in self._validation[0].split(512)])
        return cross_entropy(logits, self._validation[1]).item()


def configured(kind: str, mode: dict[str, Any]) -> Any:
    return parse_predictor({**SHARED, **NETWORKS[kind], **mode}, "benchmark")


def engine_seconds(kind: str, mode: dict[str, Any], task: Task, seed: int = 0) -> float:
    """Seconds of one epoch in the engine."""
    config = configured(kind, mode)
    training = Training(config, task.data, task.train, seed, config.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        training.repeat([config.learning_rate], Path(folder))
        return time.perf_counter() - start


def engine_losses(kind: str, mode: dict[str, Any], task: Task, seed: int) -> list[tuple[float, float]]:
    """(seconds since the start, validation loss) after each epoch in the engine."""
    start, losses = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        NetworkPredictor.fit(
            configured(kind, mode), task.data, seed,
            lambda _, metrics: losses.append((time.perf_counter() - start, metrics["selection_loss"])), Path(folder),
        )  # fmt: skip
    return losses


def plain_seconds(kind: str, task: Task) -> float:
    loop = PlainLoop(kind, task, seed=0)
    start = time.perf_counter()
    loop.epoch()
    return time.perf_counter() - start


def plain_losses(kind: str, task: Task, seed: int) -> list[tuple[float, float]]:
    """(seconds since the start, validation loss) after each epoch of the plain loop."""
    start, losses = time.perf_counter(), []
    loop = PlainLoop(kind, task, seed)
    for _ in range(EPOCHS):
        loop.epoch()
        losses.append((time.perf_counter() - start, loop.loss()))
    return losses


def speeds(task: Task) -> dict[str, float]:
    """Labels trained per second, and the ratios to the plain loop."""
    timed: dict[str, Callable[[], float]] = {}
    for kind in NETWORKS:
        if kind in ("lstm", "gru"):
            timed[f"plain_{kind}"] = partial(plain_seconds, kind, task)
        timed[f"windows_{kind}"] = partial(engine_seconds, kind, WINDOWS, task)
        if kind in FORWARD:
            timed[f"sequence_{kind}"] = partial(engine_seconds, kind, FORWARD[kind], task)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for round_ in range(ROUNDS + 1):
        for name, measure in timed.items():
            taken = measure()
            print(f"round {round_}: {name} {len(task.train) / taken:.0f} labels/s", file=sys.stderr)
            if round_:  # the first round warms up
                seconds[name].append(taken)
    rates = {f"labels_per_second_{name}": len(task.train) / statistics.median(s) for name, s in seconds.items()}
    for mode, kind in (("sequence", "lstm"), ("sequence", "gru"), ("windows", "lstm"), ("windows", "gru")):
        rates[f"ratio_{mode}_{kind}"] = (
            rates[f"labels_per_second_{mode}_{kind}"] / rates[f"labels_per_second_plain_{kind}"]
        )
    return rates


def qualities() -> dict[str, float]:
    """Validation losses at equal labels seen over five seeds, and seconds until the goal is reached.

    A seed makes a market as well as a network, so that the spread is that of other data too, not of weights alone.
    """
    tasks = {seed: planted_edge(20_000, seed) for seed in SEEDS}
    figures = {
        f"{name}_loss": statistics.mean(getattr(task, attribute) for task in tasks.values())
        for name, attribute in (("goal", "goal"), ("best", "best_loss"), ("prior", "prior_loss"))
    }
    for kind in ("lstm", "gru"):
        modes = {
            "plain": [plain_losses(kind, task, seed) for seed, task in tasks.items()],
            "sequence": [engine_losses(kind, FORWARD[kind], task, seed) for seed, task in tasks.items()],
            "windows": [engine_losses(kind, WINDOWS, task, seed) for seed, task in tasks.items()],
        }
        best = {mode: np.array([min(loss for _, loss in run) for run in runs]) for mode, runs in modes.items()}
        for mode, runs in modes.items():
            figures[f"loss_{mode}_{kind}"] = float(best[mode].mean())
            print(f"{mode} {kind}: validation losses {best[mode].round(4)}", file=sys.stderr)
            reached = [
                next((s for s, loss in run if loss <= task.goal), float("inf"))
                for run, task in zip(runs, tasks.values(), strict=True)
            ]
            # JSON knows no infinity: a goal that most seeds miss leaves no figure.
            if np.isfinite(middle := statistics.median(reached)):
                figures[f"seconds_to_goal_{mode}_{kind}"] = middle
        excess = best["sequence"] - best["plain"]
        figures[f"loss_excess_sequence_{kind}"] = float(excess.mean())
        figures[f"loss_excess_sequence_{kind}_standard_error"] = float(excess.std(ddof=1) / np.sqrt(len(excess)))
    return figures


def memory() -> dict[str, float]:
    """Peak memory of an epoch, validation and forecasts at 100 000 rows, over what the plain loop's windows take."""
    command = [sys.executable, "-m", "benchmarks.predictor", "--peak-bytes", "--threads", "1"]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    plain = 100_000 * LOOKBACK_BARS * FEATURES * 4
    return {"peak_bytes_100k": peak, "plain_bytes_100k": plain, "memory_ratio_100k": peak / plain}


def peak_bytes() -> int:
    """What training and forecasting add to a process of its own, at their most."""
    small, large = planted_edge(2_000, seed=5), planted_edge(100_000, seed=5)
    config = configured("lstm", {**WINDOWS, "max_epochs": 1})

    def work(task: Task) -> None:
        with tempfile.TemporaryDirectory() as folder:
            predictor = NetworkPredictor.fit(config, task.data, 0, lambda *_: None, Path(folder))
        forecast(predictor, task.windows, task.validation)

    work(small)  # what PyTorch itself sets up is no data
    before = psutil.Process().memory_info().rss
    # Linux keeps the peak from the start of the process; writing 5 here starts it anew.
    Path("/proc/self/clear_refs").write_text("5")
    work(large)
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) * 1024 - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--peak-bytes", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    if arguments.peak_bytes:
        print(peak_bytes())
        return
    figures = {
        "threads": arguments.threads,
        **speeds(planted_edge(20_000, seed=5)),
        **qualities(),
        **memory(),
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
