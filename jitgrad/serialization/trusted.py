"""``torch.serialization``'s list of classes that a user trusts. `jitgrad.load` makes none of them.

In PyTorch it says what ``load(weights_only=True)`` may make of a file. Here a file is read without calling anything
that it names, so a class on the list is refused like any other: save state_dicts, which need none. The functions are
there because packages call them when they are imported.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .._tensor import Tensor
from ..dtypes import device

__all__ = ["MAP_LOCATION", "add_safe_globals", "clear_safe_globals", "get_safe_globals", "safe_globals"]

MAP_LOCATION: TypeAlias = Callable[[Tensor, str], Tensor] | device | str | dict[str, str] | None
_TRUSTED: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Add classes or functions to the list, which `load` does not read: see this file's description.

    Parameters
    ----------
    safe_globals : list
        Classes or functions, or pairs of one and its name in files.
    """
    _TRUSTED.extend(x for x in safe_globals if x not in _TRUSTED)


def get_safe_globals() -> list[Any]:
    """What has been added, as a list of its own."""
    return list(_TRUSTED)


def clear_safe_globals() -> None:
    """Empty the list."""
    _TRUSTED.clear()


class safe_globals:
    """A context in which classes or functions are on the list, too; see `add_safe_globals`."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self._added = safe_globals
        self._before: list[Any] = []

    def __enter__(self) -> None:
        self._before = get_safe_globals()
        add_safe_globals(self._added)

    def __exit__(self, *error: object) -> None:
        _TRUSTED[:] = self._before
