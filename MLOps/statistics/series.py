"""What every statistic of this package requires of a series."""

import numpy as np


def checked(series: np.ndarray, least_bars: int, dimensions: int = 1) -> np.ndarray:
    """The series in float64: (bars,), or (bars, n) with two dimensions.

    Raises:
        ValueError: another number of dimensions, fewer than `least_bars` bars, or a value that is not finite.
    """
    array = np.asarray(series, dtype=float)
    if array.ndim != dimensions:
        raise ValueError(f"expected an array with {dimensions} dimensions, found shape {array.shape}")
    if len(array) < least_bars:
        raise ValueError(f"expected at least {least_bars} bars, found {len(array)}")
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite values, found {np.count_nonzero(~np.isfinite(array))} that are not")
    return array
