"""What an agent observes: features that the bars cannot give are left out and said, misspelt ones are refused."""

import numpy as np
import pandas as pd
import pytest

from MLOps.agents.observations import MarketView
from MLOps.errors import UserError


@pytest.fixture
def table() -> pd.DataFrame:
    stamps = pd.date_range("2024-01-01", periods=50, tz="UTC")
    values = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    return pd.DataFrame({"timestamp": stamps, "symbol": "A", "return_1": values[:, 0], "rsi_14": values[:, 1]})


def test_what_was_left_out_of_the_features_is_not_observed(
    table: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, left_out = np.ones(50, dtype=bool), {"volume_change": "the bars have no volume"}
    view = MarketView.fit(("return_1", "volume_change", "rsi_14"), (), table, rows, left_out)
    assert view.features == ("return_1", "rsi_14")
    assert "volume_change left out: the bars have no volume" in capsys.readouterr().out
    without = MarketView.fit(("return_1", "rsi_14"), (), table, rows)
    assert view.to_dict() == without.to_dict()


def test_what_cannot_be_observed_is_told(table: pd.DataFrame) -> None:
    rows = np.ones(50, dtype=bool)
    with pytest.raises(UserError, match=r"unknown feature 'rsi_41'; did you mean 'rsi_14'\?"):
        MarketView.fit(("rsi_41",), (), table, rows, {"volume_change": "the bars have no volume"})
    with pytest.raises(UserError, match="observe: expected a feature that these bars have, found none"):
        MarketView.fit(("volume_change",), (), table, rows, {"volume_change": "the bars have no volume"})
