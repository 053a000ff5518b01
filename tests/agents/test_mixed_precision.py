"""bfloat16 in the hidden layers only, where the processor has it; and optimisers in one fused call."""

from dataclasses import replace
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pytest
import torch

from MLOps.agents.algorithms import ALGORITHMS
from MLOps.config.agents import ObserveConfig, PPOConfig, SACConfig
from MLOps.config.trading import TradingConfig
from MLOps.trading.vector import TradingVecEnv
from tests.evaluation.price_markets import market_of, random_walk

OBSERVED = ObserveConfig(features=("constant",))
FLOAT32 = PPOConfig(
    kind="ppo", observe=OBSERVED, total_timesteps=512, n_steps=32, batch_size=64, n_epochs=2, net_arch=(32, 16)
)
BFLOAT16 = replace(FLOAT32, precision="bfloat16")


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: getattr(request, "param", True))


def learner(config: Any, scheme: Any = "targets") -> Any:
    trading = TradingConfig(scheme=scheme, episode_bars=50)
    environments = TradingVecEnv(market_of(random_walk(0, symbols=2, bars=200)), trading, 4, seed=3)
    return resolve_name(ALGORITHMS[config.kind]).learner(config, environments, 3)


def parameters(of: Any) -> np.ndarray:
    return torch.nn.utils.parameters_to_vector(of.policy.parameters()).detach().numpy()


@pytest.mark.usefixtures("native")
def test_only_hidden_layers_compute_in_bfloat16() -> None:
    mixed, plain = learner(BFLOAT16), learner(FLOAT32)
    np.testing.assert_array_equal(parameters(mixed), parameters(plain))
    seen: dict[str, torch.dtype] = {}
    for name, module in mixed.policy.named_modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(lambda _m, _i, out, name=name: seen.update({name: out.dtype}))
    observations = torch.randn(200, mixed.observation_space.shape[0])
    actions, values, log_probs = mixed.policy(observations)
    assert {name for name, dtype in seen.items() if dtype == torch.float32} == {"action_net", "value_net"}
    assert {dtype for name, dtype in seen.items() if "extractor" in name} == {torch.bfloat16}
    assert {actions.dtype, values.dtype, log_probs.dtype} == {torch.int64, torch.float32}
    again_values, again_log_probs, _ = mixed.policy.evaluate_actions(observations, actions)
    # The ratio of probabilities starts at 1, for rollouts compute as updates do.
    torch.testing.assert_close(again_log_probs, log_probs, rtol=0, atol=1e-6)
    expected_values, expected_log_probs, _ = plain.policy.evaluate_actions(observations, actions)
    torch.testing.assert_close(again_values, expected_values, rtol=0, atol=0.05)
    torch.testing.assert_close(again_log_probs, expected_log_probs, rtol=0, atol=0.01)
    assert not torch.equal(again_values, expected_values)


@pytest.mark.usefixtures("native")
def test_what_is_kept_stays_in_float32_and_a_seed_gives_the_same_bytes() -> None:
    first, second, plain = (learner(config).learn(512) for config in (BFLOAT16, BFLOAT16, FLOAT32))
    assert {p.dtype for p in first.policy.parameters()} == {torch.float32}
    states = first.policy.optimizer.state.values()
    assert {part.dtype for state in states for part in state.values()} == {torch.float32}
    assert parameters(first).tobytes() == parameters(second).tobytes()
    assert not np.array_equal(parameters(first), parameters(plain))


@pytest.mark.parametrize("native", [False], indirect=True)
def test_a_processor_without_bfloat16_trains_in_float32_and_says_so(native: None) -> None:
    with pytest.warns(UserWarning, match="precision: this processor has no bfloat16, so float32 is used"):
        asked = learner(BFLOAT16).learn(512)
    plain = learner(FLOAT32).learn(512)
    assert parameters(asked).tobytes() == parameters(plain).tobytes()


@pytest.mark.parametrize("kind", ["ppo", "sac"])
def test_fused_optimisers_learn_what_the_plain_ones_do(kind: str) -> None:
    config = FLOAT32 if kind == "ppo" else SACConfig(kind="sac", observe=OBSERVED, total_timesteps=512, net_arch=(16,))
    scheme, steps = ("targets", 128) if kind == "ppo" else ("weights", 120)
    fused = learner(config, scheme).learn(steps)
    plain = learner(config, scheme)
    policy = plain.policy
    several = [policy.optimizer] if kind == "ppo" else [policy.actor.optimizer, policy.critic.optimizer]
    several += [] if kind == "ppo" else [plain.ent_coef_optimizer]
    for optimiser in several:
        assert all(group["fused"] for group in optimiser.param_groups)
        for group in optimiser.param_groups:
            group["fused"] = False
    plain.learn(steps)
    np.testing.assert_allclose(parameters(fused), parameters(plain), atol=1e-5)
    assert not np.array_equal(parameters(fused), parameters(learner(config, scheme)))
