"""What of Python's objects a function may read while it runs, and whether it is still as it was.

A replay runs no Python, so what Python would have read must not have changed: names, attributes, items of lists,
dicts and sets, contents of arrays. Attributes are looked for by the names that occur in the function's code and in
the code of the functions that it can reach; an attribute that no code names is not looked at.
"""

from __future__ import annotations

import collections
import functools
import math
import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..autograd.notes import hook_functions
from ..dtypes import dtype
from ..nn.module import Module
from ..optim.optimizer import Optimizer
from ..store import store
from .drawn import Source, shared_sources, source_of
from .recording import Spoiled
from .tree import PLAIN

MOST = 20_000  # things to look at; a function that can reach more is not replayed
_MISSING: Any = object()
_NOTHING = (*PLAIN, dtype, range, slice, types.BuiltinFunctionType, type(Ellipsis), type(NotImplemented))


class Cell:
    """A closure's cell, read like a dict with one key."""

    def __init__(self, cell: Any) -> None:
        self._cell = cell

    def get(self, key: str, default: Any) -> Any:
        """What is in the cell."""
        try:
            return self._cell.cell_contents
        except ValueError:  # not bound yet
            return default


class Slots:
    """The attributes of an object whose class has ``__slots__``, read like a dict."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self, key: str, default: Any) -> Any:
        """An attribute."""
        return getattr(self._value, key, default)


def same(a: Any, b: Any) -> bool:
    """Whether it makes no difference which of two values a function reads."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is float:
        return (a == b and math.copysign(1.0, a) == math.copysign(1.0, b)) or (a != a and b != b)
    if isinstance(a, PLAIN):
        return a == b
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.generic):
        return a.tobytes() == b.tobytes()
    if kind is types.MethodType:
        return a.__self__ is b.__self__ and a.__func__ is b.__func__
    return False


APPLICATION = "jitgrad.benchmarks"  # part of the package, but it uses the library as anybody does
_own: set[str] = {"__main__", ""}  # packages that have compiled a function


def compiles(module: str | None) -> None:
    """Note that a function of this module is compiled: its package is the user's, even when it is installed."""
    top = (module or "").partition(".")[0]
    if top not in _own and top != "jitgrad":
        _own.add(top)
        is_users.cache_clear()


@functools.cache
def is_users(module: str | None) -> bool:
    """Whether a module of Python code is the user's: not jitgrad, the standard library or an installed package."""
    top = (module or "").partition(".")[0]
    if top in _own or (module or "").startswith(APPLICATION):
        return True
    if top in ("jitgrad", "builtins", "numpy") or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return "site-packages" not in file and "dist-packages" not in file


def words_of(code: types.CodeType) -> set[str]:
    """The names and short strings in a function's code: what it may look up."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= words_of(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            found.add(constant)
    return found


_code_words: dict[types.CodeType, frozenset[str]] = {}


class World:
    """The objects that a function can reach, as they are when this is made.

    Parameters
    ----------
    roots : iterable
        The function, and its arguments that are not tensors.
    known : set
        Names that are looked at elsewhere: ids of cells, and (id of the globals, name).

    Attributes
    ----------
    objects : list
        The modules and optimizers among them.
    tensors : list of (Tensor, int)
        The tensors among them, with their slots.
    own : list
        Other objects of jitgrad's: generators and the like.

    Raises
    ------
    Spoiled
        If the function reads from something that cannot be looked at without changing it.
    """

    def __init__(self, roots: list[Any], known: set[Any]) -> None:
        self._words: set[str] = set()
        while True:  # names found on the way may lead to more
            count = len(self._words)
            self._known = set(known)
            self._seen: dict[int, Any] = {}
            self._waiting: list[Any] = list(roots)
            self._maps: list[tuple[Any, str, Any]] = []
            self._absent: list[tuple[Any, int, list[str]]] = []
            self._copies: list[tuple[Any, Any, Callable[[Any, Any], bool]]] = []
            self._sources: list[Source] = []
            self.objects: list[Any] = []
            self.tensors: list[tuple[Tensor, int]] = []
            self.own: list[Any] = []
            while self._waiting:
                self._visit(self._waiting.pop())
            if len(self._words) == count:
                break
        self._sources += shared_sources()
        self.has_lent = False  # whether arrays have been forgotten
        self.is_empty = not (self._maps or self._absent or self._copies)
        del self._seen, self._waiting, self._known

    # looking -----------------------------------------------------------------------------------------

    def holds(self) -> bool:
        """Whether everything that a function can read is as it was."""
        return self.changed() is None

    def changed(self) -> str | None:
        """What is not as it was."""
        for mapping, name, value in self._maps:
            now = mapping.get(name, _MISSING)
            if now is not value and not same(now, value):
                return name
        for mapping, size, names in self._absent:
            if len(mapping) != size:
                new = next((n for n in names if n in mapping), None)
                if new is not None:
                    return new
        for value, copy, equal in self._copies:
            if not equal(value, copy):
                return f"a {type(value).__name__}"
        return None

    def standing(self) -> list[Any]:
        """Where the generators of Python and NumPy stand that a function can draw from."""
        return [source() for source in self._sources]

    def check_untouched(self, before: list[Any]) -> None:
        """Raise Spoiled when a run of the function has changed what it can reach, or drawn random numbers.

        `before` is what `standing` said before the run.
        """
        name = None if self.is_empty else self.changed()
        if name is not None:
            raise Spoiled(f"changes a value of Python's ({name})", None, False)
        if self.standing() != before:
            raise Spoiled("draws random numbers from Python or NumPy")

    def without_lent_arrays(self, number: int) -> World:
        """The same world, where arrays that program `number` made tensors on need no look: a replay uses them."""
        if not self._copies:
            return self
        owner = store.storage_word
        lent = {id(x) for storage, x in store.externals.items() if owner(storage, "owner") == number}
        kept = [c for c in self._copies if id(c[0]) not in lent]
        if len(kept) == len(self._copies):
            return self
        again: World = object.__new__(World)
        again.__dict__ |= self.__dict__
        again._copies, again.has_lent = kept, True
        again.is_empty = not (again._maps or again._absent or kept)
        return again

    # finding -----------------------------------------------------------------------------------------

    def _visit(self, value: Any) -> None:
        if isinstance(value, _NOTHING) or id(value) in self._seen:
            return
        self._seen[id(value)] = value
        if len(self._maps) + len(self._seen) > MOST:
            raise Spoiled(f"can reach more than {MOST} values of Python's")
        if isinstance(value, Tensor):
            self.tensors.append((value, value._slot))
            if value.__dict__:
                self._attributes(value.__dict__)
            self._waiting += hook_functions(value._slot)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self._waiting += [value.__self__, value.__func__]
        elif isinstance(value, functools.partial):
            self._waiting += [value.func, *value.args, *value.keywords.values()]
        elif isinstance(value, Module):
            self._module(value)
        elif isinstance(value, Optimizer):
            self._optimizer(value)
        elif isinstance(value, type):
            self._class(value)
        elif isinstance(value, types.ModuleType):
            if is_users(value.__name__):
                self._attributes(vars(value))
        else:
            self._data(value)

    def _data(self, value: Any) -> None:
        """Containers, arrays, generators, and objects of any other class."""
        if isinstance(value, list | collections.deque):
            self._copy(value, list(value), _same_items)
            self._waiting += value
        elif isinstance(value, tuple):
            self._waiting += value
        elif isinstance(value, dict):
            self._copy(value, dict(value), _same_values)
            self._waiting += value.values()
        elif isinstance(value, set | frozenset):
            self._copy(value, set(value), lambda a, b: a == b)
            self._waiting += value
        elif isinstance(value, np.ndarray):
            self._copy(value, value.copy(), _same_array)
            self._waiting += value.ravel().tolist() if value.dtype == object else []
        elif isinstance(value, Iterator | random.SystemRandom):
            raise Spoiled(f"may take items from a {type(value).__name__}")
        elif (source := source_of(value)) is not None:
            self._sources.append(source)
        else:
            self._object(value)

    def _copy(self, value: Any, copy: Any, equal: Callable[[Any, Any], bool]) -> None:
        if len(copy) > MOST and not isinstance(copy, np.ndarray):
            raise Spoiled(f"can reach more than {MOST} values of Python's (a {type(value).__name__})")
        self._copies.append((value, copy, equal))

    def _object(self, value: Any) -> None:
        function = getattr(value, "_function", None)  # of another compiled function
        kind = type(value)
        if kind.__module__.startswith("jitgrad."):
            self.own.append(value)
            self._waiting += [function] if callable(function) else []
            return
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            self._attributes(attributes)
        for base in kind.__mro__:
            slots = base.__dict__.get("__slots__", ())
            names = [slots] if isinstance(slots, str) else slots
            self._names(Slots(value), [n for n in names if n in self._words])
        self._class(kind, "__call__")

    def _attributes(self, mapping: Any) -> None:
        """The attributes, among those in a dict, that code names."""
        self._names(mapping, [n for n in self._words if n in mapping])
        self._absent.append((mapping, len(mapping), [n for n in self._words if n not in mapping]))

    def _names(self, mapping: Any, names: list[str]) -> None:
        for name in names:
            value = mapping.get(name, _MISSING)
            self._maps.append((mapping, name, value))
            self._waiting.append(value)

    def _class(self, kind: type, *methods: str) -> None:
        """What code names of a class of the user's, and of those it is made from."""
        for base in kind.__mro__:
            if not is_users(base.__module__):
                continue
            mapping = base.__dict__
            names = [n for n in self._words if n in mapping] + [m for m in methods if m in mapping]
            self._names(mapping, names)
            for name in names:
                made = mapping[name]
                if isinstance(made, property):
                    self._waiting.append(made.fget)
                elif isinstance(made, staticmethod | classmethod):
                    self._waiting.append(made.__func__)

    def _function(self, function: types.FunctionType) -> None:
        if not is_users(function.__module__):
            return
        code = function.__code__
        words = _code_words.get(code)
        if words is None:
            words = _code_words[code] = frozenset(words_of(code))
        self._words |= words
        for cell in function.__closure__ or ():
            if id(cell) not in self._known:
                self._known.add(id(cell))
                self._maps.append((Cell(cell), "a variable of a closure", Cell(cell).get("", _MISSING)))
            self._waiting.append(Cell(cell).get("", _MISSING))
        namespace = function.__globals__
        for name in words & namespace.keys():
            value = namespace[name]
            if (id(namespace), name) not in self._known and not isinstance(value, types.ModuleType):
                self._known.add((id(namespace), name))
                self._maps.append((namespace, name, value))
            self._waiting.append(value)
        self._waiting += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]

    def _module(self, module: Module) -> None:
        """Members are counted by the module itself; here are what its own attributes hold, and its code."""
        self.objects.append(module)
        for one in module.modules():
            self._seen[id(one)] = one
            for p in one.parameters(recurse=False):
                self._waiting += hook_functions(p._slot)
            kind = type(one)
            if one._hooks is not None:
                self._waiting += one._hooks.functions()
            if getattr(one.forward, "__func__", None) is not kind.forward:  # set on the instance
                self._waiting.append(one.forward)
            if not is_users(kind.__module__):
                continue
            self._class(kind, "forward", "__call__")
            for name in self._words:
                if hasattr(kind, name):
                    made = getattr(kind, name)
                    if callable(made) or isinstance(made, property):
                        continue
                value = getattr(one, name, _MISSING)
                if value is not _MISSING and not isinstance(value, Module):
                    self._waiting.append(value)

    def _optimizer(self, optimizer: Optimizer) -> None:
        """Its settings are read from memory, unless code of the user's reads them."""
        self.objects.append(optimizer)
        self._waiting += [hook for _, hook in optimizer.step_hooks()]
        users = is_users(type(optimizer).__module__)
        if users:
            self._class(type(optimizer), "step", "zero_grad")
            self._attributes(vars(optimizer))
        if users or "param_groups" in self._words:
            self._waiting += optimizer.param_groups


def _same_items(value: Any, copy: list) -> bool:
    return len(value) == len(copy) and all(map(same, value, copy))


def _same_values(value: dict, copy: dict) -> bool:
    if len(value) != len(copy):
        return False
    return all(same(value.get(k, _MISSING), x) for k, x in copy.items())


def _same_array(value: np.ndarray, copy: np.ndarray) -> bool:
    if value.shape != copy.shape or value.dtype != copy.dtype:
        return False
    if value.dtype == object:
        return all(map(same, value.ravel().tolist(), copy.ravel().tolist()))
    return value.tobytes() == copy.tobytes()
