"""One small served model for the tests of the server."""

import pytest

from MLOps.deployment.trading_model import TradingModel
from tests.agents.trainings import RULES
from tests.deployment.bundles import agent, write_bundle


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> TradingModel:
    return TradingModel.load(write_bundle(tmp_path_factory.mktemp("model"), agent("ppo", RULES["weights"])))
