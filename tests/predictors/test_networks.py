"""What each network learns, and what it cannot see."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MLOps.config.predictors import parse_predictor
from MLOps.errors import UserError
from MLOps.predictors.baselines import class_prior
from MLOps.predictors.contract import Predictor, forecast
from MLOps.predictors.networks import NETWORKS as KINDS
from MLOps.predictors.training import hidden_width, network_class
from MLOps.predictors.uncertainty import thinned
from MLOps.predictors.windows import Windows
from MLOps.statistics.forecasts import log_losses
from tests.predictors.markets import FEATURES, NETWORKS, SmallMarket, fit, small_market

FORWARD = ("lstm", "gru", "dlstm")


@cache
def market(edge_bps: float) -> SmallMarket:
    return small_market(edge_bps)


def losses(predictor: Predictor, market: SmallMarket) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """On validation, of the class prior, of the predictor and of the best possible forecast."""
    windows = Windows(market.features, FEATURES, predictor.lookback_bars)
    rows = market.rows("validation", windows)
    classes = market.targets.labels[rows]
    prior = class_prior(market.targets.labels[market.rows("train", windows)], 3)
    return (
        log_losses(np.tile(prior, (len(rows), 1)), classes),
        log_losses(forecast(predictor, windows, rows).probabilities, classes),
        log_losses(market.best[rows], classes),
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_planted_edge_is_found(name: str, tmp_path: Path) -> None:
    prior, own, best = losses(fit(NETWORKS[name], market(100.0), tmp_path), market(100.0))
    assert (prior - own).mean() >= 0.8 * (prior - best).mean()


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_found_in_a_random_walk(name: str, tmp_path: Path) -> None:
    prior, own, best = losses(fit(NETWORKS[name], market(0.0), tmp_path), market(0.0))
    gain = prior - own
    # The bars of a random walk are independent, and so are the gains on them.
    assert gain.mean() <= 3 * gain.std() / np.sqrt(len(gain))
    assert abs((prior - best).mean()) <= 3 * (prior - best).std() / np.sqrt(len(gain))


def network(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = parse_predictor(NETWORKS[name], "test")
    # In float64 no summation order can blur whether an output depends on an input.
    return network_class(config.kind)(4, 3, config).double().eval()


@pytest.mark.parametrize("name", KINDS)
def test_a_forecast_depends_on_its_window_alone(name: str) -> None:
    windows = torch.randn(5, 8, 4, dtype=torch.float64)
    changed = windows.clone()
    changed[1:] = 1e3
    assert torch.equal(network(name)(windows)[0], network(name)(changed)[0])


@pytest.mark.parametrize("name", FORWARD)
def test_a_forward_state_never_sees_a_later_bar(name: str) -> None:
    bars = torch.randn(2, 20, 4, dtype=torch.float64)
    full = network(name)(bars, 20)
    for t in range(1, 20):
        changed = bars.clone()
        changed[:, t:] = 1e3
        assert torch.equal(network(name)(changed, 20)[:, :t], full[:, :t])


@pytest.mark.parametrize("name", FORWARD)
def test_the_first_label_of_a_sequence_is_answered_as_its_window_is(name: str) -> None:
    bars = torch.randn(3, 30, 4, dtype=torch.float64)
    sequence = network(name)(bars, 30 - 7)[:, 0]
    torch.testing.assert_close(sequence, network(name)(bars[:, :8])[:, 0], rtol=0, atol=1e-12)


def test_bilstm_reads_its_window_both_ways() -> None:
    windows = torch.randn(1, 8, 4, dtype=torch.float64, requires_grad=True)
    hidden = network("bilstm").layers[0](windows)  # type: ignore[index, operator]
    width = hidden.shape[-1] // 2
    # The state at the window's first bar: forward it knows that bar alone, backward all that come later.
    (forward,) = torch.autograd.grad(hidden[0, 0, :width].sum(), windows, retain_graph=True)
    (backward,) = torch.autograd.grad(hidden[0, 0, width:].sum(), windows)
    assert (forward[0, 1:] == 0).all()
    assert (backward[0] != 0).any(dim=1).all()


@pytest.mark.parametrize("name", KINDS)
def test_heads_answer_what_the_loss_weights_ask_for(name: str) -> None:
    for weights, outputs in {(1.0, 0.0): 5, (0.0, 1.0): 1, (0.6, 0.4): 6}.items():
        values = {**NETWORKS[name], "class_loss_weight": weights[0], "return_loss_weight": weights[1]}
        config = parse_predictor(values, "test")
        assert network_class(name)(4, 5, config)(torch.randn(2, 8, 4)).shape == (2, 1, outputs)


CONVOLUTIONAL = ("cnn_lstm", "hybrid")


def parameters(name: str, **values: Any) -> dict[str, torch.Size]:
    config = parse_predictor({**NETWORKS[name], **values}, "test")
    return {key: tensor.shape for key, tensor in network_class(name)(4, 3, config).state_dict().items()}


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("key", ["recurrent_layers", "attention_layers"])
def test_layers_of_each_kind_are_counted_apart(name: str, key: str) -> None:
    plain, two, three = (set(parameters(name, **{key: layers})) for layers in (1, 2, 3))
    kind = "recurrent." if key == "recurrent_layers" else ""
    assert plain < two < three
    assert all(part.startswith(f"{kind}deeper.") for part in three - plain)
    assert len(three - plain) == 2 * len(two - plain)


@pytest.mark.parametrize("name", CONVOLUTIONAL)
@pytest.mark.parametrize("key", ["dropout", "convolution_dropout", "recurrent_dropout", "attention_dropout"])
def test_each_dropout_acts_by_itself(name: str, key: str) -> None:
    rates = {"dropout": 0.0, "attention_dropout": 0.0, key: 0.5}
    config = parse_predictor({**NETWORKS[name], **rates, "uncertainty_samples": 2}, "test")
    torch.manual_seed(0)
    model, windows = network_class(name)(4, 3, config).eval(), torch.randn(6, 8, 4)
    model.train()
    assert not torch.equal(model(windows), model(windows))
    still = model.eval()(windows)
    with thinned(model, 1):
        assert not torch.equal(model(windows), still), "Monte-Carlo dropout thins this layer too"


def test_the_width_of_the_fusion_is_free() -> None:
    config = parse_predictor({**NETWORKS["hybrid"], "fusion_size": 10, "heads": 5}, "test")
    model = network_class("hybrid")(4, 3, config)
    assert hidden_width(model) == 10
    assert model(torch.randn(2, 8, 4)).shape == (2, 1, 3)
    with pytest.raises(UserError, match="heads must divide the width of attention, 10"):
        parse_predictor({**NETWORKS["hybrid"], "fusion_size": 10, "heads": 4}, "test")


MINIMAL: dict[str, dict[str, Any]] = {
    **{kind: {"lookback_bars": 8, "hidden_size": 8} for kind in ("lstm", "gru", "bilstm", "dlstm")},
    **{
        kind: {"lookback_bars": 8, "hidden_size": 8, "filters": [4], "kernels": [3], "heads": 2}
        for kind in CONVOLUTIONAL
    },
    **{kind: {"lookback_bars": 3} for kind in ("logistic", "ridge", "gradient_boosting")},
}


@pytest.mark.parametrize("kind", MINIMAL)
def test_only_what_depends_on_the_data_has_no_default(kind: str) -> None:
    parse_predictor({"kind": kind, **MINIMAL[kind]}, "test")
    for key in MINIMAL[kind]:
        rest = {name: value for name, value in MINIMAL[kind].items() if name != key}
        with pytest.raises(UserError, match=f"the key '{key}' is missing"):
            parse_predictor({"kind": kind, **rest}, "test")
