"""The device that a network is trained on."""

import torch

from MLOps.errors import UserError

# Of the forward passes of one update, every weight counted once for each bar and row. One core of a Xeon at 2.8 GHz
# takes 13 to 32 ms for an update of as many: 3.1 to 7.8 billion a second, with the backward pass, were measured. An
# accelerator launches the 350 to 2200 operations that such updates have, whatever their size; at 5 µs each, which is
# assumed, that is 2 to 11 ms. The limit is fixed: timing both devices would leave the choice, and so the bits, to luck.
ACCELERATOR_MULTIPLY_ADDS = 100_000_000


def pick_device(wanted: str, multiply_adds: int, setting: str) -> torch.device:
    """The device of that name; `auto` is an accelerator, CUDA before MPS, where one update is worth it.

    Args:
        multiply_adds: of the forward passes of one update.
        setting: the section of params.yaml that asks, named in the error.

    Raises:
        UserError: the device is not available.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    found = [name for name, there in present.items() if there]
    if wanted == "auto":
        return torch.device(found[0] if multiply_adds >= ACCELERATOR_MULTIPLY_ADDS else "cpu")
    if wanted not in found:
        raise UserError(
            f"{setting}: device: {wanted} is asked for and PyTorch finds {', '.join(found)} only; use device: auto"
        )
    return torch.device(wanted)


def weights_of(network: torch.nn.Module) -> int:
    """The number of a network's weights."""
    return sum(weight.numel() for weight in network.parameters())
