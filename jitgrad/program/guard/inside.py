"""Whether objects hold others, and what those hold that show no attributes for it, as their classes are written in C.

Such are views of dicts, caches of functions, properties, `super` objects, and getters of attributes and items.
"""

from __future__ import annotations

import enum
import gc
import io
import logging
import types
from collections.abc import Iterable
from typing import Any

import numpy as np

from ...dtypes import Size, device, dtype
from ..tree import PLAIN
from .owners import is_users

_NOTHING = (*PLAIN, dtype, range, type(Ellipsis), type(NotImplemented), np.generic)
# what cannot be changed, though what it holds may be
_LASTING = (
    slice,
    types.BuiltinFunctionType,
    type,
    types.ModuleType,
    Size,
    device,
    np.dtype,
    enum.Enum,
    frozenset,
)

# of an object of others: what says nothing about the numbers in it
UNREAD = (io.IOBase, types.ModuleType, type, types.TracebackType, types.FrameType)
_FIXED = 1 << 8  # a flag of classes: nobody can add to them


def holds_nothing(value: Any) -> bool:
    """Whether an object is a number or the like, and no more: one of a user's class may have attributes and methods."""
    if type(value) in PLAIN or isinstance(value, logging.Logger):
        return True
    return isinstance(value, _NOTHING) and not (
        isinstance(value, np.void) or is_users(type(value).__module__)
    )


def is_constant(value: Any) -> bool:
    """Whether an object holds nothing that can change, nor tensors."""
    return holds_nothing(value) or isinstance(value, _LASTING)


def held_inside(value: Any) -> list[Any]:
    """The objects that one of a class written in C refers to, as Python's collector of garbage is told."""
    kind = type(value)
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
