"""Why a predictor says what it says: by gradient, by permutation, and where its attention lies."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from MLOps.predictors.contract import Predictor
from MLOps.predictors.metrics import log_losses
from MLOps.predictors.network import NetworkPredictor

STEPS = 32  # of the path that gradients are integrated along


def integrated_gradients(predictor: NetworkPredictor, windows: np.ndarray) -> np.ndarray:
    """Mean size of each input's part in the likeliest class's logit, or in the return where no class is foretold.

    Integrated gradients (Sundararajan et al., 2017) from the mean of training, which scaled features have at 0.

    Args:
        windows: raw, (n, bars, features) float32.

    Returns:
        (bars, features).
    """
    from captum.attr import IntegratedGradients

    network = copy.deepcopy(predictor.network).double().eval()
    inputs = torch.from_numpy(predictor.scales.scaler.transform(windows)).double()
    classes = len(predictor.scales.class_returns) if predictor.config.class_loss_weight else 1

    def answer(batch: torch.Tensor) -> torch.Tensor:
        return network(batch)[:, 0, :classes]

    with torch.no_grad():
        target = answer(inputs).argmax(dim=1)
    parts = IntegratedGradients(answer).attribute(inputs, target=target, n_steps=STEPS, internal_batch_size=1024)
    return parts.abs().mean(dim=0).numpy()


def permutation_importance(
    predictor: Predictor, windows: np.ndarray, classes: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """By how many nats the log loss rises when a part of the windows is shuffled among them (Breiman, 2001).

    Args:
        windows: raw, (n, bars, features) float32.
        classes: (n,) what happened.

    Returns:
        For each feature, over all bars at once, (features,), and for each bar, over all features at once, (bars,).
    """
    generator = np.random.default_rng(seed)

    def loss(given: np.ndarray) -> float:
        return float(log_losses(predictor.predict(given).probabilities, classes).mean())

    whole = loss(windows)

    def rise(part: tuple[Any, ...]) -> float:
        shuffled = windows.copy()
        shuffled[part] = windows[part][generator.permutation(len(windows))]
        return loss(shuffled) - whole

    _, bars, features = windows.shape
    everything = slice(None)
    return (
        np.array([rise((everything, everything, feature)) for feature in range(features)]),
        np.array([rise((everything, bar)) for bar in range(bars)]),
    )


def attention_maps(predictor: NetworkPredictor, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Mean attention of each bar (rows) to each bar (columns), (bars, bars), by layer; empty where there is none."""
    network = copy.deepcopy(predictor.network).double().eval()
    maps: dict[str, np.ndarray] = {}

    def ask(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return inputs, {**options, "need_weights": True}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], outputs: tuple[torch.Tensor, torch.Tensor]) -> None:
            maps[name] = outputs[1].mean(dim=0).numpy()

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(ask, with_kwargs=True)
            module.register_forward_hook(keep(name.removesuffix(".attention") or name))
    with torch.inference_mode():
        network(torch.from_numpy(predictor.scales.scaler.transform(windows)).double())
    return maps
