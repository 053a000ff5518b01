"""The workers that compute what is independent in a stage."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from threadpoolctl import threadpool_limits

from MLOps.config.params import load_params
from MLOps.execution.contract import Map
from MLOps.execution.executor import executor
from MLOps.pipelines.stage import Stage
from MLOps.training.determinism import seed_torch

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def workers_of(stage: Stage) -> Iterator[Map]:
    """The configured workers; an item finds seeds and threads as the stage has set them.

    Their section is not among the stage's declared parameters, because no result depends on it.
    """
    seed, threads = stage.params.seed, stage.params.threads
    with executor(load_params().execution, threads) as run:
        yield lambda work, items, what: run(reproducible(work, seed, threads), items, what)


def reproducible(work: Callable[[T], R], seed: int, threads: int) -> Callable[[T], R]:
    """`work` preceded by what a stage sets for its process, so that its result depends on no process before it."""
    return partial(_reproducible, work, seed, threads)


def _reproducible(work: Callable[[T], R], seed: int, threads: int, item: T) -> R:
    # The order in which BLAS adds depends on how many threads it adds with.
    threadpool_limits(threads)
    seed_torch(seed, threads)
    return work(item)
