"""The agents that benchmarks.agents trains."""

import numpy as np

from benchmarks.agents import configured, in_nine_actions, variants
from MLOps.agents.algorithms import ALGORITHMS
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
