"""How much of what can be earned the agents earn, and what training, decisions and backtests cost.

    python -m benchmarks.agents --json FILE [--only easy|costly|curriculum|zero|decide|wide|backtest]
                                [--algorithms ppo,a2c,…] [--seeds N] [--first-seed N]

The markets have a planted edge, and dynamic programming finds the best policy on them; benchmarks/planted.py describes
both. A share is the score of an agent over the score of the best policy, both through the kernel on the same held-out
data; a score is the mean over bars of exposure × true drift - costs, which cuts the noise of the returns. Under the
scheme `discrete` the best policy acts by the nine actions too, which cannot rebalance a short position. Each seed is
another market, training and held-out alike, as well as another agent. Parameters are those of benchmarks/agents.yaml,
chosen on the seeds from 100 on; reported are the seeds from 0 on. `default` is the agent `ppo` of params.yaml, with
only its observation and its number of frames changed; targets are those of params.yaml. All train on one thread, and
CPU seconds include the evaluations on validation data during training.

The file is flat:

- `share_easy_<algorithm>`, `share_costly_<algorithm>`: the median over the seeds, with `_min`, `_max` and one value a
  seed, `_seed_<n>`; `seconds_…` the most CPU seconds of a training; `frames_per_second_…` per CPU second, the median.
- `share_curriculum_<name>`: likewise, of the agent `default` on the costly market with each curriculum of
  benchmarks/curricula.yaml, all after the same number of frames, CURRICULUM_FRAMES. `plain` has none. All observe the
  forecaster's uncertainty besides.
- `optimum_easy_bps`: the value of the dynamic programme; `optimum_easy_ratio`: what its policy earns in the kernel over
  that value, and `_standard_error`; `rule_easy`: the share of going long where a rise is likelier and short elsewhere;
  `nine_actions_easy`: that of the best policy by the nine actions.
- `zero_edge_t_<algorithm>`: the t statistic of the mean reward over 20 held-out random walks, of an agent trained on
  random walks with worthless forecasts; the largest of the seeds.
- `decide_us_64`, `decide_us_1280`: a decision on 26 columns by networks of [64, 64] and [1280, 640], one row a call.
  `_batch`: a row of 512.
- `seconds_ppo_1280`: wall seconds of 150 000 frames of PPO with [1280, 640] networks, batch 2 048, 20 epochs a rollout,
  on all cores, in bfloat16 where the processor has it, else float32; `_small_critic`: with a critic of [256, 256].
- `backtest_500_seconds`: 500 symbols × 2 500 bars with a [64, 64] agent beside loading; and
  `backtest_500_cpu_seconds`, which a busy machine stretches less.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
import yaml
from scipy import stats

from benchmarks.planted import COLUMNS, Optimum, Planted, Task, plant, scores_bps, solve, with_uncertainty
from MLOps.agents.network import PolicyNetwork
from MLOps.agents.observations import MarketView
from MLOps.agents.policy import Agent
from MLOps.agents.training import train
from MLOps.config.agents import CurriculumStage, PolicyAndValue, parse_agent
from MLOps.config.schema import parse
from MLOps.config.trading import TradingConfig
from MLOps.evaluation.plots import STYLE
from MLOps.features.scaler import Scaler
from MLOps.trading import Action, Market, simulate
from MLOps.trading.simulation import Policy

VARIANTS, CURRICULA = Path(__file__).with_name("agents.yaml"), Path(__file__).with_name("curricula.yaml")
PARAMS = Path(__file__).parents[1] / "params.yaml"
TASKS = {
    "easy": Task(edge_bps=40, regime_bars=20, fee_bps=10),
    # Rebalancing a short position every bar would cost a tenth of what can be earned.
    "costly": Task(edge_bps=15, regime_bars=5, fee_bps=20, slippage_bps=7, rebalance_band=0.1),
    "zero": Task(edge_bps=0, regime_bars=20, fee_bps=10),
}
PARTS = ("easy", "costly", "curriculum", "zero", "decide", "wide", "backtest")
# Markets of one seed, each drawn by a generator of its own, and their symbols and bars.
TRAINING, VALIDATION, HELD_OUT = range(3)
SIZES = ((50, 2_000), (100, 1_000), (200, 2_000))
WALKS = (20, 2_000)  # held out without an edge
EVALUATIONS = 5  # on validation in a training
# An eighth of what the default agent has on the costly market: a curriculum is to learn sooner.
CURRICULUM_FRAMES = 100_000
DECISION_COLUMNS = 26
ROUNDS = 50  # of each timing


@cache
def planted(task: str, part: int, seed: int, uncertainty: bool = False) -> Planted:
    if uncertainty:
        return with_uncertainty(planted(task, part, seed))
    symbols, bars = WALKS if task == "zero" and part == HELD_OUT else SIZES[part]
    return plant(TASKS[task], symbols, bars, seed=len(SIZES) * seed + part)


@cache
def optimum(task: str) -> Optimum:
    return solve(TASKS[task])


def rule(observations: np.ndarray, *_: Any) -> np.ndarray:
    """Long where a rise is likelier, short elsewhere."""
    return np.sign(observations[:, 0])


def in_nine_actions(policy: Policy) -> Policy:
    """A policy over positions -1, 0 and 1 by orders of the scheme `discrete`, which cannot add to a short position."""

    def act(observations: np.ndarray, symbols: np.ndarray, bar: int) -> np.ndarray:
        target, held = policy(observations, symbols, bar), observations[:, len(COLUMNS)]
        # Only REVERSE opens a short position, and only from a long one.
        opens = np.where((target > 0) | ((target < 0) & (held == 0)), Action.BUY_100, Action.HOLD)
        return np.where(target * held < 0, Action.REVERSE, opens)

    return act


# Learning -----------------------------------------------------------------------------------------------------------


def variants() -> dict[str, dict[str, Any]]:
    """By name: `trading`, the scheme; `agent`, its section, for which `default` has that of params.yaml; and
    `total_timesteps` by task."""
    loaded: dict[str, dict[str, Any]] = yaml.safe_load(VARIANTS.read_text())
    return loaded


def configured(algorithm: str, task: str) -> tuple[Any, TradingConfig]:
    """The agent's section and the rules it acts under."""
    variant = variants()[algorithm]
    params = yaml.safe_load(PARAMS.read_text())
    own = variant.get("agent", params["agents"]["ppo"])
    changes = {"observe": {"features": list(COLUMNS)}}
    changes |= lasting(variant["total_timesteps"]["easy" if task == "zero" else task])
    trading = {"targets": tuple(params["trading"]["targets"]), **variant["trading"]}
    return parse_agent({**own, **changes}, f"agents.{algorithm}"), TASKS[task].trading(**trading)


def lasting(frames: int) -> dict[str, Any]:
    """Parameters of a training of so many frames."""
    return {"total_timesteps": frames, "evaluate_every_steps": frames // EVALUATIONS}


def curricula() -> dict[str, tuple[CurriculumStage, ...]]:
    """By name, the stages of each curriculum."""
    loaded: dict[str, Any] = yaml.safe_load(CURRICULA.read_text())
    where = CURRICULA.name
    return {
        name: tuple(parse(CurriculumStage, stage, f"{where}: {name}") for stage in stages)
        for name, stages in loaded.items()
    }


def learn(agent: Any, trading: TradingConfig, task: str, seed: int, uncertainty: bool = False) -> tuple[Agent, float]:
    """A trained agent, and the CPU seconds that it took."""
    market, validation = (planted(task, part, seed, uncertainty).market for part in (TRAINING, VALIDATION))
    zeros, ones = np.zeros(len(COLUMNS), np.float32), np.ones(len(COLUMNS), np.float32)
    view = MarketView(COLUMNS, (), Scaler(median=zeros, mean=zeros, std=ones))
    start = time.process_time()
    learnt, _ = train(agent, view, market, validation, trading, seed, lambda *_: None)
    return learnt, time.process_time() - start


def mean_score(policy: Policy, task: str, seed: int, trading: TradingConfig, uncertainty: bool = False) -> float:
    held_out = planted(task, HELD_OUT, seed, uncertainty)
    return float(scores_bps(simulate(policy, held_out.market, trading), held_out).mean())


@cache
def best_score(task: str, seed: int, scheme: str) -> float:
    """Of the best policy through the kernel."""
    if scheme == "discrete":
        return mean_score(in_nine_actions(optimum(task).policy), task, seed, TASKS[task].trading(scheme="discrete"))
    return mean_score(optimum(task).policy, task, seed, TASKS[task].trading(scheme="weights"))


def shares(
    name: str, agent: Any, trading: TradingConfig, task: str, seeds: range, uncertainty: bool = False
) -> dict[str, float]:
    """Shares of the optimum by seed, and what the training took."""
    found, seconds = [], []
    for seed in seeds:
        learnt, taken = learn(agent, trading, task, seed, uncertainty)
        score = mean_score(learnt.policy(), task, seed, trading, uncertainty)
        found.append(score / best_score(task, seed, trading.scheme))
        seconds.append(taken)
        print(f"{name:<24} seed {seed:>3} share {found[-1]:.3f} in {taken:.1f} CPU s", file=sys.stderr, flush=True)
    return {
        f"share_{name}": statistics.median(found),
        f"share_{name}_min": min(found),
        f"share_{name}_max": max(found),
        **{f"share_{name}_seed_{seed}": share for seed, share in zip(seeds, found, strict=True)},
        f"seconds_{name}": max(seconds),
        f"frames_per_second_{name}": agent.total_timesteps / statistics.median(seconds),
    }


def with_curricula(seeds: range) -> dict[str, float]:
    """Shares of the optimum of the default agent on the costly market after equal frames, by curriculum."""
    agent, trading = configured("default", "costly")
    figures: dict[str, float] = {}
    for name, stages in curricula().items():
        setting = replace(agent, curriculum=stages, **lasting(CURRICULUM_FRAMES))
        figures |= shares(f"curriculum_{name}", setting, trading, "costly", seeds, uncertainty=True)
    return figures


def references(task: str, seeds: range) -> dict[str, float]:
    """The dynamic programme's value, what its policy earns in the kernel, and the share of the plain rule."""
    weights, value = TASKS[task].trading(scheme="weights"), optimum(task).average_bps
    scores, rules, nine = [], [], []
    for seed in seeds:
        held_out = planted(task, HELD_OUT, seed)
        scores.append(scores_bps(simulate(optimum(task).policy, held_out.market, weights), held_out))
        rules.append(mean_score(rule, task, seed, weights) / scores[-1].mean())
        nine.append(best_score(task, seed, "discrete") / scores[-1].mean())
    ratios = np.concatenate(scores) / value
    return {
        f"optimum_{task}_bps": value,
        f"optimum_{task}_ratio": float(ratios.mean()),
        f"optimum_{task}_ratio_standard_error": float(stats.sem(ratios)),
        f"rule_{task}": statistics.median(rules),
        f"nine_actions_{task}": statistics.median(nine),
    }


def zero_edge(algorithm: str, seeds: range) -> dict[str, float]:
    """The t statistic of the mean reward a walk."""
    agent, trading = configured(algorithm, "zero")
    found = []
    for seed in seeds:
        learnt, _ = learn(agent, trading, "zero", seed)
        rewards = simulate(learnt.policy(), planted("zero", HELD_OUT, seed).market, trading).rewards.mean(axis=1)
        # An agent that never trades earns nothing in any walk.
        found.append(float(stats.ttest_1samp(rewards, 0.0).statistic) if rewards.any() else 0.0)
        print(f"zero_{algorithm:<24} seed {seed:>3} t {found[-1]:.2f}", file=sys.stderr, flush=True)
    return {f"zero_edge_t_{algorithm}": max(found)}


# Speed --------------------------------------------------------------------------------------------------------------


def random_network(widths: list[int], seed: int = 0) -> PolicyNetwork:
    rng = np.random.default_rng(seed)
    layers = [
        (rng.normal(0, inputs**-0.5, (outputs, inputs)).astype(np.float32), np.zeros(outputs, np.float32))
        for inputs, outputs in pairwise(widths)
    ]
    return PolicyNetwork.from_layers(layers)


def microseconds(measured: Callable[[], Any], calls: int) -> float:
    """The mean of `calls` calls in the fastest of many rounds: a busy machine slows the others."""
    rounds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(calls):
            measured()
        rounds.append((time.perf_counter() - start) / calls * 1e6)
    return min(rounds)


def decide() -> dict[str, float]:
    rows = np.random.default_rng(1).normal(size=(512, DECISION_COLUMNS)).astype(np.float32)
    figures = {}
    for hidden, calls in (([64, 64], 200), ([1280, 640], 20)):
        network = random_network([DECISION_COLUMNS, *hidden, 3])
        name = f"decide_us_{hidden[0]}"
        figures[name] = microseconds(partial(network.outputs, rows[:1]), calls)
        figures[f"{name}_batch"] = microseconds(partial(network.outputs, rows), 1) / len(rows)
    return figures


def wide() -> dict[str, float]:
    """Wall seconds of training PPO's networks of [1280, 640], on all cores."""
    torch.set_num_threads(os.cpu_count() or 1)
    agent, trading = configured("default", "easy")
    figures = {}
    for name, critic in (("seconds_ppo_1280", (1280, 640)), ("seconds_ppo_1280_small_critic", (256, 256))):
        arch = PolicyAndValue(pi=(1280, 640), vf=critic)
        setting = replace(agent, total_timesteps=150_000, evaluate_every_steps=150_000, net_arch=arch, n_epochs=20)
        start = time.perf_counter()
        learn(replace(setting, precision="bfloat16"), trading, "easy", seed=0)
        figures[name] = time.perf_counter() - start
    torch.set_num_threads(1)
    return figures


def backtest() -> dict[str, float]:
    """Wall seconds of a [64, 64] agent over 500 symbols × 2 500 bars, as many columns as `decide` observes."""
    bare = plant(TASKS["easy"], 500, 2_500, seed=0).market
    noise = np.random.default_rng(0).normal(size=(500, 2_500, DECISION_COLUMNS - 6)).astype(np.float32)
    market = Market(
        bare.symbols,
        bare.timestamps,
        bare.block.prices,
        np.concatenate([bare.observations, noise], axis=2),
        (*COLUMNS, *(f"feature_{i}" for i in range(noise.shape[2]))),
    )
    network, targets = random_network([DECISION_COLUMNS, 64, 64, 3]), np.array([-1, 0, 1], np.float32)
    trading = TASKS["easy"].trading(scheme="weights")

    def policy(observations: np.ndarray, *_: Any) -> np.ndarray:
        return targets[network.outputs(observations).argmax(axis=1)]

    start, used = time.perf_counter(), time.process_time()
    simulate(policy, market, trading)
    return {
        "backtest_500_seconds": time.perf_counter() - start,
        "backtest_500_cpu_seconds": time.process_time() - used,
    }


def plot(figures: dict[str, float], path: Path) -> None:
    """Draw the shares by algorithm: a point a seed, the median in black."""
    panels = [task for task in ("easy", "costly") if any(key.startswith(f"share_{task}_") for key in figures)]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(panels), figsize=(4.5 * len(panels), 4), squeeze=False, layout="constrained")
        for panel, task in zip(axes[0], panels, strict=True):
            shown = [name for name in reversed(list(variants())) if f"share_{task}_{name}" in figures]
            for row, name in enumerate(shown):
                prefix = f"share_{task}_{name}"
                seeds = [value for key, value in figures.items() if key.startswith(f"{prefix}_seed_")]
                panel.plot(seeds, [row] * len(seeds), "o", color="tab:blue", alpha=0.5)
                panel.plot(figures[prefix], row, "|", color="black", markersize=14)
            panel.set_yticks(range(len(shown)), shown)
            panel.axvline(1.0, color="grey", linestyle="--", linewidth=1)
            panel.set(
                title=f"{task} market", xlabel="share of the optimum", xlim=(0, 1.05), ylim=(-0.6, len(shown) - 0.4)
            )
        figure.savefig(path, metadata={"Software": None})
        plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--only", choices=PARTS, help="one part of the benchmark")
    parser.add_argument("--algorithms", help="names in benchmarks/agents.yaml, with commas between; all without it")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=0, help="100 and above are for choosing parameters")
    parser.add_argument("--plot", type=Path, help="where to draw the shares, as PNG")
    options = parser.parse_args()
    algorithms = options.algorithms.split(",") if options.algorithms else list(variants())
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    torch.set_num_threads(1)
    figures: dict[str, float] = {}
    for part in [options.only] if options.only else PARTS:
        if part in ("easy", "costly"):
            figures |= references(part, seeds)
            for algorithm in algorithms:
                if part in variants()[algorithm]["total_timesteps"]:
                    figures |= shares(f"{part}_{algorithm}", *configured(algorithm, part), part, seeds)
        elif part == "curriculum":
            figures |= with_curricula(seeds)
        elif part == "zero":
            for algorithm in algorithms:
                figures |= zero_edge(algorithm, seeds)
        else:
            figures |= {"decide": decide, "wide": wide, "backtest": backtest}[part]()
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")
    if options.plot:
        plot(figures, options.plot)


if __name__ == "__main__":
    main()
