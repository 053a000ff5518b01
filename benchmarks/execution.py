"""What it costs to compute independent tasks in processes.

    python -m benchmarks.execution [--json FILE] [--seconds S] [--tasks N] [--workers N]

Each task is a loop of NumPy that takes about `--seconds` alone. Printed, and written if a file is named:

- `cold_start_s`: from the first call to the first result of tasks that take no time: new processes import what a task
  needs.
- `serial_s`: all tasks in turn in this process.
- `warm_s`: the same in `--workers` processes that have started.
- `busy_s`: the time that the processes spent inside the tasks, over the workers. On shared cores a task may take longer
  beside others than alone; this is the ideal on them.
- `overhead`: `warm_s / busy_s - 1`, of tasks that the workers can share evenly.
"""

import argparse
import json
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from MLOps.execution.processes import Processes, cores

SIZE = 400


def rounds(count: int, seed: int) -> tuple[float, float]:
    """So many products of matrices; a number that depends on all of them, and the seconds that they took."""
    threadpool_limits(1)
    began = time.perf_counter()
    generator = np.random.default_rng(seed)
    values = generator.standard_normal((SIZE, SIZE))
    for _ in range(count):
        values = np.tanh(values @ values / SIZE)
    return float(values.sum()), time.perf_counter() - began


def measure(seconds: float, tasks: int, workers: int) -> dict[str, float]:
    """The figures by name."""
    _, few = rounds(200, 0)
    task = partial(rounds, round(200 * seconds / few))
    with closing(Processes(workers)) as processes:
        began = time.perf_counter()
        list(processes.results(partial(rounds, 0), range(workers)))
        cold = time.perf_counter() - began
        began = time.perf_counter()
        there = dict(processes.results(task, range(tasks)))
        warm = time.perf_counter() - began
    began = time.perf_counter()
    here = [task(number) for number in range(tasks)]
    serial = time.perf_counter() - began
    assert [there[number][0] for number in range(tasks)] == [value for value, _ in here]
    busy = sum(spent for _, spent in there.values()) / workers
    return {"cold_start_s": cold, "serial_s": serial, "warm_s": warm, "busy_s": busy, "overhead": warm / busy - 1}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--workers", type=int, default=cores())
    parser.add_argument("--tasks", type=int, help="default: four for each worker")
    arguments = parser.parse_args()
    figures = measure(arguments.seconds, arguments.tasks or 4 * arguments.workers, arguments.workers)
    for name, value in figures.items():
        print(f"{name:14} {value:.4g}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
