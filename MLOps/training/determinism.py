"""Seed PyTorch and enable deterministic algorithms."""

import sys

from MLOps.training.eager import defer_compiler


def seed_torch(seed: int, threads: int) -> None:
    """Seed PyTorch, set its thread count and disallow nondeterministic kernels.

    Does nothing if PyTorch has not been imported.
    """
    if (torch := sys.modules.get("torch")) is None:
        return
    defer_compiler()
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # Equivalent to use_deterministic_algorithms(True), which would import the compiler and take seconds in every stage.
    torch.set_deterministic_debug_mode("error")
