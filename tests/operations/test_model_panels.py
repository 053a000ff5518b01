"""Panels of real agents, each symbol on its own and as a portfolio, on a market whose symbols come and go."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.config.labels import ScoreLabelConfig
from MLOps.config.monitoring import MonitoringConfig
from MLOps.config.trading import TradingConfig
from MLOps.data.splits import LearningSplits, Span
from MLOps.deployment.trading_model import TradingModel
from MLOps.monitoring.judgement import judge
from MLOps.monitoring.reference import Reference
from MLOps.operations.model_panels import forecasts_panel, make_reference, observe
from tests.deployment import bundles

LABELS = ScoreLabelConfig(kind="score", horizon_bars=1, n_classes=2, volatility_bars=10)
NEWEST_BARS = 30


@pytest.mark.parametrize("account", ["per_symbol", "portfolio"])
def test_a_model_gives_the_same_panels_for_its_reference_and_for_new_bars(account: str, tmp_path: Path) -> None:
    rules = TradingConfig(scheme="weights", account=account)  # type: ignore[arg-type]
    model = TradingModel.load(bundles.write_bundle(tmp_path, bundles.agent("ppo", rules, steps=0)))
    train, test = bundles.spans()
    cut = train.end - pd.Timedelta(days=90)
    splits = LearningSplits(
        Span(train.start, cut), Span(train.start, cut), Span(train.start, cut), Span(cut, train.end)
    )
    returns = pd.Series(np.zeros(50), pd.date_range("2020-01-01", periods=50))
    made = make_reference(model, bundles.bars(), splits, LABELS, returns, 252)
    made.save(tmp_path / "reference")
    reference = Reference.load(tmp_path / "reference")
    live = observe(model, bundles.bars(), LABELS, NEWEST_BARS)
    assert set(live) == set(reference.panels)
    for name, panel in live.items():
        assert panel.names == reference.panels[name].names, name
        assert len(panel.timestamps) == NEWEST_BARS or name == "performance"
    # The reference ends with the validation span.
    assert reference.panels["inputs"].timestamps[-1] < np.datetime64(test.start.tz_localize(None))
    positions = live["decisions"].values[..., 0]
    assert np.nanmax(np.abs(positions)) <= 1.01
    findings = judge(reference, bundles.bars(), live, MonitoringConfig(window_bars=10, bootstrap_samples=100), 0)
    assert [finding.check for finding in findings] == ["feed", "inputs", "forecasts", "decisions", "performance"]


def test_the_calibration_of_a_forecast_is_known_where_its_outcome_is() -> None:
    keys = {"timestamp": pd.date_range("2020-01-01", periods=3, tz="UTC"), "symbol": "A"}
    signals = pd.DataFrame({**keys, "p_fall": [0.2, 0.5, 0.4], "p_rise": [0.8, 0.5, 0.6], "uncertainty": 0.5})
    labels = pd.DataFrame({**keys, "label": [1, 0, -1]})
    panel = forecasts_panel(signals, labels)
    values = dict(zip(panel.names, panel.values[:, 0].T, strict=True))
    np.testing.assert_allclose(values["log_loss"], [-np.log(0.8), -np.log(0.5), np.nan], rtol=1e-6)
    np.testing.assert_allclose(values["bias_rise"], [0.2, -0.5, np.nan], rtol=1e-6)
