"""A network that an agent trains on: the windows it reads as a column of the observation, or its embedding instead."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd

from MLOps.data.bars import KEYS
from MLOps.errors import UserError
from MLOps.predictors.contract import Predictor, forecast
from MLOps.predictors.embedding import Embedding
from MLOps.predictors.signals import EMBEDDING, aligned
from MLOps.predictors.windows import Windows
from MLOps.trading import Market

if TYPE_CHECKING:
    # Its import takes a second, and makes a stage depend on the code of networks; agents without one are spared both.
    from MLOps.predictors.network import NetworkPredictor

# The column of an observation that numbers the window that ends at the bar: its row in the feature table plus 1; 0 for
# none, where a symbol of a portfolio is not observable.
WINDOW = "window"
# Up to here float32, the type of observations, represents all whole numbers.
MOST_ROWS = 2**24 - 1


@dataclass(frozen=True)
class Pretrained:
    """A network before fine-tuning, with an embedding, and the windows of the feature table that it reads."""

    predictor: "NetworkPredictor"
    windows: Windows

    @classmethod
    def of(cls, predictor: Predictor, features: pd.DataFrame) -> "Pretrained":
        """A network that config/agreement.py has checked to be one, and its windows of a feature table."""
        return cls(cast("NetworkPredictor", predictor), windows_of(features, predictor.lookback_bars))


def windows_of(features: pd.DataFrame, lookback_bars: int) -> Windows:
    """The windows that predictors read of a feature table.

    Raises:
        UserError: no symbol has a whole window.
    """
    return Windows(features, tuple(name for name in features.columns if name not in KEYS), lookback_bars)


def with_window_column(observed: pd.DataFrame, features: pd.DataFrame, windows: Windows) -> pd.DataFrame:
    """The rows of an observation table at which a whole window ends, with the last column WINDOW.

    Args:
        features: the table of the `windows`.

    Raises:
        UserError: the table has more rows than the column can number.
    """
    if len(features) > MOST_ROWS:
        raise UserError(
            f"agents: observe.fine_tuned: expected at most {MOST_ROWS} bars of all symbols together, found "
            f"{len(features)}; observe the network's embedding instead: observe.embeddings"
        )
    rows = aligned(observed, features)
    numbered = observed.assign(**{WINDOW: (rows + 1).astype(np.float32)})
    return numbered[windows.whole[rows]].reset_index(drop=True)


def with_embedding(market: Market, windows: Windows, predictor: Predictor) -> Market:
    """The market with the predictor's embedding of each bar's window in place of the last column, WINDOW."""
    seen, observable = market.observations, market.observable
    rows = seen[observable][:, -1].astype(np.intp) - 1
    embedding = forecast(predictor, windows, rows).embedding
    assert embedding is not None, "the fine-tuned network has an embedding: config/agreement.py"
    columns = np.full((*observable.shape, embedding.shape[1]), np.nan, np.float32)
    columns[observable] = embedding
    names = with_embedding_names(market.observation_names, embedding.shape[1])
    return market.observing(np.concatenate([seen[..., :-1], columns], axis=2), names)


def with_embedding_names(columns: Iterable[str], size: int) -> tuple[str, ...]:
    """The names of columns with those of an embedding in place of each WINDOW."""
    own = ([f"{name}_{EMBEDDING}{i}" for i in range(size)] if is_window(name) else [name] for name in columns)
    return tuple(name for names in own for name in names)


def is_window(column: str) -> bool:
    """Whether the column numbers windows; in a portfolio there is one of each symbol, `symbol.window`."""
    return column.rpartition(".")[2] == WINDOW


def fine_tuned(predictor: "NetworkPredictor", weights: Mapping[str, np.ndarray]) -> "NetworkPredictor":
    """The predictor with the weights of `Algorithm.tuned_weights`."""
    network = {name.removeprefix("network."): a for name, a in weights.items() if name.startswith("network.")}
    embedding = Embedding(weights["center"].astype(np.float64), weights["weights"].astype(np.float64))
    return predictor.with_weights(network, embedding)
