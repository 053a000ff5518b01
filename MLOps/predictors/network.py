"""A predictor that wraps any of the networks."""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from MLOps.artifacts import read_arrays, read_json, value_hash, write_arrays, write_json
from MLOps.config.predictors import NetworkConfig, parse_predictor
from MLOps.errors import UserError
from MLOps.features.scaler import Scaler
from MLOps.predictors.calibration import ReturnClasses
from MLOps.predictors.contract import Forecast, OnEpoch, batches_of, relative_entropy
from MLOps.predictors.embedding import Embedding
from MLOps.predictors.learning import LearningData, Targets
from MLOps.predictors.networks.layers import Network
from MLOps.predictors.schedule import best_epoch
from MLOps.predictors.training import Training, network_class, split_outputs
from MLOps.predictors.uncertainty import disagreement, thinned
from MLOps.predictors.windows import Windows
from MLOps.training.seeds import derive_seed

PREDICT_BATCH = 128  # small, because in float64 a recurrent layer temporarily takes 64 times the memory of its input


@dataclass(frozen=True)
class Scales:
    """Parameters that convert network outputs to forecasts: the scaler of the inputs, each class's mean return, mean
    and standard deviation of the return, and, for a network without class outputs, `ReturnClasses`."""

    scaler: Scaler
    class_returns: np.ndarray
    return_mean: float
    return_std: float
    return_classes: ReturnClasses | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "scaler": self.scaler.to_dict(),
            "class_returns": self.class_returns.tolist(),
            "return_mean": self.return_mean,
            "return_std": self.return_std,
            "return_classes": self.return_classes and self.return_classes.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Scales":
        return cls(
            Scaler.from_dict(values["scaler"]),
            np.asarray(values["class_returns"]),
            values["return_mean"],
            values["return_std"],
            values["return_classes"] and ReturnClasses.from_dict(values["return_classes"]),
        )


@dataclass(frozen=True)
class NetworkPredictor:
    """A trained network, with an `embedding` if that is configured. `learning_rates` (one per epoch, up to the best
    epoch) and `batch_size` are the choices that `refit` repeats; `seed` is the seed of its training."""

    is_quick: ClassVar[bool] = False

    config: NetworkConfig
    network: Network
    scales: Scales
    embedding: Embedding | None
    learning_rates: tuple[float, ...]
    batch_size: int
    seed: int

    @property
    def lookback_bars(self) -> int:
        return self.config.lookback_bars

    @classmethod
    def fit(
        cls, config: NetworkConfig, data: LearningData, seed: int, on_epoch: OnEpoch, checkpoints: Path
    ) -> "NetworkPredictor":
        """Train with early stopping on the selection rows; the weights of the best epoch are kept.

        Raises:
            UserError: see `Training`.
        """
        training = Training(config, data, data.fitting, seed, config.batch_size)
        training.fit(data.selection, on_epoch, checkpoints)
        epochs = training.history[: best_epoch(training.history, config.monitor)]
        return cls._trained(training, data.targets, tuple(metrics["learning_rate"] for metrics in epochs))

    def refit(self, data: LearningData, rows: np.ndarray, seed: int, checkpoints: Path) -> "NetworkPredictor":
        """Train a new network on `rows` alone, with the learning rates of `fit`."""
        training = Training(self.config, data, rows, seed, self.batch_size)
        training.repeat(self.learning_rates, checkpoints)
        return self._trained(training, data.targets, self.learning_rates)

    @classmethod
    def _trained(cls, training: Training, targets: Targets, learning_rates: tuple[float, ...]) -> "NetworkPredictor":
        config, rows = training.config, training.rows
        network = _network(config, len(training.scaler.mean), targets.n_classes, training.best)
        training.network.load_state_dict({k: torch.from_numpy(v) for k, v in training.best.items()})
        return_classes = None
        if not config.class_loss_weight:
            expected = training.outputs(rows)[:, -1].double().cpu().numpy() * training.returns_std
            return_classes = ReturnClasses.fit(
                expected + training.returns_mean, targets.labels[rows], targets.n_classes
            )
        scales = Scales(
            training.scaler, training.class_returns, training.returns_mean, training.returns_std, return_classes
        )
        embedding = None
        if config.embedding_size:
            embedding = Embedding.fit(training.hidden(rows).double().cpu().numpy(), config.embedding_size)
        return cls(config, network, scales, embedding, learning_rates, training.batch_size, training.seed)

    def predict(self, windows: np.ndarray) -> Forecast:
        """See `Predictor.predict`. Runs in float64 on the CPU, whatever device the network was trained on.

        Probabilities and return are forecast without dropout. The uncertainty is the entropy of the probabilities or,
        if `uncertainty_samples` is set, the disagreement of that many Monte-Carlo dropout samples.
        """
        inputs = torch.from_numpy(self.scales.scaler.transform(windows)).double()
        probabilities, expected, hidden = self._forecast(self._double, inputs)
        embedding = None if self.embedding is None else self.embedding.of(hidden)
        if not self.config.uncertainty_samples:
            return Forecast.rounded(probabilities, expected, relative_entropy(probabilities), embedding)
        # A copy, because other threads may forecast while dropout is enabled.
        network, samples = copy.deepcopy(self._double), []
        for number in range(self.config.uncertainty_samples):
            with thinned(network, derive_seed(self.seed, "dropout", number)):
                samples.append(self._forecast(network, inputs)[0])
        return Forecast.rounded(probabilities, expected, disagreement(np.stack(samples)), embedding)

    @cached_property
    def _double(self) -> Network:
        """The network in float64; never modified."""
        return copy.deepcopy(self.network).double()

    def _forecast(self, network: Network, inputs: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probabilities (n, classes), expected returns (n,) and the last hidden layer (n, width), float64."""
        with torch.inference_mode():
            states = [network.hidden(batch) for batch in inputs.split(PREDICT_BATCH)]
            outputs = torch.cat([network.heads(batch)[:, 0] for batch in states])
        hidden = torch.cat([batch[:, 0] for batch in states]).numpy()
        logits, returns = split_outputs(outputs, self.config, len(self.scales.class_returns))
        if returns is None:
            probabilities = outputs.softmax(dim=1).numpy()
            return probabilities, probabilities @ self.scales.class_returns, hidden
        expected = returns.numpy() * self.scales.return_std + self.scales.return_mean
        if logits is not None:
            return logits.softmax(dim=1).numpy(), expected, hidden
        assert self.scales.return_classes is not None
        return self.scales.return_classes.probabilities(expected), expected, hidden

    def with_weights(self, weights: Mapping[str, np.ndarray], embedding: Embedding) -> "NetworkPredictor":
        """The predictor with other weights of the layers before the heads, and the embedding that belongs to them.

        The heads stay as they are, so only the embedding of its forecasts is meaningful, and they are made without
        Monte-Carlo samples.
        """
        whole = {**self._weights(), **weights}
        config = replace(self.config, uncertainty_samples=0)
        features, classes = len(self.scales.scaler.mean), len(self.scales.class_returns)
        return replace(self, config=config, network=_network(config, features, classes, whole), embedding=embedding)

    def aligned(self, to: "NetworkPredictor", windows: Windows, rows: np.ndarray) -> "NetworkPredictor":
        """See `Predictor.aligned`."""
        if to.embedding is None:
            return self
        wanted = to.embedding.of(to._hidden(windows, rows))
        return replace(self, embedding=Embedding.nearest(self._hidden(windows, rows), wanted))

    def _hidden(self, windows: Windows, rows: np.ndarray) -> np.ndarray:
        """The last hidden layer (n, width), float64, for the windows that end at `rows`."""
        parts = []
        for batch in batches_of(rows):
            inputs = torch.from_numpy(self.scales.scaler.transform(windows.ending_at(batch))).double()
            parts.append(self._forecast(self._double, inputs)[2])
        return np.concatenate(parts)

    def explain(self, windows: Windows, rows: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """See `Predictor.explain`; empty if `explain_windows` is 0."""
        if not self.config.explain_windows:
            return {}
        # Imported here because captum takes a second to import and explanations are optional.
        from MLOps.predictors.explain import explanation

        every = -(-len(rows) // self.config.explain_windows)
        return explanation(self, windows.ending_at(rows[::every]), labels[::every], seed)

    def export(self, folder: Path, windows: np.ndarray) -> dict[str, float]:
        """See `Predictor.export`."""
        if not self.config.export:
            return {}
        # Imported here because exporters take seconds to import and are optional.
        from MLOps.predictors.export import export

        return export(self, self.config.export, folder, windows)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        write_arrays(folder / "weights.safetensors", self._weights())
        write_json(folder / "predictor.json", self._description())

    def content_hash(self) -> str:
        """Hash of all that `save` writes."""
        weights = {name: [*array.shape, array.tobytes().hex()] for name, array in self._weights().items()}
        return value_hash([weights, self._description()])

    def _weights(self) -> dict[str, np.ndarray]:
        return {name: tensor.numpy() for name, tensor in self.network.state_dict().items()}

    def _description(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "learning_rates": self.learning_rates,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "embedding": self.embedding and self.embedding.to_dict(),
            **self.scales.to_dict(),
        }

    @classmethod
    def load(cls, folder: Path) -> "NetworkPredictor":
        saved = read_json(folder / "predictor.json")
        config = parse_predictor(saved["config"], str(folder / "predictor.json"))
        scales = Scales.from_dict(saved)
        weights = read_arrays(folder / "weights.safetensors")
        network = _network(config, len(scales.scaler.mean), len(scales.class_returns), weights)
        embedding = saved["embedding"] and Embedding.from_dict(saved["embedding"])
        rates = tuple(saved["learning_rates"])
        return cls(config, network, scales, embedding, rates, saved["batch_size"], saved["seed"])


def _network(config: NetworkConfig, n_features: int, n_classes: int, weights: dict[str, np.ndarray]) -> Network:
    make = network_class(config.kind)
    with torch.device("meta"):  # takes no memory, whatever the sizes
        expected = make(n_features, n_classes, config).state_dict()
    # A counter of batches is a scalar, which is saved as an array of one value.
    sizes = {name: tuple(tensor.shape) or (1,) for name, tensor in expected.items()}
    if sizes != {name: array.shape or (1,) for name, array in weights.items()}:
        raise UserError(f"{config.kind}: expected weights of the sizes of its configuration, found others; retrain it")
    network = make(n_features, n_classes, config)
    network.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return network.eval()
