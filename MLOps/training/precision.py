"""Whether training in bfloat16 pays on a device."""

import warnings

import torch


def bfloat16_is_native(device: torch.device, setting: str) -> bool:
    """Whether the device computes in bfloat16; where it would only emulate it, several times slower, warn.

    Args:
        setting: key in params.yaml that asks for it, named by the warning.
    """
    native = {
        "cpu": torch.cpu._is_avx512_bf16_supported,
        # Before Ampere.
        "cuda": lambda: torch.cuda.is_bf16_supported(including_emulation=False),
    }.get(device.type, lambda: True)()
    if not native:
        warnings.warn(f"{setting}: this processor has no bfloat16, so float32 is used", stacklevel=3)
    return native
