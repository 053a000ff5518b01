"""Plots of trainings, forecasts, explanations and backtests, as PNG files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.dates
import matplotlib.ticker
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from MLOps.artifacts import whole_file
from MLOps.evaluation.forecasts import judged
from MLOps.evaluation.performance import Portfolio
from MLOps.predictors.signals import PROBABILITY, probability_columns

STYLE: Any = {
    "figure.dpi": 110,
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
CALIBRATION_BINS = 10
PANELS_A_ROW = 3
STEP_TICKS = 6  # at most, so that labels of large steps do not touch
EPOCH_CURVES = ("loss_ratio", "selection_mae", "selection_r2")  # of a training, to plot in a browser
MIN_PER_BIN = 20  # fewer forecasts make a point of noise
MAX_POINTS = 1000  # of a curve in a table to plot in a browser


@contextmanager
def _figure(path: Path, rows: int, columns: int, size: tuple[float, float]) -> Iterator[np.ndarray]:
    with plt.rc_context(STYLE):
        figure: Figure
        figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
        yield axes
        with whole_file(path) as temporary:
            # Without the version of matplotlib, the same picture is the same file.
            figure.savefig(temporary, format="png", metadata={"Software": None})
        plt.close(figure)


def training_plot(history: pd.DataFrame, path: Path) -> None:
    """One panel per metric; train and selection or validation share a panel.

    A metric that is the same at all steps has no panel; with no panel left there is no file.

    Args:
        history: one column per metric, indexed by step; NaN where a step has no value.
    """
    table = history.loc[:, history.nunique() > 1]
    if table.empty:
        return
    panels: dict[str, list[str]] = {}
    for column in table.columns:
        panels.setdefault(re.sub("^(train|selection|validation)_", "", column), []).append(column)
    columns_shown = min(len(panels), PANELS_A_ROW)
    rows_shown = -(-len(panels) // columns_shown)
    with _figure(path, rows_shown, columns_shown, (4.2 * columns_shown, 3.2 * rows_shown)) as axes:
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        for axis, (quantity, columns) in zip(axes.flat, panels.items(), strict=False):
            for column in columns:
                known = table[column].dropna()
                axis.plot(known.index, known, marker="o", markersize=3, label=column.replace("_", " "))
            axis.set_title((quantity if len(columns) > 1 else columns[0]).replace("_", " "))
            axis.set_xlabel("step")
            axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(STEP_TICKS, integer=True))
            axis.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
            if len(columns) > 1:
                axis.legend()


def epoch_tables(history: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Those of EPOCH_CURVES that a training of several epochs logged, each as a column indexed by step."""
    curves = {name: history[[name]].dropna() for name in EPOCH_CURVES if name in history}
    return {name: curve for name, curve in curves.items() if len(curve) > 1}


def calibration_plot(signals: Mapping[str, pd.DataFrame], labels: pd.DataFrame, path: Path) -> None:
    """Reliability diagrams: observed frequency by forecast probability, a panel per class, a line per predictor."""
    columns = probability_columns(next(iter(signals.values())))
    with _figure(path, 1, len(columns), (4.2 * len(columns), 3.8)) as axes:
        for number, (axis, column) in enumerate(zip(axes[0], columns, strict=True)):
            axis.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle="--")
            for predictor, table in signals.items():
                rows = judged(table, labels)
                _calibration_line(axis, rows[column], rows["label"] == number, predictor)
            axis.set_title(column.removeprefix(PROBABILITY))
            axis.set_xlabel("forecast probability")
            axis.set_ylabel("observed frequency")
            axis.legend()


def confusion_plot(counts: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """What happened (rows) against what was forecast (columns); numbers are counts, colours shares of the row."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _figure(path, 1, 1, (1.8 + 0.8 * len(classes), 1.4 + 0.8 * len(classes))) as axes:
        axis = axes[0, 0]
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, f"{count}\n{shares[row, column]:.0%}", ha="center", va="center", color=colour)
        axis.set_xticks(range(len(classes)), classes)
        axis.set_yticks(range(len(classes)), classes)
        axis.set_xlabel("forecast")
        axis.set_ylabel("happened")
        axis.grid(visible=False)


def importance_plot(importances: Mapping[str, float], unit: str, path: Path) -> None:
    """Horizontal bars in the given order, the first on top."""
    with _figure(path, 1, 1, (6, 1.2 + 0.22 * len(importances))) as axes:
        axes[0, 0].barh(list(importances), list(importances.values()))
        axes[0, 0].invert_yaxis()
        axes[0, 0].set_xlabel(unit)


def map_plot(values: np.ndarray, rows: Sequence[str], row_label: str, unit: str, path: Path) -> None:
    """Values (rows, bars) as colours; bars are counted back from the newest, 0, to the right."""
    bars = values.shape[1]
    with _figure(path, 1, 1, (7, 1.5 + 0.16 * len(rows))) as axes:
        axis = axes[0, 0]
        image = axis.imshow(values, aspect="auto", cmap="viridis", extent=(0.5 - bars, 0.5, len(rows) - 0.5, -0.5))
        axis.set_yticks(range(len(rows)), rows, fontsize=7)
        axis.set_xlabel("bars before the newest")
        axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        axis.set_ylabel(row_label)
        axis.grid(visible=False)
        axis.figure.colorbar(image, ax=axis, label=unit)


def explanation_plots(explained: Mapping[str, np.ndarray], feature_names: Sequence[str], folder: Path) -> None:
    """One plot per array of `Predictor.explain`; bars are counted back from the newest, 0."""
    unit = "log loss gained by shuffling, nats"
    for name, values in explained.items():
        lags = [str(bar - len(values) + 1) for bar in range(len(values))]
        path = folder / f"{name}.png"
        if name == "attribution":
            map_plot(values.T, feature_names, "feature", "mean |integrated gradient|", path)
        elif name == "importance_features":
            importance_plot({feature_names[number]: values[number] for number in np.argsort(-values)}, unit, path)
        elif name == "importance_bars":
            importance_plot(dict(zip(lags, values, strict=True)), unit, path)
        else:
            map_plot(values, lags, "asking bar", "mean attention", path)


def equity_table(portfolios: Mapping[str, Portfolio]) -> pd.DataFrame:
    """Equity relative to its start by policy, at MAX_POINTS bars at most; the first and the last are among them."""
    first = next(iter(portfolios.values()))
    shown = np.unique(np.linspace(0, len(first.equity) - 1, MAX_POINTS).round().astype(int))
    timestamps = pd.DatetimeIndex(first.timestamps[shown])
    return pd.DataFrame({"timestamp": timestamps, **{name: p.equity[shown] for name, p in portfolios.items()}})


def calibration_tables(signals: pd.DataFrame, labels: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The lines of `calibration_plot` for the lowest and the highest class, as columns `forecast` and `observed`."""
    rows = judged(signals, labels)
    columns = probability_columns(rows)
    ends = {"lowest_class": 0, "highest_class": len(columns) - 1}
    return {
        name: _calibration_points(rows[columns[number]], rows["label"] == number).rename(
            columns={"p": "forecast", "y": "observed"}
        )
        for name, number in ends.items()
    }


def equity_plot(portfolios: Mapping[str, Portfolio], path: Path) -> None:
    """Equity relative to its start, and drawdown. The first policy is drawn solid, the others dashed on top, so
    that equal curves stay visible."""
    with _figure(path, 2, 1, (9, 6)) as axes:
        for number, (name, portfolio) in enumerate(portfolios.items()):
            style = {"linewidth": 2.2} if number == 0 else {"linewidth": 1.1, "linestyle": "--"}
            timestamps, equity = pd.DatetimeIndex(portfolio.timestamps), portfolio.equity
            axes[0, 0].plot(timestamps, equity, label=name.replace("_", " "), **style)
            axes[1, 0].plot(timestamps, equity / np.maximum.accumulate(equity) - 1, **style)
        for axis in axes.flat:
            axis.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(axis.xaxis.get_major_locator()))
        axes[0, 0].set_title("equity, start = 1")
        axes[0, 0].legend()
        axes[1, 0].set_title("drawdown")
        axes[1, 0].yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))


def _calibration_line(axis: Axes, probability: pd.Series, happened: pd.Series, name: str) -> None:
    points = _calibration_points(probability, happened)
    axis.plot(points["p"], points["y"], marker="o", markersize=3, label=name)


def _calibration_points(probability: pd.Series, happened: pd.Series) -> pd.DataFrame:
    bins = pd.cut(probability, np.linspace(0, 1, CALIBRATION_BINS + 1))
    groups = pd.DataFrame({"p": probability, "y": happened.astype(float)}).groupby(bins, observed=True)
    return groups.mean()[groups.size() >= MIN_PER_BIN]
