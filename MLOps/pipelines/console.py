"""What a stage says: to the console as much as the `dvc` command asks for, to the log file of its run everything."""

import io
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from MLOps.experiment_tracking.processes import Verbosity

WARNING = "warning:"  # lines with this word are shown by --quiet too


class Console(io.TextIOBase):
    """Standard output while a stage runs: each line goes to the log file, with its time, and to the console.

    `dvc repro --quiet` leaves the console to warnings and errors, without progress bars; `--verbose` adds the metrics
    of each step.
    """

    def __init__(self, log: Path, verbosity: Verbosity) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._verbosity = verbosity
        self._file = log.open("w", encoding="utf-8")
        self._line = ""
        self._console: TextIO = sys.stdout
        sys.stdout = self
        if verbosity == "quiet":
            # `rich` takes standard error for no terminal then.
            os.environ["TTY_COMPATIBLE"] = "0"

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self.keep(line)
            if self._verbosity != "quiet" or WARNING in line:
                self._console.write(f"{line}\n")
        return len(text)

    def flush(self) -> None:
        self._console.flush()

    def isatty(self) -> bool:
        return self._console.isatty()

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """The metrics of one step."""
        line = f"step {step}: {', '.join(f'{name} {value:.5g}' for name, value in metrics.items())}"
        self.keep(line)
        if self._verbosity == "verbose":
            self._console.write(f"{line}\n")

    def keep(self, line: str) -> None:
        """Write a line to the log file alone, while it is open."""
        if self._file.closed:
            return
        self._file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        self._file.flush()

    def restore(self) -> None:
        """Give standard output back, and close the log file."""
        if self._file.closed:
            return
        if self._line:
            self.write("\n")
        sys.stdout = self._console
        self._console.flush()
        self._file.close()
