"""Arguments and results as trees: tensors at the leaves, everything else in a description that can be compared."""

from __future__ import annotations

import functools
from collections import OrderedDict
from struct import pack
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._tensor import Tensor
from ..dtypes import Size

if TYPE_CHECKING:
    from .remade import Parts

LEAF = "tensor"
MAPPINGS = (dict, OrderedDict)
INEXACT = (float, complex)
PLAIN = (int, float, bool, str, bytes, complex, type(None))


class Identity(NamedTuple):
    """An object that is compared by identity, and kept so that no other takes its place."""

    kind: type
    number: int
    value: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self.number == other.number

    def __hash__(self) -> int:
        return hash(self.number)


class Number(NamedTuple):
    """A number that is compared by its bits: ``nan`` equals itself, and ``-0.0`` is not ``0.0``."""

    kind: type
    bits: bytes
    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and (self.kind, self.bits) == (other.kind, other.bits)

    def __hash__(self) -> int:
        return hash(self.bits)


class Attributed(NamedTuple):
    """A named tuple that has attributes besides its items."""

    items: Any  # what describes it without them
    attributes: Any


class Remade(NamedTuple):
    """An object that is made again from its parts, see `remade`."""

    kind: type
    number: int  # of the objects that are made again together
    parts: Any  # what describes a list of them


class Again(NamedTuple):
    """An object that is made again, in another place."""

    number: int


class Call(NamedTuple):
    """The arguments of a call, as they were given and taken apart."""

    args: tuple
    kwargs: dict[str, Any]
    key: Any  # what describes all but the tensors
    tensors: list[Tensor]
    shapes: list[Size]  # of the tensors


def bits_of(value: Any) -> bytes:
    """The memory of a number of NumPy's, a float or a complex number: what tells it from others of its kind."""
    if isinstance(value, np.generic):
        return value.tobytes()
    return pack("dd", value.real, value.imag)


def taken_apart(args: tuple, kwargs: dict[str, Any]) -> Call:
    """The arguments of a call with the tensors in them."""
    tensors: list[Tensor] = []
    key = flatten_call(args, kwargs, tensors)
    return Call(args, kwargs, key, tensors, [x.shape for x in tensors])


def constants_in(description: Any) -> list[Any]:
    """The objects in a description that are compared by identity only."""
    if isinstance(description, Identity):
        return [description.value]
    if not isinstance(description, tuple):
        return []
    return [x for item in description for x in constants_in(item)]


def flatten_call(args: tuple, kwargs: dict[str, Any], leaves: list[Tensor]) -> Any:
    """`flatten` for the arguments of a call, which are tensors most often."""
    if not kwargs:
        for x in args:
            if type(x) is not Tensor:
                break
        else:
            leaves += args
            return tensors_only(len(args))
    description = flatten((args, kwargs), leaves)
    kinds = tuple(type(x) for x in leaves)
    return description if set(kinds) <= {Tensor} else (description, kinds)


@functools.cache
def tensors_only(count: int) -> Any:
    """The description of a call with so many tensors and nothing else."""
    return (tuple, (tuple, *[LEAF] * count), (dict,))


def flatten(value: Any, leaves: list[Tensor], parts: Parts | None = None) -> Any:
    """Append the tensors in nested tuples, lists and dicts to `leaves`; returns what describes the rest.

    Numbers and strings are described by type and value, other objects by their identity, also those of classes that
    are made from a number's. A named tuple may say by ``_told()`` what is to be known of it besides its items,
    instead of all its attributes. Objects that `parts` takes apart are described by their parts.
    """
    if isinstance(value, Tensor):
        leaves.append(value)
        return LEAF
    kind = type(value)
    if kind is tuple or kind is list or (isinstance(value, tuple) and hasattr(value, "_fields")):
        items = (kind, *[flatten(item, leaves, parts) for item in value])
        told = getattr(value, "_told", None) or getattr(value, "__dict__", None)
        if not told:
            return items
        return Attributed(items, flatten(told() if callable(told) else told, leaves, parts))
    if kind in MAPPINGS:
        return (kind, *[(_key(key), flatten(item, leaves, parts)) for key, item in value.items()])
    if kind in INEXACT or isinstance(value, np.number):
        return Number(kind, bits_of(value), value)
    if kind in PLAIN or isinstance(value, np.bool_ | np.character):
        return (kind, value)
    if parts is None or not parts.has(value):
        return Identity(kind, id(value), value)
    number, found = parts.of(value)
    return Again(number) if found is None else Remade(kind, number, flatten(found, leaves, parts))


def _key(key: Any) -> Any:
    """The description of a key of a dict, in which tensors are objects like any others."""
    return Identity(type(key), id(key), key) if isinstance(key, Tensor) else flatten(key, [])


def unflatten(description: Any, leaves: Any) -> Any:
    """The value with a description, its tensors taken from the iterator `leaves`."""
    return _unflatten(description, leaves, {})


def _unflatten(description: Any, leaves: Any, made: dict[int, Any]) -> Any:
    """The same; `made` has the objects that have been made again so far, by their numbers."""
    if description == LEAF and isinstance(description, str):
        return next(leaves)
    if isinstance(description, Identity | Number):
        return description.value
    if isinstance(description, Again):
        return made[description.number]
    if isinstance(description, Remade):
        one = made[description.number] = description.kind.__new__(description.kind)
        _fill(one, *_unflatten(description.parts, leaves, made))
        return one
    if isinstance(description, Attributed):
        description = description.items
    kind, *items = description
    if kind in MAPPINGS:
        return kind((_unflatten(key, leaves, made), _unflatten(item, leaves, made)) for key, item in items)
    if issubclass(kind, tuple | list):
        found = [_unflatten(item, leaves, made) for item in items]
        return kind(*found) if hasattr(kind, "_fields") else kind(found)
    return items[0]


def _fill(made: Any, contents: dict, attributes: dict | None, slots: dict) -> None:
    """Give a new object its parts, see `Parts.of`, without code of its class."""
    write = OrderedDict.__setitem__ if isinstance(made, OrderedDict) else dict.__setitem__
    for key, value in contents.items():
        write(made, key, value)
    if attributes is None:
        object.__setattr__(made, "__dict__", made)
    elif attributes:
        object.__getattribute__(made, "__dict__").update(attributes)
    for name, value in slots.items():
        object.__setattr__(made, name, value)
