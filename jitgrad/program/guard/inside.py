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

from ...ways_out import OUTSIDE
from ..spoiled import Spoiled
from .owners import is_installed

# of an object of others: what says nothing about the numbers in it
UNREAD = (io.IOBase, types.ModuleType, type, types.TracebackType, types.FrameType)
CACHE = functools._lru_cache_wrapper
_FIXED = 1 << 8  # a flag of classes: nobody can add to them


def held_inside(value: Any) -> list[Any]:
    """The objects that one of a class written in C refers to, as Python's collector of garbage is told."""
    kind = type(value)
    # results for arguments are left out; the only one of a function without any may be a lasting object
    if kind is CACHE and is_installed(value.__module__) and value.cache_info().currsize > 1:
        return [value.__wrapped__]
    if isinstance(value, UNREAD) or not any(b.__flags__ & _FIXED for b in kind.__mro__ if b is not object):
        return []
    mapping = getattr(value, "__dict__", None)
    return [x for x in gc.get_referents(value) if x is not kind and x is not mapping]


def results_in(cache: Any) -> list[tuple[Any, Any]]:
    """The arguments, as one object, and the results that an `lru_cache` keeps; raises Spoiled if that is not seen.

    The collector is told of the cache's dict, in front of which those of a bounded one stand by threes: arguments,
    result and the class of what holds the two.
    """
    info, held = cache.cache_info(), gc.get_referents(cache)
    held = held[1:] if held and held[0] is type(cache) else held
    if info.maxsize is None:
        table = held[0] if held else None
        found = [*table.items()] if isinstance(table, dict) else []
    else:
        found = [*zip(held[::3], held[1::3], strict=False)][: info.currsize]
    if len(found) != info.currsize:
        raise Spoiled("reads a cache that cannot be looked into", OUTSIDE)
    return found


def same_results(cache: Any, before: list[tuple[Any, Any]]) -> bool:
    """Whether an `lru_cache` still keeps these results: calls do not run its function then."""
    try:
        now = {id(key): value for key, value in results_in(cache)}
    except Spoiled:
        return False
    return all(now.get(id(key), now) is value for key, value in before)


def names_among(held: Iterable[Any]) -> set[str]:
    """The names among them, also in tuples: `operator.attrgetter` and `methodcaller` look attributes up by these."""
    found: set[str] = set()
    for x in held:
        if isinstance(x, tuple):
            found |= names_among(x)
        elif isinstance(x, str) and x.isidentifier():
            found.add(x)
    return found
