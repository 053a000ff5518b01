"""The projection of C51, by hand and against the paper's equation written as loops."""

import numpy as np
import pytest
import torch

from MLOps.agents.rainbow.distribution import FIRST_SPREAD, first_logits, project, support_bound


def by_the_equation(r: float, gamma: float, p: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Equation 7, atom by atom."""
    spacing = z[1] - z[0]
    moved = np.clip(r + gamma * z, z[0], z[-1])
    return np.array(
        [sum(np.clip(1 - abs(m - atom) / spacing, 0, 1) * q for m, q in zip(moved, p, strict=True)) for atom in z]
    )


def test_by_hand() -> None:
    support = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
    probabilities = torch.tensor([[0.1, 0.2, 0.3, 0.0, 0.4]] * 4)
    returns, discounts = torch.tensor([0.25, 1.5, 0.0, -9.0]), torch.tensor([0.5, 0.0, 1.0, 1.0])
    # Row 0: atoms move to -0.75, -0.25, 0.25, 0.75, 1.25. Row 1: an end, all mass at 1.5. Row 2: as it was. Row 3:
    # everything is clipped to the lowest atom.
    expected = torch.tensor(
        [
            [0.0, 0.1 * 0.75 + 0.2 * 0.25, 0.1 * 0.25 + 0.2 * 0.75 + 0.3 * 0.75, 0.3 * 0.25 + 0.4 * 0.75, 0.4 * 0.25],
            [0.0, 0.0, 0.0, 0.5, 0.5],
            [0.1, 0.2, 0.3, 0.0, 0.4],
            [1.0, 0.0, 0.0, 0.0, 0.0],
        ]
    )
    torch.testing.assert_close(project(returns, discounts, probabilities, support), expected)


@pytest.mark.parametrize("atoms", [2, 11, 51])
def test_it_is_the_paper_s_equation_and_keeps_the_mean(atoms: int) -> None:
    generator = np.random.default_rng(atoms)
    support = np.linspace(-7, 7, atoms)
    probabilities = generator.dirichlet(np.ones(atoms), 40)
    returns, discounts = generator.normal(0, 4, 40), generator.choice([0.0, 0.5, 0.97], 40)
    tensors = [torch.from_numpy(array) for array in (returns, discounts, probabilities, support)]
    projected = project(*tensors).numpy()
    rows = zip(returns, discounts, probabilities, strict=True)
    np.testing.assert_allclose(projected, [by_the_equation(r, d, p, support) for r, d, p in rows], atol=1e-12)
    np.testing.assert_allclose(projected.sum(axis=1), 1)
    inside = np.abs(returns) + discounts * 7 <= 7
    assert inside.sum() > 3
    mean = returns + discounts * (probabilities @ support)
    np.testing.assert_allclose((projected @ support)[inside], mean[inside])


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("mean", [0.0, 0.1, -1.0])
def test_returns_lie_within_the_support_chosen_for_their_rewards(gamma: float, mean: float) -> None:
    rewards = np.random.default_rng(0).normal(mean, 0.3, (500, 3000))
    discounted = rewards @ gamma ** np.arange(3000)
    bound = support_bound(rewards, gamma)
    assert (np.abs(discounted) > bound).mean() < 0.01
    assert bound < 12 * np.abs(discounted).max(), "and it is not too wide to tell returns apart"
    np.testing.assert_allclose(support_bound(rewards * 0.01, gamma), bound * 0.01)


def test_a_support_has_width_where_no_reward_was_seen() -> None:
    assert support_bound(np.zeros(9), 0.9) > 0


@pytest.mark.parametrize("gamma", [0.5, 0.9, 0.99])
def test_learning_begins_with_the_spread_of_the_returns_of_the_rewards(gamma: float) -> None:
    rewards = np.random.default_rng(0).normal(0, 0.3, (500, 3000))
    discounted = rewards @ gamma ** np.arange(3000)
    bound = support_bound(rewards, gamma)
    support = torch.linspace(-bound, bound, 501, dtype=torch.float64)
    begun = torch.softmax(first_logits(support, rewards, gamma), dim=0)
    assert float(begun @ support) == pytest.approx(0, abs=1e-9)
    assert float(begun @ support**2) ** 0.5 == pytest.approx(FIRST_SPREAD * discounted.std(), rel=0.3)


def test_the_first_distribution_is_no_narrower_than_its_atoms_and_even_without_discount() -> None:
    support = torch.linspace(-100, 100, 51)
    begun = torch.softmax(first_logits(support, np.zeros(9), 0.9), dim=0)
    assert 0.3 < float(begun.max()) < 0.9 and float(begun.min()) > 0
    assert torch.equal(first_logits(support, np.ones(9), 1.0), torch.zeros(51))
