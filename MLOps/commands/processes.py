"""Programs that a command runs in the foreground."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO


def run(command: Sequence[str], variables: Mapping[str, str] | None = None, stdout: IO[str] | None = None) -> int:
    """Run `command` until it ends; its exit status.

    Args:
        variables: environment variables besides those of this process.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; `command` has ended.
    """
    process = subprocess.Popen(command, env={**os.environ, **(variables or {})}, stdout=stdout)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.wait()  # the terminal has interrupted it too
        raise
    except BaseException:
        process.terminate()
        process.wait()
        raise
