"""What of Python's world a program depends on, and whether it is still so."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Any

from .._tensor import Tensor
from ..nn.module import Module
from ..optim.optimizer import Optimizer
from .tree import PLAIN

_UNGUARDED = (types.ModuleType, types.BuiltinFunctionType, type)
_MISSING: Any = object()


class Reference:
    """A name that a function looks up when it runs: a closure's cell, or a global."""

    __slots__ = ("_cell", "_name", "_namespace")

    def __init__(self, cell: Any = None, namespace: dict | None = None, name: str = "") -> None:
        self._cell, self._namespace, self._name = cell, namespace, name

    def __call__(self) -> Any:
        """What the name means now."""
        if self._cell is not None:
            try:
                return self._cell.cell_contents
            except ValueError:  # not bound yet
                return _MISSING
        assert self._namespace is not None
        return self._namespace.get(self._name, _MISSING)


def references(function: Any) -> list[Reference]:
    """The closure cells and globals that a function, and the functions within it, look up by name.

    Functions found so (helpers of the same script) are looked into as well, and so are `forward` methods.
    """
    found: list[Reference] = []
    seen: set[int] = set()
    waiting = [function]
    while waiting:
        one = waiting.pop()
        one = getattr(one, "__func__", one)
        if not isinstance(one, types.FunctionType) or id(one) in seen or _is_ours(one):
            continue
        seen.add(id(one))
        mine = [Reference(cell=cell) for cell in one.__closure__ or ()]
        mine += [Reference(namespace=one.__globals__, name=n) for n in _global_names(one.__code__)]
        for reference in mine:
            value = reference()
            if isinstance(value, types.FunctionType | types.MethodType):
                waiting.append(value)
            if isinstance(value, Module):
                waiting += [type(m).forward for m in value.modules()]
            if value is not _MISSING and not isinstance(value, _UNGUARDED):
                found.append(reference)
    return found


def _is_ours(function: types.FunctionType) -> bool:
    return function.__module__ is not None and function.__module__.split(".")[0] == "jitgrad"


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


class Guards:
    """Names and objects that a program was recorded with.

    Parameters
    ----------
    function : callable
        The recorded function.
    arguments : iterable
        What it was called with, apart from tensors.
    """

    def __init__(self, function: Any, arguments: list[Any]) -> None:
        self.names = [(r, r()) for r in references(function)]
        objects = [value for _, value in self.names] + arguments
        owner = getattr(function, "__self__", None)
        objects += [function, owner]
        self.objects = list(_watched(objects))
        self.states = [state_of(x) for x in self.objects]

    def names_hold(self) -> bool:
        """Whether every name still means what it meant: the same object, or an equal number or string."""
        for reference, value in self.names:
            now = reference()
            if now is not value and not _equal(now, value):
                return False
        return True

    def objects_hold(self) -> bool:
        """Whether the modules and optimizers are in the state they were in."""
        return all(state_of(x) == s for x, s in zip(self.objects, self.states, strict=True))


def _equal(a: Any, b: Any) -> bool:
    return type(a) is type(b) and isinstance(a, PLAIN) and a == b


def _watched(values: list[Any], depth: int = 2) -> Iterator[Any]:
    """The modules and optimizers among values, also within lists, tuples and dicts, each once."""
    seen: set[int] = set()

    def walk(value: Any, depth: int) -> Iterator[Any]:
        if id(value) in seen:
            return
        if isinstance(value, Module | Optimizer):
            seen.add(id(value))
            yield value
        elif depth and isinstance(value, list | tuple):
            for item in value:
                yield from walk(item, depth - 1)
        elif depth and isinstance(value, dict):
            for item in value.values():
                yield from walk(item, depth - 1)
        elif (
            depth
            and hasattr(value, "__dict__")
            and not isinstance(value, (*_UNGUARDED, types.FunctionType, Tensor))
        ):
            for item in list(vars(value).values()):
                yield from walk(item, depth - 1)

    for value in values:
        yield from walk(value, depth)


def state_of(value: Any) -> tuple:
    """What of a module or optimizer decides which kernels run on what."""
    if isinstance(value, Optimizer):
        hooks = len(value._before) + len(value._after)
        return (getattr(value, "_version", 0), hooks)
    return tuple(
        (id(m), m.training, getattr(m, "_changes", 0), *map(id, m._own_modules.values()))
        for m in value.modules()
    )
