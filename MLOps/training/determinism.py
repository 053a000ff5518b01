"""Seed PyTorch, set the numbers of threads and enable deterministic algorithms."""

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from threadpoolctl import threadpool_limits

from MLOps.training.eager import defer_compiler

T = TypeVar("T")
R = TypeVar("R")


def seed_torch(seed: int, threads: int) -> None:
    """Seed PyTorch, set its thread count and disallow nondeterministic kernels, on the CPU and on CUDA.

    To be called before CUDA starts. Does nothing if PyTorch has not been imported.
    """
    # cuBLAS reads it when CUDA starts; without it PyTorch refuses cuBLAS as nondeterministic. 8 buffers of 4 MiB.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if (torch := sys.modules.get("torch")) is None:
        return
    defer_compiler()
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # Equivalent to use_deterministic_algorithms(True), which would import the compiler and take seconds in every stage.
    torch.set_deterministic_debug_mode("error")
    # By default cuDNN rounds the inputs of float32 convolutions and recurrent layers to TF32, with 10 bits of mantissa.
    torch.backends.cudnn.allow_tf32 = False


def reproducible(work: Callable[[T], R], seed: int, threads: int) -> Callable[[T], R]:
    """`work` preceded by what a stage sets for its process, so that its result depends on no process before it."""
    return partial(_reproducible, work, seed, threads)


def _reproducible(work: Callable[[T], R], seed: int, threads: int, item: T) -> R:
    # The order in which BLAS adds depends on how many threads it adds with.
    threadpool_limits(threads)
    seed_torch(seed, threads)
    return work(item)
