"""Categorical distributions of returns, C51 (Bellemare et al., 2017, "A distributional perspective on reinforcement
learning")."""

import math

import numpy as np
import torch

# Wider than the returns of random actions, for those of good ones are larger: with 1, rare rewards are learnt late.
FIRST_SPREAD = 2.0


def project(
    returns: torch.Tensor, discounts: torch.Tensor, probabilities: torch.Tensor, support: torch.Tensor
) -> torch.Tensor:
    """The distribution of returns + discounts · Z, projected onto the support of Z (equation 7).

    Each atom moves to r + γ z, is clipped to the support, and its probability is divided between the two nearest atoms
    in proportion to their nearness. The mean is preserved where nothing is clipped.

    Args:
        returns: (n,).
        discounts: (n,), 0 where the episode has terminated.
        probabilities: (n, atoms) of Z.
        support: (atoms,), evenly spaced and rising.

    Returns:
        (n, atoms).
    """
    rows, atoms = probabilities.shape
    spacing = (support[-1] - support[0]) / (atoms - 1)
    places = ((returns[:, None] + discounts[:, None] * support - support[0]) / spacing).clamp(0, atoms - 1)
    lower = places.floor().clamp(max=atoms - 2)
    share = places - lower
    first = (lower.long() + torch.arange(rows, device=lower.device)[:, None] * atoms).ravel()
    projected = torch.zeros(rows * atoms, dtype=probabilities.dtype, device=lower.device)
    projected.index_add_(0, first, (probabilities * (1 - share)).ravel())
    projected.index_add_(0, first + 1, (probabilities * share).ravel())
    return projected.view(rows, atoms)


def support_bound(rewards: np.ndarray, gamma: float) -> float:
    """Half the width of a support around 0 that holds the discounted returns of rewards such as these.

    Independent rewards of mean μ and standard deviation σ have discounted returns of mean μ/(1-γ) and standard
    deviation σ/√(1-γ²). Neither |μ| nor σ exceeds the root mean square, so the bound is that of the mean and three
    standard deviations at the root mean square of `rewards`; at least 1e-3, so that atoms differ where no reward does.
    """
    size = _root_mean_square(rewards)
    return max(size * (1 / (1 - gamma) + 3 / math.sqrt(1 - gamma**2)), 1e-3)


def first_logits(support: torch.Tensor, rewards: np.ndarray, gamma: float) -> torch.Tensor:
    """Logits (atoms,) of the distribution of returns with which learning begins.

    A Laplace distribution around 0 with FIRST_SPREAD times the standard deviation σ/√(1-γ²) of the discounted returns
    of independent rewards, at least the spacing of the atoms; σ is the root mean square of `rewards`. With γ = 1 all
    atoms are alike.

    C51 begins with all atoms alike. A backup contracts that by γⁿ only, and until it has shrunk to the size of returns,
    with long horizons after very many target updates, the differences between actions are lost in it.
    """
    spacing = float(support[1] - support[0])
    spread = FIRST_SPREAD * _root_mean_square(rewards) / math.sqrt(1 - gamma**2) if gamma < 1 else math.inf
    return -support.abs() * (math.sqrt(2) / max(spread, spacing))


def _root_mean_square(rewards: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(rewards, dtype=np.float64))))
