"""A Ray cluster of two hosts on this machine, for tests."""

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ADDRESS = "10.77.0.1:6379"
ISOLATED = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
SCRIPT = Path(__file__).with_name("two_nodes.sh")


def require_cluster() -> None:
    """Skip the test where Ray, or what separates two hosts on one machine, is missing."""
    pytest.importorskip("ray", reason="pip install -r requirements-ray.txt")
    if shutil.which("ip") is None or subprocess.run([*ISOLATED, "true"], capture_output=True).returncode:
        pytest.skip("needs iproute2, and network namespaces for this user")


@dataclass(frozen=True)
class Cluster:
    """Commands run beside it; it ends with each of them."""

    folder: Path

    @classmethod
    def new(cls) -> "Cluster":
        # Ray's sockets lie there, whose paths must be short.
        return cls(Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp")))

    def beside(self, *command: str) -> list[str]:
        """The command line that starts the two nodes, and runs `command` on the first host."""
        return [*ISOLATED, str(SCRIPT), str(self.folder), *command]

    def is_up(self) -> bool:
        return (self.folder / "up").exists()

    def lose_second(self) -> None:
        """Kill all processes of the second host."""
        (self.folder / "lose").touch()
