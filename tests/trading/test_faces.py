"""Gymnasium environment, vector environment, simulation and single decision are one and the same kernel."""

import io
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from MLOps.config.schema import parse
from MLOps.config.trading import RewardConfig, TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Account, Action, Market, observation_columns, observe, simulate, target_shares
from MLOps.trading.environment import TradingEnv
from MLOps.trading.vector import TradingVecEnv
from tests.trading.sequences import random_market

SCHEMES = ("discrete", "shares", "weights")


def rules(scheme: Any = "discrete", **changes: Any) -> TradingConfig:
    values: dict[str, Any] = {"allow_short": scheme != "shares", "stop_loss": 0.03, "slippage_bps": 5.0}
    return TradingConfig(scheme=scheme, **(values | {"borrow_bps_per_bar": 1.0, "episode_bars": 20} | changes))


@pytest.fixture(scope="module")
def market() -> Market:
    return random_market(np.random.default_rng(0), 3, 200, ragged=True, missing=0.01)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_environment_is_a_gymnasium_environment(scheme: str, market: Market) -> None:
    with warnings.catch_warnings():
        # Unbounded observations are meant, and there is nothing to render.
        warnings.simplefilter("ignore")
        check_env(TradingEnv(market, rules(scheme)))
        check_env_for_sb3(TradingEnv(market, rules(scheme)))


@pytest.mark.parametrize("reward", ["pnl", "weighted", "differential_sharpe"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_vector_and_scalar_environments_agree_bit_for_bit(scheme: str, reward: str, market: Market) -> None:
    config = rules(scheme, reward=parse(RewardConfig, {"scheme": reward}, "reward"))
    vector = TradingVecEnv(market, config, n_envs=4, seed=11)
    scalars = [TradingEnv(market, config) for _ in range(4)]
    observations: Any = vector.reset()
    assert np.array_equal(observations, [env.reset(seed=11 + i)[0] for i, env in enumerate(scalars)])
    rng = np.random.default_rng(5)
    episodes = 0
    for _ in range(150):
        actions = rng.integers(0, 9, 4) if scheme == "discrete" else rng.uniform(-1, 1, (4, 3)).astype(np.float32)
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


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_environment_over_the_whole_span_is_the_simulation(scheme: str) -> None:
    market = random_market(np.random.default_rng(8), 1 if scheme == "discrete" else 3, 120)
    config = rules(scheme, episode_bars=None)
    rng = np.random.default_rng(1)
    actions = rng.integers(0, 9, (1, 120)) if scheme == "discrete" else rng.uniform(-1, 1, (3, 120)).astype(np.float32)
    seen: list[np.ndarray] = []

    def policy(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        seen.append(observations[0].copy())
        return actions[symbols, bar] if scheme == "discrete" else actions[None, :, bar]

    ledger = simulate(policy, market, config)
    env = TradingEnv(market, config)
    observation, _ = env.reset(seed=0)
    for bar in range(119):
        assert np.array_equal(observation, seen[bar])
        action = actions[0, bar] if scheme == "discrete" else actions[:, bar]
        observation, reward, terminated, truncated, info = env.step(action)
        assert (reward, info["equity"]) == (ledger.rewards[0, bar + 1], ledger.equity[0, bar + 1])
        assert info["timestamp"] == market.timestamps[bar + 1]
    assert truncated and not terminated


def test_one_decision_outside_an_episode_is_the_same_decision(market: Market) -> None:
    config = rules(max_position=0.7, lot_size=1.0, fee_fixed=1.0, stop_loss=None, episode_bars=None)
    env = TradingEnv(market, config)
    rng = np.random.default_rng(2)
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
            action = rng.integers(0, 9)
            target = target_shares(int(action), account, market.open[symbol, bar + 1], config)
            observation, _, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
            assert env.get_state()["holding.shares"][0, 0] == target


def test_the_observation_says_what_its_columns_promise() -> None:
    market = random_market(np.random.default_rng(4), n_bars=150)
    config = TradingConfig(episode_bars=None)
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
    config = rules("weights")
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
    unseen = ~(market.observable[:, :-1] & market.alive[:, 1:])
    assert not ledger.order_shares[:, 1:][unseen].any() and ledger.order_shares.any()


def copied(result: Any) -> list[np.ndarray]:
    """Observations, rewards and dones of a step, kept from being written anew."""
    return [part.copy() for part in result[:3]]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_saved_state_goes_on_exactly(scheme: str, market: Market) -> None:
    config = rules(scheme)
    env = TradingVecEnv(market, config, n_envs=3, seed=1)
    env.reset()
    rng = np.random.default_rng(0)
    shape = (60, 3) if scheme == "discrete" else (60, 3, 3)
    actions = rng.integers(0, 9, shape) if scheme == "discrete" else rng.uniform(-1, 1, shape).astype(np.float32)
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
    with pytest.raises(UserError, match="another market than this one of 3 symbols and 30 bars"):
        elsewhere.set_state(env.get_state() | {"account.stop": np.full(3, 150)})


def test_seeds_choose_the_episodes() -> None:
    market = random_market(np.random.default_rng(0), 3, 200)
    config = rules()

    def openings(env: TradingVecEnv) -> list[tuple[int, int]]:
        env.reset()
        state = env.get_state()
        return list(zip(state["holding.symbol"][:, 0].tolist(), state["account.start"].tolist(), strict=True))

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
    market.block.prices[0] = np.array([[10.0], [10.0], [10.0], [30.0], [30.0], [30.0]]) * np.ones(4)
    env = TradingEnv(market, TradingConfig(allow_short=True, fee_bps=0.0, episode_bars=None))
    env.reset(seed=0)
    env.step(Action.BUY_100)
    env.step(Action.REVERSE)
    _, reward, terminated, truncated, info = env.step(Action.HOLD)
    assert terminated and not truncated and reward == -10.0
    with pytest.raises(UserError, match="the episode is over"):
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
    portfolio = TradingVecEnv(market, rules("weights"), n_envs=2)
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

        def policy(observations: np.ndarray, symbols: np.ndarray, bar: int, answer: Any = answer) -> Any:
            return answer

        with pytest.raises(UserError, match=words):
            simulate(policy, random_market(np.random.default_rng(0), 3), rules())
    after = vector.get_state()
    assert all(np.array_equal(before[name], after[name], equal_nan=True) for name in before)


def test_bad_rules_are_told_in_words() -> None:
    cases = [
        ({"fee_bps": -1}, "fee_bps: should be greater than or equal to 0, found -1"),
        ({"max_position": 1.2}, "max_position: should be less than or equal to 1, found 1.2"),
        ({"stop_loss": 1.0}, "stop_loss: should be less than 1"),
        ({"initial_cash": 0}, "initial_cash: should be greater than 0"),
        ({"fill": "now"}, "fill: should be 'next_open' or 'close', found 'now'"),
        ({"reward": {"clip": -1}}, "reward.clip: should be greater than 0"),
        ({"slipage_bps": 1}, "unknown key 'slipage_bps'; did you mean 'slippage_bps'"),
        ({"scheme": "shares", "allow_short": True}, "the scheme 'shares' is long only"),
        ({"scheme": "shares", "lot_size": 0.5}, "the scheme 'shares' trades whole shares"),
        ({"fee_bps": float("nan")}, "fee_bps"),
    ]
    for values, words in cases:
        with pytest.raises(UserError, match=words):
            parse(TradingConfig, values, "params.yaml: trading")
    calm = random_market(np.random.default_rng(0))
    with pytest.raises(UserError, match="market has no turbulence"):
        TradingEnv(calm, TradingConfig(turbulence_stop=1.0))
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
