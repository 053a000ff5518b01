"""How often monitoring reports a change where there is none, and how often it finds one.

    python -m benchmarks.drift --runs 200 --json FILE [--symbols N]

A run is a daily market of `--symbols` symbols, `stationary` (independent normal returns) or `garch` (changing
volatility and Student's t). A logistic regression on the features of params.yaml forecasts the labels of params.yaml
and is traded by its sign. The reference has 1 000 bars, of which the last 400 follow the regression's training; 250
more bars give the backtest's returns. Then 21 bars are looked at in turn, as in a month, by all checks of
`monitoring` in params.yaml; an alarm at any of them is a false alarm. Then the market is changed, and looked at for 60
bars; a change counts as found if the checks `feed` or `inputs` report it at one of these looks:

- `level`: a feature, drawn at random, moves by two of its standard deviations, up or down, for all symbols;
- `scale`: a feature's distances from its mean are three times as large;
- `volatility`: all returns are three times as large;
- `unit_feature`: a feature is multiplied by 100;
- `unit_price`, `unit_volume`: prices or volumes of one symbol are multiplied by 100;
- `dead`: one symbol repeats its last bar;
- `stopped`: one symbol has no more bars (with at least two symbols).

Shares have Clopper-Pearson bounds, `_lower` and `_upper`, 95 % two-sided. `delay_…` is the median number of bars until
a change is found. The file is flat and is written after every run.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from benchmarks.shares import share
from MLOps.config.labels import class_names
from MLOps.config.params import Params, load_params
from MLOps.data.bars import KEYS, PRICES, VOLUME, check_bars
from MLOps.data.splits import TICK, Span
from MLOps.evaluation import baselines
from MLOps.evaluation.performance import Portfolio
from MLOps.features.labels import make_labels
from MLOps.features.pipeline import FeaturePipeline
from MLOps.monitoring.feed import FeedReference, feed_faults, missing_features
from MLOps.monitoring.judgement import Detector, detector_of, window_of
from MLOps.monitoring.panel import Panel
from MLOps.monitoring.reference import Reference
from MLOps.operations.model_panels import decisions_panel, features_panel, forecasts_panel, performance_panel
from MLOps.predictors.contract import Forecast
from MLOps.predictors.signals import signal_table
from MLOps.trading import Ledger, Market, simulate

PARAMS = Path(__file__).parents[1] / "params.yaml"
MARKETS = ("stationary", "garch")
WARMUP, TRAINING, VALIDATION, TEST, MONTH, SEARCHED = 100, 600, 400, 250, 21, 60
BARS_PER_YEAR = 252
VOLATILITY = 0.01  # of a bar
LEVEL_STD, SCALE, UNIT = 2.0, 3.0, 100.0
FEED_STRIDE = 5  # bars between looks at the feed after a change
CHANGES = ("level", "scale", "volatility", "unit_feature", "unit_price", "unit_volume", "dead", "stopped")


def bars_of(kind: str, symbols: int, bars: int, seed: int) -> pd.DataFrame:
    """Bars in contract form: opens near the last close, ranges of the size of the volatility, log-normal volumes."""
    generator = np.random.default_rng([seed, MARKETS.index(kind)])
    shape = (symbols, bars)
    noise = (generator.standard_normal(bars) + generator.standard_normal(shape)) / np.sqrt(2)
    volatility = np.full(shape, VOLATILITY)
    if kind == "garch":
        noise = noise * np.sqrt(4 / generator.chisquare(6, bars))  # Student's t with 6 degrees, variance 1
        for bar in range(1, bars):
            last = (volatility[:, bar - 1] * noise[:, bar - 1]) ** 2
            volatility[:, bar] = np.sqrt(0.05 * VOLATILITY**2 + 0.1 * last + 0.85 * volatility[:, bar - 1] ** 2)
    closed = np.log(100) + np.cumsum(volatility * noise, axis=1)
    opened = np.concatenate([closed[:, :1], closed[:, :-1]], axis=1) + 0.2 * volatility * generator.normal(size=shape)
    reach = np.abs(generator.normal(size=(2, *shape))) * 0.5 * volatility
    stamps = pd.date_range("2010-01-04", periods=bars, freq="B", tz="UTC").astype("datetime64[us, UTC]")
    table = {
        "timestamp": np.tile(stamps, symbols),
        "symbol": np.repeat([f"S{number:02d}" for number in range(symbols)], bars),
        "open": np.exp(opened).ravel(),
        "high": np.exp(np.maximum(opened, closed) + reach[0]).ravel(),
        "low": np.exp(np.minimum(opened, closed) - reach[1]).ravel(),
        "close": np.exp(closed).ravel(),
        "volume": generator.lognormal(13, 0.3, shape).ravel(),
    }
    return check_bars(pd.DataFrame(table), "made")


@dataclass(frozen=True, eq=False)
class Made:
    """A market with a model, its reference, and the bars of each part; `clock` (bars,) are all timestamps."""

    bars: pd.DataFrame
    clock: NDArray[np.datetime64]
    pipeline: FeaturePipeline
    features: pd.DataFrame
    reference: Reference
    live: dict[str, Panel]
    params: Params
    seed: int

    @classmethod
    def of(cls, kind: str, symbols: int, params: Params, seed: int) -> "Made":
        window = window_of(params.monitoring, BARS_PER_YEAR)
        ends = np.cumsum([WARMUP + TRAINING, VALIDATION, TEST, window + MONTH - 1, SEARCHED])
        bars = bars_of(kind, symbols, int(ends[-1]), seed)
        clock = np.sort(bars["timestamp"].unique())
        pipeline = FeaturePipeline.fit(params.features.names, bars)
        features = pipeline.compute(bars)
        place = np.searchsorted(clock, features["timestamp"])
        labels = make_labels(bars, params.labels)
        signals = forecast(features, labels, pipeline.names, (place >= WARMUP) & (place < ends[0]), params)
        at = np.searchsorted(clock, signals["timestamp"])
        parts = {"validation": (ends[0], ends[1]), "test": (ends[1], ends[2]), "live": (ends[2] - window, ends[3])}
        ledgers = {name: trade(bars, signals, clock, *part, params) for name, part in parts.items()}
        returns = {name: Portfolio.of(ledger) for name, ledger in ledgers.items()}
        reference = Reference(
            {
                "inputs": features_panel(features[(place >= WARMUP) & (place < ends[1])]),
                "forecasts": forecasts_panel(signals[(at >= ends[0]) & (at < ends[1])], labels),
                "decisions": decisions_panel(ledgers["validation"]),
                "performance": performance_panel(returns["test"].timestamps[1:], returns["test"].returns),
            },
            FeedReference.of(bars[(np.searchsorted(clock, bars["timestamp"]) < ends[2])]),
            BARS_PER_YEAR,
        )
        live_bars = window + MONTH - 1
        live = {
            "inputs": features_panel(features[place < ends[3]]),
            "forecasts": forecasts_panel(signals[at < ends[3]], labels),
            "decisions": decisions_panel(ledgers["live"]),
            "performance": performance_panel(returns["live"].timestamps[1:], returns["live"].returns),
        }
        live = {name: panel.newest(live_bars) for name, panel in live.items()}
        return cls(bars, clock, pipeline, features, reference, live, params, seed)

    @property
    def change_at(self) -> int:
        return len(self.clock) - SEARCHED

    def detector(self, check: str) -> Detector:
        panel = self.reference.panels[check]
        found = detector_of(check, self.reference, panel.symbols, self.params.monitoring, self.seed)
        assert isinstance(found, Detector), found
        return found


def forecast(
    features: pd.DataFrame, labels: pd.DataFrame, names: tuple[str, ...], training: NDArray[np.bool_], params: Params
) -> pd.DataFrame:
    """Signals of a logistic regression, fitted to the rows `training`."""
    known = features[list(names)].notna().all(axis=1).to_numpy()
    values = features[list(names)].to_numpy(float)
    rows = training & known & (labels["label"] >= 0).to_numpy()
    mean, std = values[rows].mean(axis=0), values[rows].std(axis=0)
    values = np.clip((values - mean) / np.where(std > 0, std, 1.0), -4, 4)
    model = LogisticRegression(C=0.01, max_iter=500).fit(values[rows], labels["label"].to_numpy()[rows])
    probabilities = model.predict_proba(values[known])
    given = Forecast.from_probabilities(probabilities, np.zeros(probabilities.shape[1]))
    return signal_table(features[known].reset_index(drop=True), given, class_names(params.labels))


def trade(
    bars: pd.DataFrame, signals: pd.DataFrame, clock: NDArray[np.datetime64], first: int, last: int, params: Params
) -> Ledger:
    """Long where a rise is likelier than a fall, else flat, over the bars from `first` to before `last`."""
    classes = [name for name in signals if name.startswith("p_")]
    seen = signals[list(KEYS)].assign(edge=signals[classes[-1]] - signals[classes[0]])
    span = Span(pd.Timestamp(clock[first]), pd.Timestamp(clock[last - 1]) + TICK)
    market = Market.from_tables(bars, seen).between(span.start, span.end)
    rules = baselines.in_weights(params.trading)
    return simulate(lambda observations, *_: (observations[:, 0] > 0) * 1.0, market, rules)


def false_alarms(made: Made, detectors: dict[str, Detector]) -> set[str]:
    """The checks that report a change at a look of the month."""
    found = set()
    for check, detector in detectors.items():
        sizes = detector.limit.sizes(detector.statistics(made.live[check]))
        if (sizes > detector.limit.value).any():
            found.add(check)
    # What the feed shows at any look of the month lies in the last bars of this longer window.
    if feed(made, made.bars, made.live["inputs"], made.change_at, detectors["inputs"].window_bars + MONTH - 1):
        found.add("feed")
    return found


def feed(made: Made, bars: pd.DataFrame, inputs: Panel, end: int, window: int) -> bool:
    """Whether the check `feed` finds a fault when the bar before `end` is the newest."""
    until = made.clock[end - 1]
    stamp = np.datetime64(pd.Timestamp(until).tz_localize(None), "us")
    first = made.clock[max(0, end - 4 * window)]
    recent = bars[((bars["timestamp"] >= first) & (bars["timestamp"] <= until)).to_numpy()]
    if feed_faults(made.reference.feed, recent, window, pd.Timestamp(until)):
        return True
    return bool(missing_features(made.reference.panels["inputs"], inputs.where(inputs.timestamps <= stamp), window))


def delay(made: Made, change: str, detector: Detector) -> int | None:
    """Bars from a change until it is found; None if it is not within SEARCHED bars."""
    generator = np.random.default_rng([made.seed, CHANGES.index(change)])
    bars, features = made.bars, made.features
    later = (features["timestamp"] >= made.clock[made.change_at]).to_numpy()
    if change in ("level", "scale", "unit_feature"):
        features = with_changed_feature(features, later, change, detector.names, generator)
    else:
        symbol = str(generator.choice(made.reference.panels["inputs"].symbols))
        bars = with_changed_bars(bars, later, change, symbol)
        features = made.pipeline.compute(bars)
    inputs = features_panel(features).newest(SEARCHED + detector.window_bars - 1)
    sizes = detector.limit.sizes(detector.statistics(inputs))[-SEARCHED:].max(axis=1)
    found = np.flatnonzero(sizes > detector.limit.value)
    first = int(found[0]) + 1 if len(found) else SEARCHED + 1
    if bars is made.bars:  # the feed is as it was
        return first if first <= SEARCHED else None
    for bar in range(FEED_STRIDE, min(first, SEARCHED + 1), FEED_STRIDE):
        if feed(made, bars, inputs, made.change_at + bar, detector.window_bars):
            return bar
    return first if first <= SEARCHED else None


def with_changed_feature(
    features: pd.DataFrame,
    later: NDArray[np.bool_],
    change: str,
    names: tuple[str, ...],
    generator: np.random.Generator,
) -> pd.DataFrame:
    name = str(generator.choice(names))
    values = features[name].to_numpy(float)
    mean, std = np.nanmean(values[~later]), np.nanstd(values[~later])
    if change == "level":
        changed = values + LEVEL_STD * std * generator.choice([-1, 1])
    elif change == "scale":
        changed = mean + SCALE * (values - mean)
    else:
        changed = UNIT * values
    return features.assign(**{name: np.where(later, changed, values).astype(np.float32)})


def with_changed_bars(bars: pd.DataFrame, later: NDArray[np.bool_], change: str, symbol: str) -> pd.DataFrame:
    own = later & (bars["symbol"] == symbol).to_numpy()
    bars = bars.copy()
    prices = list(PRICES)
    if change == "volatility":
        for rows in bars.groupby("symbol").indices.values():
            after = rows[later[rows]]
            base = np.log(bars["close"].to_numpy()[rows[~later[rows]][-1]])
            bars.loc[after, prices] = np.exp(base + SCALE * (np.log(bars.loc[after, prices].to_numpy()) - base))
    elif change == "unit_price":
        bars.loc[own, prices] *= UNIT
    elif change == "unit_volume":
        bars.loc[own, VOLUME] *= UNIT
    elif change == "dead":
        last = bars[(bars["symbol"] == symbol).to_numpy() & ~later].iloc[-1]
        bars.loc[own, [*prices, VOLUME]] = last[[*prices, VOLUME]].to_numpy(float)
    else:
        bars = bars[~own].reset_index(drop=True)
    return bars


def run(kind: str, symbols: int, params: Params, seed: int) -> tuple[set[str], dict[str, int | None]]:
    """The checks with a false alarm, and the delay of each change."""
    made = Made.of(kind, symbols, params, seed)
    checks: list[str] = [check for check in params.monitoring.checks if check != "feed"]
    detectors = {check: made.detector(check) for check in checks}
    changes = [change for change in CHANGES if change != "stopped" or symbols > 1]
    return false_alarms(made, detectors), {change: delay(made, change, detectors["inputs"]) for change in changes}


def figures(kind: str, outcomes: list[tuple[set[str], dict[str, int | None]]]) -> dict[str, float]:
    alarms = sum(bool(found) for found, _ in outcomes)
    result = {f"runs_{kind}": float(len(outcomes)), **share(f"false_alarms_{kind}", alarms, len(outcomes))}
    for check in ("feed", "inputs", "forecasts", "decisions", "performance"):
        result[f"false_alarms_{kind}_{check}"] = float(np.mean([check in found for found, _ in outcomes]))
    for change in outcomes[0][1]:
        delays = [found[change] for _, found in outcomes]
        result |= share(f"found_{kind}_{change}", sum(bars is not None for bars in delays), len(delays))
        known = [bars for bars in delays if bars is not None]
        if known:
            result[f"delay_{kind}_{change}"] = float(np.median(known))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="markets of each kind (default: 200)")
    parser.add_argument("--symbols", type=int, default=4, help="of each market (default: 4)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    params = load_params(PARAMS)
    outcomes: dict[str, list[tuple[set[str], dict[str, int | None]]]] = {kind: [] for kind in MARKETS}
    result: dict[str, float] = {}
    begun = time.monotonic()
    for seed in range(options.runs):
        for kind in MARKETS:
            outcomes[kind].append(run(kind, options.symbols, params, seed))
            result |= figures(kind, outcomes[kind])
        if options.json:
            options.json.write_text(json.dumps(result, indent=2) + "\n")
        alarms = [sum(bool(found) for found, _ in outcomes[kind]) for kind in MARKETS]
        told = f"{seed + 1} of {options.runs}, false alarms {alarms}, {time.monotonic() - begun:.0f} s"
        print(f"\r{told}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
