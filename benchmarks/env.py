"""How fast the trading environment steps, beside the public ones, in one run on one machine.

    python -m benchmarks.env --json FILE [--finrl PATH]

Measured are environment steps per second through stable-baselines3's VecEnv interface with random actions, for 16 and
4 096 environments, and frames per second of PPO from end to end. Every environment observes about 22 numbers on the
same random walks; the public ones run under DummyVecEnv and SubprocVecEnv, and their better figure counts.

The peers are not requirements of this project; what is not installed is left out of the table and null in the file.
gym-trading-env pins old versions of packages that it does not need to step, so it is installed without them, and apart:

    pip install --no-deps --target peers gym-anytrading gym-trading-env nest_asyncio pyecharts simplejson
    PYTHONPATH=peers python -m benchmarks.env --json env.json --finrl ../FinRL

FinRL's StockTradingEnv is loaded from the checkout at PATH (https://github.com/AI4Finance-Foundation/FinRL); nothing
else of FinRL needs to be installed.

The file is flat:

- `steps_per_s_16`, `steps_per_s_4096`: ours.
- `ratio_gym_anytrading_16`, `ratio_gym_trading_env_16`, `ratio_finrl_16`: ours / theirs.
- `extra_rss_mib_4096`: what 4 096 environments over 5 symbols x 10 000 bars x 30 features take beside the market
  itself, compiled code included.
- `ppo_fps_same`, `ratio_ppo_finrl_same`: PPO at FinRL's setting, 2 048 frames a rollout, batch 128, 10 epochs; for
  FinRL with the one environment that it makes by itself or with 16, whichever is faster.
- `ppo_fps_ours`, `ratio_ppo_finrl_ours`: our PPO at 64 environments, batch 2 048 and 5 epochs, against the same FinRL.
- `ppo_fps_masked`: the same with MaskablePPO and the nine actions; all others choose target positions.

Networks this small train fastest on one thread, so all of them do.
"""

import argparse
import importlib.util
import json
import multiprocessing
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from MLOps.config.trading import TradingConfig
from MLOps.trading import Market
from MLOps.trading.vector import TradingVecEnv

MIB = 2**20
SYMBOLS, BARS, FEATURES = 5, 10_000, 18
# FinRL's PPO: batch and epochs of its tutorials, the rest of its configuration file.
FINRL_PPO = {"batch_size": 128, "n_epochs": 10, "ent_coef": 0.01, "learning_rate": 0.00025}
OUR_PPO = {"batch_size": 2_048, "n_epochs": 5, "n_steps": 128}
Maker = Callable[[], Any]


def market(n_bars: int = BARS, n_features: int = FEATURES) -> Market:
    """Random walks with random observations."""
    rng = np.random.default_rng(0)
    shape = (SYMBOLS, n_bars)
    moves = rng.normal(0, 0.01, shape)
    close = 100 * np.exp(np.cumsum(moves, axis=1))
    open_ = close / np.exp(moves)
    prices = np.stack([open_, np.maximum(open_, close) * 1.002, np.minimum(open_, close) / 1.002, close], axis=-1)
    return Market(
        tuple(f"S{i}" for i in range(SYMBOLS)),
        np.datetime64("2000-01-01", "ns") + np.arange(n_bars) * np.timedelta64(1, "h"),
        prices,
        rng.normal(size=(*shape, n_features)).astype(np.float32),
        tuple(f"feature_{i}" for i in range(n_features)),
    )


# The peers: each a maker of one environment, or None where it is not installed --------------------------------------


def gym_anytrading(n_bars: int) -> Maker | None:
    if importlib.util.find_spec("gym_anytrading") is None:
        return None
    frame = pd.DataFrame({"Close": market(n_bars).close[0]})

    def make() -> Any:
        from gym_anytrading.envs import StocksEnv

        # A window of 11 bars of price and change: 22 numbers.
        return StocksEnv(frame, window_size=11, frame_bound=(11, n_bars))

    return make


def gym_trading_env(n_bars: int) -> Maker | None:
    if importlib.util.find_spec("gym_trading_env") is None:
        return None
    source = market(n_bars)
    columns = {name: getattr(source, name)[0] for name in ("open", "high", "low", "close")}
    columns |= {name: source.observations[0, :, i] for i, name in enumerate(source.observation_names)}
    frame = pd.DataFrame(columns, index=pd.DatetimeIndex(source.timestamps))

    def make() -> Any:
        from gym_trading_env.environments import TradingEnv

        # Nine positions as we have nine actions, 18 features and its own two columns.
        positions = np.linspace(-1, 1, 9).tolist()
        duration = min(252, n_bars // 2)
        return TradingEnv(frame, positions, trading_fees=0.001, verbose=0, max_episode_duration=duration)

    return make


def finrl(n_bars: int, checkout: Path | None) -> Maker | None:
    if checkout is None:
        return None
    path = checkout / "finrl" / "meta" / "env_stock_trading" / "env_stocktrading.py"
    if not path.is_file():
        sys.exit(f"{checkout}: expected a FinRL checkout, which holds {path.relative_to(checkout)}")
    source = market(n_bars)
    parts = []
    for i, symbol in enumerate(source.symbols):
        columns = {"date": source.timestamps, "tic": symbol, "close": source.close[i], "day": np.arange(n_bars)}
        parts.append(pd.DataFrame(columns | {f"f{j}": source.observations[i, :, j] for j in range(2)}))
    frame = pd.concat(parts).sort_values(["day", "tic"]).set_index("day")

    def make() -> Any:
        spec = importlib.util.spec_from_file_location("env_stocktrading", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        # Cash, five prices, five positions and two indicators for each: 21 numbers.
        return module.StockTradingEnv(
            df=frame,
            stock_dim=SYMBOLS,
            hmax=100,
            initial_amount=100_000,
            num_stock_shares=[0] * SYMBOLS,
            buy_cost_pct=[0.001] * SYMBOLS,
            sell_cost_pct=[0.001] * SYMBOLS,
            reward_scaling=1e-4,
            state_space=1 + 4 * SYMBOLS,
            action_space=SYMBOLS,
            tech_indicator_list=["f0", "f1"],
            print_verbosity=10**9,
        )

    return make


# Measures -----------------------------------------------------------------------------------------------------------


def steps_per_second(env: VecEnv, seconds: float, rounds: int = 5) -> float:
    """The median over `rounds` of `seconds` each; actions are drawn beforehand."""
    env.seed(0)
    env.reset()
    env.action_space.seed(0)
    actions = [np.array([env.action_space.sample() for _ in range(env.num_envs)]) for _ in range(16)]
    env.step(actions[0])
    rates = []
    for _ in range(rounds):
        steps, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            env.step(actions[steps % len(actions)])
            steps += 1
        rates.append(steps * env.num_envs / elapsed)
    return statistics.median(rates)


def extra_rss_mib(n_envs: int) -> float:
    """Resident memory that environments add to a process which already holds the market."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_measure_rss, args=(n_envs, sender))
    process.start()
    result: float = receiver.recv()
    process.join()
    return result


def _measure_rss(n_envs: int, sender: Any) -> None:
    source = market(n_features=30)
    before = psutil.Process().memory_info().rss
    env = TradingVecEnv(source, TradingConfig(), n_envs)
    env.reset()
    actions = np.random.default_rng(0).integers(0, len(TradingConfig().targets), n_envs)
    for _ in range(300):
        env.step(actions)
    sender.send((psutil.Process().memory_info().rss - before) / MIB)


def ppo_frames_per_second(
    env: VecEnv, settings: dict[str, Any], rollouts: int, algorithm: type[PPO | MaskablePPO] = PPO
) -> float:
    """Frames per second of training a [64, 64] network, after one rollout to warm up."""
    model = algorithm("MlpPolicy", env, policy_kwargs={"net_arch": [64, 64]}, device="cpu", seed=0, **settings)
    frames = settings["n_steps"] * env.num_envs
    model.learn(frames)
    start = time.perf_counter()
    model.learn(rollouts * frames)
    return rollouts * frames / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="where the figures are written")
    parser.add_argument("--finrl", type=Path, help="a checkout of FinRL")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    figures: dict[str, float | None] = {}

    config = TradingConfig(episode_bars=252)
    ours = market()
    print(f"{'environment':<18} {'setting':<34} {'steps/s':>14}")
    few, many = (
        _report("ours", f"{n_envs} environments", steps_per_second(TradingVecEnv(ours, config, n_envs), seconds=1.0))
        for n_envs in (16, 4_096)
    )
    figures |= {"steps_per_s_16": few, "steps_per_s_4096": many}

    makers = {
        "gym_anytrading": gym_anytrading,
        "gym_trading_env": gym_trading_env,
        "finrl": lambda n_bars: finrl(n_bars, options.finrl),
    }
    for name, peer in makers.items():
        figures[f"ratio_{name}_16"] = None
        make = peer(BARS)
        if make is None:
            continue
        best = 0.0
        for kind in (DummyVecEnv, SubprocVecEnv):
            env = kind([make] * 16)
            rate = _report(name, f"16 environments, {kind.__name__}", steps_per_second(env, seconds=1.0, rounds=3))
            env.close()
            best = max(best, rate)
        figures[f"ratio_{name}_16"] = few / best
        # 4 096 processes do not fit a machine, nor do as many copies of a long market.
        make = peer(500)
        assert make is not None
        env = DummyVecEnv([make] * 4_096)
        _report(name, "4096 environments, DummyVecEnv", steps_per_second(env, seconds=0.1, rounds=1))
        env.close()

    figures["extra_rss_mib_4096"] = extra = extra_rss_mib(4_096)
    print(f"4 096 environments take {extra:.0f} MiB beside the market")

    _report_ppo(ours, options.finrl, figures)
    options.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(f"\n{json.dumps(figures, indent=2)}")


def _report_ppo(ours: Market, checkout: Path | None, figures: dict[str, float | None]) -> None:
    """Train PPO on our environments and FinRL's; add its figures."""
    config = TradingConfig(episode_bars=252)
    print(f"{'PPO [64, 64]':<18} {'setting':<34} {'frames/s':>14}")
    settings = FINRL_PPO | {"n_steps": 128}
    rate = ppo_frames_per_second(TradingVecEnv(ours, config, 16), settings, rollouts=16)
    figures["ppo_fps_same"] = same = _report("ours", "FinRL's, 16 x 128", rate)
    rate = ppo_frames_per_second(TradingVecEnv(ours, config, 64), OUR_PPO, rollouts=16)
    figures["ppo_fps_ours"] = best_of_ours = _report("ours", "ours, 64 x 128", rate)
    nine = TradingVecEnv(ours, TradingConfig(scheme="discrete", episode_bars=252), 64)
    rate = ppo_frames_per_second(nine, OUR_PPO, rollouts=16, algorithm=MaskablePPO)
    figures["ppo_fps_masked"] = _report("ours", "nine actions, mask, 64 x 128", rate)
    figures["ratio_ppo_finrl_same"] = figures["ratio_ppo_finrl_ours"] = None
    make = finrl(BARS, checkout)
    if make is not None:
        rate = ppo_frames_per_second(DummyVecEnv([make]), FINRL_PPO | {"n_steps": 2_048}, rollouts=3)
        best = _report("finrl", "FinRL's, 1 x 2048", rate)
        rate = ppo_frames_per_second(DummyVecEnv([make] * 16), settings, rollouts=3)
        best = max(best, _report("finrl", "FinRL's, 16 x 128", rate))
        figures["ratio_ppo_finrl_same"] = same / best
        figures["ratio_ppo_finrl_ours"] = best_of_ours / best


def _report(name: str, setting: str, value: float) -> float:
    print(f"{name:<18} {setting:<34} {value:>14,.0f}", flush=True)
    return value


if __name__ == "__main__":
    main()
