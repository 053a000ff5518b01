"""Gymnasium environment, vector environment, simulation and single decision are one and the same kernel."""

import io
import subprocess
import sys
import warnings
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from MLOps.config.schema import parse
from MLOps.config.trading import RewardConfig, TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Account, Action, Ledger, Market, observation_columns, observe, replay, simulate, target_shares
from MLOps.trading.environment import TradingEnv
from MLOps.trading.vector import TradingVecEnv
from tests.trading.sequences import KINDS, Sequence, random_actions, random_market, unlike_markets


def rules(scheme: Any = "discrete", account: Any = "per_symbol", **changes: Any) -> TradingConfig:
    values: dict[str, Any] = {"allow_short": scheme != "shares", "stop_loss": 0.03, "slippage_bps": 5.0}
    return TradingConfig(scheme=scheme, account=account, **(values | {"episode_bars": 20} | changes))


def some_actions(rng: np.random.Generator, config: TradingConfig, n_symbols: int, *shape: int) -> np.ndarray:
    """Actions of environments: (*shape,) of the nine, or (*shape, A) in [-1, 1]."""
    if config.scheme == "discrete":
        return rng.integers(0, 9, shape)
    assets = n_symbols if config.account == "portfolio" else 1
    return rng.uniform(-1, 1, (*shape, assets)).astype(np.float32)


@pytest.fixture(scope="module")
def market() -> Market:
    """Three symbols, of which some are listed late, end early and lack bars."""
    return random_market(np.random.default_rng(0), 3, 200, ragged=True, missing=0.01, outages=0.02)


@pytest.mark.parametrize(("scheme", "account"), KINDS)
def test_the_environment_is_a_gymnasium_environment(scheme: str, account: str, market: Market) -> None:
    with warnings.catch_warnings():
        # Unbounded observations are meant, and there is nothing to render.
        warnings.simplefilter("ignore")
        check_env(TradingEnv(market, rules(scheme, account)))
        check_env_for_sb3(TradingEnv(market, rules(scheme, account)))


@pytest.mark.parametrize("reward", ["pnl", "weighted", "differential_sharpe"])
@pytest.mark.parametrize(("scheme", "account"), KINDS)
def test_vector_and_scalar_environments_agree_bit_for_bit(
    scheme: str, account: str, reward: str, market: Market
) -> None:
    config = rules(scheme, account, reward=parse(RewardConfig, {"scheme": reward}, "reward"))
    vector = TradingVecEnv(market, config, n_envs=4, seed=11)
    scalars = [TradingEnv(market, config) for _ in range(4)]
    observations: Any = vector.reset()
    assert np.array_equal(observations, [env.reset(seed=11 + i)[0] for i, env in enumerate(scalars)])
    rng = np.random.default_rng(5)
    episodes = 0
    for _ in range(150):
        actions = some_actions(rng, config, 3, 4)
        observations, rewards, dones, infos = vector.step(actions)
        for i, env in enumerate(scalars):
            seen, reward_, terminated, truncated, told = env.step(actions[i])
            assert rewards[i] == np.float32(reward_) and dones[i] == (terminated or truncated)
            if dones[i]:
                assert np.array_equal(infos[i]["terminal_observation"], seen)
                assert infos[i]["TimeLimit.truncated"] == truncated
                assert (infos[i]["equity"], infos[i]["costs"]) == (told["equity"], told["costs"])
                seen, _ = env.reset()
                episodes += 1
            else:
                assert infos[i] == {}
            assert np.array_equal(observations[i], seen)
    assert episodes > 20


@pytest.mark.parametrize(("scheme", "account"), KINDS)
def test_the_environment_over_the_whole_span_is_the_simulation(scheme: str, account: str) -> None:
    """Gaps included: an account of one symbol is asked at the bars of its symbol only."""
    market = random_market(np.random.default_rng(8), 1 if account == "per_symbol" else 3, 120, outages=0.1)
    config = rules(scheme, account, episode_bars=None)
    actions = random_actions(np.random.default_rng(1), market, scheme, 0.0)
    seen: dict[int, np.ndarray] = {}

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        seen[bar] = observations[0].copy()
        return actions[symbols, bar] if account == "per_symbol" else actions[None, :, bar]

    ledger = simulate(policy, market, config)
    env = TradingEnv(market, config)
    observation, _ = env.reset(seed=0)
    truncated, steps = False, 0
    while not truncated:
        bar = int(env.get_state()["account.bar"][0])
        if bar in seen:
            assert np.array_equal(observation, seen.pop(bar))
        action = actions[0, bar] if scheme == "discrete" else actions[:, bar]
        observation, reward, terminated, truncated, info = env.step(action)
        arrival = int(env.get_state()["account.bar"][0])
        assert (reward, info["equity"]) == (ledger.rewards[0, arrival], ledger.equity[0, arrival])
        assert info["timestamp"] == market.timestamps[arrival]
        assert not terminated
        steps += 1
    assert not seen
    assert steps == (119 if account == "portfolio" else market.alive.sum() - 1) > 90


@pytest.mark.parametrize("scheme", ["discrete", "weights"])
def test_one_decision_outside_an_episode_is_the_same_decision(scheme: str, market: Market) -> None:
    # Without a fee for borrowing, which depends on the time to the next bar.
    limits: Any = {"max_position": 0.7, "lot_size": 1.0, "fee_fixed": 1.0, "stop_loss": None}
    config = rules(scheme, **limits, borrow_bps_per_year=0.0, episode_bars=None)
    env = TradingEnv(market, config)
    rng = np.random.default_rng(2)
    compared = 0
    for seed in range(10):
        observation, _ = env.reset(seed=seed)
        over = False
        while not over:
            state = {name: values.flat[0] for name, values in env.get_state().items()}
            symbol, bar = state["holding.symbol"], state["account.bar"]
            account = Account(
                state["account.cash"],
                state["holding.shares"],
                state["holding.entry_price"],
                state["holding.holding_bars"],
            )
            assert np.array_equal(
                observe(market.observations[symbol, bar], account, market.close[symbol, bar]), observation
            )
            action = some_actions(rng, config, 1)
            observation, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            state = {name: values.flat[0] for name, values in env.get_state().items()}
            opened = market.open[symbol, state["account.bar"]]
            if state["holding.exit_shares"] == 0:
                assert state["holding.shares"] == target_shares(action.item(), account, opened, config)
                compared += 1
    assert compared > 500
    with pytest.raises(UserError, match="expected an account of one symbol"):
        target_shares(0.5, Account(1.0), 1.0, rules("weights", "portfolio"))


def test_rounding_is_no_debt() -> None:
    """Spending all cash leaves a cash of -1.5e-11, which is 0; a cent below zero is a debt."""
    market = random_market(np.random.default_rng(3), 20, 60)
    ledger = simulate(
        lambda o, s, bar: np.full(len(s), Action.BUY_100), market, TradingConfig(scheme="discrete", slippage_bps=2.0)
    )
    accounts = [
        (Account(cash, shares), price)
        for cash, shares, price in zip(ledger.cash.flat, ledger.position.flat, ledger.close.flat, strict=True)
    ]
    assert min(account.cash for account, _ in accounts) < 0
    assert not any(account.overdrawn(price) for account, price in accounts)
    assert Account(-0.01, 1_000.0).overdrawn(100.0)
    assert Account(-0.01).overdrawn(100.0)


@pytest.mark.parametrize("scheme", ["discrete", "weights"])
def test_gaps_are_nothing_but_time(scheme: str) -> None:
    """An account whose symbol lacks bars is, bit for bit, the account of a market without those bars."""
    market = random_market(np.random.default_rng(5), 1, 300, missing=0.02, outages=0.1)
    own = np.flatnonzero(market.alive[0])
    prices = np.stack([market.open, market.high, market.low, market.close], axis=-1)[:, own]
    dense = Market(
        market.symbols, market.timestamps[own], prices, market.observations[:, own], market.observation_names
    )
    assert 150 < dense.n_bars < 260
    config = rules(scheme, borrow_bps_per_year=5_000.0)
    actions = random_actions(np.random.default_rng(6), market, scheme, 0.3)
    gappy = simulate(lambda o, symbols, bar: actions[symbols, bar], market, config)
    plain = simulate(lambda o, symbols, bar: actions[symbols, own[bar]], dense, config)
    for name in ("cash", "equity", "costs", "rewards", "position", "order_price", "exit_price", "actions", "tradable"):
        assert np.array_equal(getattr(gappy, name)[:, own], getattr(plain, name), equal_nan=True), name
    assert (gappy.position[:, own] < 0).any() and np.isfinite(gappy.exit_price).any()
    # In training too.
    one, other = TradingVecEnv(market, config, 4, seed=1), TradingVecEnv(dense, config, 4, seed=1)
    first: Any = one.reset()
    assert np.array_equal(first, other.reset())
    rng = np.random.default_rng(7)
    for _ in range(100):
        action = some_actions(rng, config, 1, 4)
        for left, right in zip(copied(one.step(action)), copied(other.step(action)), strict=True):
            assert np.array_equal(left, right)


def test_a_portfolio_that_trades_one_symbol_is_the_account_of_that_symbol() -> None:
    """So an order of a portfolio waits for the symbol's next bar as the order of the symbol's own account does."""
    market = random_market(np.random.default_rng(9), 3, 300, missing=0.02, outages=0.1, turbulence=True)
    limits: Any = {"allow_short": True, "stop_loss": 0.1, "max_participation": 0.5, "borrow_bps_per_year": 5_000.0}
    weights = random_actions(np.random.default_rng(6), market, "weights", 0.3)
    alone = TradingConfig(scheme="weights", **limits)
    together = TradingConfig(scheme="weights", account="portfolio", **limits)
    for symbol in range(3):
        only = np.full_like(weights, np.nan)
        only[symbol] = weights[symbol]
        own = simulate(Sequence(alone, market, only).policy, market, alone)
        joint = simulate(Sequence(together, market, only).policy, market, together)
        assert np.allclose(joint.equity[0], own.equity[symbol], rtol=1e-12)
        assert np.allclose(joint.position[symbol], own.position[symbol], rtol=1e-12)
        filled = np.isfinite(own.order_price[symbol])
        assert np.array_equal(np.isfinite(joint.order_price[symbol]), filled)
        # Some of them after a gap.
        assert (filled[1:] & ~market.alive[symbol, :-1]).sum() > 5
        assert not np.isfinite(np.delete(joint.order_price, symbol, axis=0)).any()


def test_a_newer_turbulence_stop_replaces_a_waiting_order() -> None:
    market = random_market(np.random.default_rng(0), 2, 6, turbulence=True)
    market.block.prices[0, 2:4] = np.nan
    market.block.flags[0, 2:4] = 0
    market.block.details[..., 2] = [0, 0, 1, 0, 0, 0]
    weights = np.full((2, 6), np.nan, np.float32)
    weights[:, 0], weights[0, 1] = (0.4, 0.4), 0.1

    def ledger(stop: float | None) -> Any:
        config = rules("weights", "portfolio", turbulence_stop=stop, stop_loss=None)
        return simulate(lambda o, s, bar: weights[None, :, bar], market, config)

    # Symbol 0 waits from bar 1 to bar 4; the turbulence of bar 2 closes symbol 1 at bar 3 and symbol 0 at bar 4.
    assert 0 < ledger(None).position[0, 4] < ledger(None).position[0, 3]
    assert ledger(0.5).position[0].tolist()[3:] == [ledger(None).position[0, 3], 0, 0]
    assert ledger(0.5).position[1].tolist()[2] > 0 and ledger(0.5).position[1].tolist()[3:] == [0, 0, 0]


def test_the_ledger_says_while_a_symbol_can_be_traded(market: Market) -> None:
    for scheme, account in KINDS:
        ledger = simulate(Idle(scheme, account), market, rules(scheme, account))
        for symbol in range(market.n_symbols):
            alive, seen = market.alive[symbol], market.observable[symbol]
            last = np.flatnonzero(alive)[-1]
            first = np.flatnonzero(seen[:last])[0]
            assert np.flatnonzero(ledger.tradable[symbol]).tolist() == list(range(first, last + 1))
    assert (simulate(Idle("discrete", "per_symbol"), market, rules()).tradable & ~market.alive).any()
    early = market.between(None, market.timestamps[3])
    ended = simulate(Idle("discrete", "per_symbol"), early, rules())
    assert not ended.tradable[~early.alive.any(axis=1)].any()
    assert set(ended.to_frame().columns).isdisjoint({"tradable"})


@pytest.mark.parametrize("account", ["per_symbol", "portfolio"])
@pytest.mark.parametrize("kind", unlike_markets())
def test_a_replay_is_the_simulation_of_a_policy_that_looks_at_nothing(kind: str, account: str) -> None:
    market, rng = unlike_markets()[kind], np.random.default_rng(3)
    limit = None if market.volume is None else 0.2
    for stop_loss, holding in ((None, 0.9), (0.01, 0.5), (0.05, 0.0)):
        config = rules("weights", account, stop_loss=stop_loss, max_participation=limit, fee_fixed=3.0)
        case = Sequence(config, market, random_actions(rng, market, "weights", holding))
        simulated, replayed = simulate(case.policy, market, config), replay(case.actions, market, config)
        for field in fields(Ledger):
            np.testing.assert_array_equal(getattr(replayed, field.name), getattr(simulated, field.name), field.name)
    with pytest.raises(UserError, match=r"expected trading\.scheme weights"):
        replay(case.actions, market, rules())
    with pytest.raises(UserError, match=r"in \[-1, 1\]"):
        replay(case.actions + 2, market, config)


class Idle:
    """Asks for no order."""

    def __init__(self, scheme: str, account: str) -> None:
        self.scheme, self.account = scheme, account

    def __call__(self, observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        if self.scheme == "discrete":
            return np.zeros(len(symbols), int)
        answer = np.full(len(symbols), np.nan if self.scheme == "weights" else 0.0)
        return answer if self.account == "per_symbol" else answer[None]


class Constant:
    """Always the same answer."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __call__(self, observations: np.ndarray, symbols: np.ndarray, bar: int) -> Any:
        return self.answer


def test_the_observation_says_what_its_columns_promise() -> None:
    market = random_market(np.random.default_rng(4), n_bars=150)
    config = TradingConfig(scheme="discrete", episode_bars=None)
    columns = observation_columns(market, config)
    assert list(columns) == ["f0", "f1", "position", "unrealised_pnl", "holding_bars", "cash_ratio"]
    env = TradingEnv(market, config)
    env.reset(seed=0)
    env.step(Action.BUY_50)
    for bars in range(2, 130):
        observation, *_, info = env.step(Action.HOLD)
        state = env.get_state()
        value = state["holding.shares"][0, 0] * market.close[0, bars]
        entry = market.open[0, 1]
        seen = {name: observation[i] for name, i in columns.items()}
        assert seen["f1"] == market.observations[0, bars, 1]
        assert seen["position"] == pytest.approx(value / info["equity"], rel=1e-6)
        assert seen["cash_ratio"] == pytest.approx(1 - value / info["equity"], rel=1e-6)
        assert seen["unrealised_pnl"] == pytest.approx(market.close[0, bars] / entry - 1, abs=1e-6)
        assert seen["holding_bars"] == pytest.approx(min(bars, 100) / 100)


def test_a_portfolio_masks_symbols_that_cannot_be_seen(market: Market) -> None:
    config = rules("weights", "portfolio")
    columns = observation_columns(market, config)

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        assert np.isfinite(observations).all()
        for symbol, name in enumerate(market.symbols):
            observable = market.observable[symbol, bar]
            assert observations[0, columns[f"{name}.observable"]] == observable
            expected = market.observations[symbol, bar, 0] if observable else 0.0
            assert observations[0, columns[f"{name}.f0"]] == expected
        return np.full((1, 3), 0.5, np.float32)

    ledger = simulate(policy, market, config)
    assert not ledger.order_shares[~market.alive].any()
    # What is decided at a bar without observations is no decision.
    blind = market.alive[:, :-1] & ~market.observable[:, :-1] & market.alive[:, 1:]
    assert blind.any() and not ledger.order_shares[:, 1:][blind].any() and ledger.order_shares.any()


def copied(result: Any) -> list[np.ndarray]:
    """Observations, rewards and dones of a step, kept from being written anew."""
    return [part.copy() for part in result[:3]]


@pytest.mark.parametrize(("scheme", "account"), KINDS)
def test_a_saved_state_goes_on_exactly(scheme: str, account: str, market: Market) -> None:
    config = rules(scheme, account)
    env = TradingVecEnv(market, config, n_envs=3, seed=1)
    env.reset()
    actions = some_actions(np.random.default_rng(0), config, 3, 60, 3)
    for action in actions[:30]:
        env.step(action)
    file = io.BytesIO()
    saved: dict[str, Any] = env.get_state()
    np.savez(file, **saved)
    first = [copied(env.step(action)) for action in actions[30:]]
    file.seek(0)
    other = TradingVecEnv(market, config, n_envs=3, seed=99)
    with np.load(file, allow_pickle=False) as state:
        other.set_state(dict(state))
    second = [copied(other.step(action)) for action in actions[30:]]
    for one, two in zip(first, second, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    with pytest.raises(UserError, match=r"account.cash, float64 of shape \(2,\), found float64 of shape \(3,\)"):
        TradingVecEnv(market, config, n_envs=2).set_state(env.get_state())
    elsewhere = TradingVecEnv(random_market(np.random.default_rng(0), 3, 30), config, n_envs=3)
    with pytest.raises(UserError, match="expected indices within 3 symbols and 30 bars"):
        elsewhere.set_state(env.get_state() | {"account.stop": np.full(3, 150)})


def test_seeds_choose_the_episodes() -> None:
    market = random_market(np.random.default_rng(0), 3, 200)
    config = rules()

    def openings(env: TradingVecEnv) -> list[tuple[int, int]]:
        env.reset()
        state = env.get_state()
        return list(zip(state["holding.symbol"][:, 0].tolist(), state["account.bar"].tolist(), strict=True))

    env = TradingVecEnv(market, config, n_envs=500, seed=3)
    first, second = openings(env), openings(env)
    env.seed(3)
    assert first != second and openings(env) == first
    assert openings(TradingVecEnv(market, config, n_envs=500, seed=4)) != first
    # Every symbol, and starts from the first bar to the last that leaves a whole episode.
    assert {symbol for symbol, _ in first} == {0, 1, 2}
    assert min(bar for _, bar in first + second) < 5 and 174 < max(bar for _, bar in first + second) <= 179


def test_bankruptcy_is_a_termination_and_the_end_a_truncation() -> None:
    market = random_market(np.random.default_rng(0), n_bars=6)
    market.block.prices[0] = np.array([[10.0], [10.0], [10.0], [30.0], [30.0], [30.0]])
    env = TradingEnv(
        market,
        TradingConfig(scheme="discrete", allow_short=True, fee_bps=0.0, borrow_bps_per_year=0.0, episode_bars=None),
    )
    env.reset(seed=0)
    env.step(Action.BUY_100)
    env.step(Action.REVERSE)
    _, reward, terminated, truncated, info = env.step(Action.HOLD)
    assert terminated and not truncated and reward == -10.0
    with pytest.raises(UserError, match="the episode has ended"):
        env.step(Action.HOLD)
    assert info["equity"] == pytest.approx(-100_000.0)
    env.reset()
    ends = [env.step(Action.HOLD)[2:4] for _ in range(5)]
    assert ends == [(False, False)] * 4 + [(False, True)]


def test_ppo_bootstraps_what_was_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a critic that says 1 everywhere, stable-baselines3 adds gamma to the reward of each truncated step."""
    market = random_market(np.random.default_rng(0), n_bars=200)
    env = TradingVecEnv(market, rules(episode_bars=8, initial_cash=1e5), n_envs=4)
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=64, n_epochs=1, gamma=0.5, seed=0)
    for parameter in model.policy.value_net.parameters():
        parameter.data.zero_()
    model.policy.value_net.bias.data.fill_(1.0)
    monkeypatch.setattr(model, "train", lambda: None)
    raw: list[np.ndarray] = []
    step_wait = env.step_wait

    def recorded() -> Any:
        result = step_wait()
        raw.append(result[1].copy())
        return result

    monkeypatch.setattr(env, "step_wait", recorded)
    model.learn(64)
    added = model.rollout_buffer.rewards - np.array(raw)
    ends = np.zeros((16, 4))
    ends[[7, 15]] = 0.5
    assert np.allclose(added, ends, atol=1e-6)
    episodes: Any = model.ep_info_buffer
    assert [episode["l"] for episode in episodes] == [8] * 8


def test_wrong_actions_are_told_before_anything_moves(market: Market) -> None:
    vector = TradingVecEnv(market, rules(), n_envs=2)
    vector.reset()
    before = vector.get_state()
    cases = [
        (np.zeros(3, int), r"whole numbers of shape \(2,\), found int64 of shape \(3,\)"),
        (np.zeros((2, 1), int), r"found int64 of shape \(2, 1\)"),
        (np.zeros(2), "found float64"),
        (np.array([0, 9]), "expected every action in Discrete"),
        (np.array([-1, 0]), "expected every action in Discrete"),
    ]
    for actions, words in cases:
        with pytest.raises(UserError, match=words):
            vector.step(actions)
    portfolio = TradingVecEnv(market, rules("weights", "portfolio"), n_envs=2)
    portfolio.reset()
    with pytest.raises(UserError, match=r"numbers of shape \(2, 3\)"):
        portfolio.step(np.zeros((2, 2), np.float32))
    with pytest.raises(UserError, match="expected every action in Box"):
        portfolio.step(np.full((2, 3), np.nan, np.float32))
    env = TradingEnv(market, rules())
    env.reset(seed=0)
    with pytest.raises(UserError, match="expected an action in Discrete"):
        env.step(9)
    answers: list[tuple[Any, str]] = [(np.zeros(1), "whole"), (np.full(3, 9), "one of"), (None, "expected actions")]
    for answer, words in answers:
        with pytest.raises(UserError, match=words):
            simulate(Constant(answer), random_market(np.random.default_rng(0), 3), rules())
    outside: list[tuple[TradingConfig, Any, str]] = [
        (rules("weights"), np.full(3, 1.5), r"in \[-1, 1\], or NaN for no order, found \[1.5"),
        (rules("shares", "portfolio"), np.full((1, 3), np.nan), r"in \[-1, 1\], found \[\[nan"),
    ]
    for config, answer, words in outside:
        with pytest.raises(UserError, match=words):
            simulate(Constant(answer), random_market(np.random.default_rng(0), 3), config)
    after = vector.get_state()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def test_bad_rules_are_told_in_words() -> None:
    cases = [
        ({"fee_bps": -1}, "fee_bps: should be greater than or equal to 0, found -1"),
        ({"max_position": 1.2}, "max_position: should be less than or equal to 1, found 1.2"),
        ({"stop_loss": 1.0}, "stop_loss: should be less than 1"),
        ({"initial_cash": 0}, "initial_cash: should be greater than 0"),
        ({"fill": "now"}, "fill: unknown value 'now'; known here: close, next_open"),
        ({"reward": {"clip": -1}}, "reward.clip: should be greater than 0"),
        ({"slipage_bps": 1}, "unknown key 'slipage_bps'; did you mean 'slippage_bps'"),
        (
            {"scheme": "shares"},
            "the scheme 'shares' does not work with account 'per_symbol'; set account to 'portfolio'",
        ),
        ({"account": "portfolio"}, "the scheme 'targets' does not work with account 'portfolio'"),
        ({"targets": [-1, 0, 1]}, "-1.0 is a short position; set allow_short to true or remove negative targets"),
        ({"targets": [0, 0.5, 0.5]}, "expected different positions"),
        ({"targets": [0, 2]}, "targets.1: should be less than or equal to 1, found 2"),
        ({"targets": [1]}, "targets"),
        ({"scheme": "shares", "account": "portfolio", "allow_short": True}, "the scheme 'shares' is long only"),
        ({"scheme": "shares", "account": "portfolio", "lot_size": 0.5}, "the scheme 'shares' trades whole shares"),
        ({"max_gross": 0.5}, "max_gross limits the weights of a portfolio, found scheme 'targets' with account"),
        ({"borrow_bps_per_bar": 1.0}, "unknown key 'borrow_bps_per_bar'; did you mean 'borrow_bps_per_year'"),
        ({"maintenance_margin": 1.0}, "maintenance_margin: should be less than 1"),
        ({"max_participation": 0.0}, "max_participation: should be greater than 0"),
        ({"delisting_loss": 1.1}, "delisting_loss: should be less than or equal to 1"),
        ({"fee_bps": float("nan")}, "fee_bps"),
    ]
    for values, words in cases:
        with pytest.raises(UserError, match=words):
            parse(TradingConfig, values, "params.yaml: trading")
    calm = random_market(np.random.default_rng(0))
    with pytest.raises(UserError, match="market has no turbulence"):
        TradingEnv(calm, TradingConfig(turbulence_stop=1.0))
    prices = np.ones((1, 5, 4))
    silent = Market(("A",), calm.timestamps[:5], prices, np.zeros((1, 5, 1), np.float32), ("f",))
    for face in (TradingEnv, lambda market, config: simulate(Idle("discrete", "per_symbol"), market, config)):
        with pytest.raises(UserError, match="max_participation is set, but the market lacks the volume"):
            face(silent, TradingConfig(max_participation=0.1))
    with pytest.raises(UserError, match="at least one environment, found 0"):
        TradingVecEnv(calm, TradingConfig(), n_envs=0)
    with pytest.raises(UserError, match="no episode can start"):
        TradingEnv(random_market(np.random.default_rng(0), missing=1.0), TradingConfig())


@pytest.mark.slow
def test_a_second_process_compiles_nothing() -> None:
    code = """
import numpy as np
from MLOps.trading import kernel
from MLOps.trading.vector import TradingVecEnv
from MLOps.config.trading import TradingConfig
from tests.trading.sequences import random_market
env = TradingVecEnv(random_market(np.random.default_rng(0), n_bars=300), TradingConfig(), n_envs=2)
env.reset(); env.step(np.zeros(2, int))
stats = kernel.step_episodes.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""
    command = [sys.executable, "-c", code]
    _, second = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(2))
    assert second.stdout.split() == ["1", "0"]
