"""Work on independent items: in this process, in several, or on a cluster. The results do not depend on where."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Protocol, TypeVar

from MLOps.config.execution import ExecutionConfig
from MLOps.execution.contract import Map, in_turn
from MLOps.execution.processes import Processes, cores
from MLOps.progress import progress_bars

T = TypeVar("T")
R = TypeVar("R")


class Workers(Protocol):
    """Processes that compute items, here or elsewhere, until `close`."""

    def results(self, work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """The number of each item and `work(item)`, in the order in which they finish."""
        ...

    def close(self) -> None: ...


@contextmanager
def executor(config: ExecutionConfig, threads: int) -> Iterator[Map]:
    """A `Map` on the configured workers, which end with the block, however it ends.

    A worker starts with the first items that need it and is kept for further ones. One that is killed is replaced, and
    its item computed again. What `work` raises ends the other items; a `UserError` keeps its sentence.

    Args:
        threads: that each item uses.

    Raises:
        UserError: Ray is not installed, or its cluster does not answer.
    """
    if config.kind == "serial":
        yield in_turn
        return
    with closing(_workers(config, threads)) as workers:

        def on_workers(work: Callable[[T], R], items: Sequence[T], what: str) -> list[R]:
            # One item alone needs no other process, and is watched and debugged more easily in this one.
            if len(items) < 2:
                return in_turn(work, items, what)
            with progress_bars() as progress:
                done = dict(progress.track(workers.results(work, items), len(items), description=what))
            return [done[number] for number in range(len(items))]

        yield on_workers


def _workers(config: ExecutionConfig, threads: int) -> Workers:
    if config.kind == "processes":
        return Processes(config.workers or max(1, cores() // threads))
    # Imported here because Ray takes a second to import and is optional.
    from MLOps.execution.cluster import Cluster

    assert config.address is not None
    return Cluster(config.address, config.workers, threads)
