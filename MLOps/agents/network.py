"""Compiled forward pass of a policy network, bit-equal for any batch size and on any thread."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from MLOps.compiled import CACHE
from MLOps.errors import UserError


@dataclass(frozen=True)
class PolicyNetwork:
    """A multilayer perceptron with tanh between its layers, immutable.

    Attributes:
        widths: (layers + 1,) int64, inputs first, outputs last.
        parameters: float32; for each layer its bias (outputs,), then its weights (inputs, outputs), flattened.
    """

    widths: np.ndarray
    parameters: np.ndarray

    @classmethod
    def from_layers(cls, layers: list[tuple[np.ndarray, np.ndarray]]) -> "PolicyNetwork":
        """From the weights (outputs, inputs) and the bias (outputs,) of each layer, as PyTorch keeps them."""
        widths = np.array([layers[0][0].shape[1], *(len(bias) for _, bias in layers)], np.int64)
        # Transposed, so that the inner loop runs over neighbours in memory.
        flat = [part for weight, bias in layers for part in (bias, np.ascontiguousarray(weight.T).ravel())]
        return cls(widths, np.concatenate(flat).astype(np.float32))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "PolicyNetwork":
        """From the arrays of `to_arrays`.

        Raises:
            UserError: they are missing or do not fit each other.
        """
        if set(arrays) != {"widths", "parameters"}:
            raise UserError(f"policy network: expected the arrays widths and parameters, found {', '.join(arrays)}")
        network = cls(arrays["widths"].astype(np.int64), arrays["parameters"].astype(np.float32))
        widths = network.widths
        expected = int((widths[1:] * (widths[:-1] + 1)).sum())
        if len(widths) < 2 or (widths < 1).any() or network.parameters.shape != (expected,):
            raise UserError(
                f"policy network: expected {expected} parameters for the widths {widths.tolist()}, found an array of "
                f"shape {network.parameters.shape}; retrain the agent"
            )
        return network

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {"widths": self.widths, "parameters": self.parameters}

    def outputs(self, observations: np.ndarray) -> np.ndarray:
        """(n, outputs) float32 of observations (n, inputs)."""
        rows = np.ascontiguousarray(observations, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.widths[0]:
            raise UserError(f"policy: expected observations of shape (n, {self.widths[0]}), found {rows.shape}")
        result = np.zeros((len(rows), self.widths[-1]), np.float32)
        _forward(rows, self.widths, self.parameters, result)
        return result


@njit(cache=CACHE, nogil=True, error_model="numpy")
def _layer(inputs: Any, sums: Any, parameters: Any) -> None:
    """Every sum starts at its bias and adds the inputs in their order, so its bits do not depend on the batch."""
    width = len(sums)
    sums[:] = parameters[:width]
    for i in range(len(inputs)):
        value = inputs[i]
        weights = parameters[width * (i + 1) : width * (i + 2)]
        for j in range(width):
            sums[j] += value * weights[j]


@njit(cache=CACHE, nogil=True, error_model="numpy")
def _forward(rows: Any, widths: Any, parameters: Any, result: Any) -> None:
    last = len(widths) - 2
    widest = widths.max()
    inputs, outputs = np.zeros(widest, np.float32), np.zeros(widest, np.float32)
    for row in range(len(rows)):
        inputs[: widths[0]] = rows[row]
        first = 0
        for layer in range(last + 1):
            sums = outputs[: widths[layer + 1]]
            _layer(inputs[: widths[layer]], sums, parameters[first:])
            first += widths[layer + 1] * (widths[layer] + 1)
            if layer < last:
                for j in range(len(sums)):
                    sums[j] = np.tanh(sums[j])
            inputs, outputs = outputs, inputs
        result[row] = inputs[: widths[-1]]
