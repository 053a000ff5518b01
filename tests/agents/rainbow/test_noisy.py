"""Noisy layers: the weights that the paper writes down, one draw for each row, and none at evaluation."""

import numpy as np
import torch

from MLOps.agents.rainbow.noisy import NoisyLinear


def scaled(noise: torch.Tensor) -> torch.Tensor:
    """f of the paper, in another form."""
    return noise / noise.abs().sqrt()


def test_the_mean_at_evaluation() -> None:
    torch.manual_seed(0)
    layer, rows = NoisyLinear(5, 3, 0.5), torch.randn(4, 5)
    torch.testing.assert_close(layer(rows, 0), rows @ layer.weight.T + layer.bias)


def test_every_row_has_the_weights_of_its_own_factorised_noise() -> None:
    torch.manual_seed(1)
    layer, rows = NoisyLinear(5, 3, 0.5), torch.randn(4, 5)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    torch.manual_seed(2)
    outputs = layer(rows, 4)
    torch.manual_seed(2)
    before, after = torch.randn(4, 5), torch.randn(4, 3)
    for row in range(4):
        noise = torch.outer(scaled(after[row]), scaled(before[row]))
        weight = layer.weight + layer.weight_sigma * noise
        bias = layer.bias + layer.bias_sigma * scaled(after[row])
        torch.testing.assert_close(outputs[row], weight @ rows[row] + bias)


def test_equal_rows_differ_by_their_own_draws_and_share_one_draw() -> None:
    torch.manual_seed(3)
    layer, rows = NoisyLinear(5, 3, 0.5), torch.ones(64, 5)
    assert len(torch.unique(layer(rows, 64), dim=0)) == 64
    assert len(torch.unique(layer(rows, 1), dim=0)) == 1
    assert len(torch.unique(layer(rows, 0), dim=0)) == 1


def test_noise_of_a_layer_has_mean_zero_and_the_variance_of_the_factorised_form() -> None:
    """Of inputs x: var = Σ σ² x² E|ε|² + σ_b² E|ε| with E f(ε)² = E|ε| = √(2/π)."""
    torch.manual_seed(4)
    layer = NoisyLinear(4, 1, 0.7)
    rows = torch.tensor([[1.0, -2.0, 0.5, 3.0]]).expand(200_000, 4)
    noise = (layer(rows, len(rows)) - layer(rows[:1], 0)).detach().numpy()
    size, squares = np.sqrt(2 / np.pi), 1 + 4 + 0.25 + 9
    # The bias shares ε_out with the weights; the cross term has mean zero, because E f(ε_in) = 0.
    expected = (0.7 / 2) ** 2 * (squares * size**2 + size)
    assert abs(noise.mean()) < 4 * np.sqrt(expected / len(rows))
    np.testing.assert_allclose(noise.var(), expected, rtol=0.03)


def test_the_first_means_and_deviations() -> None:
    layer = NoisyLinear(100, 50, 0.5)
    torch.testing.assert_close(layer.weight_sigma, torch.full((50, 100), 0.05))
    torch.testing.assert_close(layer.bias_sigma, torch.full((50,), 0.05))
    assert 0.09 < layer.weight.abs().max() <= 0.1 and layer.bias.abs().max() <= 0.1
