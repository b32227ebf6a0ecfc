"""What users have put into modules and classes of others: functions of theirs, and data."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..._tensor import Tensor
from .owners import is_ours, is_users, is_users_function

RUN = {"forward", "__call__"}  # of a module, without being named
_DATA = (int, float, str, list, tuple, dict, np.ndarray, Tensor)


def patches(owners: Iterable[Any], words: set[str]) -> list[tuple[Any, str]]:
    """Where users have put something that code with these words in it may find, as (mapping, name).

    `owners` are modules and classes.
    """
    names = words | RUN
    return [
        (mapping, name)
        for mapping in map(vars, owners)
        for name in mapping.keys() & names
        if _is_put_in(mapping[name])
    ]


def function_of(member: Any) -> Any:
    """The function behind what stands in a class or module."""
    if isinstance(member, property):
        return member.fget
    return member.__func__ if isinstance(member, staticmethod | classmethod) else member


def with_submodules(owners: Iterable[Any], words: set[str]) -> Iterator[Any]:
    """Modules and classes, and the modules that code with these words in it reaches from jitgrad's by name."""
    seen: set[int] = set()
    waiting = list(owners)
    while waiting:
        owner = waiting.pop()
        if id(owner) in seen:
            continue
        seen.add(id(owner))
        yield owner
        if isinstance(owner, types.ModuleType) and is_ours(owner.__name__):
            found = map(vars(owner).__getitem__, vars(owner).keys() & words)
            waiting += [x for x in found if isinstance(x, types.ModuleType)]


def _is_put_in(member: Any) -> bool:
    kind = type(member)
    if kind is property or kind is staticmethod or kind is classmethod:
        member = function_of(member)
        if not isinstance(member, types.FunctionType):
            return is_users(getattr(member, "__module__", "jitgrad"))
    if isinstance(member, types.FunctionType):
        return is_users_function(member)
    return isinstance(member, _DATA)
