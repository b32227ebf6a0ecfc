"""Objects that a step makes and returns, taken apart: `tree` makes the like of them with other tensors.

That is done without their class's code, from what Python keeps of an object: the contents of the dict that it is, if it
is one, its attributes and its slots. So it must have nothing else, as objects of classes written in C may.
"""

from __future__ import annotations

import abc
import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from .._tensor import Tensor
from ..nn.module import Module
from ..optim.optimizer import Optimizer
from .guard.owners import MADE_AT_RUN_TIME, is_ours
from .guard.reading import MISSING, Slots, attributes_of, copied, slots_of

_KNOWN_TO_OTHERS = (Tensor, Module, Optimizer)


class Parts:
    """Takes the objects apart that one step has made.

    Parameters
    ----------
    was_there : callable
        Whether an object was there before the step, which then is returned itself.
    """

    def __init__(self, was_there: Callable[[Any], bool] = lambda value: False) -> None:
        self._was_there = was_there
        # by id: number, and the object, so that no other gets that id
        self._met: dict[int, tuple[int, Any]] = {}

    def has(self, value: Any) -> bool:
        """Whether an object is one that can be taken apart."""
        return id(value) in self._met or (can_be_made(type(value)) and not self._was_there(value))

    def of(self, value: Any) -> tuple[int, list[dict | None] | None]:
        """The object's number, and contents, attributes and slots; None for them where it has been met before.

        The attributes are None where they are the contents: in dicts with ``self.__dict__ = self``.
        """
        if id(value) in self._met:
            return self._met[id(value)][0], None
        number = len(self._met)
        self._met[id(value)] = number, value
        contents = copied(value) if isinstance(value, dict) else {}
        read = Slots(value).get
        slots = {name: read(name, MISSING) for name in slots_of(type(value))}
        present = {name: x for name, x in slots.items() if x is not MISSING}
        attributes = attributes_of(value)
        return number, [contents, None if attributes is value else attributes or {}, present]


def can_be_made(kind: type) -> bool:
    """Whether objects of a class have nothing that Python code does not see, and no say in how they come to be."""
    if type(kind) not in (type, abc.ABCMeta) or is_ours(kind.__module__):
        return False
    if issubclass(kind, _KNOWN_TO_OTHERS):
        return False
    solid = next(base for base in kind.__mro__ if _has_memory_of_its_own(base))
    return solid in (object, dict, OrderedDict) and kind is not solid and kind.__new__ is solid.__new__


def _has_memory_of_its_own(base: type) -> bool:
    """Whether a class is written in C: the same question as `copyreg` asks."""
    made = base.__new__
    return not base.__flags__ & MADE_AT_RUN_TIME or (
        isinstance(made, types.BuiltinFunctionType) and made.__self__ is base
    )
