"""The agents that benchmarks.agents trains."""

import numpy as np
import pytest

from benchmarks.agents import configured, curricula, in_nine_actions, lasting, shares, variants
from benchmarks.planted import COLUMNS, UNCERTAINTY_COLUMN, Task, plant, with_uncertainty
from MLOps.agents.algorithms import ALGORITHMS
from MLOps.config.agents import parse_agent
from MLOps.trading import Action


def test_every_algorithm_is_benchmarked_in_a_scheme_in_which_it_can_act() -> None:
    kinds = set()
    for name, variant in variants().items():
        for task in variant["total_timesteps"]:
            agent, trading = configured(name, task)
            assert trading.scheme in agent.schemes
            kinds.add(agent.kind)
    assert kinds == set(ALGORITHMS)


def test_a_short_position_opens_by_way_of_a_long_one_in_the_nine_actions() -> None:
    held = np.array([0, 0, 1, 1, -1, -1, 0], np.float32)
    wanted = np.array([1, -1, 1, -1, -1, 1, 0], np.float32)
    observations = np.stack([np.zeros(7), np.zeros(7), held], axis=1).astype(np.float32)
    act = in_nine_actions(lambda *_: wanted)
    assert act(observations, np.arange(7), 0).tolist() == [
        Action.BUY_100,
        Action.BUY_100,
        Action.BUY_100,
        Action.REVERSE,
        Action.HOLD,
        Action.REVERSE,
        Action.HOLD,
    ]


@pytest.mark.slow
def test_rainbow_learns_the_easy_task_with_its_defaults() -> None:
    section = {"kind": "rainbow", "observe": {"features": list(COLUMNS)}, **lasting(15_000)}
    _, trading = configured("rainbow", "easy")
    figures = shares("rainbow", parse_agent(section, "agents.rainbow"), trading, "easy", range(200, 201))
    assert figures["share_rainbow"] > 0.9


def test_every_curriculum_but_the_plain_training_has_stages() -> None:
    stages = curricula()
    assert stages.pop("plain") == ()
    assert all(stages.values())


def test_the_planted_uncertainty_is_that_of_the_next_sign() -> None:
    plain = plant(Task(edge_bps=15, regime_bars=5, fee_bps=20), 20, 400, seed=1)
    market = with_uncertainty(plain).market
    assert market.observation_names == (*COLUMNS, UNCERTAINTY_COLUMN)
    assert np.array_equal(market.observations[..., :-1], plain.market.observations)
    # 1 - |2p - 1| is twice the probability that the likelier sign is wrong.
    wrong = np.sign(market.observations[:, :-1, 0]) != np.sign(plain.drift[:, 1:])
    uncertainty = market.observations[:, :-1, -1]
    for low in (0.0, 0.25, 0.5, 0.75):
        inside = (uncertainty >= low) & (uncertainty < low + 0.25)
        error = (wrong - uncertainty / 2)[inside].mean()
        assert abs(error) < 4 * wrong[inside].std() / np.sqrt(inside.sum()) + 1e-3
