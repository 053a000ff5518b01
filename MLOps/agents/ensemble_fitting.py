"""Ensembles of agents, fitted on the validation span.

Each member trades an account of its own over the span. Orders do not move the market, so these accounts show what each
member would have earned at every bar, whichever member is followed.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from MLOps.agents.ensemble import AgentEnsemble
from MLOps.agents.network import PolicyNetwork
from MLOps.agents.policy import Agent
from MLOps.config.agent_ensemble import (
    AgentEnsembleConfig,
    HedgeConfig,
    SelectorConfig,
    ThompsonConfig,
    VoteConfig,
)
from MLOps.errors import UserError
from MLOps.statistics.bootstrap import shares_of_highest_mean
from MLOps.statistics.returns import sharpe
from MLOps.trading import Market, simulate

NEVER = -1e30  # the score of a member that is never the best


def fit_ensemble(config: AgentEnsembleConfig, members: Mapping[str, Agent], market: Market, seed: int) -> AgentEnsemble:
    """Combine agents by what they earn on `market`, the validation span.

    `vote` weights each member by the Sharpe ratio of its account, and by 0 where that is negative; all alike if none
    is positive. `hedge` gives the weights of AdaHedge after the span's last bar. `thompson` weights each member by the
    posterior probability that its mean reward is the highest: following the weighted mean is the expectation of
    Thompson's random choice, without its randomness. `selector` learns which member earns most over the next bars.

    Raises:
        UserError: the members observe different things, or no bar shows a difference between them to a selector.
    """
    equal = AgentEnsemble(dict(members), (1 / len(members),) * len(members))
    # (members, accounts, bars)
    rewards = np.stack([simulate(agent.policy(), market, agent.trading).rewards for agent in members.values()])
    by_bar = rewards.mean(axis=1)[:, 1:].T  # there is no reward at the first bar
    if isinstance(config, SelectorConfig):
        return replace(equal, selector=fit_selector(config, rewards, market))
    if isinstance(config, VoteConfig):
        positive = np.maximum([sharpe(of_member, bars_per_year=1) for of_member in by_bar.T], 0)
        if not positive.any():
            return equal
        weights = positive / positive.sum()
    elif isinstance(config, HedgeConfig):
        weights = adahedge(by_bar)[-1]
    else:
        assert isinstance(config, ThompsonConfig)
        weights = shares_of_highest_mean(by_bar, config.resamples, config.block_bars, seed)
    return replace(equal, weights=tuple(weights.tolist()))


def adahedge(rewards: np.ndarray) -> np.ndarray:
    """The weights of AdaHedge (de Rooij, van Erven, Grünwald and Koolen, 2014, JMLR 15) before each bar and at the end.

    Hedge with a learning rate that follows from the rewards seen, so nothing is assumed of their range.

    Args:
        rewards: (bars, members).

    Returns:
        (bars + 1, members); row t depends on the rewards before bar t alone.
    """
    bars, members = rewards.shape
    weights = np.empty((bars + 1, members))
    losses, gap = np.zeros(members), 0.0
    for bar, loss in enumerate(-rewards):
        rate = math.log(members) / gap if gap > 0 else math.inf
        weights[bar], before = _mix(rate, losses)
        losses = losses + loss
        gap += max(0.0, float(weights[bar] @ loss) - (_mix(rate, losses)[1] - before))
    weights[bars] = _mix(math.log(members) / gap if gap > 0 else math.inf, losses)[0]
    return weights


def _mix(rate: float, losses: np.ndarray) -> tuple[np.ndarray, float]:
    """Exponential weights, and the mix loss, of cumulative losses at a learning rate that may be infinite."""
    least = losses.min()
    weights = (losses == least).astype(float) if math.isinf(rate) else np.exp(-rate * (losses - least))
    total = weights.sum()
    return weights / total, float(least - (0.0 if math.isinf(rate) else math.log(total / len(losses)) / rate))


def fit_selector(config: SelectorConfig, rewards: np.ndarray, market: Market) -> PolicyNetwork:
    """Multinomial logistic regression from the market's columns at a bar to the member that earns most over the next
    `horizon_bars` bars.

    Purged by the horizon: bars whose horizon reaches beyond the span are left out, and bars at which the best are tied.

    Args:
        rewards: (members, symbols, bars).
    """
    # Imported here because it takes a second and a served model never fits.
    from sklearn.linear_model import LogisticRegression

    horizon, count = config.horizon_bars, len(rewards)
    earned = np.cumsum(rewards, axis=2)
    ahead = earned[:, :, horizon:] - earned[:, :, :-horizon]
    asked = (market.observable & market.has_later_bar)[:, : ahead.shape[2]]
    highest = ahead.max(axis=0)
    rows = asked & ((ahead == highest).sum(axis=0) == 1)
    if not rows.any():
        raise UserError(
            f"agent_ensemble: expected bars of validation with {horizon} bars after them over which one agent earns "
            "more than all others, found none; shorten horizon_bars or choose another kind"
        )
    inputs, labels = market.observations[:, : ahead.shape[2]][rows], ahead.argmax(axis=0)[rows]
    best = np.unique(labels)
    weights = np.zeros((count, inputs.shape[1]))
    bias = np.full(count, NEVER)
    bias[best] = 0
    if len(best) > 1:
        model = LogisticRegression(C=1 / config.l2_penalty, max_iter=1000).fit(inputs, labels)
        # Two classes have one score, that of the second.
        fitted = best if len(best) > 2 else best[1:]
        weights[fitted], bias[fitted] = model.coef_, model.intercept_
    return PolicyNetwork.from_layers([(weights, bias)])
