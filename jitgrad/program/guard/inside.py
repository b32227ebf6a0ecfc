"""What objects hold that show no attributes for it, as their classes are written in C.

Such are views of dicts, caches of functions, properties, `super` objects, and getters of attributes and items.
"""

from __future__ import annotations

import functools
import gc
import io
import types
from collections.abc import Iterable
from typing import Any

from .owners import is_installed

# of an object of others: what says nothing about the numbers in it
UNREAD = (io.IOBase, types.ModuleType, type, types.TracebackType, types.FrameType)
_FIXED = 1 << 8  # a flag of classes: nobody can add to them


def held_inside(value: Any) -> list[Any]:
    """The objects that one of a class written in C refers to, as Python's collector of garbage is told."""
    kind = type(value)
    cache = kind is functools._lru_cache_wrapper and is_installed(value.__module__)
    if (
        cache and value.cache_info().currsize > 1
    ):  # results for arguments; without any, it may be a lasting object
        return [value.__wrapped__]
    if isinstance(value, UNREAD) or not any(b.__flags__ & _FIXED for b in kind.__mro__ if b is not object):
        return []
    mapping = getattr(value, "__dict__", None)
    return [x for x in gc.get_referents(value) if x is not kind and x is not mapping]


def names_among(held: Iterable[Any]) -> set[str]:
    """The names among them, also in tuples: `operator.attrgetter` and `methodcaller` look attributes up by these."""
    found: set[str] = set()
    for x in held:
        if isinstance(x, tuple):
            found |= names_among(x)
        elif isinstance(x, str) and x.isidentifier():
            found.add(x)
    return found
