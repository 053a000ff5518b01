"""What an action means under each scheme."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from MLOps.config.trading import TradingConfig
from MLOps.errors import UserError
from MLOps.trading import Account, Action, distinct_actions, observe, simulate, target_shares
from MLOps.trading.environment import TradingEnv
from MLOps.trading.vector import TradingVecEnv
from tests.trading.sequences import Sequence, random_market

TARGETS = (-1.0, -0.3, 0.0, 0.7, 1.0)
RULES: dict[str, Any] = {"targets": TARGETS, "allow_short": True, "slippage_bps": 5.0, "episode_bars": 20}


def test_a_target_is_the_weight_that_stands_in_its_place() -> None:
    market = random_market(np.random.default_rng(0), 3, 200, ragged=True, missing=0.01, outages=0.02)
    by_index = TradingVecEnv(market, TradingConfig(**RULES), 8, seed=1)
    by_weight = TradingVecEnv(market, TradingConfig(scheme="weights", **RULES), 8, seed=1)
    np.testing.assert_array_equal(by_index.reset(), by_weight.reset())
    generator = np.random.default_rng(2)
    for _ in range(100):
        chosen = generator.integers(len(TARGETS), size=8)
        left, right = by_index.step(chosen), by_weight.step(np.array(TARGETS, np.float32)[chosen][:, None])
        for own, other in zip(left[:3], right[:3], strict=True):
            np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("wrong", [-1, len(TARGETS)])
def test_a_target_that_is_not_in_the_list_is_refused(wrong: int) -> None:
    market = random_market(np.random.default_rng(0), 1, 100)
    env, alone = TradingVecEnv(market, TradingConfig(**RULES), 2), TradingEnv(market, TradingConfig(**RULES))
    env.reset()
    alone.reset()
    with pytest.raises(UserError, match="expected every action in Discrete"):
        env.step(np.array([0, wrong]))
    with pytest.raises(UserError, match="expected every action in Discrete"):
        alone.step(wrong)


def test_no_order_within_the_band_except_to_zero() -> None:
    """A position of 0.5 whose price rises by a fifth weighs 0.6 / 1.1."""
    market = random_market(np.random.default_rng(0), 1, 6, volatility=0.0, gap=0.0)
    market.block.prices[0, :2], market.block.prices[0, 2:] = 50.0, 60.0
    free: dict[str, Any] = {"scheme": "weights", "fee_bps": 0.0, "allow_short": True}
    for band, target, position in ((0.04, 0.5, 916.7), (0.05, 0.5, 1000.0), (0.05, 0.6, 1100.0), (0.9, 0.0, 0.0)):
        actions = np.array([[0.5, np.nan, target, np.nan, np.nan, np.nan]], np.float32)
        config = TradingConfig(**free)
        bought = simulate(Sequence(config, market, actions).policy, market, config)
        assert bought.position[0, 2] == pytest.approx(1000)
        config = TradingConfig(**free, rebalance_band=band)
        account = Account(cash=50_000.0, shares=1000.0, entry_price=50.0)
        assert target_shares(target, account, 60.0, config) == pytest.approx(position, abs=0.1)


@pytest.mark.parametrize(("allow_short", "max_position"), product([False, True], [1.0, 0.5]))
def test_the_mask_leaves_one_action_for_each_position_that_can_be_reached(
    allow_short: bool, max_position: float
) -> None:
    config = TradingConfig(scheme="discrete", allow_short=allow_short, max_position=max_position)
    generator = np.random.default_rng(0)
    sizes = [0.0, 0.2, max_position, *generator.uniform(0, max_position, 20)]
    seen = set()
    for weight in [*sizes, *(-size for size in sizes if allow_short)]:
        account = Account(cash=1000 * (1 - weight), shares=10 * weight, entry_price=90.0)
        mask = distinct_actions(observe(np.zeros(2, np.float32), account, 100.0)[None], config)[0]
        reached = np.array([target_shares(action, account, 100.0, config) for action in Action])
        assert mask[Action.HOLD]
        allowed = [action for action in Action if mask[action]]
        for one, other in combinations(allowed, 2):
            assert abs(reached[one] - reached[other]) > 1e-4
        for action in Action:
            assert np.abs(reached[allowed] - reached[action]).min() < 2e-3
        seen.add(tuple(mask))
    assert len(seen) > 1
    flat = distinct_actions(observe(np.zeros(2, np.float32), Account(cash=1000.0), 100.0)[None], config)[0]
    assert not flat[[Action.SELL_25, Action.SELL_50, Action.SELL_100, Action.CLOSE, Action.REVERSE]].any()


def test_the_environments_offer_the_mask_of_what_they_show() -> None:
    market = random_market(np.random.default_rng(0), 2, 200)
    config = TradingConfig(scheme="discrete", allow_short=True)
    env = TradingVecEnv(market, config, 4)
    seen: Any = env.reset()
    assert env.has_attr("action_masks") and not TradingVecEnv(market, TradingConfig(), 2).has_attr("action_masks")
    generator = np.random.default_rng(1)
    for _ in range(50):
        masks = np.stack(env.env_method("action_masks"))
        np.testing.assert_array_equal(masks, distinct_actions(seen, config))
        seen = env.step(np.array([generator.choice(np.flatnonzero(mask)) for mask in masks]))[0]
