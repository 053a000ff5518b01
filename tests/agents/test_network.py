"""The compiled policy network: what PyTorch computes, and the same bits whatever the batch and the thread."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from MLOps.agents.network import ACTIVATIONS, OUTPUTS, LSTMCell, PolicyNetwork
from MLOps.artifacts import read_arrays, write_arrays
from MLOps.errors import UserError

OF_TORCH = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "leaky_relu": nn.LeakyReLU, "silu": nn.SiLU}
SUPPORT = np.linspace(-2, 3, 7, dtype=np.float32)


def layers(*widths: int) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(before, after) for before, after in pairwise(widths)]


def compiled(modules: Sequence[nn.Linear], **chosen: Any) -> PolicyNetwork:
    return PolicyNetwork.from_layers([(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in modules], **chosen)


def compiled_cell(cell: nn.LSTMCell) -> LSTMCell:
    parameters = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    return LSTMCell(*(parameter.detach().numpy() for parameter in parameters))


def rows(count: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, width)).astype(np.float32)


def of_torch(modules: Sequence[nn.Linear], activation: str, values: torch.Tensor) -> torch.Tensor:
    for module in modules[:-1]:
        values = OF_TORCH[activation]()(module(values))
    return modules[-1](values)


def network_of(kind: str) -> PolicyNetwork:
    if kind == "recurrent":
        torch.manual_seed(1)
        return compiled(layers(16, 24, 9), cell=compiled_cell(nn.LSTMCell(26, 16)))
    if kind == "expectation":
        return compiled(layers(26, 48, 21), activation="silu", output="expectation", support=SUPPORT)
    return compiled(layers(26, 64, 64, 9), activation=kind, output="tanh")


KINDS = (*ACTIVATIONS, "expectation", "recurrent")


@pytest.mark.parametrize("widths", [(26, 64, 64, 9), (5, 3), (7, 130, 1, 4), (26, 1280, 640, 9)])
def test_it_computes_what_pytorch_computes(widths: tuple[int, ...]) -> None:
    modules, observations = layers(*widths), rows(50, widths[0])
    network = compiled(modules)
    assert (network.n_inputs, network.n_outputs, network.state_width) == (widths[0], widths[-1], 0)
    double = [module.double() for module in modules]
    expected = of_torch(double, "tanh", torch.from_numpy(observations).double()).detach()
    np.testing.assert_allclose(network.outputs(observations), expected, atol=3e-6)


def test_every_activation_is_compared_with_pytorch() -> None:
    assert set(OF_TORCH) == set(ACTIVATIONS)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scale", [0.01, 1, 30])
def test_every_activation_and_output_is_pytorchs(activation: str, output: str, scale: float) -> None:
    modules, observations = layers(11, 40, 30, 21), scale * rows(200, 11)
    network = compiled(modules, activation=activation, output=output, support=SUPPORT if output == OUTPUTS[2] else None)
    double = [module.double() for module in modules]
    expected = of_torch(double, activation, torch.from_numpy(observations).double())
    if output == "tanh":
        expected = expected.tanh()
    if output == "expectation":
        expected = (expected.reshape(200, 3, 7).softmax(dim=2) * torch.from_numpy(SUPPORT)).sum(dim=2)
    assert network.n_outputs == expected.shape[1]
    np.testing.assert_allclose(network.outputs(observations), expected.detach(), atol=1e-5 * max(1, scale / 5))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_is_accurate_at_every_magnitude_and_keeps_nan(activation: str) -> None:
    values = np.concatenate([np.linspace(-40, 40, 20_001), [-1e30, 1e30, -1e-30, 1e-30, 0, np.nan]]).astype(np.float32)
    one = np.ones((1, 1)), np.zeros(1)
    found = PolicyNetwork.from_layers([one, one], activation).outputs(values[:, None])[:, 0]
    expected = OF_TORCH[activation]()(torch.from_numpy(values).double()).numpy()
    if activation == "silu":  # x · sigmoid(x) of a large negative x is x times a rounding error.
        found, expected, values = found[values > -1e6], expected[values > -1e6], values[values > -1e6]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=3e-6 if activation == "silu" else 5e-7)


def test_a_recurrent_network_is_pytorchs_lstm_cell_before_its_layers() -> None:
    torch.manual_seed(3)
    cell, modules = nn.LSTMCell(11, 20), layers(20, 30, 4)
    network = compiled(modules, cell=compiled_cell(cell), activation="relu")
    assert (network.n_inputs, network.n_outputs, network.state_width) == (11, 4, 40)
    states = np.zeros((50, 40), np.float32)
    hidden, memory = torch.zeros(50, 20), torch.zeros(50, 20)
    for step in range(30):
        observations = np.random.default_rng(step).normal(0, 3, size=(50, 11)).astype(np.float32)
        outputs, states = network.forward(observations, states)
        hidden, memory = cell(torch.from_numpy(observations), (hidden, memory))
        expected = of_torch(modules, "relu", hidden)
        np.testing.assert_allclose(outputs, expected.detach(), atol=1e-5)
        np.testing.assert_allclose(states, torch.cat([hidden, memory], dim=1).detach(), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@given(cuts=st.sets(st.integers(1, 99)))
@settings(max_examples=25, deadline=None)
def test_no_bit_depends_on_how_rows_are_batched(kind: str, cuts: set[int]) -> None:
    network, observations = network_of(kind), rows(100, 26)
    states = np.random.default_rng(4).normal(size=(100, network.state_width)).astype(np.float32)
    together = network.forward(observations, states)
    places = sorted(cuts)
    pairs = zip(np.split(observations, places), np.split(states, places), strict=True)
    parts = [network.forward(*pair) for pair in pairs]
    for whole, pieces in zip(together, zip(*parts, strict=True), strict=True):
        assert np.concatenate(pieces).tobytes() == whole.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_and_the_layout_of_rows_change_no_bit(kind: str) -> None:
    network, observations = network_of(kind), rows(100, 26)
    states = np.zeros((100, network.state_width), np.float32)
    together, _ = network.forward(observations, states)
    order = np.random.default_rng(5).permutation(100)
    assert network.forward(observations[order], states)[0].tobytes() == together[order].tobytes()
    assert network.forward(np.asfortranarray(observations), states)[0].tobytes() == together.tobytes()


@pytest.mark.parametrize("kind", ["tanh", "recurrent"])
def test_threads_do_not_disturb_each_other(kind: str) -> None:
    """Ten thousand decisions on eight threads, each thread asking about other rows than its neighbours."""
    network, observations = network_of(kind), rows(100, 26)
    states = np.random.default_rng(4).normal(size=(100, network.state_width)).astype(np.float32)
    expected = network.forward(observations, states)

    def ask(number: int) -> bool:
        place = number % len(observations)
        found = network.forward(observations[place : place + 1], states[place : place + 1])
        return any((own[0] != whole[place]).any() for own, whole in zip(found, expected, strict=True))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(10_000), chunksize=50)) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_it_survives_its_arrays_in_a_file(kind: str, tmp_path: Path) -> None:
    network, observations = network_of(kind), rows(9, 26)
    states = np.random.default_rng(4).normal(size=(9, network.state_width)).astype(np.float32)
    write_arrays(tmp_path / "policy.safetensors", network.to_arrays())
    loaded = PolicyNetwork.from_arrays(read_arrays(tmp_path / "policy.safetensors"))
    for found, expected in zip(
        loaded.forward(observations, states), network.forward(observations, states), strict=True
    ):
        assert found.tobytes() == expected.tobytes()


def spoilt(network: PolicyNetwork, name: str, value: Any) -> dict[str, np.ndarray]:
    return {**network.to_arrays(), name: np.asarray(value)}


PLAIN = compiled(layers(4, 8, 3))
CATEGORICAL = compiled(layers(4, 21), output="expectation", support=SUPPORT)
DAMAGED = {
    "expected 67 parameters": spoilt(PLAIN, "parameters", PLAIN.parameters[:-1]),
    "expected finite parameters": spoilt(PLAIN, "parameters", np.where(np.arange(67) == 9, np.nan, 1)),
    r"expected 443 parameters for the widths \[4, 8, 3\]": spoilt(PLAIN, "recurrent", [1]),
    "the width of each layer, found \\[4\\]": spoilt(PLAIN, "widths", [4]),
    "the width of each layer, found \\[4, 0, 3\\]": spoilt(PLAIN, "widths", [4, 0, 3]),
    "one of tanh, relu, elu, leaky_relu, silu, found 'gelu'": spoilt(PLAIN, "activation", [*b"gelu"]),
    "one of linear, tanh, expectation, found ''": spoilt(PLAIN, "output", np.zeros(0, np.uint8)),
    "found 0 atoms under expectation": spoilt(CATEGORICAL, "support", np.zeros(0)),
    "atoms divide the 21 outputs .* found 5 atoms": spoilt(CATEGORICAL, "support", np.zeros(5)),
    "found 3 atoms under linear": spoilt(PLAIN, "support", np.zeros(3)),
    "expected the arrays widths, parameters, .* found widths;": {"widths": PLAIN.widths},
}


@pytest.mark.parametrize("words", DAMAGED)
def test_damaged_arrays_are_refused_in_a_sentence(words: str) -> None:
    with pytest.raises(UserError, match=words):
        PolicyNetwork.from_arrays(DAMAGED[words])


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"shape \(n, 4\), found \(2, 5\)"):
        PLAIN.outputs(rows(2, 5))
    with pytest.raises(UserError, match=r"states of shape \(2, 0\), found \(2, 6\)"):
        PLAIN.forward(rows(2, 4), rows(2, 6))
    with pytest.raises(UserError, match=r"states of shape \(2, 32\), found \(2, 0\)"):
        network_of("recurrent").outputs(rows(2, 26))
