"""A changed byte or a cut in any file that is read again is refused in a sentence, made good, or changes nothing.

Each case damages many files, one at a time. Quick ones are samples of the slow ones.
"""

import json
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from MLOps.artifacts import (
    content_hash,
    read_arrays,
    read_json,
    read_table,
    value_hash,
    write_arrays,
    write_json,
    write_table,
)
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.evaluation import walk_forward
from MLOps.evaluation.outcome import Outcome
from MLOps.experiment_tracking.record import Record, check_unchanged, hashes
from MLOps.model_registry.bundle import MANIFEST, build_bundle, verify_bundle
from MLOps.model_registry.version_files import META
from MLOps.model_registry.versions import Registry
from MLOps.monitoring.feed import FeedReference
from MLOps.monitoring.panel import Panel
from MLOps.monitoring.reference import REFERENCE, Reference
from MLOps.operations.last_promotion import recall, remember
from MLOps.operations.outcomes import read_decisions
from MLOps.training.checkpoints import BLOCK_BYTES, Checkpoints
from tests.agents.trainings import RULES
from tests.contracts.damage import damaged, drawn, with_damage
from tests.deployment.bundles import agent, bars, registered_champion, write_bundle
from tests.training.test_search import searched

LONGEST_SENTENCE = 400  # characters, of which a path may take half


def cases(quick: int, slow: int, parts: int = 1) -> Any:
    """A quick case, and slow ones with `slow` damages in all; the seed of each is in its id."""
    more = [pytest.param(seed, slow // parts, id=f"seed{seed}", marks=pytest.mark.slow) for seed in range(1, parts + 1)]
    return pytest.mark.parametrize(("seed", "count"), [pytest.param(0, quick, id="seed0"), *more])


def is_refused(read: Callable[[], Any], expected: Any, same: Callable[[Any, Any], bool]) -> bool:
    """Whether `read` says in a sentence why not; if it answers, the answer is that of the whole file."""
    try:
        found = read()
    except UserError as error:
        sentence = str(error)
        assert "\n" not in sentence and len(sentence) < LONGEST_SENTENCE, sentence
        return True
    assert same(found, expected), "accepted without a word"
    return False


def equal(one: Any, other: Any) -> bool:
    return bool(one == other)


def frames_equal(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    return one.equals(other) and (one.dtypes == other.dtypes).all() and list(one) == list(other)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a reference for monitoring."""
    folder = tmp_path_factory.mktemp("bundle")
    plain = write_bundle(folder / "made", agent("ppo", RULES["weights"]))
    panel = Panel.of(bars().assign(value=1.5), ["close", "volume", "value"])
    Reference({"inputs": panel}, FeedReference.of(bars()), 252.0).save(folder / REFERENCE)
    parts = {name: plain / name for name in ("agent", "feature_pipeline.json")}
    build_bundle(folder / "bundle", {**parts, REFERENCE: folder / REFERENCE}, read_json(plain / "metadata.json"))
    return folder / "bundle"


def answers(model: TradingModel) -> tuple[str, list[Any]]:
    return model.identity, model.decide(model.example_bars(), 1e5, {}).to_numpy().tolist()


@cases(quick=40, slow=300)
def test_a_damaged_bundle_is_refused(bundle: Path, seed: int, count: int) -> None:
    generator, expected, refused = np.random.default_rng(seed), answers(TradingModel.load(bundle)), 0
    for _ in range(count):
        with with_damage(drawn(bundle, generator), generator):
            refused += is_refused(lambda: answers(TradingModel.load(bundle)), expected, equal)
    assert refused > 0.9 * count


@cases(quick=10, slow=100)
def test_a_damaged_bundle_that_is_sealed_again_is_another(bundle: Path, tmp_path: Path, seed: int, count: int) -> None:
    """It may be a model: its identity, in each of its answers, is not the one that was promoted."""
    generator, identity = np.random.default_rng(seed), verify_bundle(bundle)
    own = tmp_path / "own"
    shutil.copytree(bundle, own)
    names = [path for path in own.rglob("*") if path.is_file() and path.name != MANIFEST]
    for _ in range(count):
        with with_damage(names[int(generator.integers(len(names)))], generator):
            seal(own)

            def read() -> str:
                model = TradingModel.load(own)
                model.decide(model.example_bars(), 1e5, {})
                return model.identity

            is_refused(read, identity, lambda found, promoted: found != promoted)


def seal(folder: Path) -> None:
    """Write the manifest anew, as an attacker would."""
    files = {p.relative_to(folder).as_posix(): content_hash(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    files.pop(MANIFEST)
    write_json(folder / MANIFEST, {"files": files, "identity": value_hash(files)})


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registered_champion(tmp_path_factory.mktemp("registered")) as registry:
        yield registry


@cases(quick=8, slow=100)
def test_a_damaged_version_is_refused(registered: Registry, seed: int, count: int) -> None:
    """Model, code, MLflow's description of it, and the page on it."""
    generator, folder = np.random.default_rng(seed), registered.files("1")
    written = (folder / META).read_bytes()
    for _ in range(count):
        file = drawn(folder, generator)
        with with_damage(file, generator):
            is_told = is_refused(lambda: registered.files("1"), folder, equal)
            # MLflow writes anew at each reading what version this is.
            assert is_told or (file.name == META and file.read_bytes() == written), file


def table(rows: int = 200) -> pd.DataFrame:
    """Columns of all types of the pipeline's tables."""
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "timestamp": pd.date_range("2020-01-01", periods=rows, tz="UTC"),
            "symbol": np.where(np.arange(rows) % 2, "AAPL", "MSFT"),
            "p_rise": generator.random(rows),
            "feature": np.where(generator.random(rows) < 0.1, np.nan, generator.random(rows)).astype(np.float32),
            "label": generator.integers(0, 3, rows),
            "ended": generator.random(rows) < 0.5,
            "account": [None if n % 3 else f"a{n}" for n in range(rows)],
        }
    )


@cases(quick=100, slow=1000)
def test_a_damaged_table_is_refused(tmp_path: Path, seed: int, count: int) -> None:
    """Also where DVC sees no change, since size and time are those of before."""
    generator, file = np.random.default_rng(seed), tmp_path / "signals.parquet"
    write_table(file, table())
    whole, expected = file.read_bytes(), read_table(file)
    assert frames_equal(expected, pd.read_parquet(file))
    for _ in range(count):
        file.write_bytes(damaged(whole, generator))
        is_refused(lambda: read_table(file), expected, frames_equal)


@cases(quick=30, slow=200)
def test_what_a_stage_made_is_compared_before_another_reads_it(tmp_path: Path, seed: int, count: int) -> None:
    """JSON, weights, tables: of all of them the record has the hash, and DVC that of the record."""
    generator, made, records = np.random.default_rng(seed), tmp_path / "made", tmp_path / "records"
    write_table(made / "signals.parquet", table())
    write_json(made / "report.json", {"sharpe": 0.51234, "passed": [True, False]})
    write_arrays(made / "model" / "weights.safetensors", {"weight": np.arange(20.0)})
    outputs = [made / "signals.parquet", made / "report.json", made / "model"]
    Record("stage", records / "stage", {}, {}, outputs=hashes(outputs)).save()
    check_unchanged(hashes(outputs), records)
    for number in range(count):
        file = drawn(made, generator)
        whole = file.read_bytes()
        with with_damage(file, generator):
            # A later stage may read the folder around them.
            read = partial(check_unchanged, hashes([made] if number % 2 else outputs), records)
            assert is_refused(read, None, equal) or file.read_bytes() == whole


@cases(quick=30, slow=200)
def test_a_damaged_checkpoint_is_not_resumed_from(tmp_path: Path, seed: int, count: int) -> None:
    """The state is that of the newest checkpoint or of the one before, or the training starts again."""
    generator = np.random.default_rng(seed)
    large = np.random.default_rng(1).integers(0, 255, (3, BLOCK_BYTES // 2), np.uint8)
    states = []
    for step in (1, 2):
        states.append(({"weight": np.arange(50.0) * step, "replay": large + step}, {"step": step}))
        Checkpoints(tmp_path / "whole").save(step, *states[-1])
    for _ in range(count):
        own = tmp_path / "own"
        shutil.copytree(tmp_path / "whole", own)
        file = drawn(own, generator)
        whole = file.read_bytes()
        file.write_bytes(damaged(whole, generator))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = Checkpoints(own).newest()
        assert found is None or any(
            found[1] == metadata and all(np.array_equal(found[0][name], array) for name, array in arrays.items())
            for arrays, metadata in states
        )
        is_newest = found is not None and found[1]["step"] == 2
        assert is_newest or any("damaged" in str(warning.message) for warning in told)
        shutil.rmtree(own)


@cases(quick=5, slow=100)
def test_a_damaged_search_ends_with_the_same_trials(tmp_path: Path, seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    expected = searched(tmp_path / "whole", 4)[1]
    whole = (tmp_path / "whole/search.db").read_bytes()
    with sqlite3.connect(tmp_path / "whole/search.db") as database:
        page = int(database.execute("PRAGMA page_size").fetchone()[0])
    # Most pages of a small study are empty, so places are drawn until they hold something.
    full = [place for place in range(len(whole)) if whole[place]]
    (tmp_path / "own").mkdir()
    for number in range(count):
        content = bytearray(whole)
        content[full[int(generator.integers(len(full)))]] ^= int(generator.integers(1, 256))
        cut = page * int(generator.integers(len(whole) // page))
        (tmp_path / "own/search.db").write_bytes(bytes(content) if number % 5 else whole[:cut])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert searched(tmp_path / "own", 4)[1] == expected
        for file in (tmp_path / "own").iterdir():
            file.unlink()


def test_a_changed_trial_starts_the_search_again(tmp_path: Path) -> None:
    expected = searched(tmp_path, 4)[1]
    with sqlite3.connect(tmp_path / "search.db") as database:
        database.execute("UPDATE trial_params SET param_value = param_value * 1.01 WHERE param_name = 'learning_rate'")
    with pytest.warns(UserWarning, match="the search is damaged"):
        assert searched(tmp_path, 4)[1] == expected


@cases(quick=30, slow=100)
def test_a_damaged_window_is_computed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seed: int, count: int
) -> None:
    generator = np.random.default_rng(seed)
    outcome = Outcome({"metrics": {"agent": {"sharpe": 0.5}}, "seed": 1}, table())
    computed = []

    def repeat(*_: Any) -> Outcome:
        computed.append(1)
        return outcome

    monkeypatch.setattr(walk_forward, "repeat", repeat)
    monkeypatch.setattr(walk_forward, "_identity", lambda *_: "window")
    write_table(tmp_path / "raw.parquet", table())
    task = walk_forward.Task(
        0,
        cast(Any, Window()),
        walk_forward.Recipe.__new__(walk_forward.Recipe),
        tmp_path / "raw.parquet",
        {},
        tmp_path / "kept",
    )
    object.__setattr__(task.recipe, "threads", 1)
    walk_forward.compute(task)
    for _ in range(count):
        computed.clear()
        file = drawn(tmp_path / "kept/window/outcome", generator)
        file.write_bytes(damaged(file.read_bytes(), generator))
        found = walk_forward.compute(task)
        assert found.report == outcome.report and frames_equal(found.returns, Outcome.load(file.parent).returns)
        assert ("is damaged, so it is computed again" in capsys.readouterr().out) == bool(computed)


class Window:
    """Stands for a window: it knows all bars."""

    class _Day:
        def date(self) -> str:
            return "2020-01-01"

    test = end = _Day()

    def known(self, raw: pd.DataFrame) -> pd.DataFrame:
        return raw


@cases(quick=50, slow=100)
def test_a_damaged_memory_of_the_last_promotion_is_forgotten(tmp_path: Path, seed: int, count: int) -> None:
    generator, memory, store = np.random.default_rng(seed), tmp_path / "memory.json", f"sqlite:///{tmp_path}/store.db"
    (tmp_path / "store.db").write_bytes(b"store")
    (tmp_path / "files").mkdir()
    (tmp_path / "files/MLmodel").write_text("a file without a dot")
    outcome = "trading-agent version 1: champion: every check passed"
    remember(memory, "inputs", store, [tmp_path / "files"], outcome)
    assert recall(memory, "inputs", store) == outcome
    for _ in range(count):
        with with_damage(memory, generator):
            assert recall(memory, "inputs", store) in (None, outcome)
    for _ in range(count):
        # Size and time of the file are those of before.
        with with_damage(tmp_path / "files/MLmodel", generator):
            assert recall(memory, "inputs", store) is None, "the version is checked, and registered anew"
    (tmp_path / "files/link").symlink_to(tmp_path / "store.db")
    assert recall(memory, "inputs", store) is None


@cases(quick=30, slow=100)
def test_a_damaged_record_of_decisions_is_told(tmp_path: Path, seed: int, count: int) -> None:
    generator = np.random.default_rng(seed)
    for number in range(3):
        write_table(tmp_path / f"decisions-{number}.parquet", table(50).assign(time=pd.Timestamp("2021", tz="UTC")))
    expected = read_decisions(tmp_path)
    for _ in range(count):
        with with_damage(drawn(tmp_path, generator), generator):
            is_refused(lambda: read_decisions(tmp_path), expected, frames_equal)


def test_json_and_arrays_are_refused_in_a_sentence(tmp_path: Path) -> None:
    """Where no hash stands beside them: what is read may be another value, and is never a stack trace."""
    generator = np.random.default_rng(0)
    write_json(tmp_path / "values.json", {"a": [1.5, None, "text"], "b": {"c": True}})
    write_arrays(tmp_path / "arrays.safetensors", {"a": np.arange(6.0).reshape(2, 3), "b": np.zeros(3, np.uint8)})
    for file, read in ((tmp_path / "values.json", read_json), (tmp_path / "arrays.safetensors", read_arrays)):
        for _ in range(300):
            with with_damage(file, generator):
                is_refused(partial(read, file), None, lambda *_: True)
    json.dumps(read_json(tmp_path / "values.json"))
