"""TensorBoard's event files hold the metrics of the steps and the graph of the network."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from MLOps.experiment_tracking.tensorboard import FOLDER, Board
from MLOps.pipelines.train_predictor import with_loss_ratio
from tests.predictors.test_training import training


def test_metrics_and_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    board = Board("train_predictor/lstm")
    network = training(kind="lstm", lookback_bars=12, hidden_size=4).network
    before = {name: value.clone() for name, value in network.state_dict().items()}
    board.draw(network, (12, 2))
    board.log(1, {"selection_mae": 0.5})
    board.close()
    assert all((value == before[name]).all() for name, value in network.state_dict().items())
    events = EventAccumulator(str(FOLDER / "train_predictor/lstm")).Reload()
    assert [point.value for point in events.Scalars("selection_mae")] == [0.5]
    assert any("LSTM" in node.name or "lstm" in node.op for node in events.Graph().node)


def test_the_ratio_needs_both_losses() -> None:
    assert with_loss_ratio({"train_loss": 0.5, "selection_loss": 0.6})["loss_ratio"] == pytest.approx(1.2)
    for metrics in ({"train_loss": 0.5}, {"selection_loss": 0.6}, {"train_loss": 0.0, "selection_loss": 0.1}):
        assert with_loss_ratio(metrics) == metrics
