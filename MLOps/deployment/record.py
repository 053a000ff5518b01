"""The record of decisions: one row a symbol and request, in Parquet files that are written once."""

import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from MLOps.artifacts import write_table
from MLOps.config.serving import RecordConfig

FILES = "decisions-*.parquet"  # their names begin with the time, so that they sort by it
MEGABYTE = 2**20
# Rows that wait for a disk that does not take them; later ones are dropped.
MOST_WAITING = 100_000
CLOSE_TIMEOUT_S = 10.0

log = logging.getLogger("uvicorn.error")
Row = Mapping[str, Any]


class DecisionRecord:
    """Rows are handed over at once and written by a thread; nothing that fails here fails a request.

    Any number of processes may share a folder: each writes files of its own.
    """

    def __init__(self, config: RecordConfig) -> None:
        assert config.folder is not None
        self._folder, self._config = Path(config.folder).absolute(), config
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._written = 0
        self._given: queue.SimpleQueue[Sequence[Row] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="record of decisions", daemon=True)
        self._thread.start()

    def add(self, rows: Sequence[Row]) -> None:
        self._given.put(rows)

    def close(self) -> None:
        """Write what is left."""
        self._given.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _write(self) -> None:
        waiting: list[Row] = []
        is_open, due = True, time.monotonic()
        while is_open:
            if not waiting:
                due = time.monotonic() + 60 * self._config.rotate_minutes
            try:
                given = self._given.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                given = ()
            is_open = given is not None
            waiting += given or ()
            if waiting and (not is_open or len(waiting) >= self._config.rotate_rows or time.monotonic() >= due):
                waiting = self._rest(waiting)
                due = time.monotonic() + 60 * self._config.rotate_minutes

    def _rest(self, rows: list[Row]) -> list[Row]:
        """Write a file of `rows`; the rows that are still to be written."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        try:
            write_table(self._folder / f"decisions-{now}-{self._name}-{self._written}.parquet", pd.DataFrame(rows))
            self._written += 1
            self._bound()
        except Exception as error:
            log.error("the record of decisions cannot be written: %s", error)
            if len(rows) > MOST_WAITING:
                log.error("%d decisions are dropped from the record", len(rows) - MOST_WAITING)
            return rows[-MOST_WAITING:]
        return []

    def _bound(self) -> None:
        """Delete the oldest files beyond the size of the folder; another process may do so too."""
        files = sorted(self._folder.glob(FILES), reverse=True)
        total = 0.0
        for number, file in enumerate(files):
            try:
                total += file.stat().st_size / MEGABYTE
                if total > self._config.max_mb and number:
                    file.unlink()
                    log.warning("%s is deleted: the record is larger than serving.record.max_mb", file.name)
            except FileNotFoundError:
                continue
