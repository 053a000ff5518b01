"""PyTorch without its compiler, which every optimiser imports and none of ours uses."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"


def defer_compiler() -> None:
    """Let optimisers step without importing the compiler, which takes as long as the rest of PyTorch.

    Optimisers tell the compiler which of their functions to leave alone, and import it for that. A stand-in takes its
    place until something else of the compiler is asked for, such as an export; then the true one is imported.
    """
    if COMPILER not in sys.modules:
        sys.modules[COMPILER] = _Deferred(COMPILER)


class _Deferred(ModuleType):
    """What optimisers call of the compiler, for code that is not compiled."""

    @staticmethod
    def disable(function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        return function

    @staticmethod
    def graph_break(*_: Any, **__: Any) -> None:
        return None

    def __getattr__(self, name: str) -> Any:
        # `__path__` asks for a module of the compiler; the other names of this kind are asked of all modules.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        return getattr(importlib.import_module(COMPILER), name)
