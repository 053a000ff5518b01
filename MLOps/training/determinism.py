"""Seed PyTorch and enable deterministic algorithms."""

import sys


def seed_torch(seed: int, threads: int) -> None:
    """Seed PyTorch, fix its thread count and refuse kernels whose result may vary from run to run.

    A process that has not imported PyTorch is left without it.
    """
    if (torch := sys.modules.get("torch")) is None:
        return
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    # The same as use_deterministic_algorithms(True), which first imports the compiler: seconds, for every stage.
    torch.set_deterministic_debug_mode("error")
