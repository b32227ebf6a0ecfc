"""Reading what Python code would read, and whether it makes no difference that something is another object now."""

from __future__ import annotations

import collections
import io
import operator
import os
import types
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..tree import INEXACT, PLAIN, bits_of

MISSING: Any = object()


class Reader:
    """What a call returns, read like a dict with one key: a context variable, a weak reference.

    Parameters
    ----------
    read : callable
        Returns the value.
    refusal : type of exception
        Raised by `read` when there is none.
    """

    def __init__(self, read: Callable[[], Any], refusal: type[Exception] = LookupError) -> None:
        self._read, self._refusal = read, refusal

    def get(self, key: str, default: Any) -> Any:
        """The value, or `default`."""
        try:
            return self._read()
        except self._refusal:
            return default


class Cell:
    """A closure's variable, read like a dict with one key; it has no contents before the name is bound."""

    def __init__(self, cell: types.CellType) -> None:
        self._cell = cell

    def get(self, key: str, default: Any) -> Any:
        """What the variable means, or `default`."""
        try:
            return self._cell.cell_contents
        except ValueError:
            return default


class Slots:
    """The attributes of an object whose class has ``__slots__``, read like a dict."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self, key: str, default: Any) -> Any:
        """An attribute."""
        return getattr(self._value, key, default)


def read_by(function: Any) -> tuple[Any, ...]:
    """What a function of others reads that is no attribute: `os.getenv` reads the environment."""
    return (os.environ,) if function is os.getenv else ()


def attributes_of(value: Any) -> Any:
    """The dict of an object's attributes, or None."""
    try:
        mapping = value.__dict__
    except Exception:  # of an object whose own way to look attributes up fails
        return None
    return mapping if isinstance(mapping, dict) else None


def slots_of(kind: type) -> list[str]:
    """The attributes that ``__slots__`` of a class and of those it is made from give, as Python has named them."""
    spaces = [vars(base) for base in kind.__mro__ if "__slots__" in vars(base)]
    return [n for space in spaces for n, x in space.items() if isinstance(x, types.MemberDescriptorType)]


def same(a: Any, b: Any) -> bool:
    """Whether it makes no difference which of two values a function reads."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind in INEXACT or isinstance(a, np.generic):
        return bits_of(a) == bits_of(b)
    if kind in PLAIN:
        return a == b
    if isinstance(a, tuple):
        bare = not (attributes_of(a) or attributes_of(b))
        return bare and len(a) == len(b) and all(map(same, a, b))
    if kind is types.MethodType:
        return a.__self__ is b.__self__ and a.__func__ is b.__func__
    return False


def items_in(value: Any) -> Any:
    """What a container has, of a mapping the keys: read past the code of a class that is made from a container."""
    if type(value) in _PLAIN_CONTAINERS:
        return value
    return next((kind.__iter__(value) for kind in _WITH_ITEMS if isinstance(value, kind)), value)


def values_in(mapping: Any) -> Any:
    """The values of a mapping, read in the same way."""
    if type(mapping) in _PLAIN_CONTAINERS:
        return mapping.values()
    kinds = (collections.OrderedDict, dict, types.MappingProxyType)
    return next(kind.values(mapping) for kind in kinds if isinstance(mapping, kind))


def copied(mapping: Any) -> dict:
    """A dict of the keys and values of a mapping, read in the same way."""
    return dict(zip(items_in(mapping), values_in(mapping), strict=True))


def _sized(value: Any) -> Any:
    return value if type(value) in _PLAIN_CONTAINERS else list(items_in(value))


def same_items(value: Any, copy: list) -> bool:
    """Whether a list or the like still has the items of a copy, and a set has them in the same order."""
    items = _sized(value)
    return len(items) == len(copy) and _all_same(items, copy)


def same_values(value: Any, copy: dict) -> bool:
    """Whether a mapping still has the keys and values of a copy, in the same order."""
    keys = _sized(value)
    if len(keys) != len(copy):
        return False
    return _all_same(keys, copy) and _all_same(values_in(value), copy.values())


def _all_same(values: Iterable, others: Iterable) -> bool:
    """Whether pairs of values are the same; mostly they are the very same, which C can tell."""
    return all(map(operator.is_, values, others)) or all(map(same, values, others))


def same_array(value: np.ndarray, copy: np.ndarray) -> bool:
    """Whether an array still has the shape, dtype and bits of a copy."""
    if value.shape != copy.shape or value.dtype != copy.dtype:
        return False
    if value.dtype == object:
        return all(map(same, value.ravel().tolist(), copy.ravel().tolist()))
    return value.tobytes() == copy.tobytes()


def array_of(value: Any) -> np.ndarray | None:
    """A copy of what an object of others gives as an array, such as a table or an image; None if it gives none."""
    if not hasattr(type(value), "__array__"):
        return None
    try:
        return np.array(value)
    except Exception:  # whatever its own code raises
        return None


def same_as_array(value: Any, copy: np.ndarray) -> bool:
    """Whether an object still gives an array like a copy."""
    now = array_of(value)
    return now is not None and same_array(now, copy)


def is_written_only(value: Any) -> bool:
    """Whether an object is a stream from which nothing is read, such as ``sys.stderr``; a closed one is, too."""
    try:
        return isinstance(value, io.IOBase) and not value.readable()
    except ValueError:
        return True


def bytes_of(value: Any) -> bytes | None:
    """The memory that an object such as a bytearray lends, if it does."""
    try:
        return memoryview(value).tobytes()
    except (TypeError, BufferError, ValueError):
        return None


def same_bytes(value: Any, copy: bytes) -> bool:
    """Whether the memory that an object lends is still like a copy."""
    return bytes_of(value) == copy


MAPPINGS = (dict, types.MappingProxyType)
_WITH_ITEMS = (collections.OrderedDict, dict, list, collections.deque, set, frozenset, tuple)
_PLAIN_CONTAINERS = frozenset((*_WITH_ITEMS, collections.defaultdict))
# kinds of containers, what copies them (None where they cannot change), and what compares them with the copy
CONTAINERS: tuple[tuple[tuple[type, ...], Callable[[Any], Any] | None, Callable[[Any, Any], bool]], ...] = (
    (MAPPINGS, copied, same_values),
    ((list, collections.deque, set), lambda x: list(items_in(x)), same_items),
    ((tuple, frozenset), None, same_items),
)
# of what a function of others finds in its module: what is followed, and in packages, where it may count
FOLLOWED: dict[bool, tuple[type, ...]] = {False: (types.FunctionType, types.MethodType)}
FOLLOWED[True] = (*FOLLOWED[False], dict, list, set)
