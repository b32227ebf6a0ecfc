"""``torch.jit`` for models that name it: Python runs as it is written, so nothing is left to do.

What scripting leaves as it was, the decorators here leave as it was, too; for speed there is `jitgrad.compile`.
Programs cannot be saved, so ``save`` and ``load`` are not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from ..nn import Module as ScriptModule
from . import annotations as annotations

__all__ = ["Final", "ScriptModule", "annotate", "export", "ignore", "interface", "is_scripting", "is_tracing", "script",
           "script_method", "trace", "unused"]  # fmt: skip

F = TypeVar("F")


def script(obj: F, *args: Any, **options: Any) -> F:
    """The function, class or module itself."""
    return obj


def trace(func: F, example_inputs: Any = None, **options: Any) -> F:
    """The function or module itself."""
    return func


def export(fn: F) -> F:
    """The function itself."""
    return fn


script_method = interface = _overload_method = export


def ignore(drop: Any = False, **options: Any) -> Any:
    """A decorator, or one with options, that leaves its function as it is."""
    return drop if callable(drop) else export


def unused(fn: Callable) -> Callable:
    """The function itself."""
    return fn


def annotate(the_type: Any, the_value: F) -> F:
    """The value."""
    return the_value


def is_scripting() -> bool:
    """False: what runs is Python."""
    return False


def is_tracing() -> bool:
    """False: what runs is Python."""
    return False
