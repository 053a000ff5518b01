"""Export a trained network, including scaling, to one file for other runtimes."""

import copy
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import nn

from MLOps.artifacts import whole_file
from MLOps.errors import UserError
from MLOps.features.scaler import CLIP
from MLOps.predictors.network import NetworkPredictor, Scales
from MLOps.predictors.training import split_outputs

TOLERANCE = 1e-5  # largest difference between an export in float32 and the predictor
FILES = {"onnx": "network.onnx", "torch_export": "network.pt2"}


class ExportedNetwork(nn.Module):
    """The whole predictor in float32: impute, scale, network; gives probabilities (n, classes) and return (n,)."""

    def __init__(self, predictor: NetworkPredictor) -> None:
        super().__init__()
        # A copy, because exporters modify the modules they trace.
        self.network, self.config = copy.deepcopy(predictor.network), predictor.config
        self.scales: Scales = predictor.scales
        scaler = self.scales.scaler
        self.median, self.mean, self.std = map(torch.from_numpy, (scaler.median, scaler.mean, scaler.std))
        self.class_returns = torch.from_numpy(self.scales.class_returns).float()

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # Comparisons only, because not every runtime has isfinite.
        known = (windows == windows) & (windows.abs() != float("inf"))  # noqa: PLR0124  NaN differs from itself
        whole = torch.where(known, windows, self.median)
        outputs = self.network(((whole - self.mean) / self.std).clamp(-CLIP, CLIP))[:, 0]
        logits, returns = split_outputs(outputs, self.config, len(self.scales.class_returns))
        if returns is None:
            probabilities = outputs.softmax(dim=1)
            return probabilities, probabilities @ self.class_returns
        expected = returns * self.scales.return_std + self.scales.return_mean
        if logits is not None:
            return logits.softmax(dim=1), expected
        told = self.scales.return_classes
        assert told is not None
        shares, means = (torch.from_numpy(part).float() for part in (told.shares, told.means))
        distance = (expected[:, None] - means) ** 2 / (2 * told.variance)
        return (shares.log() - distance).softmax(dim=1), expected


def export(
    predictor: NetworkPredictor, formats: tuple[str, ...], folder: Path, windows: np.ndarray
) -> dict[str, float]:
    """Write the network in each of the formats (keys of FILES) to `folder`, and compare the files' outputs.

    Args:
        windows: raw, (n, bars, features) float32, two or more to compare on.

    Returns:
        The largest difference of any probability or expected return from the predictor's own, by format.

    Raises:
        UserError: a difference is above TOLERANCE.
    """
    module = ExportedNetwork(predictor).eval()
    own = predictor.predict(windows)
    differences = {}
    for name in formats:
        path = folder / FILES[name]
        given = {"onnx": _onnx, "torch_export": _torch_export}[name](module, path, windows)
        parts = zip(given, (own.probabilities, own.expected_return), strict=True)
        differences[name] = max(float(np.abs(theirs - ours).max()) for theirs, ours in parts)
        if not differences[name] <= TOLERANCE:
            raise UserError(
                f"{path}: expected the predictor's own forecasts within {TOLERANCE:g}, found a difference of "
                f"{differences[name]:g}; remove {name} from the predictor's export"
            )
    return differences


def _onnx(module: ExportedNetwork, path: Path, windows: np.ndarray) -> list[np.ndarray]:
    from onnxruntime import InferenceSession

    with whole_file(path) as temporary, warnings.catch_warnings():
        # The tracing exporter warns that it is deprecated, but only it exports recurrent layers as such.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (torch.from_numpy(windows[:2]),),
            str(temporary),
            dynamo=False,
            input_names=["windows"],
            output_names=["probabilities", "expected_return"],
            dynamic_axes={name: {0: "n"} for name in ("windows", "probabilities", "expected_return")},
        )
    return InferenceSession(str(path)).run(None, {"windows": windows})


def _torch_export(module: ExportedNetwork, path: Path, windows: np.ndarray) -> list[np.ndarray]:
    shapes = ({0: torch.export.Dim("n", min=1)},)
    with whole_file(path) as temporary, temporary.open("wb") as file, warnings.catch_warnings():
        # Recurrent layers hold a second list of their weights, which are the same parameters.
        warnings.filterwarnings("ignore", message=".*_flat_weights")
        torch.export.save(torch.export.export(module, (torch.from_numpy(windows[:2]),), dynamic_shapes=shapes), file)
    with torch.inference_mode():
        return [part.numpy() for part in torch.export.load(path).module()(torch.from_numpy(windows))]
