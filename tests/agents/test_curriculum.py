"""Stages of a training: whose rules and episodes hold when, and that a killed training goes on in its stage."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from MLOps.agents.curriculum import calmest, rules_in
from MLOps.agents.training import train
from MLOps.config.agents import CurriculumStage, parse_agent
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Market
from MLOps.trading.episodes import possible_episodes
from MLOps.trading.vector import TradingVecEnv
from tests.agents.trainings import CONFIGS, EPISODES, RULES, VIEW, market, suited
from tests.trading.sequences import random_market

STAGES = (
    CurriculumStage(until=0.25, costs=0.0, calmest=0.2, episode_bars=10),
    CurriculumStage(until=0.5, costs=0.5),
)


class KilledError(Exception):
    """Stands for a kill within this process."""


def learnt(kind: str, stages: tuple[CurriculumStage, ...], folder: Path | None, kill_at: int | None = None) -> bytes:
    """The weights that a training ends with."""

    def on_step(step: int, _metrics: Mapping[str, float]) -> None:
        if kill_at is not None and step >= kill_at:
            raise KilledError

    config = replace(CONFIGS[kind], curriculum=stages, checkpoint_every_steps=128)
    agent, _ = train(config, VIEW, market(), market(1), RULES[suited(kind)], 3, on_step, folder)
    arrays = agent.network.to_arrays()
    return b"".join(arrays[name].tobytes() for name in sorted(arrays))


@pytest.mark.parametrize("kind", ["ppo", "sac", "rainbow", "maskable_ppo"])
def test_a_killed_training_goes_on_in_its_stage(kind: str, tmp_path: Path) -> None:
    undisturbed = learnt(kind, STAGES, None)
    for kill_at in (256, 512, 768):
        with pytest.raises(KilledError):
            learnt(kind, STAGES, tmp_path, kill_at)
    assert learnt(kind, STAGES, tmp_path) == undisturbed
    # The stages matter, each of them.
    assert undisturbed != learnt(kind, (), None)
    assert undisturbed != learnt(kind, STAGES[1:], None)


def test_each_stage_sets_its_rules_and_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[tuple[int, TradingConfig, NDArray[np.int64]]] = []
    plain, steps = TradingVecEnv.change, [0]

    def change(self: TradingVecEnv, config: TradingConfig, episodes: NDArray[np.int64]) -> None:
        changed.append((steps[0], config, episodes))
        plain(self, config, episodes)

    def step_async(self: TradingVecEnv, actions: NDArray[Any]) -> None:
        steps[0] += self.num_envs
        self._actions = self._episodes.orders(actions)

    monkeypatch.setattr(TradingVecEnv, "change", change)
    monkeypatch.setattr(TradingVecEnv, "step_async", step_async)
    learnt("ppo", STAGES, None)
    rules = RULES[suited("ppo")]
    # 1024 steps in rollouts of 128; the first stage is entered before the first episode begins.
    assert [step for step, _, _ in changed] == [0, 256, 512]
    first, second, last = changed
    assert (first[1].fee_bps, first[1].borrow_bps_per_year, first[1].episode_bars) == (0.0, 0.0, 10)
    assert (second[1].fee_bps, second[1].episode_bars) == (rules.fee_bps / 2, EPISODES["episode_bars"])
    assert last[1] == rules
    everything = possible_episodes(market(), rules)
    assert np.array_equal(last[2], everything) and np.array_equal(second[2], everything)
    assert (first[2][:, 2] - first[2][:, 1] == 10).all()
    assert len(first[2]) == int(np.ceil(0.2 * len(possible_episodes(market(), first[1]))))


@pytest.mark.parametrize("account", ["per_symbol", "portfolio"])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_calmest_episodes_are_those_of_the_lowest_volatility(account: Any, seed: int) -> None:
    whole = random_market(np.random.default_rng(seed), 3, 80, ragged=True, outages=0.1)
    shown: Market = whole.between(whole.timestamps[5], whole.timestamps[70])
    trading = TradingConfig(scheme="weights", account=account, episode_bars=12)
    episodes = possible_episodes(shown, trading)

    def volatility(symbol: int, first: int, last: int) -> float:
        squares: list[float] = []
        for own in whole.close if symbol < 0 else whole.close[symbol : symbol + 1]:
            bars = np.flatnonzero(np.isfinite(own))
            returns = np.diff(np.log(own[bars]))
            squares += [r * r for r, bar in zip(returns, bars[1:], strict=True) if first < bar <= last]
        return float(np.mean(squares)) if squares else 0.0

    expected = np.array([volatility(*episode) for episode in episodes])
    kept = calmest(episodes, shown, 0.3)
    assert len(kept) == np.ceil(0.3 * len(episodes))
    place = {tuple(episode): number for number, episode in enumerate(episodes)}
    chosen = np.array([place[tuple(episode)] for episode in kept])
    assert (np.diff(chosen) > 0).all()
    assert expected[chosen].max() <= np.delete(expected, chosen).min() + 1e-12
    assert np.array_equal(calmest(episodes, shown, 1.0), episodes)
    assert len(calmest(episodes, shown, 1e-9)) == 1


def test_stages_must_follow_each_other() -> None:
    section = {"kind": "ppo", "observe": {"features": ["a"]}, "total_timesteps": 64}
    stages: list[dict[str, float]] = [{"until": 0.5}, {"until": 0.2}]
    with pytest.raises(UserError, match=r"curriculum: expected each stage to end later .* found \[0.5, 0.2\]"):
        parse_agent({**section, "curriculum": stages}, "agents.ppo")
    with pytest.raises(UserError, match=r"unknown key 'curriculum\.0\.cost'"):
        parse_agent({**section, "curriculum": [{"until": 0.5, "cost": 0.0}]}, "agents.ppo")
    assert rules_in(CurriculumStage(until=1.0), RULES["targets"]) == RULES["targets"]
