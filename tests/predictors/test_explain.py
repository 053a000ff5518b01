"""Explanations point at what matters, and exports answer as the predictor does."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MLOps.errors import UserError
from MLOps.predictors.closed_form import flattened
from MLOps.predictors.explain import attention_maps, integrated_gradients
from MLOps.predictors.export import FILES, export
from MLOps.predictors.logistic import LogisticPredictor
from MLOps.predictors.network import NetworkPredictor
from MLOps.predictors.permutation import permutation_importance
from MLOps.predictors.windows import Windows
from tests.predictors.markets import BASELINES, FEATURES, NETWORKS, fit, small_market

MARKET = small_market(100.0, symbols=2, bars=800)
TASKS = {"lstm": (1.0, 0.0), "gru": (0.0, 1.0), "bilstm": (1.0, 0.0), "dlstm": (0.6, 0.4), "cnn_lstm": (1.0, 0.0),
         "hybrid": (0.6, 0.4)}  # fmt: skip


def trained(name: str, folder: Path, epochs: int) -> NetworkPredictor:
    weights: dict[str, Any] = {"class_loss_weight": TASKS[name][0], "return_loss_weight": TASKS[name][1]}
    predictor = fit(NETWORKS[name], MARKET, folder, max_epochs=epochs, **weights)
    assert isinstance(predictor, NetworkPredictor)
    return predictor


def windows_of(predictor: NetworkPredictor) -> tuple[np.ndarray, np.ndarray]:
    windows = Windows(MARKET.features, FEATURES, predictor.lookback_bars)
    rows = MARKET.rows("validation", windows)[:300]
    return windows.ending_at(rows), MARKET.targets.labels[rows]


@pytest.mark.parametrize("name", ["lstm", "gru", "hybrid"])
def test_the_newest_volume_shows_the_planted_edge(name: str, tmp_path: Path) -> None:
    predictor = trained(name, tmp_path, 8)
    windows, classes = windows_of(predictor)
    attribution = integrated_gradients(predictor, windows)
    assert attribution.shape == (8, 2)
    assert np.unravel_index(attribution.argmax(), attribution.shape) == (7, FEATURES.index("volume"))
    by_feature, by_bar = permutation_importance(predictor, windows, classes, seed=1)
    assert by_feature.argmax() == FEATURES.index("volume")
    assert by_bar.argmax() == 7


@pytest.mark.parametrize(
    ("name", "layers"), [("lstm", []), ("cnn_lstm", ["attention"]), ("hybrid", ["shapes", "fusion"])]
)
def test_attention_is_shared_out_whole(name: str, layers: list[str], tmp_path: Path) -> None:
    predictor = trained(name, tmp_path, 1)
    maps = attention_maps(predictor, windows_of(predictor)[0])
    assert sorted(maps) == sorted(layers)
    for weights in maps.values():
        assert weights.shape == (8, 8)
        np.testing.assert_allclose(weights.sum(axis=1), 1)


@pytest.mark.parametrize("name", TASKS)
def test_exports_answer_as_the_predictor_does(name: str, tmp_path: Path) -> None:
    predictor = trained(name, tmp_path / "checkpoints", 1)
    windows = np.random.default_rng(1).normal(0, 2, (1000, 8, 2)).astype(np.float32)
    windows[::7, 3, 1], windows[::11, 0, 0] = np.nan, np.inf
    differences = export(predictor, tuple(FILES), tmp_path, windows)
    assert set(differences) == set(FILES) and max(differences.values()) <= 1e-5
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == set(FILES.values())


def test_an_export_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = trained("lstm", tmp_path, 1)

    class OtherRuntime:
        """It reads the file and answers otherwise."""

        def __init__(self, path: str) -> None:
            assert Path(path).is_file()

        def run(self, _names: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
            rows = len(inputs["windows"])
            return [np.zeros((rows, 3)), np.zeros(rows)]

    monkeypatch.setattr("onnxruntime.InferenceSession", OtherRuntime)
    with pytest.raises(UserError, match=r"network\.onnx: expected the predictor's own forecasts within 1e-05"):
        export(predictor, ("onnx",), tmp_path, windows_of(predictor)[0])


@pytest.mark.parametrize("name", ["logistic", "ridge", "gradient_boosting"])
def test_predictors_in_closed_form_are_explained_too(name: str, tmp_path: Path) -> None:
    predictor = fit({**BASELINES[name], "explain_windows": 300}, MARKET, tmp_path)
    windows = Windows(MARKET.features, FEATURES, predictor.lookback_bars)
    rows = MARKET.rows("validation", windows)
    labels = MARKET.targets.labels[rows]
    explained = predictor.explain(windows, rows, labels, seed=1)
    assert explained["importance_features"].argmax() == FEATURES.index("volume")
    assert explained["importance_bars"].argmax() == 2
    if name != "gradient_boosting":
        place = np.unravel_index(explained["attribution"].argmax(), explained["attribution"].shape)
        assert place == (2, FEATURES.index("volume"))
    silent = fit(BASELINES[name], MARKET, tmp_path)
    assert silent.explain(windows, rows, labels, seed=1) == {}


def test_the_attribution_of_a_linear_score_is_its_integrated_gradient(tmp_path: Path) -> None:
    predictor = fit(BASELINES["logistic"], MARKET, tmp_path)
    assert isinstance(predictor, LogisticPredictor)
    windows = Windows(MARKET.features, FEATURES, 3).ending_at(np.array([50]))
    inputs = torch.from_numpy(flattened(windows, predictor.arrays)).requires_grad_()
    scores = inputs @ torch.from_numpy(predictor.arrays["coefficients"]).T
    chosen = int((scores + torch.from_numpy(predictor.arrays["intercepts"])).argmax())
    (gradient,) = torch.autograd.grad(scores[0, chosen], inputs)
    expected = (gradient * inputs).abs().detach().numpy().reshape(3, len(FEATURES))
    np.testing.assert_allclose(predictor.attribution(windows), expected)
