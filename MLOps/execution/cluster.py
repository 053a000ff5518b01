"""A Ray cluster that works on independent items."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import MLOps
from MLOps.errors import UserError, one_line
from MLOps.execution.processes import TRIES, Answer, answer, received

T = TypeVar("T")
R = TypeVar("R")


class Cluster:
    """The nodes of the cluster at `address`.

    The package travels with the first item, so all nodes run the code of this process. Everything else is read by the
    same paths on every node: the project's folder is on a file system that they share.

    Args:
        workers: items at once; None for as many as the cluster has room for.
        threads: that each item uses: the cores that the cluster reserves for it.

    Raises:
        UserError: Ray is not installed, or the cluster does not answer.
    """

    def __init__(self, address: str, workers: int | None, threads: int) -> None:
        try:
            import ray
        except ImportError:
            raise UserError(
                "execution.kind: ray needs the package ray; install it with pip install -r requirements-ray.txt, or "
                "set kind: processes"
            ) from None
        self._ray, self._workers, self._threads = ray, workers, threads
        try:
            ray.init(
                address,
                runtime_env={"py_modules": [str(Path(MLOps.__file__).parent)]},
                log_to_driver=False,
                logging_level="ERROR",
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"execution.address: expected a Ray cluster at {address}, found none: {one_line(error, 200)}; start it "
                "as docs/scaling.md says"
            ) from None
        # Ray would wait for such a node, without a word.
        most = max((int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]), default=0)
        if most < threads:
            ray.shutdown()
            raise UserError(
                f"threads: expected at most {most}, the cores of the largest node at {address}, found {threads}; "
                "lower threads, or add a larger node"
            )

    def results(self, work: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """See `Processes.results`; an item whose node is lost is computed again on another."""
        ray, waiting = self._ray, deque(range(len(items)))
        task = ray.remote(_computed).options(num_cpus=self._threads, max_retries=TRIES - 1)
        # Unpacked in the project's folder, where relative paths mean what they mean here.
        packed, folder = ray.put(ray.cloudpickle.dumps(work)), str(Path.cwd())
        busy: dict[Any, int] = {}
        try:
            while waiting or busy:
                while waiting and (self._workers is None or len(busy) < self._workers):
                    number = waiting.popleft()
                    busy[task.remote(packed, items[number], folder)] = number
                (ready,), _ = ray.wait(list(busy), num_returns=1)
                yield busy.pop(ready), received(*self._answer(ready))
        finally:
            for reference in busy:
                ray.cancel(reference, force=True)

    def _answer(self, ready: Any) -> Answer:
        try:
            answer: Answer = self._ray.get(ready)
            return answer
        except self._ray.exceptions.RayTaskError as error:  # not of the work, but of the system around it
            raise RuntimeError(str(error)) from None
        except self._ray.exceptions.RayError as error:
            raise UserError(
                f"a process of the cluster that computed a part was lost {TRIES} times, perhaps for lack of memory "
                f"({type(error).__name__}); run again with fewer execution.workers"
            ) from None

    def close(self) -> None:
        self._ray.shutdown()


def _computed(packed: bytes, item: Any, folder: str) -> Answer:
    from ray import cloudpickle

    try:
        os.chdir(folder)
    except OSError as error:
        told = UserError(
            f"expected the project's folder on every node of the cluster, found none on {os.uname().nodename}: "
            f"{error.strerror}: {folder}; put it on a path that all nodes share"
        )
        return None, told, ""
    os.environ["TTY_COMPATIBLE"] = "0"  # no progress bars: nobody sees them
    return answer(lambda: cloudpickle.loads(packed)(item))
