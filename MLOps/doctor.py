"""Check that a machine has everything the pipeline needs, with advice for everything that is missing."""

import os
import platform
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from MLOps.config.agreement import check_params
from MLOps.config.params import Params
from MLOps.data.sources import configured_files
from MLOps.errors import UserError
from MLOps.experiment_tracking.address import SQLITE, require_answer, store_uri, without_password

PYTHON = (3, 11)
DISK_GB = 10.0
MEMORY_GB = 8.0
NETWORK_TIMEOUT_S = 3.0
WRITTEN = ("data", "models", "reports")
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
    checks = [_python(), _packages(Path("requirements.txt")), _disk(), _memory(), _accelerator()]
    try:
        params = check_params()
    except UserError as error:
        return [*checks, Check("params.yaml", "failed", str(error), "correct it; the remaining checks depend on it")]
    checks.append(Check("params.yaml", "ok", "all keys known and of the right type"))
    return [*checks, _dataset(params), _source_packages(params), _network(params), _permission(), _store(params)]


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


def _disk() -> Check:
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    return _check(
        "disk", free_gb >= DISK_GB, f"{free_gb:.0f} GB free", f"free {DISK_GB:.0f} GB, or move the folder", "warning"
    )


def _memory() -> Check:
    total_gb = psutil.virtual_memory().total / 1e9
    fix = f"{MEMORY_GB:.0f} GB are recommended: use fewer symbols, features or environments"
    return _check("memory", total_gb >= MEMORY_GB, f"{total_gb:.0f} GB", fix, "warning")


def _accelerator() -> Check:
    # Asked without PyTorch, which takes seconds to import.
    cores = f"{os.cpu_count()} CPU cores, which the default parameters suit"
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found = "Apple MPS" if (platform.system(), platform.machine()) == ("Darwin", "arm64") else ""
    return Check("accelerator", "ok", f"{found}; {cores}" if found else f"none; {cores}")


def _dataset(params: Params) -> Check:
    data, wanted = params.data, configured_files(params.data)
    missing = {key: str(path) for key, path in wanted.items() if not path.exists()}
    if missing:
        fix = "restore it with `git checkout data/sample`" if data.source == "sample" else f"set {', '.join(missing)}"
        return Check("dataset", "failed", f"{', '.join(missing.values())} is missing", fix)
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


def _store(params: Params) -> Check:
    uri = store_uri(params.tracking)
    try:
        require_answer(uri)
        if uri.startswith(SQLITE) and (path := Path(uri.removeprefix(SQLITE))).exists():
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                database.execute("SELECT count(*) FROM experiments")
    except (UserError, sqlite3.Error) as error:
        return Check("MLflow store", "failed", str(error), "start it, or set tracking.uri or MLFLOW_TRACKING_URI")
    return Check("MLflow store", "ok", without_password(uri))
