"""Compiled forward pass of a policy network, bit-equal for any batch size and on any thread."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from MLOps.compiled import CACHE
from MLOps.errors import UserError

# The compiled code knows them by their index here.
ACTIVATIONS = ("tanh", "relu", "elu", "leaky_relu", "silu")
OUTPUTS = ("linear", "tanh", "expectation")
TANH, RELU, ELU, LEAKY_RELU, SILU = range(len(ACTIVATIONS))
LINEAR, SQUASHED, EXPECTATION = range(len(OUTPUTS))
# Of single precision, so that no arithmetic becomes double.
ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)
# Of PyTorch's LeakyReLU.
LEAKY_SLOPE = np.float32(0.01)

# Rows that pass a layer together, so that a weight is read once for all of them.
TILE_ROWS = 16

# The rational approximation of tanh in Eigen (generic_fast_tanh_float): odd numerator, even denominator, in powers of
# x². Plain arithmetic compiles to vector instructions, and its bits do not depend on a library of the machine.
TANH_LIMIT = np.float32(7.90531110763549805)
TANH_NUMERATOR = (
    *(np.float32(-2.76076847742355e-16), np.float32(2.00018790482477e-13), np.float32(-8.60467152213735e-11)),
    *(np.float32(5.12229709037114e-08), np.float32(1.48572235717979e-05), np.float32(6.37261928875436e-04)),
    np.float32(4.89352455891786e-03),
)
TANH_DENOMINATOR = (
    *(np.float32(1.19825839466702e-06), np.float32(1.18534705686654e-04), np.float32(2.26843463243900e-03)),
    np.float32(4.89352518554385e-03),
)


class LSTMCell(NamedTuple):
    """The parameters of an LSTM cell of `width` units, as PyTorch keeps them: gates in the order i, f, g, o.

    Attributes:
        weight_ih: (4 width, inputs).
        weight_hh: (4 width, width).
        bias_ih: (4 width,).
        bias_hh: (4 width,).
    """

    weight_ih: np.ndarray
    weight_hh: np.ndarray
    bias_ih: np.ndarray
    bias_hh: np.ndarray


@dataclass(frozen=True)
class PolicyNetwork:
    """A multilayer perceptron, behind an LSTM cell if it is recurrent; immutable.

    Attributes:
        widths: (layers + 1,) int64, inputs first, outputs of the last layer last. In a recurrent network the cell is
            the first of the layers.
        parameters: float32; for each layer its bias (outputs,), then its weights (inputs, outputs), flattened. The cell
            is a layer from observation and hidden state to its four gates.
        support: (atoms,) float32, the values of the atoms under the output `expectation`, else empty.
        activation: between the layers, one of ACTIVATIONS.
        output: of the last layer, one of OUTPUTS. `expectation` reads its outputs as the logits of (scores, atoms) and
            gives each score's expected value over `support` (Bellemare et al., 2017).
        recurrent: whether the first layer is an LSTM cell.
    """

    widths: np.ndarray
    parameters: np.ndarray
    support: np.ndarray
    activation: str = "tanh"
    output: str = "linear"
    recurrent: bool = False

    @classmethod
    def from_layers(
        cls,
        layers: Sequence[tuple[np.ndarray, np.ndarray]],
        activation: str = "tanh",
        output: str = "linear",
        support: np.ndarray | None = None,
        cell: LSTMCell | None = None,
    ) -> "PolicyNetwork":
        """From the weights (outputs, inputs) and the bias (outputs,) of each layer, as PyTorch keeps them."""
        widths = [layers[0][0].shape[1], *(len(bias) for _, bias in layers)]
        if cell is not None:
            widths = [cell.weight_ih.shape[1], *widths]
            gates = np.concatenate([cell.weight_ih, cell.weight_hh], axis=1), cell.bias_ih + cell.bias_hh
            layers = [gates, *layers]
        # Transposed, so that the inner loop runs over neighbours in memory.
        flat = [part for weight, bias in layers for part in (bias, np.ascontiguousarray(weight.T).ravel())]
        atoms = np.zeros(0) if support is None else support
        arrays = np.array(widths, np.int64), np.concatenate(flat).astype(np.float32), atoms.astype(np.float32)
        return cls(*arrays, activation, output, cell is not None)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "PolicyNetwork":
        """From the arrays of `to_arrays`.

        Raises:
            UserError: they are missing or do not fit each other.
        """
        names = ("widths", "parameters", "support", "activation", "output", "recurrent")
        if set(arrays) != set(names):
            raise UserError(
                f"policy network: expected the arrays {', '.join(names)}, found {', '.join(arrays)}; retrain the agent"
            )
        widths = arrays["widths"].astype(np.int64).ravel()
        network = cls(
            widths,
            arrays["parameters"].astype(np.float32),
            arrays["support"].astype(np.float32),
            _name(arrays["activation"], ACTIVATIONS),
            _name(arrays["output"], OUTPUTS),
            bool(arrays["recurrent"].any()),
        )
        if len(widths) < 2 + network.recurrent or (widths < 1).any():
            raise UserError(f"policy network: expected the width of each layer, found {widths.tolist()}; retrain it")
        # Python's integers, which do not overflow.
        inputs, outputs = widths[:-1].tolist(), widths[1:].tolist()
        if network.recurrent:
            inputs[0], outputs[0] = inputs[0] + outputs[0], 4 * outputs[0]
        expected = sum(own * (before + 1) for before, own in zip(inputs, outputs, strict=True))
        if network.parameters.shape != (expected,):
            raise UserError(
                f"policy network: expected {expected} parameters for the widths {widths.tolist()}, found an array of "
                f"shape {network.parameters.shape}; retrain the agent"
            )
        if not np.isfinite(network.parameters).all():
            raise UserError("policy network: expected finite parameters, found NaN or infinity; retrain the agent")
        atoms = network.support.size
        if (network.output == "expectation") != (atoms > 0) or (atoms and widths[-1] % atoms):
            raise UserError(
                f"policy network: expected a support whose atoms divide the {widths[-1]} outputs under expectation, "
                f"and none under linear and tanh, found {atoms} atoms under {network.output}; retrain the agent"
            )
        return network

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {
            "widths": self.widths,
            "parameters": self.parameters,
            "support": self.support,
            "activation": np.frombuffer(self.activation.encode(), np.uint8),
            "output": np.frombuffer(self.output.encode(), np.uint8),
            "recurrent": np.array([self.recurrent], np.uint8),
        }

    @cached_property
    def n_inputs(self) -> int:
        return int(self.widths[0])

    @cached_property
    def n_outputs(self) -> int:
        return int(self.widths[-1]) // max(1, len(self.support))

    @cached_property
    def state_width(self) -> int:
        """Of the recurrent state of one row, the hidden state before the cell state; 0 without a cell."""
        return 2 * int(self.widths[1]) if self.recurrent else 0

    def outputs(self, observations: np.ndarray) -> np.ndarray:
        """(n, n_outputs) float32 of observations (n, n_inputs), by a network without recurrent state."""
        return self.forward(observations, np.empty((len(observations), 0), np.float32))[0]

    def forward(self, observations: np.ndarray, states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The outputs and the next recurrent states.

        Args:
            observations: (n, n_inputs).
            states: (n, state_width), zeros where an episode starts.

        Returns:
            (n, n_outputs) and (n, state_width), both float32.

        Raises:
            UserError: a shape differs.
        """
        rows = np.ascontiguousarray(observations, np.float32)
        before = np.ascontiguousarray(states, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.n_inputs:
            raise UserError(f"policy: expected observations of shape (n, {self.n_inputs}), found {rows.shape}")
        if before.shape != (len(rows), self.state_width):
            raise UserError(f"policy: expected states of shape {(len(rows), self.state_width)}, found {before.shape}")
        result = np.empty((len(rows), self.n_outputs), np.float32)
        after = np.empty_like(before)
        activation, output = ACTIVATIONS.index(self.activation), OUTPUTS.index(self.output)
        _forward(rows, before, self.widths, self.parameters, activation, output, self.support, result, after)
        return result, after


def _name(array: np.ndarray, names: tuple[str, ...]) -> str:
    name = array.astype(np.uint8).tobytes().decode(errors="replace")
    if name not in names:
        raise UserError(f"policy network: expected one of {', '.join(names)}, found {name!r}; retrain the agent")
    return name


def _compiled(function: Any) -> Any:
    # No `fastmath`: it would let the compiler reorder additions, differently for different batches.
    return njit(cache=CACHE, nogil=True, error_model="numpy")(function)


@_compiled
def _tanh(x: Any) -> Any:
    # Comparisons, not min and max, so that NaN stays NaN.
    x = TANH_LIMIT if x > TANH_LIMIT else (-TANH_LIMIT if x < -TANH_LIMIT else x)
    square = x * x
    above = TANH_NUMERATOR[0]
    for coefficient in TANH_NUMERATOR[1:]:
        above = above * square + coefficient
    below = TANH_DENOMINATOR[0]
    for coefficient in TANH_DENOMINATOR[1:]:
        below = below * square + coefficient
    return x * above / below


@_compiled
def _sigmoid(x: Any) -> Any:
    return HALF + HALF * _tanh(HALF * x)


@_compiled
def _elu(x: Any) -> Any:
    # exp(x) - 1 = 2 t / (1 - t) with t = tanh(x / 2).
    t = _tanh(HALF * x)
    return x if x > ZERO else (t + t) / (ONE - t)


@_compiled
def _activate(values: Any, count: int, activation: int) -> None:
    if activation == TANH:
        for j in range(count):
            values[j] = _tanh(values[j])
    elif activation == RELU:
        for j in range(count):
            values[j] = ZERO if values[j] < ZERO else values[j]
    elif activation == ELU:
        for j in range(count):
            values[j] = _elu(values[j])
    elif activation == LEAKY_RELU:
        for j in range(count):
            values[j] = LEAKY_SLOPE * values[j] if values[j] < ZERO else values[j]
    else:
        for j in range(count):
            values[j] = values[j] * _sigmoid(values[j])


@_compiled
def _layer(inputs: Any, n_inputs: int, sums: Any, n_sums: int, n_rows: int, parameters: Any) -> None:
    """Every sum starts at its bias and adds the inputs in their order, so its bits do not depend on the batch."""
    for row in range(n_rows):
        for j in range(n_sums):
            sums[row, j] = parameters[j]
    # Four inputs at a time: a sum then passes through memory once for four additions.
    whole = n_inputs - n_inputs % 4
    for i in range(0, whole, 4):
        first, second, third, fourth = (i + 1) * n_sums, (i + 2) * n_sums, (i + 3) * n_sums, (i + 4) * n_sums
        for row in range(n_rows):
            a, b, c, d = inputs[row, i], inputs[row, i + 1], inputs[row, i + 2], inputs[row, i + 3]
            for j in range(n_sums):
                sums[row, j] = (
                    sums[row, j]
                    + a * parameters[first + j]
                    + b * parameters[second + j]
                    + c * parameters[third + j]
                    + d * parameters[fourth + j]
                )
    for i in range(whole, n_inputs):
        for row in range(n_rows):
            for j in range(n_sums):
                sums[row, j] += inputs[row, i] * parameters[(i + 1) * n_sums + j]


@_compiled
def _lstm(gates: Any, before: Any, after: Any, width: int) -> None:
    """Of one row, from its four gates: its next state, of which the hidden state replaces the gates."""
    for j in range(width):
        cell = _sigmoid(gates[width + j]) * before[width + j] + _sigmoid(gates[j]) * _tanh(gates[2 * width + j])
        after[width + j] = cell
        after[j] = _sigmoid(gates[3 * width + j]) * _tanh(cell)
    for j in range(width):
        gates[j] = after[j]


@_compiled
def _expectation(logits: Any, support: Any, result: Any) -> None:
    """The softmax over each score's atoms, and the mean of `support` under it."""
    atoms = len(support)
    for score in range(len(result)):
        first = score * atoms
        highest = logits[first]
        for atom in range(atoms):
            highest = max(highest, logits[first + atom])
        total, mean = 0.0, 0.0
        for atom in range(atoms):
            weight = np.exp(np.float64(logits[first + atom] - highest))
            total += weight
            mean += weight * support[atom]
        result[score] = mean / total


@_compiled
def _output(sums: Any, output: int, support: Any, result: Any) -> None:
    if output == EXPECTATION:
        _expectation(sums, support, result)
        return
    if output == SQUASHED:
        _activate(sums, len(result), TANH)
    for j in range(len(result)):
        result[j] = sums[j]


@_compiled
def _forward(
    rows: Any,
    before: Any,
    widths: Any,
    parameters: Any,
    activation: int,
    output: int,
    support: Any,
    result: Any,
    after: Any,
) -> None:
    cell = before.shape[1] // 2
    last = len(widths) - 2
    widest = widths[0] + 4 * cell
    for width in widths:
        widest = max(widest, width)
    tile = min(len(rows), TILE_ROWS)
    inputs, sums = np.empty((tile, widest), np.float32), np.empty((tile, widest), np.float32)
    for start in range(0, len(rows), TILE_ROWS):
        n_rows = min(tile, len(rows) - start)
        for row in range(n_rows):
            for i in range(widths[0]):
                inputs[row, i] = rows[start + row, i]
            for i in range(cell):
                inputs[row, widths[0] + i] = before[start + row, i]
        used = 0
        for layer in range(last + 1):
            of_cell = layer == 0 and cell > 0
            n_inputs, n_sums = widths[layer], widths[layer + 1]
            if of_cell:
                n_inputs, n_sums = n_inputs + cell, 4 * cell
            _layer(inputs, n_inputs, sums, n_sums, n_rows, parameters[used:])
            used += n_sums * (n_inputs + 1)
            for row in range(n_rows):
                if of_cell:
                    _lstm(sums[row], before[start + row], after[start + row], cell)
                elif layer < last:
                    _activate(sums[row], n_sums, activation)
                else:
                    _output(sums[row], output, support, result[start + row])
            inputs, sums = sums, inputs
