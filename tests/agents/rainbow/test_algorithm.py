"""Rainbow behind the contract of algorithms: from params.yaml to the compiled policy."""

from typing import Any

import numpy as np
import pytest

from MLOps.agents.algorithms.rainbow import RainbowAlgorithm
from MLOps.config.agents import parse_agent
from MLOps.errors import UserError
from tests.agents.rainbow.test_learner import CELLS, Corridor

SECTION: dict[str, Any] = {"kind": "rainbow", "observe": {"features": ["a"]}, "total_timesteps": 640, "environments": 8}


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
def test_the_compiled_policy_decides_as_the_learner_does(activation: str) -> None:
    config = parse_agent(
        {**SECTION, "learning_starts": 64, "activation_fn": activation, "net_arch": [16, 8], "batch_size": 32}, "here"
    )
    learner: Any = RainbowAlgorithm.learner(config, Corridor(8, 1), 5)
    learner.learn(160)
    network = RainbowAlgorithm.policy_network(learner)
    rows = (4 * np.random.default_rng(0).random((300, CELLS))).astype(np.float32)
    values = network.outputs(rows)
    expected = learner.q_net(learner.policy.obs_to_tensor(rows)[0]).detach().numpy()
    np.testing.assert_allclose(values, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(values.argmax(axis=1), learner.predict(rows, deterministic=True)[0])


def test_returns_without_a_bound_need_a_support() -> None:
    with pytest.raises(UserError, match="set v_max"):
        parse_agent({**SECTION, "gamma": 1.0}, "here")
    assert parse_agent({**SECTION, "gamma": 1.0, "v_max": 5.0}, "here").v_max == 5
