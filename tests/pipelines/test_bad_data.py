"""Whatever is wrong with bars: the run stops at `ingest` or `validate_data`, or no later stage refuses them."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.agents.observations import MarketView
from MLOps.artifacts import read_json
from MLOps.config.params import load_params
from MLOps.data.bars import ADJUSTED_CLOSE, PRICES
from MLOps.data.splits import Splits
from MLOps.pipelines import features, ingest, paths, validate_data
from MLOps.predictors.ensemble import Ensemble
from MLOps.predictors.learning import learning_data
from tests.data.markets import daily_stocks, hourly_crypto, thirty_stocks
from tests.project import SMALL, Project

Spoil = Callable[[pd.DataFrame], pd.DataFrame]


def put(column: str, value: object, rows: slice | list[int]) -> Spoil:
    def spoil(bars: pd.DataFrame) -> pd.DataFrame:
        bars = bars.astype({column: object}) if isinstance(value, str) or value is None else bars.copy()
        bars.iloc[rows, bars.columns.get_loc(column)] = value
        return bars

    return spoil


def scaled(columns: list[str], factor: float, rows: slice) -> Spoil:
    def spoil(bars: pd.DataFrame) -> pd.DataFrame:
        bars = bars.copy()
        bars.iloc[rows, [bars.columns.get_loc(name) for name in columns if name in bars.columns]] *= factor
        return bars

    return spoil


def short_life(lived: int, ended: bool = False) -> Spoil:
    def spoil(bars: pd.DataFrame) -> pd.DataFrame:
        own = bars[bars["symbol"] == "S03"]
        return pd.concat([bars[bars["symbol"] != "S03"], own.iloc[300 : 300 + lived] if ended else own.tail(lived)])

    return spoil


def without_rows(rows: slice | list[int]) -> Spoil:
    return lambda bars: bars.drop(index=bars.index[rows])


def repeated(bars: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([bars, bars.iloc[[10]]])


def exchanged(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.rename(columns={"high": "low", "low": "high"})


def frozen(bars: pd.DataFrame) -> pd.DataFrame:
    bars = bars.copy()
    bars.iloc[100:180, [bars.columns.get_loc(name) for name in PRICES]] = float(bars["close"].iloc[99])
    return bars


def of_one(symbol: str, **values: float) -> Spoil:
    return lambda bars: bars.assign(
        **{name: bars[name].mask(bars["symbol"] == symbol, value) for name, value in values.items()}
    )


def with_zones(bars: pd.DataFrame) -> pd.DataFrame:
    """The same days, every second with the offset of New York: five hours later in UTC."""
    days = pd.to_datetime(bars["timestamp"], utc=True).dt.strftime("%Y-%m-%d")
    return bars.assign(timestamp=days.where(np.arange(len(bars)) % 2 == 0, days + "T00:00:00-05:00"))


def in_another_zone(bars: pd.DataFrame) -> pd.DataFrame:
    days = pd.to_datetime(bars["timestamp"], utc=True).dt.strftime("%Y-%m-%d")
    return bars.assign(timestamp=days.where(bars["symbol"] != "S02", days + "T00:00:00-05:00"))


WHOLE = [*PRICES, ADJUSTED_CLOSE]
STOPS, RUNS = "stops", "runs on"
# What is done to daily bars of four symbols, and what must come of it.
BAD: dict[str, tuple[Spoil, str]] = {
    "nothing": (lambda bars: bars, RUNS),
    "no adjusted close": (lambda bars: bars.drop(columns=ADJUSTED_CLOSE), RUNS),
    "no volume": (lambda bars: bars.drop(columns="volume"), RUNS),
    "one symbol": (lambda bars: bars[bars["symbol"] == "S01"], RUNS),
    "a symbol without volume": (lambda bars: bars.assign(volume=bars["volume"].mask(bars["symbol"] == "S02", 0)), RUNS),
    "listed forty bars ago": (short_life(40), RUNS),
    "ended after sixty bars": (short_life(60, ended=True), RUNS),
    "ended after one bar": (short_life(1, ended=True), RUNS),
    "lived just long enough": (short_life(133, ended=True), RUNS),
    "a session missing for all": (lambda bars: bars[bars["timestamp"] != bars["timestamp"].unique()[200]], RUNS),
    "a hole": (without_rows([900]), RUNS),
    "a symbol halted for weeks": (without_rows(slice(900, 930)), RUNS),
    "a symbol that ends a year early": (without_rows(slice(1250, 1508)), RUNS),
    "volume of zero alone": (lambda bars: bars.assign(volume=0.0), RUNS),
    "newest first": (lambda bars: bars.iloc[::-1], RUNS),
    "high below open by a rounding": (
        lambda bars: bars.assign(high=bars[list(PRICES)].max(axis=1) * (1 - 2e-7)),
        RUNS,
    ),
    "an empty symbol": (put("symbol", None, [5]), STOPS),
    "a bar times ten": (scaled(WHOLE, 10.0, slice(300, 301)), STOPS),
    "the last bar by ten": (scaled(WHOLE, 0.1, slice(-1, None)), STOPS),
    "an empty price": (put("close", np.nan, [5]), STOPS),
    "a price of 0": (put("low", 0.0, [5]), STOPS),
    "an infinite price": (put("high", np.inf, [5]), STOPS),
    "a negative price": (put("low", -3.0, [5]), STOPS),
    "a symbol whose price never moves": (of_one("S02", **dict.fromkeys(WHOLE, 50.0)), STOPS),
    "a symbol in another time zone": (in_another_zone, STOPS),
    "time zones mixed": (with_zones, STOPS),
    "a negative volume": (put("volume", -1.0, [5]), STOPS),
    "an empty volume": (put("volume", np.nan, [5]), STOPS),
    "text in a price": (put("close", "much", [5]), STOPS),
    "no close": (lambda bars: bars.drop(columns=["close", ADJUSTED_CLOSE]), STOPS),
    "a bar twice": (repeated, STOPS),
    "high and low exchanged": (exchanged, STOPS),
    "high below low once": (scaled(["high"], 0.5, slice(400, 401)), STOPS),
    "a wrong adjusted close": (scaled([ADJUSTED_CLOSE], 3.0, slice(400, 401)), STOPS),
    "a feed that stood still": (frozen, STOPS),
    "volume in another unit from a bar on": (scaled(["volume"], 4000.0, slice(300, 754)), STOPS),
    "two months": (lambda bars: bars.groupby("symbol").head(40), STOPS),
    "half a year": (lambda bars: bars.groupby("symbol").head(160), STOPS),
    "no row": (lambda bars: bars.head(0), STOPS),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project.copy(tmp_path_factory.mktemp("bad"))
    project.update({"data.source": "files", "data.files.path": "bars.csv", "data.calendar": "XNYS"})
    project.keep_predictors("lstm", "logistic")
    return project.folder


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["stage"])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for top in ("data/raw", "data/processed", "reports"):
        shutil.rmtree(folder / top, ignore_errors=True)
    params = (folder / "params.yaml").read_text()
    yield folder
    (folder / "params.yaml").write_text(params)


def stopped(capsys: pytest.CaptureFixture[str]) -> str:
    """Run the first stages on bars.csv; the sentence of the one that stops, or nothing."""
    for stage in (ingest, validate_data):
        try:
            stage.main()
        except SystemExit as end:
            assert end.code == 1
            told = [
                line for line in capsys.readouterr().err.splitlines() if line.startswith(stage.__name__.split(".")[-1])
            ]
            assert len(told) == 1
            assert len(told[0]) < 300, told[0]
            return told[0]
    return ""


@pytest.mark.parametrize("bad", BAD)
def test_bad_bars_stop_early_or_run_on(bad: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, expected = BAD[bad]
    spoil(daily_stocks(3)).to_csv(here / "bars.csv", index=False)
    told = stopped(capsys)
    assert bool(told) == (expected == STOPS), told
    if expected == STOPS:
        assert not paths.BARS.exists()
        return
    goes_on()


@pytest.mark.parametrize(
    ("make", "keys"),
    [
        (hourly_crypto, {"data.calendar": "auto"}),
        (thirty_stocks, {"data.on_missing": "error"}),
        (lambda seed: hourly_crypto(seed).sample(frac=0.99, random_state=0), {"data.on_missing": "drop_timestamp"}),
    ],
    ids=["hourly", "thirty stocks", "holes dropped"],
)
def test_unlike_bars_run_on(
    make: Callable[[int], pd.DataFrame], keys: dict[str, str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Project(here).update({"data.calendar": "auto", **keys})
    make(3).to_csv(here / "bars.csv", index=False)
    told = stopped(capsys)
    assert told == ""
    goes_on()


def goes_on() -> None:
    """What later stages refuse data for: features, what is learnt from, and the market with its observations."""
    features.main()
    params = load_params()
    bars, table, labels = (pd.read_parquet(path) for path in (paths.BARS, paths.FEATURES, paths.LABELS))
    splits = Splits.from_dict(read_json(paths.SPLITS))
    saved = read_json(paths.FEATURE_PIPELINE)
    classes = ("fall", "stationary", "rise")
    for predictor in params.predictors.values():
        learning_data(predictor.lookback_bars, table, labels, classes, tuple(saved["names"]), splits)
    training = splits.train.rows(table["timestamp"])
    observed = table.dropna()
    ensemble = Ensemble(classes, (), (), None, np.full(3, 1 / 3), 0.0)
    signals = ensemble.combine(observed, {})
    view = MarketView.fit(params.agents["ppo"].observe, ensemble, table, signals, training, saved["left_out"])
    market = view.market(bars, table, signals, params.trading)
    assert market.observable.any(axis=1).all(), "every symbol can be traded"
    for span in (splits.train, splits.validation, splits.test):
        assert market.between(span.start, span.end).observable.any()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"predictors.lstm.lookback_bars": 700}, ["expected a symbol with at least", "warm-up and look-back"]),
        ({"walk_forward.windows": 9}, ["walk_forward.windows", "found 9", "set windows to"]),
        ({"splits.train": 0.05, "splits.validation": 0.9, "splits.test": 0.05}, ["splits", "training span"]),
        ({"splits.embargo_bars": 400}, ["splits", "expected at least 20 bars in each span"]),
        (
            {"splits": {"validation_start": "2030-01-01", "test_start": "2031-01-01", "embargo_bars": 5, "folds": 5}},
            ["splits.validation_start", "found 2030-01-01"],
        ),
    ],
    ids=["look-back", "walk-forward", "training", "embargo", "days"],
)
def test_bars_too_short_for_the_configuration_stop_early(
    keys: dict[str, object], words: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Project(here).update(keys)
    daily_stocks(3).to_csv(here / "bars.csv", index=False)
    told = stopped(capsys)
    assert told.startswith("validate_data: ")
    assert all(word in told for word in words), told
    assert not paths.BARS.exists()


# Every kind of bad data that runs on, through the whole pipeline.
WHOLE_RUNS = [
    "no volume",
    "one symbol",
    "ended after sixty bars",
    "a hole",
    "a symbol halted for weeks",
    "a symbol that ends a year early",
]


@pytest.mark.slow
@pytest.mark.parametrize("bad", WHOLE_RUNS)
def test_bad_bars_that_run_on_are_trained_on_to_the_end(bad: str, tmp_path: Path) -> None:
    spoil, expected = BAD[bad]
    assert expected == RUNS
    project = Project.copy(tmp_path / "whole")
    project.update({**SMALL, "data.source": "files", "data.files.path": "bars.csv", "data.calendar": "XNYS"})
    spoil(daily_stocks(3)).to_csv(project.folder / "bars.csv", index=False)
    project.repro()
    assert (project.folder / "reports/metrics.json").exists()
