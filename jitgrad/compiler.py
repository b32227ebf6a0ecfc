"""``torch.compiler`` for code that asks whether a step is being recorded, or wants none of it recorded."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .program import compile
from .store import store
from .ways_out import DISABLED

__all__ = ["compile", "disable", "is_compiling", "is_dynamo_compiling", "reset"]


def is_compiling() -> bool:
    """Whether `compile` is recording a call right now."""
    return store.recording is not None


is_dynamo_compiling = is_compiling


def disable(fn: Callable | None = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """A function that runs in Python on every call: a compiled step that calls it runs eagerly.

    Parameters
    ----------
    fn : callable, optional
        Without it, a decorator.
    """
    if fn is None:
        return lambda f: disable(f, recursive, reason=reason)

    @functools.wraps(fn)
    def eager(*args: Any, **kwargs: Any) -> Any:
        if store.recording is not None:
            store.recording.spoil(
                f"calls {getattr(fn, '__qualname__', fn)}, which compiler.disable keeps in Python", DISABLED
            )
        return fn(*args, **kwargs)

    return eager


def reset() -> None:
    """Nothing: a program is forgotten with the function that it was recorded for."""
