"""``torch.fx`` for models that mark their functions for it: nothing here traces, so the marks change nothing."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["wrap"]

F = TypeVar("F")


def wrap(fn_or_name: F) -> F:
    """The function itself, or its name: PyTorch's traces would hold its calls as they are.

    Raises
    ------
    RuntimeError
        If it is neither a function nor a name.
    """
    if not (callable(fn_or_name) or isinstance(fn_or_name, str)):
        raise RuntimeError(f"fx.wrap: expected a function or a name, got {type(fn_or_name).__name__}")
    return fn_or_name
