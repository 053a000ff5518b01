"""Progress bars, shown if standard error is a terminal."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

T = TypeVar("T")


def progress_bars() -> Progress:
    """A display on standard error that is removed when its block ends; displays may be nested."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def with_progress(items: Sequence[T], description: str) -> Iterator[T]:
    """The items, with a bar of their own."""
    with progress_bars() as progress:
        yield from progress.track(items, description=description)
