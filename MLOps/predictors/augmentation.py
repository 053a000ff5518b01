"""Random distortions of training windows, so that a network learns shapes rather than single bars (Um et al., 2017)."""

import torch
from torch.nn.functional import interpolate

from MLOps.config.predictors import AugmentationConfig

WARP_KNOTS = 4


def augment(windows: torch.Tensor, config: AugmentationConfig) -> torch.Tensor:
    """Distort scaled windows (batch, bars, features), each independently, with torch's generator.

    Bars never get values of later bars: a time shift replaces a bar by one up to `time_shift_bars` earlier.
    """
    batch, bars, _ = windows.shape
    if config.time_shift_bars:
        shift = torch.randint(config.time_shift_bars + 1, (batch, 1), device=windows.device)
        source = (torch.arange(bars, device=windows.device) - shift).clamp(min=0)
        windows = windows[torch.arange(batch, device=windows.device)[:, None], source]
    if config.magnitude_warp_std:
        # A smooth random curve around 1, interpolated between a few knots, the same for all features of a window.
        knots = 1 + config.magnitude_warp_std * torch.randn(batch, 1, WARP_KNOTS, device=windows.device)
        windows = windows * interpolate(knots, bars, mode="linear", align_corners=True).transpose(1, 2)
    if config.jitter_std:
        windows = windows + config.jitter_std * torch.randn_like(windows)
    return windows
