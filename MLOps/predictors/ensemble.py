"""Ensemble of the predictors that passed validation, averaged or stacked; the class prior if none passed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from MLOps.config.predictors import ENSEMBLE
from MLOps.predictors.contract import Forecast, class_probabilities
from MLOps.predictors.signals import FULL_MODEL, aligned, forecast_of, signal_table

LEAST_PROBABILITY = 1e-6  # lower bound of a member's probabilities, so that logs are finite


@dataclass(frozen=True)
class Stack:
    """Multinomial logistic regression on the members' log probabilities (stacking; Wolpert, 1992).

    `coefficients` are (scores, members * classes), `intercepts` (scores,): one score per class, or a single one for two
    classes; see `class_probabilities`.
    """

    coefficients: np.ndarray
    intercepts: np.ndarray

    @classmethod
    def fit(cls, members: Sequence[Forecast], labels: np.ndarray) -> "Stack":
        """Fit to the members' forecasts of the same rows and their labels (rows,)."""
        # Imported here because it takes a second and a served model never fits.
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(max_iter=1000).fit(_log_probabilities(members), labels)
        return cls(model.coef_, model.intercept_)

    def probabilities(self, members: Sequence[Forecast]) -> np.ndarray:
        return class_probabilities(_log_probabilities(members) @ self.coefficients.T + self.intercepts)


@dataclass(frozen=True)
class Ensemble:
    """The `members` passed validation and have `weights` (members,), which sum to 1; a `stack`, if there is one, gives
    the class probabilities. `class_names` are the names of the classes; `prior` (classes,) and `prior_return` are the
    class frequencies and the mean return of the training span."""

    class_names: tuple[str, ...]
    members: tuple[str, ...]
    weights: tuple[float, ...]
    stack: Stack | None
    prior: np.ndarray
    prior_return: float

    @classmethod
    def fit(
        cls,
        kind: str,
        class_names: tuple[str, ...],
        gains: Mapping[str, float],
        signals: Mapping[str, pd.DataFrame],
        train_labels: pd.DataFrame,
        prior: np.ndarray,
    ) -> "Ensemble":
        """Combine the predictors that passed validation.

        Args:
            kind: `mean` gives all members equal weights, `weighted` weights by their gain over the class prior on
                validation, `stacking` fits on the out-of-fold signals of the training span only.
            gains: gain of each member, nats.
            signals: signals of each member, with the column `fold`.
            train_labels: labels of the training rows.
        """
        total = sum(gains.values())
        weights = tuple(gain / total if kind == "weighted" else 1 / len(gains) for gain in gains.values())
        stack = None
        if kind == "stacking" and gains:
            out_of_fold = {name: signals[name][signals[name]["fold"] != FULL_MODEL] for name in gains}
            known, forecasts = _on_common_rows(train_labels, out_of_fold)
            stack = Stack.fit(forecasts, known["label"].to_numpy())
        return cls(class_names, tuple(gains), weights, stack, prior, float(train_labels["forward_return"].mean()))

    @property
    def forecasters(self) -> tuple[str, ...]:
        """Names whose signals agents observe by default: the members, or the ensemble itself if there are none."""
        return self.members or (ENSEMBLE,)

    def combine(self, keys: pd.DataFrame, signals: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """The signals of all predictors and of the ensemble as one table with a column `predictor`.

        Args:
            keys: the bars to forecast; members and ensemble only forecast those that all members do.
            signals: each predictor's signals.
        """
        rows, forecasts = _on_common_rows(keys, {name: signals[name] for name in self.members})
        given = {name: (rows, own) for name, own in zip(self.members, forecasts, strict=True)}
        given[ENSEMBLE] = rows, self.forecast(forecasts, len(rows))
        for name in [name for name in signals if name not in self.members]:
            own_rows, (own,) = _on_common_rows(keys, {name: signals[name]})
            given[name] = own_rows, own
        tables = [
            signal_table(rows, own, self.class_names).assign(predictor=name) for name, (rows, own) in given.items()
        ]
        return pd.concat(tables, ignore_index=True)

    def forecast(self, members: Sequence[Forecast], count: int) -> Forecast:
        """The ensemble's forecast of `count` rows, from the members' forecasts of the same rows."""
        if not members:
            # With `prior_return` as every class's return, the expected return is `prior_return` too.
            returns = np.full(len(self.prior), self.prior_return, dtype=np.float64)
            return Forecast.from_probabilities(np.tile(self.prior, (count, 1)), returns)

        def mean(part: str) -> np.ndarray:
            # Summed in float64 in the members' order and rounded once.
            values = [getattr(member, part).astype(np.float64) for member in members]
            return np.sum([weight * value for weight, value in zip(self.weights, values, strict=True)], axis=0)

        probabilities = self.stack.probabilities(members) if self.stack else mean("probabilities")
        return Forecast.rounded(probabilities, mean("expected_return"), mean("uncertainty"))

    def to_dict(self) -> dict[str, Any]:
        stack = self.stack and {
            "coefficients": self.stack.coefficients.tolist(),
            "intercepts": self.stack.intercepts.tolist(),
        }
        return {
            "class_names": list(self.class_names),
            "members": list(self.members),
            "weights": list(self.weights),
            "stack": stack,
            "prior": self.prior.tolist(),
            "prior_return": self.prior_return,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Ensemble":
        stack = values["stack"] and Stack(**{name: np.asarray(array) for name, array in values["stack"].items()})
        return cls(
            tuple(values["class_names"]),
            tuple(values["members"]),
            tuple(values["weights"]),
            stack,
            np.asarray(values["prior"]),
            float(values["prior_return"]),
        )


def _on_common_rows(keys: pd.DataFrame, signals: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, list[Forecast]]:
    """The rows of `keys` that occur in all tables of signals, and each table's forecast of them."""
    places = {name: aligned(keys, table) for name, table in signals.items()}
    common = np.logical_and.reduce([place >= 0 for place in places.values()], initial=True) & np.ones(len(keys), bool)
    return keys[common], [forecast_of(signals[name].iloc[place[common]]) for name, place in places.items()]


def _log_probabilities(members: Sequence[Forecast]) -> np.ndarray:
    """The members' log probabilities side by side, (rows, members * classes)."""
    each = [member.probabilities.astype(np.float64) for member in members]
    return np.log(np.maximum(np.concatenate(each, axis=1), LEAST_PROBABILITY))
