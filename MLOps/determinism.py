"""One place where PyTorch is told to repeat itself."""

import torch


def repeat_torch(seed: int, threads: int) -> None:
    """Seed PyTorch, fix its thread count and refuse kernels whose result may vary from run to run."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
