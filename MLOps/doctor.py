"""Check that a machine has everything the pipeline needs, with advice for everything that is missing."""

import configparser
import os
import platform
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from MLOps.config.agreement import check_params
from MLOps.config.params import Params
from MLOps.data.sources import advice_on_missing, configured_files
from MLOps.errors import UserError
from MLOps.experiment_tracking.address import SQLITE, require_answer, store_uri, without_password

PYTHON = (3, 11)
DISK_GB = 10.0
MEMORY_GB = 8.0
GPU_MEMORY_GB = 2.0
MPS = "Apple MPS"
NETWORK_TIMEOUT_S = 3.0
WRITTEN = ("data", "models", "reports")
REMOTE_PACKAGES = {"s3": "dvc-s3", "ssh": "dvc-ssh"}
SOURCE_PACKAGES = {"yahoo": "yfinance", "ccxt": "ccxt"}


@dataclass(frozen=True)
class Check:
    """Result of a check: `status` is "ok", "warning" (may run) or "failed" (will not run); `fix` is the advice."""

    name: str
    status: str
    found: str
    fix: str = ""


def diagnose() -> list[Check]:
    """Run all checks, in the order in which a run needs them."""
    checks = [_python(), _packages(Path("requirements.txt")), _memory()]
    try:
        params = check_params()
    except UserError as error:
        return [*checks, Check("params.yaml", "failed", str(error), "correct it; the remaining checks depend on it")]
    checks.append(Check("params.yaml", "ok", "all keys known and of the right type"))
    of_the_run = [check(params) for check in (_accelerator, _dataset, _source_packages, _network, _disk)]
    return [*checks, *of_the_run, _permission(), _dvc_state(), _dvc_remote(), _store(params)]


def table(checks: list[Check]) -> str:
    """One line per check, followed by its advice."""
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{check.status:8} {check.name:{width}}  {check.found}")
        if check.status != "ok":
            lines.append(f"{'':8} {'':{width}}  → {check.fix}")
    failed = sum(check.status == "failed" for check in checks)
    return "\n".join([*lines, "", f"{failed} of {len(checks)} checks failed" if failed else "ready"])


def _check(name: str, fine: bool, found: str, fix: str, otherwise: str = "failed") -> Check:
    return Check(name, "ok" if fine else otherwise, found, fix)


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return _check("Python", sys.version_info >= PYTHON, found, f"install Python {'.'.join(map(str, PYTHON))} or later")


def _packages(requirements: Path) -> Check:
    """Check the packages and versions pinned in requirements.txt."""
    if not requirements.is_file():
        return Check("packages", "failed", f"no {requirements}", "run from the folder that holds it")
    pinned = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", requirements.read_text(), flags=re.MULTILINE)
    missing, other = [], []
    for name, wanted in pinned:
        try:
            found = version(name).partition("+")[0]
        except PackageNotFoundError:
            missing.append(name)
            continue
        if found != wanted.partition("+")[0]:
            other.append(f"{name} {found} for {wanted}")
    fix = f"`pip install -r {requirements}`"
    if missing:
        return Check("packages", "failed", f"{len(missing)} of {len(pinned)} missing: {', '.join(missing[:5])}", fix)
    return _check(
        "packages", not other, f"{len(pinned)} pinned; {', '.join(other[:5]) or 'all as pinned'}", fix, "warning"
    )


def _disk(params: Params) -> Check:
    """Free space of every disk that a run writes to."""
    free: dict[int, tuple[float, list[str]]] = {}
    for folder in _written_folders(params):
        there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free.setdefault(there.stat().st_dev, (shutil.disk_usage(there).free / 1e9, []))[1].append(str(folder))
    scarce = [f"{gb:.1f} GB for {', '.join(folders)}" for gb, folders in free.values() if gb < DISK_GB]
    found = "; ".join(scarce) or f"{min(gb for gb, _ in free.values()):.0f} GB free or more in every folder used"
    return _check("disk", not scarce, found, f"free {DISK_GB:.0f} GB there, or move the folder", "warning")


def _written_folders(params: Params) -> list[Path]:
    """The project, DVC's cache, the store and its artifacts, and the place of temporary files."""
    # DVC's own paths are relative to the file that has them.
    cache = Path(".dvc") / _dvc_config().get("cache", "dir", fallback="cache")
    folders = [*map(Path, WRITTEN), Path(".cache"), cache, Path(tempfile.gettempdir())]
    uri = store_uri(params.tracking)
    return [*folders, Path(uri.removeprefix(SQLITE)).parent / "mlruns"] if uri.startswith(SQLITE) else folders


def _memory() -> Check:
    total_gb = psutil.virtual_memory().total / 1e9
    fix = f"{MEMORY_GB:.0f} GB are recommended: use fewer symbols, features or environments"
    return _check("memory", total_gb >= MEMORY_GB, f"{total_gb:.0f} GB", fix, "warning")


def _accelerator(params: Params) -> Check:
    """The GPU and its memory, and whether it is one that params.yaml asks for."""
    cores = f"{os.cpu_count()} CPU cores, which the default parameters suit"
    name, memory_gb = _gpu()
    kind = "mps" if name == MPS else "cuda" if name else "cpu"
    asked = {
        f"{section}.{variant}.device": config.device
        for section in ("predictors", "agents")
        for variant, config in getattr(params, section).items()
        if getattr(config, "device", "auto") in ("cuda", "mps")
    }
    for key, device in asked.items():
        if device != kind:
            fix = "set auto, or install its driver"
            return Check("accelerator", "failed", f"{key} is {device}; found {name or 'none'}", fix)
    found = f"{name}, {memory_gb:.0f} GB free; {cores}" if name else f"none; {cores}"
    enough = not name or memory_gb >= GPU_MEMORY_GB
    fix = f"free {GPU_MEMORY_GB:.0f} GB of its memory, or set device: cpu for networks and agents"
    return _check("accelerator", enough, found, fix, "warning")


def _gpu() -> tuple[str, float]:
    """The name of the GPU with the most free memory, and that memory; of Apple's, the memory it shares with the CPU."""
    # Asked without PyTorch, which takes seconds to import.
    query = ["nvidia-smi", "--query-gpu=memory.free,name", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
        free_mib, name = max((float(line.partition(",")[0]), line.partition(",")[2].strip()) for line in lines)
        return name, free_mib * 2**20 / 1e9
    except (OSError, subprocess.SubprocessError, ValueError):
        if (platform.system(), platform.machine()) == ("Darwin", "arm64"):
            return MPS, psutil.virtual_memory().available / 1e9
        return "", 0.0


def _dataset(params: Params) -> Check:
    data, wanted = params.data, configured_files(params.data)
    missing = {key: path for key, path in wanted.items() if not path.exists()}
    if missing:
        fixes = "; ".join(advice_on_missing(key, path) for key, path in missing.items())
        return Check("dataset", "failed", f"{', '.join(map(str, missing.values()))} is missing", fixes)
    return Check("dataset", "ok", ", ".join(map(str, wanted.values())) or f"data.source {data.source} reads no file")


def _source_packages(params: Params) -> Check:
    """Those that only some sources need, which requirements-sources.txt lists."""
    name = SOURCE_PACKAGES.get(params.data.source)
    if name is None:
        return Check("source packages", "ok", f"data.source {params.data.source} needs none")
    try:
        return Check("source packages", "ok", f"{name} {version(name)}")
    except PackageNotFoundError:
        return Check("source packages", "failed", f"{name} is missing", "`pip install -r requirements-sources.txt`")


def _network(params: Params) -> Check:
    hosts = {"yahoo": "query1.finance.yahoo.com", "ccxt": f"api.{params.data.ccxt.exchange}.com"}
    host = hosts.get(params.data.source)
    if host is None:
        return Check("network", "ok", f"not needed by data.source {params.data.source}")
    try:
        socket.create_connection((host, 443), timeout=NETWORK_TIMEOUT_S).close()
    except OSError as error:
        # Only a warning: earlier downloads may suffice, and an exchange may have another host.
        return Check(
            "network",
            "warning",
            f"{host} does not respond: {error}",
            "connect, or use the downloads in data/downloads/",
        )
    return Check("network", "ok", f"{host} responds")


def _permission() -> Check:
    closed = [name for name in (".", *WRITTEN) if Path(name).exists() and not os.access(name, os.W_OK)]
    fix = f"`chmod -R u+w {' '.join(closed)}`, or work in a folder of your own"
    return _check(
        "write permission", not closed, ", ".join(closed) + " not writable" if closed else str(Path.cwd()), fix
    )


def _dvc_config() -> configparser.ConfigParser:
    configured = configparser.ConfigParser()
    configured.read([".dvc/config", ".dvc/config.local"])
    return configured


def _dvc_state() -> Check:
    """Whether DVC keeps its pickles in the working tree; a relative path would break queued experiments."""
    configured = _dvc_config().get("core", "site_cache_dir", fallback=None)
    folder = os.environ.get("DVC_SITE_CACHE_DIR") or configured
    fine = folder is not None and Path(folder).is_absolute() and Path(folder).is_relative_to(Path.cwd())
    fix = f'`dvc config --local core.site_cache_dir "{Path.cwd()}/.cache/dvc"`: others might write what DVC loads'
    return _check("DVC's state", fine, folder or "in DVC's folder for all users", fix, "warning")


def _dvc_remote() -> Check:
    """Whether DVC's default remote has its package and, if it is reached by SSH, whether its host key is checked."""
    configured = _dvc_config()
    name = configured.get("core", "remote", fallback=None)
    if name is None:
        return Check("DVC's remote", "ok", "none")
    url = urlsplit(configured.get(f"'remote \"{name}\"'", "url", fallback=""))
    shown = without_password(url.geturl())
    package = REMOTE_PACKAGES.get(url.scheme)
    if package is not None and find_spec(package.replace("-", "_")) is None:
        fix = "`pip install -r requirements-team.txt`"
        return Check("DVC's remote", "warning", f"{shown}, without the package {package}", fix)
    # DVC's own SSH client accepts every host key. OpenSSH, as its proxy, does not.
    fine = url.scheme != "ssh" or _has_proxy(url.hostname or "")
    found = shown if fine else f"{shown}, whose host key DVC does not check"
    fix = "let OpenSSH connect to it, by a ProxyCommand: docs/scaling.md, Data in object storage"
    return _check("DVC's remote", fine, found, fix, "warning")


def _has_proxy(host: str) -> bool:
    """Whether the user's SSH configuration has a ProxyCommand for a host."""
    try:
        asked = subprocess.run(["ssh", "-G", "--", host], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return False
    return bool(re.search(r"^proxycommand (?!none$)", asked.stdout, flags=re.MULTILINE))


def _store(params: Params) -> Check:
    uri = store_uri(params.tracking)
    fix = "start it, or set tracking.uri or MLFLOW_TRACKING_URI"
    try:
        require_answer(uri)
        if uri.startswith(SQLITE) and (path := Path(uri.removeprefix(SQLITE))).exists():
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                database.execute("SELECT count(*) FROM experiments")
                (schema,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            return _schema(uri, schema)
        if uri.startswith(("http://", "https://")):
            return _server(uri)
    except (UserError, sqlite3.Error) as error:
        return Check("MLflow store", "failed", str(error), fix)
    return Check("MLflow store", "ok", without_password(uri))


def _schema(uri: str, schema: str) -> Check:
    """Whether the installed MLflow can work with the tables of a local store."""
    installed = version("mlflow")
    parents = _schemas()
    if schema not in parents:
        found = f"{uri}: its tables are of a newer MLflow than the installed {installed}"
        return Check("MLflow store", "failed", found, "`pip install -r requirements.txt`, or set another tracking.uri")
    if schema in parents.values():
        found = f"{uri}: its tables are of an older MLflow than the installed {installed}"
        return Check("MLflow store", "failed", found, f"copy the file, then run `mlflow db upgrade {uri}`")
    return Check("MLflow store", "ok", f"{uri}, with the tables of MLflow {installed}")


def _schemas() -> dict[str, str]:
    """The schema that each schema known to the installed MLflow replaces, read from its migrations without importing
    it, which takes a second."""
    folder = Path(str(distribution("mlflow").locate_file("mlflow"))) / "store" / "db_migrations" / "versions"
    pattern = re.compile(r'^(revision|down_revision)\s*(?::[^=]*)?=\s*(?:"(\w+)"|None)', re.MULTILINE)
    texts = [file.read_text() for file in folder.glob("*.py")]
    found = [{match[1]: match[2] for match in pattern.finditer(text)} for text in texts]
    return {names["revision"]: names["down_revision"] for names in found if "revision" in names}


def _server(uri: str) -> Check:
    """Whether a tracking server accepts the login and has the installed version of MLflow."""
    # A second, which a local store is spared.
    import requests
    from mlflow.utils.credentials import read_mlflow_creds

    installed, login = version("mlflow"), read_mlflow_creds()
    auth = (login.username, login.password) if login.username and login.password else None
    try:
        answer = requests.get(f"{uri.rstrip('/')}/version", timeout=NETWORK_TIMEOUT_S, auth=auth)
        if answer.status_code in (401, 403):
            fix = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to those of a user there"
            return Check("MLflow store", "failed", f"{uri} refuses the login", fix)
        served = answer.text.strip() if answer.ok else ""
    except requests.RequestException:
        served = ""
    if not re.fullmatch(r"\d+\.\d+\S*", served):  # a proxy or an older server
        return Check("MLflow store", "ok", f"{without_password(uri)}, which does not tell its version")
    same = served.split(".")[:2] == installed.split(".")[:2]
    found = f"{without_password(uri)}, MLflow {served}" + ("" if same else f"; installed is {installed}")
    return _check("MLflow store", same, found, f"install MLflow {installed} on the server", "warning")
