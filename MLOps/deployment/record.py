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
# Rows that wait for a disk that does not take them; beyond, the oldest are dropped.
MOST_WAITING = 100_000
# Requests whose rows wait for a write in progress, as on a network disk that hangs; beyond, the newest are dropped.
MOST_QUEUED = 10_000
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
        self._is_full = False
        self._given: queue.SimpleQueue[Sequence[Row] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="record of decisions", daemon=True)
        self._thread.start()

    def add(self, rows: Sequence[Row]) -> None:
        was_full, self._is_full = self._is_full, self._given.qsize() >= MOST_QUEUED
        if not self._is_full:
            self._given.put(rows)
        elif not was_full:
            log.error("decisions are dropped from the record: the disk does not take those of %d requests", MOST_QUEUED)

    def close(self) -> None:
        """Write what is left."""
        self._given.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _write(self) -> None:
        waiting: list[Row] = []
        is_open, has_failed, due, dropped = True, False, time.monotonic(), 0
        # A file may be configured to hold more.
        most_waiting = max(MOST_WAITING, self._config.rotate_rows)
        while is_open:
            if not waiting:
                due = time.monotonic() + 60 * self._config.rotate_minutes
            try:
                given = self._given.get(timeout=max(0.0, due - time.monotonic()))
            except queue.Empty:
                given = ()
            is_open = given is not None
            waiting += given or ()
            # After a failure the next attempt is when it is due, not at each request.
            is_enough = len(waiting) >= self._config.rotate_rows and not has_failed
            if waiting and (not is_open or is_enough or time.monotonic() >= due):
                if dropped:
                    log.error("%d decisions are dropped from the record", dropped)
                has_failed, dropped = not self._is_written(waiting), 0
                due = time.monotonic() + 60 * self._config.rotate_minutes
                if not has_failed:
                    waiting = []
            dropped += max(0, len(waiting) - most_waiting)
            del waiting[:-most_waiting]

    def _is_written(self, rows: list[Row]) -> bool:
        """Write a file of `rows`; whether that was possible."""
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        try:
            write_table(self._folder / f"decisions-{now}-{self._name}-{self._written}.parquet", pd.DataFrame(rows))
        except Exception as error:
            log.error("the record of decisions cannot be written: %s", error)
            return False
        self._written += 1
        try:
            self._bound()
        except OSError as error:
            log.error("the record of decisions cannot be kept below serving.record.max_mb: %s", error)
        return True

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
