"""The training engine: trains one network on one set of rows and resumes after a kill.

A checkpoint holds the weights, the best epoch's weights, the optimiser's moments, the metrics of finished epochs and
the position within the current one. Nothing else is needed: the learning rate and the decision to stop are functions of
those metrics, and every random draw (the order of an epoch, dropout, augmentation) is a function of the seed, the epoch
and the batch. bfloat16 has the range of float32, so mixed precision needs no loss scaling.

Several processes train one network together where `torchrun` has started them (ranks.py): each computes its share of
every batch, rank 0 alone evaluates and writes checkpoints. Everything else they repeat, from the same seeds.
"""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from MLOps.artifacts import value_hash
from MLOps.config.predictors import NetworkConfig
from MLOps.config.schema import suggest
from MLOps.errors import UserError
from MLOps.imports import code_hash
from MLOps.predictors import ranks
from MLOps.predictors.augmentation import augment
from MLOps.predictors.batch_size import MIN_UPDATES, fitting_batch_size
from MLOps.predictors.contract import OnEpoch
from MLOps.predictors.joint_batch_norm import join_batch_norms
from MLOps.predictors.learning import LearningData
from MLOps.predictors.networks import NETWORKS
from MLOps.predictors.networks.layers import Network
from MLOps.predictors.schedule import CLASS_METRICS, RETURN_METRICS, History, best_epoch, metric_names, schedule
from MLOps.predictors.training_state import EpochState, load_state, save_state
from MLOps.progress import progress_bars
from MLOps.statistics.forecasts import classification_metrics, implied_returns, regression_metrics
from MLOps.statistics.returns import sharpe
from MLOps.training.checkpoints import Checkpoints
from MLOps.training.device import pick_device, weights_of
from MLOps.training.precision import bfloat16_is_native
from MLOps.training.seeds import derive_seed

SAVE_SECONDS = 5.0  # between checkpoints: the most work that a kill can lose
EVALUATION_BATCH = 512


class Training:
    """The state of a training. `history` holds the metrics of each finished epoch, `best` the weights to keep.

    Args:
        rows: the labelled training rows, ascending; a whole window ends at each.
        batch_size: labels per update, of all ranks together.

    Raises:
        UserError: the device is absent, the metric to monitor unknown, or a feature never finite; `fit` and `repeat`
            raise it if the training diverges.
    """

    def __init__(
        self,
        config: NetworkConfig,
        data: LearningData,
        rows: np.ndarray,
        seed: int,
        batch_size: int,
    ) -> None:
        windows, targets = data.windows, data.targets
        self.rows = rows
        self.seed = seed
        if config.monitor not in (known := metric_names(config)):
            raise UserError(f"predictors: monitor: unknown metric {config.monitor!r}; {suggest(config.monitor, known)}")
        self.scaler = windows.fit_scaler(rows)
        self.returns_mean = float(targets.returns[rows].mean())
        self.returns_std = float(targets.returns[rows].std()) or 1.0
        self.class_returns = targets.class_returns(rows)
        self._windows, self._targets = windows, targets
        torch.manual_seed(derive_seed(seed, "weights"))
        self.network = network_class(config.kind)(len(windows.names), targets.n_classes, config)
        self._sequence_bars = config.sequence_bars if config.mode == "sequence" else 1
        # The largest batch that `batch_size` 0 may choose.
        sequences = max(1, (batch_size or len(rows) // MIN_UPDATES) // self._sequence_bars)
        bars_read = sequences * (config.lookback_bars - 1 + self._sequence_bars)
        self.device = pick_device(config.device, weights_of(self.network) * bars_read, "predictors")
        accelerator: Any = self.device.type
        # What is saved names the accelerator that `auto` has chosen, and what is refitted takes it too.
        self.config = config if self.device.type == "cpu" else replace(config, device=accelerator)
        self.network.to(self.device)
        self._values = torch.from_numpy(windows.scaled(self.scaler)).to(self.device)
        self._classes = torch.from_numpy(targets.labels.astype(np.int64)).to(self.device)
        scaled_returns = (targets.returns - self.returns_mean) / self.returns_std
        self._returns = torch.from_numpy(scaled_returns.astype(np.float32)).to(self.device)
        width = hidden_width(self.network)
        if config.embedding_size > width:
            raise UserError(
                f"predictors: embedding_size: expected at most {width}, the width of the last hidden layer, found "
                f"{config.embedding_size}; lower it"
            )
        self.batch_size = batch_size or ranks.from_first(
            lambda: fitting_batch_size(self.network, self._values, config.lookback_bars, self._sequence_bars, len(rows))
        )
        join_batch_norms(self.network)
        if config.gradient_checkpointing:
            recompute_activations(self.network)
        self._step: Callable[..., Any] = self.network
        if config.compile:
            # Also configures the compiler, which `seed_torch` does not import.
            torch.use_deterministic_algorithms(True)
            self._step = torch.compile(self.network)
        optimiser = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimiser]
        # The fused kernel updates all weights in one pass.
        self._optimiser = optimiser(
            self.network.parameters(), betas=config.betas, weight_decay=config.weight_decay, fused=True
        )
        self._amp = config.mixed_precision and bfloat16_is_native(self.device, "mixed_precision")

        self.history: History = []
        self.best = self.weights()
        self._batch, self._loss_sum, self._norm_sum = 0, 0.0, 0.0
        self._saved_at = time.monotonic()

    def fit(self, selection_rows: np.ndarray, on_epoch: OnEpoch, folder: Path) -> None:
        """Train by the configured schedule until it ends, and keep the weights of the best epoch by `monitor`.

        Epochs finished by a killed run are reported to `on_epoch` again.

        Args:
            folder: for the checkpoints of all trainings; those of this one are in a subfolder named by the hash of
                everything it depends on.
        """
        self._run(partial(schedule, self.config), selection_rows, on_epoch, self._own_folder(folder, selection_rows))

    def repeat(self, learning_rates: Sequence[float], folder: Path) -> None:
        """Train one epoch at each of the rates, without selection rows; the last weights are kept."""
        rates = [*learning_rates, None]
        nothing = np.empty(0, dtype=np.int64)
        own = self._own_folder(folder, np.asarray(learning_rates))
        self._run(lambda history: rates[len(history)], nothing, lambda epoch, metrics: None, own)

    def _run(
        self,
        rate: Callable[[History], float | None],
        selection_rows: np.ndarray,
        on_epoch: OnEpoch,
        folder: Path,
    ) -> None:
        """Train epochs at the learning rate that `rate` returns for the history so far, until it returns None."""
        self._checkpoints = Checkpoints(folder)
        self._resume()
        for epoch, metrics in enumerate(self.history, 1):
            on_epoch(epoch, metrics)
        with progress_bars() as progress:
            epochs = progress.add_task(f"{self.config.kind}: epochs", total=self.config.max_epochs)
            while (learning_rate := rate(self.history)) is not None:
                metrics = {**self._epoch(learning_rate, progress), "learning_rate": learning_rate}
                if len(selection_rows):
                    # Schedule and early stopping depend on these figures, so all ranks need the same bits.
                    metrics |= ranks.from_first(partial(self.evaluate, selection_rows))
                self.history.append(metrics)
                self._batch, self._loss_sum, self._norm_sum = 0, 0.0, 0.0
                if not len(selection_rows) or best_epoch(self.history, self.config.monitor) == len(self.history):
                    self.best = self.weights()
                on_epoch(len(self.history), metrics)
                progress.update(epochs, completed=len(self.history))
                self._save_if_due()
        self._save()

    def evaluate(self, rows: np.ndarray) -> dict[str, float]:
        """Metrics `selection_…` of forecasts at `rows`, made from windows as in serving."""
        outputs = self.outputs(rows)
        logits, returns = split_outputs(outputs, self.config, self._targets.n_classes)
        classes, actual = self._targets.labels[rows], self._targets.returns[rows]
        ends = torch.from_numpy(rows[:, None]).to(self.device)
        metrics = {
            "loss": self._loss(outputs[:, None], ends, torch.ones_like(ends, dtype=torch.bool), len(rows)).item()
        }
        expected = None
        if logits is not None:
            probabilities = logits.double().softmax(dim=-1).cpu().numpy()
            expected = probabilities @ self.class_returns
            figures = classification_metrics(probabilities, classes)
            metrics |= {name: figures[name] for name in CLASS_METRICS}
        if returns is not None:
            expected = returns.double().cpu().numpy() * self.returns_std + self.returns_mean
        assert expected is not None
        figures = regression_metrics(expected, actual)
        metrics |= {name: figures[name] for name in RETURN_METRICS}
        earned = implied_returns(expected, actual, self._targets.timestamps[rows])
        metrics["sharpe_per_bar"] = sharpe(earned, bars_per_year=1)
        return {f"selection_{name}": value for name, value in metrics.items()}

    def outputs(self, rows: np.ndarray) -> torch.Tensor:
        """The network's outputs (n, outputs) for the windows that end at `rows`, in float32."""
        return self._mapped(self.network, rows)

    def hidden(self, rows: np.ndarray) -> torch.Tensor:
        """The last hidden layer (n, width) for the windows that end at `rows`, in float32."""
        return self._mapped(self.network.hidden, rows)

    def _mapped(self, function: Callable[[torch.Tensor], torch.Tensor], rows: np.ndarray) -> torch.Tensor:
        self.network.eval()
        offsets = torch.arange(1 - self.config.lookback_bars, 1)
        with torch.inference_mode():
            batches = [
                function(self._values[(batch[:, None] + offsets).to(self.device)])[:, 0]
                for batch in torch.from_numpy(rows).split(EVALUATION_BATCH)
            ]
        return torch.cat(batches)

    def weights(self) -> dict[str, np.ndarray]:
        """Copies of the network's parameters and buffers."""
        return {name: tensor.cpu().numpy().copy() for name, tensor in self.network.state_dict().items()}

    def _epoch(self, learning_rate: float, progress: Progress) -> dict[str, float]:
        """One pass over the rows in the epoch's random order, from the position that a killed run had reached."""
        self.network.train()
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate
        epoch = len(self.history) + 1
        firsts, counts = self._sequences(epoch)
        size = max(1, self.batch_size // self._sequence_bars)
        total = math.ceil(len(firsts) / size)
        bar = progress.add_task(f"epoch {epoch}: batches", total=total, completed=self._batch)
        while self._batch < total:
            batch = slice(self._batch * size, (self._batch + 1) * size)
            # Each rank draws its own dropout and augmentation; rank 0 draws what a single process draws.
            own = [ranks.rank()] if ranks.rank() else []
            torch.manual_seed(derive_seed(self.seed, "batch", epoch, self._batch, *own))
            loss, norm = self._update(firsts[batch], counts[batch])
            self._batch += 1
            self._loss_sum += loss * int(counts[batch].sum())
            self._norm_sum += norm
            progress.update(bar, completed=self._batch)
            self._save_if_due()
        progress.remove_task(bar)
        if not math.isfinite(self._loss_sum):
            raise UserError(
                f"predictors: {self.config.kind}: the training diverged, the loss of epoch {epoch} is "
                f"{self._loss_sum}; lower learning_rate or gradient_clip"
            )
        return {"train_loss": self._loss_sum / len(self.rows), "gradient_norm": self._norm_sum / total}

    def _sequences(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows cut into sequences of at most `sequence_bars` neighbours, in the epoch's random order.

        The cuts differ between epochs, so that no bar is always the first of its sequence.

        Returns:
            Each sequence's first row and its number of rows, both (sequences,).
        """
        generator = np.random.default_rng(derive_seed(self.seed, "order", epoch))
        offset = generator.integers(self._sequence_bars)
        follows = (np.diff(self.rows) == 1) & (np.diff(self._windows.run_bars[self.rows]) == 1)
        starts = np.concatenate([[True], ~follows])
        place = np.arange(len(self.rows))
        within = place - np.maximum.accumulate(np.where(starts, place, 0))
        starts |= (within + offset) % self._sequence_bars == 0
        first = np.flatnonzero(starts)
        counts = np.diff(np.append(first, len(self.rows)))
        order = generator.permutation(len(first))
        return self.rows[first][order], counts[order]

    def _update(self, firsts: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
        """One optimiser step of all ranks together on the sequences that begin at rows `firsts`.

        Returns:
            The loss and the norm of the gradient, the same in every rank.
        """
        labels = int(counts.sum())
        firsts, counts = ranks.share(firsts), ranks.share(counts)
        bars = int(counts.max(initial=1))
        # Each sequence is preceded by the rest of its first label's window, and padded with the rows that follow it to
        # the length of the longest. The network is unidirectional, so the padding does not influence any label.
        span = torch.arange(1 - self.config.lookback_bars, bars)
        rows = (torch.from_numpy(firsts)[:, None] + span).clamp(max=len(self._values) - 1).to(self.device)
        inputs = augment(self._values[rows], self.config.augmentation)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            # In windows mode the network is called without `last_bars`, which some networks do not have.
            outputs = self._step(inputs) if self._sequence_bars == 1 else self._step(inputs, bars)
        labelled = torch.arange(bars) < torch.from_numpy(counts)[:, None]
        loss = self._loss(outputs.float(), rows[:, -bars:], labelled.to(self.device), labels)
        self._optimiser.zero_grad()
        loss.backward()
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        ranks.add_up([loss.detach(), *gradients])
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip)
        self._optimiser.step()
        return loss.item(), norm.item()

    def _loss(self, outputs: torch.Tensor, rows: torch.Tensor, labelled: torch.Tensor, n_labels: int) -> torch.Tensor:
        """Weighted sum of cross-entropy and squared error of the scaled return over the labelled (batch, bars), divided
        by `n_labels`: their mean, or the share of it that other ranks complete."""
        logits, returns = split_outputs(outputs, self.config, self._targets.n_classes)
        loss = torch.zeros((), device=self.device)
        if logits is not None:
            classes = torch.where(labelled, self._classes[rows], -1).flatten()
            entropies = cross_entropy(logits.flatten(0, 1), classes, ignore_index=-1, reduction="sum")
            loss = loss + self.config.class_loss_weight * (entropies / n_labels)
        if returns is not None:
            # `where` rather than a product: the return of an unlabelled row may be NaN.
            error = torch.where(labelled, returns - self._returns[rows], 0.0)
            loss = loss + self.config.return_loss_weight * (error**2).sum() / n_labels
        return loss

    def _own_folder(self, folder: Path, choices: np.ndarray) -> Path:
        """The subfolder of this training's checkpoints.

        Raises:
            UserError: another rank trains something else.
        """
        identity = self._identity(choices)
        if identity != ranks.from_first(lambda: identity):
            raise UserError(
                f"ranks: expected the same data, parameters, code, PyTorch and threads in all {ranks.size()} processes,"
                f" found others in rank {ranks.rank()} than in rank 0; bring both to the same commit and data"
            )
        return folder / identity

    def _identity(self, choices: np.ndarray) -> str:
        """Hash of everything the result depends on; `choices` are the selection rows or the learning rates."""
        digest = hashlib.sha256()
        targets = self._targets
        for array in (self._windows.values, targets.labels, targets.returns, targets.timestamps, self.rows, choices):
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
        code = code_hash(__name__, NETWORKS[self.config.kind].partition(":")[0])
        environment = [torch.__version__, torch.get_num_threads(), self.device.type, ranks.size()]
        return value_hash(
            [
                asdict(self.config),
                self.batch_size,
                self.seed,
                digest.hexdigest(),
                code,
                environment,
            ]
        )[:32]

    def _save_if_due(self) -> None:
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        if ranks.rank():
            return
        state = EpochState(self.history, self._batch, self._loss_sum, self._norm_sum)
        save_state(self._checkpoints, self.weights(), self.best, self._optimiser, state)
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        # Rank 0 alone needs to reach the folder.
        if (newest := ranks.from_first(self._checkpoints.newest)) is not None:
            self.best, state = load_state(*newest, self.network, self._optimiser)
            self.history = state.history
            self._batch, self._loss_sum, self._norm_sum = state.batch, state.loss_sum, state.norm_sum


def split_outputs(
    outputs: torch.Tensor, config: NetworkConfig, n_classes: int
) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Split outputs (…, outputs) into class logits (…, classes) and scaled return (…); None for one not forecast."""
    logits = outputs[..., :n_classes] if config.class_loss_weight else None
    return logits, outputs[..., -1] if config.return_loss_weight else None


def recompute_activations(network: nn.Module) -> None:
    """Enable activation checkpointing: blocks recompute their activations in the backward pass.

    Blocks with batch norm are excluded: recomputation would update their running statistics twice.
    """
    for child in network.children():
        for block in child if isinstance(child, nn.ModuleList) else [child]:
            if not any(isinstance(module, nn.BatchNorm1d) for module in block.modules()):
                block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def network_class(kind: str) -> type[Network]:
    """The class of a kind listed in NETWORKS."""
    found: type[Network] = resolve_name(NETWORKS[kind])
    return found


def hidden_width(network: Network) -> int:
    """Width of the last hidden layer."""
    head = network.heads.classes or network.heads.returns
    assert head is not None
    return head.in_features
