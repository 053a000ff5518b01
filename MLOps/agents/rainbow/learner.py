"""Rainbow DQN on stable-baselines3's DQN, whose rollouts, callbacks and target updates it keeps."""

from typing import Any, ClassVar

import numpy as np
import torch
from stable_baselines3 import DQN
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from MLOps.agents.algorithms.exploration import ExploresByEnvironment
from MLOps.agents.rainbow.distribution import first_logits, project, support_bound
from MLOps.agents.rainbow.network import RainbowNetwork, RainbowPolicy
from MLOps.agents.rainbow.replay import PrioritizedReplay


class Rainbow(ExploresByEnvironment, DQN):
    """DQN with double Q-learning, duelling noisy networks, prioritised n-step replay and C51.

    After the `learning_starts` random steps each environment acts under its own draw of the networks' noise, anew at
    every step; DQN's epsilon, drawn for each environment too, is added to it. An update has one draw for the online
    network, one for the target network and one for the choice of the next action, each shared by the batch (Fortunato
    et al., 2018, section 3.1).

    A transition is replayed gradient_steps · batch_size / (train_freq · environments) times on average, where
    `train_freq` counts steps of all environments at once; Nature's DQN has 8.

    The distributions of returns begin as wide as those of the random steps, not over the whole support; see
    `first_logits`.
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {"MlpPolicy": RainbowPolicy}
    replay_buffer: PrioritizedReplay  # type: ignore[assignment]
    q_net: RainbowNetwork  # type: ignore[assignment]
    q_net_target: RainbowNetwork  # type: ignore[assignment]

    def __init__(
        self,
        policy: str,
        env: VecEnv,
        *,
        n_steps: int,
        v_max: float | None,
        prioritized_replay_alpha: float,
        prioritized_replay_beta0: float,
        gamma: float,
        seed: int,
        **arguments: Any,
    ) -> None:
        """Args:
        v_max: the support of returns is [-v_max, v_max]; None chooses it from the rewards of the `learning_starts`
            random steps, see `support_bound`.
        arguments: those of DQN; `policy_kwargs` those of `RainbowPolicy`.
        """
        self._v_max, self._beta0 = v_max, prioritized_replay_beta0
        replay = {"n_steps": n_steps, "gamma": gamma, "alpha": prioritized_replay_alpha, "seed": seed}
        super().__init__(
            policy,
            env,
            gamma=gamma,
            seed=seed,
            replay_buffer_class=PrioritizedReplay,  # type: ignore[arg-type]
            replay_buffer_kwargs=replay,
            **arguments,
        )

    def _setup_model(self) -> None:
        super()._setup_model()
        if self._v_max is not None:
            self._set_support(self._v_max)

    def _set_support(self, bound: float) -> None:
        for network in (self.q_net, self.q_net_target):
            network.support.copy_(torch.linspace(-bound, bound, network.n_atoms))

    def _fit_to_rewards(self) -> None:
        """Choose the support, unless it is given, and the first distribution of returns by the random steps."""
        rewards = self.replay_buffer.rewards
        if self._v_max is None:
            self._set_support(support_bound(rewards, self.gamma))
        for network in (self.q_net, self.q_net_target):
            with torch.no_grad():
                network.value.bias.add_(first_logits(network.support, rewards, self.gamma))

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the online network `gradient_steps` times, and the priorities of what was replayed."""
        if self._n_updates == 0:
            self._fit_to_rewards()
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        # Annealed linearly to full correction at the end of training (Schaul et al., 2016, section 3.4).
        beta = 1 - (1 - self._beta0) * self._current_progress_remaining
        losses, clipped = [], []
        for _ in range(gradient_steps):
            batch = self.replay_buffer.sample(batch_size, beta)
            observations, actions, returns, next_observations, discounts, weights = (
                torch.from_numpy(array).to(self.device) for array in batch[:-1]
            )
            target = self.target_distribution(returns, discounts, next_observations)
            logits = self.q_net.logits(observations, draws=1)
            chosen = torch.log_softmax(logits[torch.arange(len(actions)), actions], dim=1)
            cross_entropy = -(target * chosen).sum(dim=1)
            loss = (weights * cross_entropy).mean()
            self.policy.optimizer.zero_grad()
            loss.backward()
            if self.max_grad_norm is not None:
                nn.utils.clip_grad_norm_(self.q_net.parameters(), self.max_grad_norm)
            self.policy.optimizer.step()
            # The Kullback-Leibler divergence, which is 0 where the target is met (Hessel et al., 2018).
            divergence = cross_entropy.detach() + torch.xlogy(target, target).sum(dim=1)
            self.replay_buffer.set_priorities(batch.leaves, divergence.clamp(min=0).cpu().numpy())
            losses.append(loss.item())
            clipped.append((target[:, 0] + target[:, -1]).mean().item())
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/loss", float(np.mean(losses)))
        # Much of it means that returns lie outside the support.
        self.logger.record("train/mass_at_support_ends", float(np.mean(clipped)))

    @torch.no_grad()
    def target_distribution(
        self, returns: torch.Tensor, discounts: torch.Tensor, next_observations: torch.Tensor
    ) -> torch.Tensor:
        """(n, atoms): the online network chooses the next action, the target network gives its distribution.

        van Hasselt et al., 2016, "Deep reinforcement learning with double Q-learning".
        """
        choice = self.q_net.expected_returns(self.q_net.logits(next_observations, draws=1)).argmax(dim=1)
        logits = self.q_net_target.logits(next_observations, draws=1)
        probabilities = torch.softmax(logits[torch.arange(len(choice)), choice], dim=1)
        return project(returns, discounts, probabilities, self.q_net_target.support)
