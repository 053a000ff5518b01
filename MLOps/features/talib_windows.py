"""TA-Lib's C functions, restarted on each window of bars and called from compiled code.

TA-Lib's recursive indicators (RSI, ADX, MACD, …) depend on every bar since their start, and its moving sums accumulate
the rounding errors of every bar. Restarted on the last `window_bars` bars, an indicator's value is a function of those
bars alone. TA-Lib's Python wrapper would add microseconds of overhead per bar; here the loop over windows is compiled
and calls the same C function directly.
"""

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numba.experimental.function_type  # noqa: F401  numba learns from it to take C functions as arguments
import numpy as np
from numba import njit, types
from numba.core.types import WrapperAddressProtocol
from talib import _ta_lib, abstract

from MLOps.compiled import CACHE

# Looked up in the wrapper's binary, so that it is the library that `talib` calls, on every platform.
_LIBRARY = ctypes.CDLL(_ta_lib.__file__)


class _CFunction(WrapperAddressProtocol):
    """int name(int first, int last, inputs…, options…, int *begin, int *count, outputs…), addresses as integers."""

    def __init__(self, name: str, arguments: tuple[types.Type, ...]) -> None:
        self._address = ctypes.cast(getattr(_LIBRARY, name), ctypes.c_void_p).value or 0
        self._arguments = arguments

    def __wrapper_address__(self) -> int:
        return self._address

    def signature(self) -> Any:
        return types.int32(*self._arguments)


@dataclass(frozen=True)
class _Indicator:
    """Call signature of a TA-Lib indicator."""

    function: _CFunction
    options: tuple[Any, ...]
    lookback_bars: int
    outputs: int


@cache
def _indicator(name: str, inputs: int, options: tuple[tuple[str, float], ...]) -> _Indicator:
    """Look up `name`; options that are not given have TA-Lib's defaults."""
    described = abstract.Function(name)  # type: ignore[attr-defined]  # created when the module is imported
    defaults = dict(described.parameters)
    described.parameters = dict(options)
    # A period is a C int, a factor a double, as the type of the default shows.
    chosen = tuple(
        np.int32(value) if isinstance(defaults[key], int) else np.float64(value)
        for key, value in described.parameters.items()
    )
    outputs = len(described.output_names)
    option_types = tuple(types.int32 if isinstance(value, np.int32) else types.float64 for value in chosen)
    addresses = (types.intp,) * (2 + outputs)
    arguments = (types.int32, types.int32, *(types.intp,) * inputs, *option_types, *addresses)
    return _Indicator(_CFunction(f"TA_{name}", arguments), chosen, described.lookback, outputs)


def windowed_talib(
    name: str, inputs: tuple[np.ndarray, ...], window_bars: int, options: Mapping[str, float]
) -> tuple[np.ndarray, ...]:
    """The last value of TA-Lib's indicator `name` on each window of `window_bars` bars.

    Args:
        name: as in `talib`, upper case; an indicator of real-valued outputs.
        inputs: arrays (bars,) in the order of the C function.
        window_bars: more than the indicator's look-back.
        options: TA-Lib's parameters by name; those not given have their defaults.

    Returns:
        An array (bars,) float64 for each output, NaN before the first complete window.

    Raises:
        ValueError: the window is too short for one value.
    """
    indicator = _indicator(name, len(inputs), tuple(options.items()))
    if window_bars <= indicator.lookback_bars:
        raise ValueError(f"{name}{dict(options)} needs more than {indicator.lookback_bars} bars, found {window_bars}")
    window = np.empty((len(inputs), window_bars))
    count = np.zeros(2, dtype=np.int32)
    values = np.empty((indicator.outputs, window_bars))
    arguments = (
        *(row.ctypes.data for row in window),
        *indicator.options,
        count.ctypes.data,
        count[1:].ctypes.data,
        *(row.ctypes.data for row in values),
    )
    results = np.full((indicator.outputs, len(inputs[0])), np.nan)
    _last_of_each_window(indicator.function, arguments, np.stack(inputs), window, count, values, results)
    return tuple(results)


@njit(cache=CACHE, nogil=True)
def _last_of_each_window(
    function: Any,
    arguments: tuple[Any, ...],
    inputs: np.ndarray,
    window: np.ndarray,
    count: np.ndarray,
    values: np.ndarray,
    results: np.ndarray,
) -> None:
    """`arguments` hold the addresses of `window`, `count` and `values`; inputs and results have one row each."""
    bars = window.shape[1]
    for t in range(bars - 1, inputs.shape[1]):
        for i in range(window.shape[0]):
            for j in range(bars):
                window[i, j] = inputs[i, t - bars + 1 + j]
        function(np.int32(0), np.int32(bars - 1), *arguments)
        if count[1] > 0:
            for i in range(values.shape[0]):
                results[i, t] = values[i, count[1] - 1]
