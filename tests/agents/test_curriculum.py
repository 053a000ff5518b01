"""Stages of a training: whose rules and episodes hold when, and that a killed training goes on in its stage."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from MLOps.agents.curriculum import Curriculum, calmest, rules_in, weighted_by_uncertainty
from MLOps.agents.training import train
from MLOps.config.agents import CurriculumStage, parse_agent
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Market
from MLOps.trading.episodes import possible_episodes
from MLOps.trading.vector import TradingVecEnv
from tests.agents.trainings import CONFIGS, EPISODES, RULES, VIEW, market, suited
from tests.trading.sequences import random_market, unlike_markets

STAGES = (
    CurriculumStage(until=0.25, costs=0.0, calmest=0.2, episode_bars=10),
    CurriculumStage(until=0.5, costs=0.5, uncertainty_odds=20.0),
)


class KilledError(Exception):
    """Stands for a kill within this process."""


def uncertain(base: Market, seed: int = 0, forecasters: int = 2, level: float | None = None) -> Market:
    """`base` with uncertainties of forecasters, which persist for tens of bars; or all at one `level`."""
    rng = np.random.default_rng([seed, 7])
    shape = (base.n_symbols, base.n_bars, forecasters)
    drawn = np.full(shape, level) if level is not None else np.tanh(rng.normal(0, 0.05, shape).cumsum(axis=1)) ** 2
    given = np.where(base.observable[..., None], drawn, np.nan).astype(np.float32)
    return Market(
        base.symbols,
        base.timestamps,
        base.block.prices,
        np.concatenate([base.observations, given], axis=2),
        (*base.observation_names, *(f"network_{i}_uncertainty" for i in range(forecasters))),
    )


def learnt(
    kind: str,
    stages: tuple[CurriculumStage, ...],
    folder: Path | None,
    kill_at: int | None = None,
) -> bytes:
    """The weights that a training ends with."""

    def on_step(step: int, _metrics: Mapping[str, float]) -> None:
        if kill_at is not None and step >= kill_at:
            raise KilledError

    config = replace(CONFIGS[kind], curriculum=stages, checkpoint_every_steps=128)
    agent, _ = train(config, VIEW, uncertain(market()), uncertain(market(1)), RULES[suited(kind)], 3, on_step, folder)
    arrays = agent.network.to_arrays()
    return b"".join(arrays[name].tobytes() for name in sorted(arrays))


@pytest.mark.parametrize("kind", ["ppo", "sac", "rainbow", "maskable_ppo"])
def test_a_killed_training_goes_on_in_its_stage(kind: str, tmp_path: Path) -> None:
    undisturbed = learnt(kind, STAGES, None)
    for kill_at in (256, 512, 768):
        with pytest.raises(KilledError):
            learnt(kind, STAGES, tmp_path, kill_at)
    assert learnt(kind, STAGES, tmp_path) == undisturbed
    # The stages matter, each of them, and so do the weights.
    assert undisturbed != learnt(kind, (), None)
    assert undisturbed != learnt(kind, STAGES[1:], None)
    assert undisturbed != learnt(kind, (STAGES[0], replace(STAGES[1], uncertainty_odds=1.0)), None)


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
    assert np.array_equal(last[2], everything)
    assert np.array_equal(second[2], weighted_by_uncertainty(everything, uncertain(market()), 20.0))
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


def uncertainties(market: Market, episodes: NDArray[np.int64], forecasters: int = 2) -> NDArray[np.float64]:
    """Of each episode the mean over forecasters and the bars before its last."""
    block = market.block.observations[..., -forecasters:].astype(np.float64)
    rows = (block[slice(None) if symbol < 0 else [symbol], first:last] for symbol, first, last in episodes)
    return np.array([np.nanmean(row) for row in rows])


MARKETS = unlike_markets()


@pytest.mark.parametrize("account", ["per_symbol", "portfolio"])
@pytest.mark.parametrize("odds", [0.02, 5.0])
@pytest.mark.parametrize("name", MARKETS)
def test_the_share_of_an_episode_follows_the_rank_of_its_uncertainty(name: str, odds: float, account: Any) -> None:
    whole = uncertain(MARKETS[name])
    shown = whole.between(whole.timestamps[5], whole.timestamps[-7])
    episodes = possible_episodes(shown, TradingConfig(scheme="weights", account=account, episode_bars=12))
    table = weighted_by_uncertainty(episodes, shown, odds)
    place = {tuple(episode): number for number, episode in enumerate(episodes)}
    shares = np.bincount([place[tuple(row)] for row in table], minlength=len(episodes)) / len(table)
    known = uncertainties(shown, episodes).round(9)
    ranks = np.array([((known < own).sum() + (known <= own).sum() - 1) / 2 for own in known])
    weights = odds ** (ranks / (len(episodes) - 1))
    assert np.abs(shares - weights / weights.sum()).max() <= 1 / len(table)
    assert shares[known.argmax()] / shares[known.argmin()] == pytest.approx(odds, rel=0.25)


def test_episodes_of_equal_uncertainty_are_equally_likely() -> None:
    same = uncertain(market(), level=0.3)
    episodes = possible_episodes(same, RULES["targets"])
    _, counts = np.unique(weighted_by_uncertainty(episodes, same, 50.0), axis=0, return_counts=True)
    assert len(counts) == len(episodes) and np.ptp(counts) <= 1
    single = possible_episodes(same, replace(RULES["portfolio"], episode_bars=None))[:1]
    assert (weighted_by_uncertainty(single, same, 50.0) == single).all()


@pytest.mark.parametrize("odds", [1 / 50, 50.0])
def test_the_environments_begin_episodes_as_often_as_the_weights_say(odds: float) -> None:
    whole = uncertain(market())
    config = replace(CONFIGS["ppo"], curriculum=(CurriculumStage(until=0.5, uncertainty_odds=odds),))
    environments = TradingVecEnv(whole, RULES["targets"], 20_000, seed=1)
    Curriculum(config, environments, whole, RULES["targets"])
    environments.reset()
    state = environments.get_state()
    drawn = np.column_stack([state["holding.symbol"][:, 0], state["account.bar"], state["account.stop"]])
    episodes = possible_episodes(whole, RULES["targets"])
    ranks = uncertainties(whole, episodes).argsort().argsort() / (len(episodes) - 1)
    weights = odds**ranks / (odds**ranks).sum()
    place = {tuple(episode): number for number, episode in enumerate(episodes)}
    shares = np.bincount([place[tuple(row)] for row in drawn], minlength=len(episodes)) / len(drawn)
    thirds = np.minimum((3 * ranks).astype(int), 2)
    for third in range(3):
        expected = weights[thirds == third].sum()
        error = np.sqrt(expected * (1 - expected) / len(drawn))
        assert abs(shares[thirds == third].sum() - expected) < 4 * error


def test_weights_by_uncertainty_need_a_forecaster_that_is_observed(capsys: pytest.CaptureFixture[str]) -> None:
    steps: list[int] = []
    # The stage is the last, and still refused before any training.
    stages = (CurriculumStage(until=0.2, costs=0.0), CurriculumStage(until=0.9, uncertainty_odds=3.0))
    config = replace(CONFIGS["ppo"], curriculum=stages)
    with pytest.raises(UserError, match=r"uncertainty_odds: expected a forecaster's uncertainty .* found column_0"):
        train(config, VIEW, market(), market(1), RULES["targets"], 3, lambda step, _: steps.append(step))
    assert not steps
    environments = TradingVecEnv(market(), RULES["targets"], 4)
    Curriculum(config, environments, uncertain(market()), RULES["targets"])
    assert not capsys.readouterr().out
    Curriculum(config, environments, uncertain(market(), level=0.7), RULES["targets"])
    assert "all observed forecasts are equally uncertain" in capsys.readouterr().out
    for odds in (0.0, -1.0, float("inf")):
        with pytest.raises(UserError, match=r"curriculum\.0\.uncertainty_odds"):
            parse_agent(
                {"kind": "ppo", "observe": {"features": ["a"]}, "total_timesteps": 64}
                | {"curriculum": [{"until": 0.5, "uncertainty_odds": odds}]},
                "agents.ppo",
            )


def test_stages_must_follow_each_other() -> None:
    section = {"kind": "ppo", "observe": {"features": ["a"]}, "total_timesteps": 64}
    stages: list[dict[str, float]] = [{"until": 0.5}, {"until": 0.2}]
    with pytest.raises(UserError, match=r"curriculum: expected each stage to end later .* found \[0.5, 0.2\]"):
        parse_agent({**section, "curriculum": stages}, "agents.ppo")
    with pytest.raises(UserError, match=r"unknown key 'curriculum\.0\.cost'"):
        parse_agent({**section, "curriculum": [{"until": 0.5, "cost": 0.0}]}, "agents.ppo")
    assert rules_in(CurriculumStage(until=1.0), RULES["targets"]) == RULES["targets"]
