"""What computes independent items: a function, and its simplest form, which needs no other process."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from MLOps.progress import with_progress

T = TypeVar("T")
R = TypeVar("R")


class Map(Protocol):
    """`work(item)` of each item, in the order of the items; see `executor`."""

    def __call__(self, work: Callable[[T], R], items: Sequence[T], what: str) -> list[R]:
        """
        Args:
            work: a function of a module, or a `partial` of one. It sets the seeds and numbers of threads that it
                depends on, because its process may have done other work before.
            what: the items, for the progress bar.
        """
        ...


def in_turn(work: Callable[[T], R], items: Sequence[T], what: str) -> list[R]:
    """See `Map`; one item after the other in this process."""
    return [work(item) for item in with_progress(items, what)]
