"""The parts of the validation span on which an agent is evaluated while it learns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MLOps.agents.training import evaluation_spans, mean_reward, train
from tests.agents.trainings import CONFIGS, TRADING, VIEW, market


def test_episodes_are_drawn_within_the_market_and_by_the_seed() -> None:
    whole = market()
    spans = evaluation_spans(whole, TRADING, 200, seed=1)
    assert len(spans) == 200
    # An episode of n steps sees n + 1 bars.
    assert {span.n_bars for span in spans} == {TRADING.episode_bars + 1 if TRADING.episode_bars else 0}
    firsts = [span.first for span in spans]
    assert min(firsts) >= whole.first and max(span.stop for span in spans) <= whole.stop
    assert len(set(firsts)) > 100
    assert [span.first for span in evaluation_spans(whole, TRADING, 200, seed=1)] == firsts
    assert [span.first for span in evaluation_spans(whole, TRADING, 200, seed=2)] != firsts


def test_every_start_is_possible() -> None:
    whole = market().between(None, market().timestamps[52])
    stops = {(span.first, span.stop) for span in evaluation_spans(whole, TRADING, 100, seed=1)}
    assert stops == {(0, 51), (1, 52)}


@pytest.mark.parametrize(("episodes", "bars"), [(None, 50), (3, None), (3, 299), (3, 1000)])
def test_otherwise_the_whole_market_is_the_one_part(episodes: int | None, bars: int | None) -> None:
    assert evaluation_spans(market(), replace(TRADING, episode_bars=bars), episodes, seed=1) == [market()]


def test_the_reward_told_is_the_mean_over_the_episodes(tmp_path: Path) -> None:
    told: list[float] = []
    config = replace(CONFIGS["ppo"], total_timesteps=128, evaluation_episodes=5)
    agent, reward = train(
        config, VIEW, market(), market(9), TRADING, 7, lambda _, m: told.extend(v for k, v in m.items() if "valid" in k)
    )
    assert told[-1] == reward
    starts = [told[-1] - mean_reward(agent, market(9), TRADING)]
    assert starts != [0.0], "episodes are not the whole span"
    config = replace(config, evaluation_episodes=None)
    agent, reward = train(config, VIEW, market(), market(9), TRADING, 7, lambda *_: None)
    assert reward == mean_reward(agent, market(9), TRADING)
    assert np.isfinite(reward)
