"""Seed PyTorch, set its number of threads and enable deterministic algorithms."""

import os
import sys

from MLOps.training.eager import defer_compiler


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
