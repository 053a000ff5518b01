"""Labelled tables: rows count in the file's order or a named one; what is no such table stops with a sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import read_table, write_table
from MLOps.config.data import DataConfig
from MLOps.config.labels import UNKNOWN, TargetLabelConfig, class_names
from MLOps.config.params import load_params
from MLOps.config.splits import SplitConfig
from MLOps.data.bars import ROW_ID, TARGET, TEST_ROWS
from MLOps.data.labelled_quality import assess_labelled
from MLOps.data.sources.labelled import read_labelled
from MLOps.data.splits import split
from MLOps.errors import UserError
from MLOps.features.given import GivenFeatures
from MLOps.features.labels import make_labels

FIVE = TargetLabelConfig(kind="target", n_classes=5, horizon_rows=2)
ROWS = 40


@pytest.fixture
def table() -> pd.DataFrame:
    generator = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "id": np.arange(ROWS),
            "a": generator.standard_normal(ROWS),
            "b": generator.standard_normal(ROWS),
            "target": generator.choice([-1, -0.5, 0, 0.5, 1], ROWS),
        }
    )


def read(
    table: pd.DataFrame, folder: Path, features: tuple[str, ...] | None = None, time: str | None = None
) -> pd.DataFrame:
    data: DataConfig = load_params().data
    table.to_csv(folder / "t.csv", index=False)
    labelled = replace(data.labelled, path=str(folder / "t.csv"), features=features, time=time)
    return read_labelled(replace(data, labelled=labelled), 0)


@pytest.mark.parametrize("ids", ["row{}", "{:05d}", "x{:x}"])
def test_rows_keep_the_order_of_the_file_whatever_their_ids(
    ids: str, table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shuffled_ids = np.random.default_rng(1).permutation(ROWS)
    named = table.assign(id=[ids.format(int(number)) for number in shuffled_ids])
    read_back = read(named, tmp_path)
    assert read_back["a"].tolist() == table["a"].tolist()
    assert read_back["timestamp"].is_monotonic_increasing
    assert "rows are used in the file's order; set data.labelled.time" in capsys.readouterr().out


@pytest.mark.parametrize("times", ["number", "day"])
def test_rows_are_sorted_by_the_time_that_is_named(
    times: str, table: pd.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Numbers count as numbers: 10 comes after 9. Equal times keep the file's order.
    era = np.arange(ROWS) // 3
    days = (pd.Timestamp("2024-01-30") + pd.to_timedelta(era, unit="D")).strftime("%Y-%m-%d")
    timed = table.assign(era=era if times == "number" else days)
    shuffled = timed.sample(frac=1, random_state=1).sort_values("id", key=lambda ids: ids % 3, kind="stable")
    straight = read(shuffled, tmp_path, time="era")
    expected = timed.assign(place=era).sort_values(["place", "id"], key=lambda v: v % 3 if v.name == "id" else v)
    assert straight["a"].tolist() == expected["a"].tolist()
    assert "era" not in straight.columns
    assert "rows are sorted by era" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"data\.labelled\.time: era must hold numbers, or ISO 8601.*'era10'"):
        read(table.assign(era=[f"era{number}" for number in range(10, 10 + ROWS)]), tmp_path, time="era")


def test_only_named_features_are_read(table: pd.DataFrame, tmp_path: Path) -> None:
    chosen = read(table.assign(era="x"), tmp_path, features=("b",))
    assert GivenFeatures.fit(chosen).names == ("b",)
    features = GivenFeatures.fit(chosen).compute(chosen)
    assert features["b"].dtype == np.float32


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: t.rename(columns={"target": "targt"}), "no column 'target'.*did you mean 'targt'"),
        (lambda t: t.assign(id=t["id"].clip(upper=30)), "it is repeated in .* first row 31"),
        (lambda t: t.assign(id=t["id"].where(t["id"] != 4)), "it is empty in 1 rows, first row 4"),
        (lambda t: t.assign(a=t["a"].astype("str").where(t["id"] != 7, "much")), "a must hold finite numbers.*'much'"),
        (lambda t: t.assign(b=np.inf), "b must hold finite numbers"),
        (lambda t: t[["id", "target"]], "expected feature columns"),
        (lambda t: t.rename(columns={"a": "symbol"}), "the column name symbol is reserved by the pipeline"),
        (lambda t: t.head(0), "expected at least one row, found none"),
    ],
)
def test_what_is_no_labelled_table_is_told(
    change: Callable[[pd.DataFrame], pd.DataFrame], sentence: str, table: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence):
        read(change(table), tmp_path)


def test_labels_are_the_scores_and_look_as_far_ahead_as_is_said(table: pd.DataFrame, tmp_path: Path) -> None:
    scored = read(table, tmp_path)
    labels = make_labels(scored, FIVE)
    assert class_names(FIVE) == ("score_-1", "score_-0.5", "score_0", "score_0.5", "score_1")
    classes = labels["label"].to_numpy()
    np.testing.assert_array_equal(np.linspace(-1, 1, 5)[classes[:-2]], table["target"][:-2])
    assert classes[-2:].tolist() == [UNKNOWN, UNKNOWN]
    assert (labels["label_end"] - labels["timestamp"]).dropna().eq(pd.Timedelta(minutes=2)).all()
    # The newest target known at a row is the one of two rows before, and never its own.
    assert labels["past_label"].tolist() == [UNKNOWN, UNKNOWN, *classes[:-2]]


def test_scores_that_are_no_binary_fractions_are_classes_too(table: pd.DataFrame, tmp_path: Path) -> None:
    thirds = read(table.assign(target=np.linspace(-1, 1, 4)[table["id"] % 4].round(7)), tmp_path)
    labels = make_labels(thirds, replace(FIVE, n_classes=4))
    assert labels["label"][:-2].tolist() == [row % 4 for row in range(ROWS - 2)]


def test_a_target_that_is_no_score_is_told(table: pd.DataFrame, tmp_path: Path) -> None:
    for wrong in (0.3, 1.5):
        scored = read(table.assign(target=table["target"].where(table["id"] != 9, wrong)), tmp_path)
        with pytest.raises(UserError, match=f"one of -1, -0.5, 0, 0.5, 1, found {wrong} at row 9"):
            make_labels(scored, FIVE)


def test_quality_finds_what_is_planted(table: pd.DataFrame, tmp_path: Path) -> None:
    clean = read(table, tmp_path)
    assert assess_labelled(clean).findings == ()
    assert assess_labelled(clean).score == 1.0
    dirty = clean.copy()
    dirty.loc[3, ["a", "b"]] = np.nan
    dirty.loc[5, "a"] = np.nan
    dirty.loc[20, ["a", "b", TARGET]] = dirty.loc[10, ["a", "b", TARGET]]
    dirty.loc[25, TARGET] = np.nan
    report = assess_labelled(dirty.assign(c=1.0))
    # The constant column fills every row: row 3 still has a feature.
    assert {f.check: f.rows for f in report.findings} == {
        "copied row": ("row 20",),
        "empty feature": ("row 3", "row 5"),
        "row without a target": ("row 25",),
        "constant feature": ("c",),
    }
    assert {f.check: f.rows for f in assess_labelled(dirty).findings}["row without a feature"] == ("row 3",)
    assert report.score == pytest.approx((1 - 1 / ROWS) * 2 / 3)


def test_a_second_table_is_the_test_span(table: pd.DataFrame, tmp_path: Path) -> None:
    data: DataConfig = load_params().data
    table.head(30).to_csv(tmp_path / "learn.csv", index=False)
    files = (str(tmp_path / "learn.csv"), str(tmp_path / "test.csv"))
    config = replace(data, labelled=replace(data.labelled, path=files[0], test_path=files[1]))

    def read_with(test: pd.DataFrame) -> pd.DataFrame:
        test.to_csv(tmp_path / "test.csv", index=False)
        return read_labelled(config, 0)

    # In another order of columns, with one more, and without targets.
    both = read_with(table.tail(10)[["b", "a", "id"]].assign(more=1.0))
    assert GivenFeatures.fit(both).names == ("a", "b")
    np.testing.assert_array_equal(both[["a", "b"]], table[["a", "b"]])
    assert both[ROW_ID].tolist() == [str(number) for number in range(ROWS)]
    assert both[TARGET].isna().tolist() == [False] * 30 + [True] * 10
    long = pd.Series(pd.date_range("1970-01-01", periods=400, freq="min", tz="UTC"))
    shares = SplitConfig(train=0.7, validation=0.15, test=0.15, embargo_bars=0, folds=3)
    splits = split(long, shares, 100)
    assert splits.test.rows(long).sum() == 100 == 10 * both.attrs[TEST_ROWS]
    assert splits.train.rows(long).sum() == round(300 * 0.7 / 0.85)
    write_table(tmp_path / "raw.parquet", both)
    assert read_table(tmp_path / "raw.parquet").attrs == both.attrs
    with pytest.raises(UserError, match=r"test.csv: expected a unique id .* repeated in 10 rows, first row 30"):
        read_with(table.head(10))
    with pytest.raises(UserError, match=r"test.csv: data.labelled.features: no column 'b'"):
        read_with(table.tail(10).drop(columns="b"))
