"""The training engine: any network of this room as a predictor."""

import copy
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from MLOps.artifacts import read_arrays, read_json, write_arrays, write_json
from MLOps.config.params import LSTMConfig
from MLOps.config.schema import parse
from MLOps.features.labels import CLASSES
from MLOps.features.scaler import Scaler
from MLOps.predictors.contract import Forecast, OnEpoch, Targets
from MLOps.predictors.lstm import LSTM
from MLOps.predictors.windows import Windows

NETWORKS: dict[str, type[nn.Module]] = {"lstm": LSTM}
CONFIGS: dict[str, type] = {"lstm": LSTMConfig}

PREDICT_BATCH = 512


@dataclass
class NetworkPredictor:
    """A network with the scaler it was trained behind; `epochs` is how long it was trained for its best weights."""

    config: LSTMConfig
    network: nn.Module
    scaler: Scaler
    class_returns: np.ndarray
    epochs: int

    @property
    def lookback_bars(self) -> int:
        return self.config.lookback_bars

    @classmethod
    def fit(
        cls,
        config: LSTMConfig,
        windows: Windows,
        targets: Targets,
        train_rows: np.ndarray,
        validation_rows: np.ndarray,
        seed: int,
        on_epoch: OnEpoch,
    ) -> "NetworkPredictor":
        """Train with early stopping on the validation log loss; the best epoch's weights are kept."""
        trainer = _Trainer(config, windows, targets, train_rows, seed)
        best_loss, best_epoch, best_weights = np.inf, 0, trainer.weights()
        bar = tqdm(range(1, config.max_epochs + 1), desc=f"{config.kind} epochs", leave=False)
        for epoch in bar:
            train_loss, gradient_norm = trainer.epoch()
            loss, accuracy = trainer.evaluate(validation_rows)
            on_epoch(
                epoch,
                {
                    "train_loss": train_loss,
                    "validation_loss": loss,
                    "validation_accuracy": accuracy,
                    "gradient_norm": gradient_norm,
                },
            )
            bar.set_postfix(train=f"{train_loss:.4f}", validation=f"{loss:.4f}")
            if loss < best_loss:
                best_loss, best_epoch, best_weights = loss, epoch, trainer.weights()
            elif epoch - best_epoch >= config.patience_epochs:
                break
        trainer.network.load_state_dict(best_weights)
        return cls(config, trainer.network, trainer.scaler, targets.class_returns(train_rows), best_epoch)

    def refit(self, windows: Windows, targets: Targets, rows: np.ndarray, seed: int) -> "NetworkPredictor":
        """Train afresh on `rows`, for the epochs that `fit` found best: no other rows are looked at."""
        trainer = _Trainer(self.config, windows, targets, rows, seed)
        for _ in range(self.epochs):
            trainer.epoch()
        return NetworkPredictor(self.config, trainer.network, trainer.scaler, targets.class_returns(rows), self.epochs)

    def predict(self, windows: np.ndarray) -> Forecast:
        """See `Predictor.predict`. Runs in float64, so that neither batch shape nor processor shows in the result."""
        network = copy.deepcopy(self.network).double().eval()
        scaled = torch.from_numpy(self.scaler.transform(windows)).double()
        with torch.inference_mode():
            batches = [network(batch).softmax(dim=1).numpy() for batch in scaled.split(PREDICT_BATCH)]
        return Forecast.from_probabilities(np.concatenate(batches), self.class_returns)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_arrays(folder / "weights.safetensors", {k: v.numpy() for k, v in self.network.state_dict().items()})
        write_json(
            folder / "predictor.json",
            {
                "config": asdict(self.config),
                "scaler": self.scaler.to_dict(),
                "class_returns": self.class_returns.tolist(),
                "epochs": self.epochs,
            },
        )

    @classmethod
    def load(cls, folder: Path) -> "NetworkPredictor":
        saved = read_json(folder / "predictor.json")
        config: LSTMConfig = parse(CONFIGS[saved["config"]["kind"]], saved["config"], str(folder / "predictor.json"))
        scaler = Scaler.from_dict(saved["scaler"])
        network = NETWORKS[config.kind](len(scaler.mean), len(CLASSES), config)
        weights = read_arrays(folder / "weights.safetensors")
        network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return cls(config, network, scaler, np.asarray(saved["class_returns"]), saved["epochs"])


class _Trainer:
    """One network on one set of rows, an epoch at a time."""

    def __init__(self, config: LSTMConfig, windows: Windows, targets: Targets, rows: np.ndarray, seed: int) -> None:
        torch.manual_seed(seed)
        self.config = config
        self.rows = torch.from_numpy(rows)
        # Only rows that a training window touches may shape the scaler.
        self.scaler = Scaler.fit(windows.values[_touched(rows, config.lookback_bars)])
        self.values = torch.from_numpy(self.scaler.transform(windows.values))
        self.classes = torch.from_numpy(targets.classes.astype(np.int64))
        self.offsets = torch.arange(1 - config.lookback_bars, 1)
        self.network = NETWORKS[config.kind](len(windows.names), len(CLASSES), config)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.shuffle = torch.Generator().manual_seed(seed)

    def epoch(self) -> tuple[float, float]:
        """One pass over the rows in a new order: mean loss and mean gradient norm."""
        self.network.train()
        loss_sum, norms = 0.0, []
        order = self.rows[torch.randperm(len(self.rows), generator=self.shuffle)]
        for batch in order.split(self.config.batch_size):
            self.optimiser.zero_grad()
            loss = cross_entropy(self.network(self._windows(batch)), self.classes[batch])
            loss.backward()
            norms.append(nn.utils.clip_grad_norm_(self.network.parameters(), self.config.gradient_clip).item())
            self.optimiser.step()
            loss_sum += loss.item() * len(batch)
        return loss_sum / len(self.rows), float(np.mean(norms))

    def evaluate(self, rows: np.ndarray) -> tuple[float, float]:
        """Log loss and accuracy on `rows`."""
        self.network.eval()
        with torch.inference_mode():
            logits = torch.cat(
                [self.network(self._windows(batch)) for batch in torch.from_numpy(rows).split(PREDICT_BATCH)]
            )
        classes = self.classes[rows]
        return cross_entropy(logits, classes).item(), (logits.argmax(dim=1) == classes).float().mean().item()

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def _windows(self, rows: torch.Tensor) -> torch.Tensor:
        return self.values[rows[:, None] + self.offsets]


def _touched(rows: np.ndarray, lookback_bars: int) -> np.ndarray:
    """The distinct rows that lie in a window ending at one of `rows`."""
    return np.unique(rows[:, None] + np.arange(1 - lookback_bars, 1))
