"""Files that were made to harm: whatever loads them refuses in a sentence, runs nothing, and takes little memory.

Each is given to what loads it in the pipeline, in a process of its own that may not take more than MOST_MB beyond what
it began with. A pickle that is read, or a file of code that is run, leaves a mark.
"""

import gzip
import hashlib
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import socket
import sqlite3
import struct
import traceback
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from MLOps.artifacts import MOST_JSON_BYTES, read_arrays, read_json, read_table, write_arrays, write_json, write_table
from MLOps.config.params import parse_yaml
from MLOps.data import tables
from MLOps.deployment.trading_model import TradingModel
from MLOps.errors import UserError
from MLOps.evaluation.outcome import HASHES, REPORT, RETURNS, Outcome
from MLOps.experiment_tracking.record import RECORD, Record
from MLOps.model_registry.bundle import MANIFEST, build_bundle
from MLOps.model_registry.version_files import META
from MLOps.model_registry.versions import Registry
from MLOps.operations.last_promotion import recall, remember
from MLOps.operations.outcomes import read_decisions
from MLOps.training.checkpoints import Checkpoints
from tests.agents.trainings import RULES
from tests.contracts.test_damaged_files import seal
from tests.deployment.bundles import agent, registered_champion, write_bundle
from tests.predictors.markets import NETWORKS, fit, small_market
from tests.training.test_search import searched

MOST_MB = 600  # of the peak beyond the beginning; the limits of MLOps/artifacts.py allow 256 MB of a small table
WALL_MB = 6000  # of address space beyond the beginning, so that a test that fails does not take the machine with it
LONGEST_SENTENCE = 300  # characters
TIMEOUT_S = 60
MARK = Path("mark")

Spoil = Callable[[Path], Any]


class Harm:
    """An object whose unpickling leaves a mark."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {MARK.absolute()}",)


def _measured(load: Callable[[], Any], answer: Any) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + WALL_MB * 2**20, resource.RLIM_INFINITY))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            found, said = repr(load())[:200], [str(warning.message) for warning in told]
        except UserError as error:
            found, said = None, [str(error)]
        except BaseException:
            found, said = None, [traceback.format_exc()]
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    answer.send((found, said, more))


def loaded(load: Callable[[], Any]) -> tuple[str | None, list[str]]:
    """What `load` gave, in words, and its sentence or warnings; its process is bounded."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_measured, args=(load, theirs))
    process.start()
    theirs.close()
    try:
        assert ours.poll(TIMEOUT_S), "it does not end"
        found, said, more_mb = ours.recv()
    finally:
        process.kill()
        process.join()
    assert not MARK.exists(), "it was executed"
    assert more_mb < MOST_MB, f"it took {more_mb:.0f} MB"
    for sentence in said:
        assert "Traceback" not in sentence and "\n" not in sentence.strip(), sentence
        assert len(sentence.replace(str(Path.cwd()), "")) < LONGEST_SENTENCE, sentence
    return found, said


def refused(load: Callable[[], Any]) -> str:
    found, said = loaded(load)
    assert found is None and len(said) == 1, (found, said)
    return said[0]


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def text(values: str) -> Spoil:
    return lambda path: path.write_text(values)


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Harm()))


def npz_of_a_pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.array([Harm()], object))


def npy_of_a_pickle(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([Harm()], object), allow_pickle=True)


def zip_bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", bytes(200 * 2**20))


def sparse(size: int) -> Spoil:
    def make(path: Path) -> None:
        path.write_bytes(b"[")
        os.truncate(path, size)

    return make


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> Spoil:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return lambda path: path.write_bytes(struct.pack("<Q", len(content) if length is None else length) + content + data)


def tensor(shape: list[int], end: int, dtype: str = "F32", start: int = 0) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


# Of a JSON file, by what is wrong with it.
JSON: dict[str, Spoil] = {
    "pickle": pickled,
    "npz": npz_of_a_pickle,
    "deep": text("[" * 1_000_000),
    "deep and closed": text("[" * 100_000 + "]" * 100_000),
    "deep objects": text('{"a":' * 100_000 + "1" + "}" * 100_000),
    "giant integer": text('{"a": ' + "9" * 100_000 + "}"),
    "NaN": text('{"a": NaN}'),
    "infinity": text('{"a": -Infinity}'),
    "repeated key": text('{"a": 1, "a": 2}'),
    "no UTF-8": lambda path: path.write_bytes(b'{"a": "\xff\xfe"}'),
    "nothing": text(""),
    "huge": sparse(MOST_JSON_BYTES + 1),
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
}
# Of a safetensors file.
ARRAYS: dict[str, Spoil] = {
    "pickle": pickled,
    "npy": npy_of_a_pickle,
    "header of 2^63 bytes": safetensors({}, length=2**63),
    "header of 2^64 - 1 bytes": safetensors({}, length=2**64 - 1),
    "header longer than the file": safetensors({}, length=90_000_000),
    "size of 2^63": safetensors({"a": tensor([2**62, 2], 2**63)}),
    "product beyond 2^64": safetensors({"a": tensor([2**32, 2**32], 0)}),
    "huge shape, few bytes": safetensors({"a": tensor([2**40], 16)}, bytes(16)),
    "no rows of many columns": safetensors({"a": tensor([0, 2**62], 0)}),
    "negative": safetensors(b'{"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}', bytes(16)),
    "overlap": safetensors({"a": tensor([4], 16), "b": tensor([4], 24, start=8)}, bytes(24)),
    "hole": safetensors({"a": tensor([2], 8), "b": tensor([2], 24, start=16)}, bytes(24)),
    "unknown type": safetensors({"a": tensor([2], 8, dtype="PY")}, bytes(8)),
    "deep header": safetensors(b"[" * 100_000),
    "deep metadata": safetensors(b'{"__metadata__": ' + b"[" * 100_000),
    "no UTF-8": safetensors(b'{"\xff": 1}'),
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
}


def parquet(columns: dict[str, Any], **options: Any) -> Spoil:
    return lambda path: pq.write_table(pa.table(columns), path, **options)


def many_groups(path: Path) -> None:
    """2·10^9 rows in a small file: one group of rows, often."""
    group = pa.table({"a": pa.array(np.zeros(20_000_000, np.int8))})
    with pq.ParquetWriter(path, group.schema) as writer:
        for _ in range(100):
            writer.write_table(group, row_group_size=len(group))


def long_texts(path: Path) -> None:
    """One text of 1 MB, 10^5 times: 100 GB."""
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["x" * 2**20]))
    _write_repeated(column, path)


def _write_repeated(column: pa.Array, path: Path) -> None:
    """The text once, and its number for each row; readers do not see that it was a dictionary."""
    pq.write_table(pa.table({"a": column}), path, store_schema=False, dictionary_pagesize_limit=2**24)


def long_binary(path: Path) -> None:
    """A fixed width of 1 MB, 10^4 times."""
    kind = pa.binary(2**20)
    values = pa.array([b"x" * 2**20], kind)
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int32)), values)
    _write_repeated(column, path)


def long_list(path: Path) -> None:
    """One row that is a list of 10^8 numbers."""
    column = pa.ListArray.from_arrays(pa.array([0, 100_000_000]), pa.array(np.zeros(100_000_000, np.int8)))
    pq.write_table(pa.table({"a": column}), path)


# Of a Parquet file.
TABLES: dict[str, Spoil] = {
    "pickle": pickled,
    "repeated value": many_groups,
    "long texts": long_texts,
    "long binary": long_binary,
    "long list": long_list,
    "compressed": parquet({"a": pa.array([b"\0" * (2**29)])}, compression="zstd", use_dictionary=False),
    "other types": parquet({"a": pa.array([b"\xff\xfe"], pa.binary()).cast(pa.string(), safe=False)}),
    "pipe": os.mkfifo,
    "nothing": text(""),
    "magic alone": text("PAR1PAR1"),
    "footer of 2^31 bytes": lambda path: path.write_bytes(b"PAR1" + struct.pack("<I", 2**31 - 1) + b"PAR1"),
}
SLOW = {"repeated value", "long list", "compressed", "deep", "long binary", "long texts"}


def named(kinds: dict[str, Spoil]) -> Any:
    """Those that take a second to make are slow."""
    return pytest.mark.parametrize(
        "spoil",
        [pytest.param(spoil, id=kind, marks=pytest.mark.slow if kind in SLOW else ()) for kind, spoil in kinds.items()],
    )


@named(JSON)
def test_json(spoil: Spoil) -> None:
    spoil(path := Path("report.json"))
    assert "report.json" in refused(lambda: read_json(path))


@named(ARRAYS)
def test_arrays(spoil: Spoil) -> None:
    spoil(path := Path("weights.safetensors"))
    found, said = loaded(lambda: {name: array.shape for name, array in read_arrays(path).items()})
    # No rows of any number of columns take no memory.
    assert (found is None and "weights.safetensors" in said[0]) or found == f"{{'a': (0, {2**62})}}"


@named(TABLES)
@pytest.mark.parametrize("read", [read_table, tables.read_table], ids=["of a stage", "of a user"])
def test_tables(spoil: Spoil, read: Callable[[Path], pd.DataFrame]) -> None:
    spoil(path := Path("bars.parquet"))
    found, said = loaded(lambda: read(path).shape)
    assert found in ("(1, 1)", "(1, 2)") or "bars.parquet" in said[0]


@pytest.mark.parametrize("spoil", [pickled, npz_of_a_pickle, npy_of_a_pickle, zip_bomb])
@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.feather", "b.npz", "b.npy", "b.pkl", "b.parquet"])
def test_bars_of_a_user(spoil: Spoil, name: str) -> None:
    spoil(path := Path(name))
    found, said = loaded(lambda: tables.read_table(path))
    # A CSV file may hold any text: the checks of bars come after.
    assert found is not None or name in said[0]


@pytest.mark.slow
def test_a_compressed_file_of_nothing() -> None:
    with gzip.open("bars.csv.gz", "wb") as file:
        file.write(b"timestamp,symbol,close\n")
        for _ in range(1000):
            file.write(b"\n" * 2**20)
    assert "at most" in refused(lambda: tables.read_table(Path("bars.csv.gz")))


# --- bundles ---


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a network and trees among its predictors."""
    folder = tmp_path_factory.mktemp("bundle")
    plain = write_bundle(folder / "made", agent("ppo", RULES["weights"]))
    market = small_market(100.0, symbols=2, bars=400)
    trees = {"kind": "gradient_boosting", "lookback_bars": 2, "max_iter": 3}
    fit({**NETWORKS["lstm"], "hidden_size": 4, "max_epochs": 1}, market, folder / "c").save(folder / "lstm")
    fit(trees, market, folder / "c").save(folder / "trees")
    parts = {name: plain / name for name in ("agent", "feature_pipeline.json")}
    parts |= {f"predictors/{name}": folder / name for name in ("lstm", "trees")}
    metadata = read_json(plain / "metadata.json")
    metadata["ensemble"] |= {"members": ["lstm", "trees"], "weights": [0.5, 0.5]}
    build_bundle(folder / "bundle", parts, metadata)
    TradingModel.load(folder / "bundle")
    return folder / "bundle"


def edited(name: str, change: Callable[[Any], Any]) -> Spoil:
    """Change the values of a JSON file of the bundle."""

    def spoil(bundle: Path) -> None:
        values = read_json(bundle / name)
        change(values)
        (bundle / name).write_text(json.dumps(values))

    return spoil


def edited_arrays(name: str, **arrays: np.ndarray) -> Spoil:
    return lambda bundle: write_arrays(bundle / name, {**read_arrays(bundle / name), **arrays})


def replaced(name: str, spoil: Spoil) -> Spoil:
    def replace(bundle: Path) -> None:
        (bundle / name).unlink()
        spoil(bundle / name)

    return replace


def linked_folder(bundle: Path) -> None:
    shutil.move(bundle / "agent", "elsewhere")
    (bundle / "agent").symlink_to(Path("elsewhere").absolute())


def linked_file(bundle: Path) -> None:
    shutil.move(bundle / "metadata.json", "elsewhere.json")
    (bundle / "metadata.json").symlink_to(Path("elsewhere.json").absolute())


def outside(bundle: Path) -> None:
    """A member that lies outside, where nothing is hashed."""
    shutil.copytree(bundle / "predictors/lstm", "lstm")
    name = os.path.relpath(Path("lstm"), bundle / "predictors")
    edited("metadata.json", lambda values: values["ensemble"].update(members=[name, "trees"]))(bundle)


def cycle(bundle: Path) -> None:
    name = "predictors/trees/weights.safetensors"
    feature = read_arrays(bundle / name)["feature"]
    edited_arrays(name, feature=np.zeros_like(feature), left=np.arange(len(feature)), right=np.arange(len(feature)))(
        bundle
    )


def wrapping_widths(bundle: Path) -> None:
    """Widths whose number of parameters is that of the file, modulo 2^64."""
    arrays = read_arrays(bundle / "agent/policy.safetensors")
    widths, count = [int(width) for width in arrays["widths"]], len(arrays["parameters"])
    first = widths[0] + 1
    # first · w + (w + 1) · v ≡ count, for w = 2^32 - 1 and some v
    width = 2**32 - 1
    last = (count - first * width) * pow(width + 1, -1, 2**64 - 1) % 2**31 or 1
    edited_arrays("agent/policy.safetensors", widths=np.array([widths[0], width, last], np.int64))(bundle)


def deep_folders(bundle: Path) -> None:
    """Half as deep as Python's stack; pytest deletes them by recursion."""
    here = os.open(bundle, os.O_RDONLY)
    for _ in range(500):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(os.open("bottom.json", os.O_CREAT, dir_fd=here))
    os.close(here)


def device(bundle: Path) -> None:
    try:
        os.mknod(bundle / "zero.json", 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root makes devices")


def hung_up(bundle: Path) -> None:
    where = Path.cwd()
    os.chdir(bundle)  # a socket's path is short
    socket.socket(socket.AF_UNIX).bind("socket.json")
    os.chdir(where)


LSTM = "predictors/lstm/predictor.json"
BUNDLES: dict[str, Spoil] = {
    "pickle as weights": replaced("agent/policy.safetensors", pickled),
    "pickle as metadata": replaced("metadata.json", pickled),
    "deep metadata": replaced("metadata.json", JSON["deep and closed"]),
    "huge header": replaced("agent/policy.safetensors", ARRAYS["header of 2^63 bytes"]),
    "overlapping arrays": replaced("agent/policy.safetensors", ARRAYS["overlap"]),
    "no arrays": replaced("agent/policy.safetensors", safetensors({})),
    "metadata is a list": replaced("metadata.json", text("[1]")),
    "null everywhere": edited("metadata.json", lambda values: values.update(dict.fromkeys(values))),
    "extra code": lambda bundle: (bundle / "numpy.py").write_text(f"open({str(MARK.absolute())!r}, 'w')"),
    "extra pickle": lambda bundle: pickled(bundle / "agent/policy.pkl"),
    "requirements": lambda bundle: (bundle / "requirements.txt").write_text("evil @ file:///tmp/evil"),
    "description of a loader": lambda bundle: (bundle / "MLmodel").write_text("loader_module: os"),
    "linked folder": linked_folder,
    "linked file": linked_file,
    "link to itself": lambda bundle: (bundle / "loop").symlink_to("."),
    "pipe": lambda bundle: os.mkfifo(bundle / "pipe.json"),
    "socket": hung_up,
    "device": device,
    "deep folders": deep_folders,
    "member outside": outside,
    "member at an absolute path": edited("metadata.json", lambda v: v["ensemble"].update(members=["/etc", "trees"])),
    "observed predictor outside": edited("agent/agent.json", lambda v: v["view"].update(forecasters=["../../.."])),
    "kind is a module": edited(LSTM, lambda v: v["config"].update(kind="os:system")),
    "kind is a list": edited(LSTM, lambda v: v["config"].update(kind=["lstm"])),
    "wide network": edited(LSTM, lambda v: v["config"].update(hidden_size=10**6)),
    "wider network": edited(LSTM, lambda v: v["config"].update(hidden_size=2**62)),
    "deep network": edited(LSTM, lambda v: v["config"].update(layers=10**9)),
    "long lookback": edited(LSTM, lambda v: v["config"].update(lookback_bars=10**9)),
    "many samples": edited(LSTM, lambda v: v["config"].update(uncertainty_samples=10**9, dropout=0.5)),
    "endless trees": cycle,
    "children beyond the trees": edited_arrays("predictors/trees/weights.safetensors", left=np.full(1000, 10**9)),
    "widths that wrap": wrapping_widths,
    "giant widths": edited_arrays("agent/policy.safetensors", widths=np.array([4, 2**62, 2], np.int64)),
    "unknown feature": edited("feature_pipeline.json", lambda v: v.update(names=["__import__('os')"])),
    "many features": edited("feature_pipeline.json", lambda v: v.update(names=v["names"] * 200_000)),
    "many symbols": edited("feature_pipeline.json", lambda v: v.update(universe=v["universe"] * 100_000)),
}


@named(BUNDLES)
@pytest.mark.parametrize("is_sealed", [False, True], ids=["", "sealed again"])
def test_bundles(whole: Path, spoil: Spoil, is_sealed: bool) -> None:
    shutil.copytree(whole, own := Path("own"))
    spoil(own)
    if is_sealed:
        try:
            seal(own)
        except (OSError, RecursionError):
            pytest.skip("its maker cannot hash it either")
    refused(lambda: TradingModel.load(own))


@pytest.mark.parametrize(
    "content",
    ['{"files": {}, "identity": ""}', '{"files": {"../../etc/passwd": "0"}, "identity": "0"}', "[]", "{}", "1"],
)
def test_manifests(whole: Path, content: str) -> None:
    shutil.copytree(whole, own := Path("own"))
    (own / MANIFEST).write_text(content)
    refused(lambda: TradingModel.load(own))


def test_a_hard_link_is_the_file_that_it_is(whole: Path) -> None:
    """What it is linked with may change later, and then no longer has its hash."""
    shutil.copytree(whole, own := Path("own"))
    os.link(own / "metadata.json", "elsewhere.json")
    assert loaded(lambda: TradingModel.load(own).identity)[0] is not None
    with Path("elsewhere.json").open("a") as file:
        file.write(" ")
    refused(lambda: TradingModel.load(own))


# --- what is registered beside the bundle ---


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with registered_champion(tmp_path_factory.mktemp("registered")) as registry:
        yield registry


HARM_CODE = "import pathlib; pathlib.Path('mark').touch()\n"


def other_loader(folder: Path) -> None:
    file = folder / "MLmodel"
    file.write_text(file.read_text().replace("mlflow.pyfunc.loaders.code_model", "harm"))


def pickled_model(folder: Path) -> None:
    file = folder / "MLmodel"
    file.write_text(file.read_text().replace("python_function:", "python_function:\n    python_model: model.pkl"))
    pickled(folder / "model.pkl")


def linked_package(folder: Path) -> None:
    """A package that would be imported in place of another, and lies elsewhere."""
    Path("evil").mkdir()
    Path("evil/__init__.py").write_text(HARM_CODE)
    (folder / "code/numpy").symlink_to(Path("evil").absolute())


VERSIONS: dict[str, Spoil] = {
    "other loader": other_loader,
    "pickled model": pickled_model,
    "other code path": lambda folder: (folder / "MLmodel").open("a").write("    code: /tmp\n"),
    "requirements": lambda folder: (folder / "requirements.txt").write_text("evil @ file:///tmp/evil"),
    "environment": lambda folder: (folder / "conda.yaml").write_text("!!python/object/apply:os.system ['touch mark']"),
    "extra package": lambda folder: (folder / "code/numpy.py").write_text(HARM_CODE),
    "linked package": linked_package,
    "Numba's cache": lambda folder: pickled(_beside(folder) / "kernel.advance-1.py311.nbi"),
    "cache without a suffix": lambda folder: pickled(_beside(folder) / "harm"),
    "pipe": lambda folder: os.mkfifo(folder / "code/pipe"),
}


def _beside(folder: Path) -> Path:
    (cache := folder / "code/MLOps/trading/__pycache__").mkdir(exist_ok=True)
    return cache


@named(VERSIONS)
def test_versions(registry: Registry, spoil: Spoil, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = registry.files("1")
    shutil.copytree(folder, own := Path("own"))
    spoil(own)
    monkeypatch.setattr(Registry, "_files", lambda *_: own)
    refused(lambda: registry.files("1"))


@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_mlflow_writes_through_no_link(registry: Registry, kind: str) -> None:
    """It notes in the folder of a version which version it is."""
    victim, place = Path("victim").absolute(), registry.files("1") / META
    victim.write_text("as it was")
    kept = place.read_bytes()
    place.unlink()
    os.mkfifo(place) if kind == "pipe" else place.symlink_to(victim)
    try:
        refused(lambda: registry.files("1"))
        assert victim.read_text() == "as it was"
    finally:
        place.unlink()
        place.write_bytes(kept)


def test_compiled_code_beside_the_source_is_not_run(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python runs `__pycache__` where its time and size of the source fit, which anyone can write there."""
    shutil.copytree(registry.files("1"), own := Path("own"))
    (own / "__pycache__").mkdir()
    (own / "__pycache__/serving_model.cpython-311.pyc").write_bytes(b"compiled")
    (_beside(own) / "kernel.cpython-311.pyc").write_bytes(b"compiled")
    monkeypatch.setattr(Registry, "_files", lambda *_: own)
    registry.files("1")
    assert not list(own.rglob("*.pyc"))


# --- caches ---


def checkpoint(content: bytes) -> None:
    """A checkpoint whose name has the hash of its content."""
    Path("c").mkdir(exist_ok=True)
    (Path("c") / f"{1:012d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors").write_bytes(content)


def with_texts(metadata: str, large: str) -> bytes:
    header = json.dumps({"__metadata__": {"metadata": metadata, "large": large}}).encode()
    return struct.pack("<Q", len(header)) + header


def pipe() -> None:
    Path("c").mkdir()
    os.mkfifo(f"c/{1:012d}-0123456789abcdef.safetensors")


ESCAPE = json.dumps({"a": {"dtype": "|u1", "shape": [4], "digests": ["../keep"]}})
CHECKPOINTS: dict[str, Callable[[], Any]] = {
    "pickle": lambda: checkpoint(pickle.dumps(Harm())),
    "deep metadata": lambda: checkpoint(with_texts("[" * 100_000, "{}")),
    "header of 2^63 bytes": lambda: checkpoint(struct.pack("<Q", 2**63) + b"{}"),
    "no metadata": lambda: checkpoint(struct.pack("<Q", 2) + b"{}"),
    "metadata is a number": lambda: checkpoint(struct.pack("<Q", 18) + b'{"__metadata__":1}'),
    "large is a list": lambda: checkpoint(with_texts("{}", "[1]")),
    "objects": lambda: checkpoint(with_texts("{}", '{"a": {"dtype": "O", "shape": [1], "digests": []}}')),
    "huge shape": lambda: checkpoint(with_texts("{}", '{"a": {"dtype": "<f8", "shape": [1e30], "digests": []}}')),
    "block outside": lambda: checkpoint(with_texts("{}", ESCAPE)),
    "pipe": pipe,
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints(kind: str) -> None:
    Path("keep.block").write_bytes(b"mine")
    CHECKPOINTS[kind]()
    found, _ = loaded(lambda: Checkpoints(Path("c")).newest())
    assert found == "None"
    assert Path("keep.block").exists(), "nothing outside is deleted"
    # The training goes on, and saves beside it.
    assert loaded(lambda: Checkpoints(Path("c")).save(2, {"a": np.ones(3)}, {}))[1] == []


def pickle_in_a_study(path: Path) -> None:
    searched(path.parent, 2)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE trial_user_attributes SET value_json = ?", (pickle.dumps(Harm()),))
        database.execute('UPDATE trial_params SET distribution_json = \'{"name": "os.system"}\'')


STUDIES: dict[str, Spoil] = {
    "pickle": pickled,
    "pickles within": pickle_in_a_study,
    "another database": lambda path: sqlite3.connect(path).execute("CREATE TABLE studies (a)").connection.close(),
    "header alone": lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(84)),
}


@named(STUDIES)
def test_studies(spoil: Spoil) -> None:
    spoil(Path("search.db"))
    found, said = loaded(lambda: [trial.values for trial in searched(Path.cwd(), 2)[1]])
    assert found is not None and "the search is damaged; it starts again" in said[0]


def test_other_caches_and_records() -> None:
    """A saved window, the memory of the last promotion, a record of a stage, recorded decisions: pickles all."""
    for name in (HASHES, REPORT, RETURNS):
        Outcome({"a": 1}, pd.DataFrame({"b": [1.0]})).save(Path("outcome"))
        pickled(Path("outcome") / name)
        refused(lambda: Outcome.load(Path("outcome")))
    store = f"sqlite:///{Path.cwd()}/store.db"
    Path("store.db").touch()
    remember(Path("memory.json"), "inputs", store, [], "outcome")
    pickled(Path("memory.json"))
    assert loaded(lambda: recall(Path("memory.json"), "inputs", store))[0] == "None"
    Path("record").mkdir()
    pickled(Path("record") / RECORD)
    refused(lambda: Record.load(Path("record")))
    write_table(Path("d/decisions-1.parquet"), pd.DataFrame({"time": [1]}))
    pickled(Path("d/decisions-2.parquet"))
    assert "decisions-2" in refused(lambda: read_decisions(Path("d")))


def test_yaml_makes_no_objects() -> None:
    with pytest.raises(Exception, match="could not determine a constructor"):
        parse_yaml("seed: !!python/object/apply:os.system ['touch mark']")
    assert not MARK.exists()


def test_the_marks_are_left() -> None:
    """What the other tests look for would be seen."""
    pickled(path := Path("harm.pkl"))
    with pytest.raises(AssertionError, match="it was executed"):
        loaded(lambda: pickle.loads(path.read_bytes()))  # noqa: S301
    write_json(Path("a.json"), {})
