"""Rainbow as a whole: its network, its targets, a task whose optimum is known, and reproducibility from the seed."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from MLOps.agents.rainbow.distribution import FIRST_SPREAD
from MLOps.agents.rainbow.learner import Rainbow
from MLOps.agents.rainbow.network import RainbowNetwork, folded_layers

SETTINGS: dict[str, Any] = {
    "learning_rate": 1e-3,
    "buffer_size": 10_000,
    "learning_starts": 160,
    "batch_size": 64,
    "tau": 1.0,
    "gamma": 0.8,
    "train_freq": 1,
    "gradient_steps": 1,
    "n_steps": 3,
    "target_update_interval": 400,
    "max_grad_norm": 10.0,
    "exploration_fraction": 1.0,
    "exploration_initial_eps": 0.0,
    "exploration_final_eps": 0.0,
    "v_max": None,
    "prioritized_replay_alpha": 0.5,
    "prioritized_replay_beta0": 0.4,
    "seed": 3,
}
OF_POLICY: dict[str, Any] = {"net_arch": [16, 16], "n_atoms": 21, "sigma0": 0.5}
CELLS, EPISODE = 5, 20


class Corridor(VecEnv):
    """Cells in a row; actions left, stay, right. Leaving at the right end terminates and earns 1.

    Cell 0 earns 0.1 a step, every step costs 0.05, and an episode is cut short after `EPISODE` steps. With a discount
    of 0.8 going right is best from cells 1 to 4. From cell 0 waiting earns 0.05 a step for ever, 0.25 in all, about as
    much as going right.
    """

    def __init__(self, count: int, seed: int) -> None:
        super().__init__(count, spaces.Box(0, 1, (CELLS,), np.float32), spaces.Discrete(3))
        self._generator = np.random.default_rng(seed)

    def reset(self) -> np.ndarray:
        self._cells, self._steps = self._generator.integers(CELLS, size=self.num_envs), np.zeros(self.num_envs, int)
        return self._observations()

    def _observations(self) -> np.ndarray:
        return np.eye(CELLS, dtype=np.float32)[self._cells]

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        at = self._cells
        moved = at + self._actions - 1
        terminated = moved == CELLS
        rewards = terminated * 1.0 + (np.maximum(moved, 0) == 0) * 0.1 - 0.05
        self._cells = np.clip(moved, 0, CELLS - 1)
        self._steps += 1
        truncated = ~terminated & (self._steps == EPISODE)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        last = self._observations()
        for i in np.flatnonzero(terminated | truncated):
            infos[i] = {"terminal_observation": last[i], "TimeLimit.truncated": bool(truncated[i])}
            self._cells[i], self._steps[i] = self._generator.integers(CELLS), 0
        return self._observations(), rewards.astype(np.float32), terminated | truncated, infos

    def close(self) -> None: ...
    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None: ...
    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return []

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False] * self.num_envs


def best_values(gamma: float) -> np.ndarray:
    """Of each cell and action, by value iteration."""
    values = np.zeros((CELLS, 3))
    for _ in range(500):
        for cell in range(CELLS):
            for action in range(3):
                to = cell + action - 1
                follows = 0.0 if to == CELLS else gamma * values[max(to, 0)].max()
                values[cell, action] = (to == CELLS) + 0.1 * (to <= 0) - 0.05 + follows
    return values


def learner_of(environments: int = 8, **changes: Any) -> Rainbow:
    torch.set_num_threads(1)
    policy = {name: changes.pop(name, value) for name, value in OF_POLICY.items()}
    settings = SETTINGS | changes
    learner = Rainbow("MlpPolicy", Corridor(environments, settings["seed"]), policy_kwargs=policy, **settings)
    learner.set_logger(Logger(None, []))
    return learner


def bits(learner: Rainbow) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in learner.policy.state_dict().values())


@pytest.mark.slow
def test_values_and_choices_near_those_of_dynamic_programming() -> None:
    """Terminations, truncations, n-step returns and the support chosen from the rewards must all be right for it."""
    learner = learner_of(gradient_steps=2)
    learner.learn(6_000)
    best, rows = best_values(0.8), torch.eye(CELLS)
    with torch.no_grad():
        found = learner.q_net(rows).numpy()
    assert learner.q_net.support[-1] > best.max()
    np.testing.assert_array_equal(found[1:].argmax(axis=1), best[1:].argmax(axis=1))
    np.testing.assert_allclose(found.max(axis=1), best.max(axis=1), atol=0.1)


def test_duelling_by_hand() -> None:
    learner = learner_of()
    network = learner.q_net
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    value, advantage = torch.arange(21.0), torch.arange(63.0).view(3, 21) ** 2
    network.value.bias.data.copy_(value)
    network.advantage.bias.data.copy_(advantage.ravel())
    logits = network.logits(torch.zeros(2, CELLS), draws=0)
    for action in range(3):
        for atom in range(21):
            mean = sum(float(advantage[other, atom]) for other in range(3)) / 3
            assert logits[1, action, atom].item() == pytest.approx(
                atom + float(advantage[action, atom]) - mean, rel=1e-5
            )


def test_the_online_network_chooses_and_the_target_network_values() -> None:
    """Double Q-learning: the two networks know different actions as best."""
    learner = learner_of(sigma0=0.0, v_max=10.0)
    for network, best in ((learner.q_net, 2), (learner.q_net_target, 0)):
        for parameter in network.parameters():
            nn.init.zeros_(parameter)
        sharp = torch.zeros(3, 21)
        sharp[best, 20] = 30.0
        # Under the target network action 2 is surely worth 4, which is atom 14 of -10, -9, ... 10.
        if network is learner.q_net_target:
            sharp[2, 14] = 90.0
            sharp[0, 20] = 95.0
        network.advantage.bias.data.copy_(sharp.ravel())
    rows = torch.zeros(1, CELLS)
    assert learner.q_net_target(rows).argmax() == 0
    target = learner.target_distribution(torch.tensor([1.5]), torch.tensor([0.5]), rows)
    expected = torch.zeros(1, 21)
    expected[0, 13] = expected[0, 14] = 0.5  # 1.5 + 0.5 · 4 = 3.5
    torch.testing.assert_close(target, expected)


@pytest.mark.parametrize("net_arch", [[7], [16, 8], [9, 8, 7]])
def test_the_folded_layers_decide_as_the_learner_does(net_arch: list[int]) -> None:
    learner = learner_of(net_arch=net_arch, v_max=3.0)
    network = learner.q_net
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    rows = np.random.default_rng(0).random((400, CELLS)).astype(np.float32)
    hidden, layers = rows.astype(np.float64), folded_layers(network)
    for weight, bias in layers[:-1]:
        hidden = np.maximum(hidden @ weight.T + bias, 0)
    weight, bias = layers[-1]
    logits = (hidden @ weight.T + bias).reshape(len(rows), 3, 21)
    probabilities = np.exp(logits - logits.max(axis=2, keepdims=True))
    probabilities /= probabilities.sum(axis=2, keepdims=True)
    values = probabilities @ network.support.numpy()
    with torch.no_grad():
        np.testing.assert_allclose(values, network(torch.from_numpy(rows)).numpy(), atol=1e-5)
    chosen, _ = learner.predict(rows, deterministic=True)
    assert len(set(chosen)) > 1
    np.testing.assert_array_equal(values.argmax(axis=1), chosen)


@pytest.mark.parametrize("v_max", [None, 40.0])
def test_the_first_returns_are_as_wide_as_those_of_the_random_steps_whatever_the_support(v_max: float | None) -> None:
    learner = learner_of(gamma=0.99, n_atoms=201, v_max=v_max, learning_rate=1e-12)
    learner.learn(168)  # one update
    assert learner._n_updates == 1
    spread = FIRST_SPREAD * np.sqrt(np.mean(np.square(learner.replay_buffer.rewards, dtype=np.float64)) / (1 - 0.99**2))
    with torch.no_grad():
        for network in (learner.q_net, learner.q_net_target):
            probabilities = torch.softmax(network.logits(torch.eye(CELLS), draws=0), dim=2)
            found = (probabilities @ network.support**2 - (probabilities @ network.support) ** 2).sqrt()
            assert 0.7 * spread < float(found.min()) and float(found.max()) < 1.5 * spread


def test_environments_explore_each_by_its_own_noise() -> None:
    """In the same state, 64 environments do not all do the same, and at evaluation they do."""
    learner = learner_of(sigma0=2.0)
    rows = np.tile(np.eye(CELLS, dtype=np.float32)[0], (64, 1))
    counts = np.bincount(learner.predict(rows)[0], minlength=3)
    assert (counts > 0).sum() > 1 and counts.max() < 64
    assert len(set(learner.predict(rows, deterministic=True)[0])) == 1


def test_a_seed_gives_the_same_bytes_and_every_setting_counts() -> None:
    def learnt(**changes: Any) -> bytes:
        learner = learner_of(**changes)
        learner.learn(400)
        return bits(learner)

    plain = learnt()
    torch.manual_seed(99)
    np.random.seed(99)
    assert learnt() == plain
    changes: dict[str, Any] = {"learning_rate": 1e-4, "buffer_size": 200, "learning_starts": 320, "batch_size": 32}
    changes |= {"tau": 0.5, "gamma": 0.7, "train_freq": 2, "gradient_steps": 2, "n_steps": 1, "seed": 4}
    changes |= {"target_update_interval": 80, "max_grad_norm": 0.01, "net_arch": [8], "n_atoms": 11, "v_max": 2.0}
    changes |= {"sigma0": 0.1, "prioritized_replay_alpha": 0.2, "prioritized_replay_beta0": 0.9}
    changes |= {"exploration_initial_eps": 1.0, "exploration_final_eps": 0.5}
    # The fraction shapes the way from the first epsilon to the last, which here are both 0.
    assert set(changes) == {*SETTINGS, *OF_POLICY} - {"exploration_fraction"}
    for name, value in changes.items():
        assert learnt(**{name: value}) != plain, name


def test_the_share_of_replay_is_what_the_docstring_says() -> None:
    learner = learner_of(environments=8, learning_starts=0, train_freq=2, gradient_steps=3, batch_size=16)
    drawn = []
    original = learner.replay_buffer.sample

    def counting(batch_size: int, beta: float) -> Any:
        drawn.append((batch_size, beta))
        return original(batch_size, beta)

    learner.replay_buffer.sample = counting  # type: ignore[method-assign]
    learner.learn(800)
    assert sum(size for size, _ in drawn) / 800 == 3 * 16 / (2 * 8)
    betas = [beta for _, beta in drawn]
    assert betas == sorted(betas) and betas[-1] == 1.0
    np.testing.assert_allclose(betas[0], 0.4 + 0.6 * 16 / 800)


def test_targets_follow_the_online_network() -> None:
    learner = learner_of()
    learner.learn(400)
    network: RainbowNetwork = learner.q_net_target
    assert (
        all(torch.equal(a, b) for a, b in zip(network.parameters(), learner.q_net.parameters(), strict=True)) is False
    )
    torch.testing.assert_close(network.support, learner.q_net.support)
