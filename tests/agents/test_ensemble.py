"""Ensembles of agents: positions are combined, fits use validation alone, decisions are those of one agent."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MLOps.agents import ensemble_fitting
from MLOps.agents.ensemble import AgentEnsemble, load_agent
from MLOps.agents.ensemble_fitting import adahedge, fit_ensemble, fit_selector
from MLOps.agents.network import LSTMCell, PolicyNetwork
from MLOps.agents.policy import Agent
from MLOps.config.agent_ensemble import AgentEnsembleConfig, HedgeConfig, SelectorConfig, ThompsonConfig, VoteConfig
from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.statistics.bootstrap import shares_of_highest_mean
from MLOps.trading import Ledger, Market, observation_columns, simulate
from tests.agents.trainings import CONFIGS, RULES, VIEW, market

KINDS: list[AgentEnsembleConfig] = [
    VoteConfig(kind="vote"),
    HedgeConfig(kind="hedge"),
    ThompsonConfig(kind="thompson", resamples=500),
    SelectorConfig(kind="selector", horizon_bars=5),
]


def agent(seed: int, trading: TradingConfig = RULES["targets"], recurrent: bool = False) -> Agent:
    """An untrained agent."""
    generator = np.random.default_rng(seed)
    columns = tuple(observation_columns(market(), trading))
    outputs = len(trading.targets) if trading.scheme == "targets" else 1

    def draw(*shape: int) -> np.ndarray:
        return generator.normal(size=shape)

    cell = LSTMCell(draw(12, len(columns)), draw(12, 3), draw(12), draw(12)) if recurrent else None
    layers = [(draw(8, 3 if recurrent else len(columns)), draw(8)), (draw(outputs, 8), draw(outputs))]
    network = PolicyNetwork.from_layers(layers, cell=cell)
    return Agent(CONFIGS["recurrent_ppo" if recurrent else "ppo"], trading, VIEW, columns, network)


def always(target: int) -> Agent:
    """An agent that holds one position of RULES["targets"] whatever it observes."""
    some = agent(0)
    wanted = np.zeros(len(some.trading.targets))
    wanted[target] = 1
    return replace(some, network=PolicyNetwork.from_layers([(np.zeros((len(wanted), len(some.columns))), wanted)]))


def same(first: Ledger, second: Ledger) -> bool:
    return all(
        np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)
        for name in ("actions", "position", "equity", "rewards")
    )


def test_positions_are_voted_on_not_labels() -> None:
    """Of the positions -1, -0.5, 0, 0.5, 1: full short and full long with equal weights is flat."""
    observations, states = np.zeros((3, len(agent(0).columns)), np.float32), np.zeros((3, 0), np.float32)
    for first, second, weights, expected in [
        (0, 4, (0.5, 0.5), 0.0),
        (0, 4, (0.75, 0.25), -0.5),
        (3, 4, (0.5, 0.5), 0.75),
    ]:
        both = AgentEnsemble({"first": always(first), "second": always(second)}, weights)
        assert both.decide(observations, states)[0].tolist() == [expected] * 3


@pytest.mark.parametrize("config", KINDS, ids=lambda config: config.kind)
@pytest.mark.parametrize("rules", ["targets", "weights"])
def test_a_decision_is_the_same_saved_split_and_simulated(
    config: AgentEnsembleConfig, rules: str, tmp_path: Path
) -> None:
    members = {f"agent_{n}": agent(n, RULES[rules], recurrent=n == 1) for n in range(3)}
    fitted = fit_ensemble(config, members, market(9), seed=0)
    assert fitted.state_width == 6
    fitted.save(tmp_path)
    assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} == {".json", ".safetensors"}
    loaded = load_agent(tmp_path)
    assert isinstance(loaded, AgentEnsemble)
    assert list(loaded.members) == list(members)
    assert same(
        simulate(fitted.policy(), market(3), fitted.trading), simulate(loaded.policy(), market(3), loaded.trading)
    )
    generator = np.random.default_rng(5)
    observations = generator.normal(size=(50, len(fitted.columns))).astype(np.float32)
    states = generator.normal(size=(50, fitted.state_width)).astype(np.float32)
    whole = fitted.decide(observations, states)
    rows = [loaded.decide(observations[i : i + 1], states[i : i + 1]) for i in range(50)]
    for part in range(2):
        assert np.concatenate([row[part] for row in rows]).tobytes() == whole[part].tobytes()


@pytest.mark.parametrize("config", KINDS[:3], ids=lambda config: config.kind)
def test_members_that_are_alike_decide_as_one(config: AgentEnsembleConfig) -> None:
    one = agent(4)
    fitted = fit_ensemble(config, {"first": one, "second": one}, market(9), seed=0)
    assert fitted.weights == pytest.approx((0.5, 0.5))
    assert same(simulate(fitted.policy(), market(3), one.trading), simulate(one.policy(), market(3), one.trading))


def test_votes_are_in_proportion_to_positive_sharpe_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.tile([1.0, -1.0], 50)
    rewards = iter([0.2 + noise, 0.6 + noise, -0.3 + noise])

    def shadow(*_: Any) -> Any:
        return type("Shadow", (), {"rewards": np.concatenate([[0.0], next(rewards)])[None]})

    monkeypatch.setattr(ensemble_fitting, "simulate", shadow)
    members = {f"agent_{n}": agent(n) for n in range(3)}
    assert fit_ensemble(KINDS[0], members, market(), seed=0).weights == pytest.approx((0.25, 0.75, 0.0))


def by_definition(rewards: np.ndarray) -> np.ndarray:
    """AdaHedge from the mix loss -ln(sum w exp(-rate loss)) / rate of each bar."""
    bars, members = rewards.shape
    gap, result = 0.0, []
    for t in range(bars + 1):
        past = -rewards[:t].sum(axis=0)
        if gap == 0:
            w = (past == past.min()) / (past == past.min()).sum()
        else:
            w = np.exp(-math.log(members) / gap * (past - past.min()))
            w /= w.sum()
        result.append(w)
        if t < bars:
            loss = -rewards[t]
            if gap == 0:
                mixed = min(loss[w > 0])
            else:
                rate = math.log(members) / gap
                mixed = -math.log(float(w @ np.exp(-rate * loss))) / rate
            gap += max(0.0, float(w @ loss) - mixed)
    return np.array(result)


def test_adahedge_follows_its_definition_and_its_invariances() -> None:
    rewards = np.random.default_rng(0).integers(-3, 4, (60, 3)).astype(float)
    weights = adahedge(rewards)
    assert weights == pytest.approx(by_definition(rewards), abs=1e-9)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    changed = rewards.copy()
    changed[30:] *= -1
    assert np.array_equal(adahedge(changed)[:31], weights[:31]), "weights know the past alone"
    assert adahedge(8 * rewards) == pytest.approx(weights), "no range is assumed"
    assert adahedge(rewards + np.arange(60.0)[:, None]) == pytest.approx(weights, abs=1e-9), "only differences count"


def test_adahedge_keeps_its_regret_bound() -> None:
    """Corollary of the paper's theorem 8 for losses in [0, 1]."""
    generator = np.random.default_rng(1)
    bars, members = 2000, 4
    switching = (np.arange(bars)[:, None] // 250 + np.arange(members)) % 2
    for losses in (
        generator.random((bars, members)),
        generator.random((bars, members)) < [0.3, 0.5, 0.5, 0.7],
        switching,
    ):
        suffered = (adahedge(-1.0 * losses)[:-1] * losses).sum()
        best = losses.sum(axis=0).min()
        bound = 2 * math.sqrt(best * (bars - best) / bars * math.log(members)) + 16 / 3 * math.log(members) + 2
        assert suffered - best <= bound


def test_shares_are_the_probability_of_the_higher_mean() -> None:
    """Of independent normal rewards, against the normal distribution of the difference of their means."""
    draws = np.random.default_rng(2).normal(size=(400, 2))
    difference, error = draws[:, 1].mean() - draws[:, 0].mean(), math.sqrt(draws.var(axis=0).sum() / 400)
    shift = np.array([0.0, error - difference])  # the second is ahead by one standard error
    shares = shares_of_highest_mean(draws + shift, samples=5000, block_bars=1, seed=0)
    assert shares[1] == pytest.approx(0.8413, abs=0.03)
    assert shares.sum() == pytest.approx(1.0)
    same_series = np.repeat(draws[:, :1], 2, axis=1)
    assert shares_of_highest_mean(same_series, samples=100, block_bars=5, seed=0).tolist() == [0.5, 0.5]


def planted(seed: int) -> tuple[np.ndarray, Market]:
    """Rewards (2, symbols, bars): over the next bar the first member gains where column 0 is positive, else loses."""
    sign = np.where(market(seed).observations[..., 0] > 0, 1.0, -1.0)
    rewards = np.zeros((2, *sign.shape))
    rewards[0, :, 1:] = sign[:, :-1]
    return rewards, market(seed)


def test_a_selector_learns_who_earns_where() -> None:
    rewards, where = planted(seed=0)
    selector = fit_selector(SelectorConfig(kind="selector", horizon_bars=1, l2_penalty=0.01), rewards, where)
    _, unseen = planted(seed=5)
    rows = unseen.observations.reshape(-1, 2)
    clear = np.abs(rows[:, 0]) > 0.1
    assert np.array_equal(selector.outputs(rows).argmax(axis=1)[clear], (rows[:, 0] <= 0).astype(int)[clear])


@pytest.mark.parametrize("horizon", [1, 5, 20])
def test_a_selector_is_purged_by_its_horizon(horizon: int) -> None:
    """A bar counts if its whole horizon lies in the span, and by the rewards of that horizon alone."""
    rewards = np.random.default_rng(3).normal(size=(3, 2, 300))
    where = market()

    def fitted(given: np.ndarray, bars: slice | None = None) -> bytes:
        observations = where.observations.copy()
        if bars is not None:
            observations[:, bars, 0] += 1
        prices = np.stack([where.open, where.high, where.low, where.close], axis=2)
        other = Market(where.symbols, where.timestamps, prices, observations, where.observation_names)
        config = SelectorConfig(kind="selector", horizon_bars=horizon)
        return fit_selector(config, given, other).parameters.tobytes()

    whole = fitted(rewards)
    assert fitted(rewards, slice(300 - horizon, None)) == whole
    assert fitted(rewards, slice(300 - horizon - 1, None)) != whole
    first = rewards.copy()
    first[:, :, 0] += [[9.0], [0.0], [-9.0]]
    assert fitted(first) == whole, "the reward at the first bar was earned before any decision"
    last = rewards.copy()
    last[:, :, -1] += [[99.0], [0.0], [-99.0]]
    assert fitted(last) != whole


def test_a_selector_of_members_that_never_differ_is_refused() -> None:
    one = agent(4)
    with pytest.raises(UserError, match="expected bars of validation with 5 bars after them"):
        fit_ensemble(KINDS[3], {"first": one, "second": one}, market(9), seed=0)


def test_members_that_observe_different_things_are_refused() -> None:
    other = replace(agent(1), view=replace(VIEW, features=("column_1", "column_0")))
    with pytest.raises(UserError, match="observe the same, found a difference between first and second"):
        fit_ensemble(KINDS[0], {"first": agent(0), "second": other}, market(9), seed=0)
