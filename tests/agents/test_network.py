"""The compiled policy network: what PyTorch computes, and the same bits whatever the batch and the thread."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from MLOps.agents.network import PolicyNetwork
from MLOps.errors import UserError


def layers(*widths: int) -> list[nn.Linear]:
    torch.manual_seed(0)
    return [nn.Linear(before, after) for before, after in pairwise(widths)]


def compiled(modules: list[nn.Linear]) -> PolicyNetwork:
    return PolicyNetwork.from_layers([(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in modules])


def rows(count: int, width: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, width)).astype(np.float32)


@pytest.mark.parametrize("widths", [(26, 64, 64, 9), (5, 3), (7, 130, 1, 4), (26, 1280, 640, 9)])
def test_it_computes_what_pytorch_computes(widths: tuple[int, ...]) -> None:
    modules = layers(*widths)
    observations = rows(50, widths[0])
    network = nn.Sequential(*(part for m in modules[:-1] for part in (m, nn.Tanh())), modules[-1]).double()
    expected = network(torch.from_numpy(observations).double()).detach().numpy()
    modules = [m.float() for m in modules]
    np.testing.assert_allclose(compiled(modules).outputs(observations), expected, atol=3e-6)


def test_no_bit_depends_on_how_rows_are_batched() -> None:
    network, observations = compiled(layers(26, 64, 64, 9)), rows(300, 26)
    together = network.outputs(observations)
    generator = np.random.default_rng(2)
    for _ in range(20):
        cuts = np.sort(generator.choice(np.arange(1, 300), generator.integers(1, 100), replace=False))
        parts = [network.outputs(part) for part in np.split(observations, cuts)]
        np.testing.assert_array_equal(np.concatenate(parts), together)


def test_threads_do_not_disturb_each_other() -> None:
    """Ten thousand decisions on eight threads, each thread asking about other rows than its neighbours."""
    network, observations = compiled(layers(26, 64, 64, 9)), rows(100, 26)
    expected = network.outputs(observations)

    def ask(number: int) -> int:
        place = number % len(observations)
        return int((network.outputs(observations[place : place + 1]) != expected[place]).any())

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(10_000), chunksize=50)) == 0


def test_it_survives_its_arrays_and_refuses_others() -> None:
    network = compiled(layers(4, 8, 3))
    kept = network.to_arrays()
    np.testing.assert_array_equal(PolicyNetwork.from_arrays(kept).outputs(rows(9, 4)), network.outputs(rows(9, 4)))
    with pytest.raises(UserError, match="expected 67 parameters"):
        PolicyNetwork.from_arrays({**kept, "parameters": kept["parameters"][:-1]})
    with pytest.raises(UserError, match="widths and parameters"):
        PolicyNetwork.from_arrays({"widths": kept["widths"]})
    with pytest.raises(UserError, match=r"shape \(n, 4\), found \(2, 5\)"):
        network.outputs(rows(2, 5))
