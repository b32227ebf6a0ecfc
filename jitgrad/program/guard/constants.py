"""Values that cannot change: numbers and the like, and what code is made of."""

from __future__ import annotations

import enum
import logging
import types
from typing import Any

import numpy as np

from ...dtypes import Size, device, dtype
from ..tree import PLAIN
from .owners import is_users_class

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


def holds_nothing(value: Any) -> bool:
    """Whether an object is a number or the like, and no more: one of a user's class may have attributes and methods."""
    kind = type(value)
    if kind in PLAIN or kind.__module__ == "typing" or isinstance(value, logging.Logger):
        return True
    if kind.__name__ == "Logger":  # of a package for it
        return not is_users_class(kind)
    return isinstance(value, _NOTHING) and not (isinstance(value, np.void) or is_users_class(kind))


def is_constant(value: Any) -> bool:
    """Whether an object itself cannot be changed: a function that returns one need not have made it."""
    return holds_nothing(value) or isinstance(value, _LASTING)
