"""Explanations of a network's forecasts: integrated gradients, permutation importance, attention."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from MLOps.predictors.network import NetworkPredictor
from MLOps.predictors.permutation import permutation_importance

ATTENTION = "attention_"  # prefix of the names of attention maps
STEPS = 32  # steps of the path along which gradients are integrated


def explanation(
    predictor: NetworkPredictor, windows: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """All explanations of the forecasts of `windows` (n, bars, features), labelled `labels` (n,).

    Returns:
        `attribution` (bars, features), `importance_features` (features,), `importance_bars` (bars,), and
        `attention_<layer>` (bars, bars) for each attention layer.
    """
    by_feature, by_bar = permutation_importance(predictor, windows, labels, seed)
    maps = attention_maps(predictor, windows)
    return {
        "attribution": integrated_gradients(predictor, windows),
        "importance_features": by_feature,
        "importance_bars": by_bar,
        **{f"{ATTENTION}{layer}": weights for layer, weights in maps.items()},
    }


def integrated_gradients(predictor: NetworkPredictor, windows: np.ndarray) -> np.ndarray:
    """Mean absolute attribution of each input to the logit of the most probable class, or to the return if no class is
    forecast.

    Integrated gradients (Sundararajan et al., 2017); the baseline is the training mean, 0 for scaled features.

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


def attention_maps(predictor: NetworkPredictor, windows: np.ndarray) -> dict[str, np.ndarray]:
    """Mean attention of each bar (rows) to each bar (columns), (bars, bars), by layer; empty without attention."""
    network = copy.deepcopy(predictor.network).double().eval()
    maps: dict[str, np.ndarray] = {}

    def ask(_: nn.Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return inputs, {**options, "need_weights": True}

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], outputs: tuple[torch.Tensor, torch.Tensor]) -> None:
            maps[name.replace(".", "_")] = outputs[1].mean(dim=0).numpy()

        return hook

    for name, module in network.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(ask, with_kwargs=True)
            module.register_forward_hook(keep(name.removesuffix(".attention") or name))
    with torch.inference_mode():
        network(torch.from_numpy(predictor.scales.scaler.transform(windows)).double())
    return maps
