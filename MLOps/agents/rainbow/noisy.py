"""Noisy linear layer: exploration by learnt noise on the weights (Fortunato et al., 2018, "Noisy networks for
exploration")."""

import math

import torch
from torch import nn
from torch.nn import functional


class NoisyLinear(nn.Module):
    """y = (μ_w + σ_w ⊙ ε_w) x + μ_b + σ_b ⊙ ε_b with factorised Gaussian noise.

    ε_w = f(ε_out) f(ε_in)ᵀ and ε_b = f(ε_out), where f(x) = sign(x) √|x| and ε_in, ε_out are standard normal
    (equations 9 to 11). `weight` and `bias` are the means μ.
    """

    def __init__(self, inputs: int, outputs: int, sigma0: float) -> None:
        """Initialise as in section 3.2: means uniform in ±1/√inputs, standard deviations sigma0/√inputs."""
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), sigma0 * bound))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), sigma0 * bound))

    def forward(self, inputs: torch.Tensor, draws: int) -> torch.Tensor:
        """(n, outputs) of inputs (n, inputs).

        Args:
            draws: independent draws of the noise: 0 for the mean, 1 for one draw that all rows share, n for one a row.
        """
        mean = functional.linear(inputs, self.weight, self.bias)
        if not draws:
            return mean
        # (σ ⊙ f(ε_out) f(ε_in)ᵀ) x = f(ε_out) ⊙ σ (f(ε_in) ⊙ x): no weight matrix per row is ever formed.
        outputs, width = self.weight.shape
        before, after = _factor(draws, width, inputs.device), _factor(draws, outputs, inputs.device)
        return mean + after * functional.linear(inputs * before, self.weight_sigma, self.bias_sigma)


def _factor(draws: int, width: int, device: torch.device) -> torch.Tensor:
    """f(ε) for `draws` independent draws, from PyTorch's global generator."""
    noise = torch.randn(draws, width, device=device)
    return noise.sign() * noise.abs().sqrt()
