"""What of Python's objects a function may read while it runs: found from the function, without running it.

Attributes are looked for by the names that occur in the function's code and in the code of the functions that it can
reach; an attribute that no code names is not looked at. Where code computes names, or where it is code of others
(the standard library, installed packages that do not use jitgrad), every attribute is.
"""

from __future__ import annotations

import abc
import contextvars
import functools
import random
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..._tensor import Tensor
from ...autograd.notes import hook_functions
from ...nn.module import Module
from ...optim.optimizer import Optimizer
from ...ways_out import SMALLER, TAKE_ITEMS
from ..spoiled import Spoiled
from . import owners
from .constants import holds_nothing
from .drawn import shared_sources, source_of
from .found import Found, members_of
from .inside import CACHE, UNREAD, held_inside, names_among, results_in, same_results
from .networks import look_at_module, look_at_optimizer
from .patches import function_of
from .ran import Ran, Wide, runs
from .reading import (
    CONTAINERS,
    FOLLOWED,
    MAPPINGS,
    MISSING,
    Cell,
    Reader,
    Slots,
    array_of,
    attributes_of,
    bytes_of,
    is_written_only,
    items_in,
    read_by,
    same_array,
    same_as_array,
    same_bytes,
    same_values,
    slots_of,
    values_in,
)
from .unnamed import called_by_others, methods_of_packages, runs_unnamed
from .watch import others_of
from .words import (
    COMPUTED,
    INSPECTED,
    compares_identity,
    imported_by,
    is_expected,
    read_from,
    unbound_in,
    words_of,
)

MOST = 20_000  # things to look at; a function that can reach more is not replayed
MANY = 300  # functions of the user's: where more can be reached, only those that run are looked into
# of jitgrad's own, whose state Python code may ask for
_STATEFUL = ("jitgrad.optim.lr_scheduler", "jitgrad.utils.data")
_LAZY = "jitgrad.distributions"  # objects of its classes keep what they compute as further attributes


def search(roots: list[Any], ran: Ran | None = None) -> Found:
    """Find the objects that a function can reach, as they are now.

    Parameters
    ----------
    roots : list
        The function, and its arguments that are not tensors.
    ran : Ran, optional
        The code that has run in its calls: if there is any, no other is looked into.

    Raises
    ------
    Spoiled
        If the function reads from something that cannot be looked at without changing it.
    Wide
        If it can reach so much code that it has to be known which runs.
    """
    owners.notice_imports()
    words: set[str] = set()
    put_in: list[tuple[Any, str]] = []
    while True:  # names found on the way may lead to more
        count = len(words)
        found = Search(words, ran)
        found.follow(roots, put_in)
        if len(words) > count:
            continue
        found.watched.others = others = others_of(found.others.values(), words)
        if len(others.put_in) == len(put_in):
            break
        put_in = others.put_in
    found.sources += shared_sources()
    if "requires_grad" in words:
        tensors = [*(t for t, _ in found.tensors), *members_of(found.objects)]
        found.read_call("requires_grad", Reader(lambda: tuple([t.requires_grad for t in tensors])))
    return found


class Search(Found):
    """One pass of `search`, by the names that are known when it begins."""

    def __init__(self, words: set[str], ran: Ran | None) -> None:
        super().__init__(words)
        seen = ran if ran is not None and ran.can_see else None
        self._ran, self._opens = (seen.codes, seen.opens) if seen else (None, False)
        may_narrow = seen is not None and seen.codes is None
        self._many, self._refusal = (MANY, Wide) if may_narrow else (MOST, Spoiled)
        self.computed = not COMPUTED.isdisjoint(words)
        self._variables: set[Any] = set()  # ids of cells, and (id of the globals, name)
        self.others: dict[int, Any] = {id(Tensor): Tensor}

    def follow(self, roots: list[Any], put_in: list[tuple[Any, str]]) -> None:
        """Look at all that can be reached from some values, and from what was `put_in` mappings under names."""
        self.waiting += roots
        for mapping, name in put_in:
            self.read_names(mapping, [name])
            self.waiting.append(function_of(mapping[name]))
        known = {*self.words}
        while self.waiting:
            while self.waiting:
                self._visit(self.waiting.pop())
            if len(self.words) > len(known):
                self.look_for(self.words - known)
                known |= self.words

    def _visit(self, value: Any) -> None:
        if holds_nothing(value) or id(value) in self.reached:
            return
        self.reached[id(value)] = value
        if len(self.maps) + len(self.reached) > MOST:
            raise self._refusal(f"can reach more than {MOST} values of Python's", SMALLER)
        if isinstance(value, Tensor):
            self.tensors.append((value, value._slot))
            self.read_beside(value)
        elif isinstance(value, types.FunctionType):
            self._function(value)
        elif isinstance(value, types.MethodType):
            self.waiting += [value.__self__, value.__func__]
        elif isinstance(value, staticmethod | classmethod):
            self.waiting.append(value.__func__)
        elif isinstance(value, functools.partial):
            self.waiting += [value.func, *value.args, value.keywords]
            self.read_attributes(value)
        elif isinstance(value, types.BuiltinFunctionType):
            self._method_of_others(value)
        elif isinstance(value, Module):
            look_at_module(self, value)
        elif isinstance(value, Optimizer):
            look_at_optimizer(self, value)
        elif isinstance(value, type):
            self.read_class(value, made=True)
        elif isinstance(value, types.ModuleType):
            self._namespace(value)
        else:
            self._data(value)

    def read_beside(self, tensor: Tensor) -> None:
        """What the user has given a tensor: attributes, hooks, and a class of its own."""
        kind = type(tensor)
        users = owners.is_users_class(kind)
        if users:
            self.read_class(kind)
        if owners.is_foreign(kind):
            self.waiting.append(tensor.__dict__)
        elif users or tensor.__dict__:
            self.read_words(tensor.__dict__)
        self.waiting += hook_functions(tensor._slot)

    # data --------------------------------------------------------------------------------------------

    def _data(self, value: Any) -> None:
        """Containers, arrays, generators, and objects of any other class."""
        if self._contents(value):
            if owners.is_users_class(type(value)):  # its class is made from one that has contents
                self._object(value)
        elif isinstance(value, Iterator | random.SystemRandom) and not is_written_only(value):
            raise Spoiled(f"may take items from a {type(value).__name__}", TAKE_ITEMS)
        elif (source := source_of(value)) is not None:
            self.sources.append(source)
        else:
            self._object(value)

    def _contents(self, value: Any) -> bool:
        """Look at what an object has that are no attributes; False if there is nothing like that."""
        for kinds, copy_of, equal in CONTAINERS:
            if isinstance(value, kinds):
                self._items(value, copy_of, equal)
                return True
        if isinstance(value, np.ndarray):
            self.copies.append((value, value.copy(), same_array))
            self.waiting += value.ravel().tolist() if value.dtype == object else []
        elif isinstance(value, bytearray | memoryview):
            self._memory(value)
        elif isinstance(value, threading.local):
            self.read_call("what a thread has of its own", Reader(lambda: value.__dict__, AttributeError))
        elif isinstance(value, contextvars.ContextVar):
            self.read_call("a context variable", Reader(value.get))
        elif isinstance(value, weakref.ReferenceType):
            self.read_call("a weak reference", Reader(value))
        else:
            return False
        return True

    def _items(self, value: Any, copy_of: Callable | None, equal: Callable[[Any, Any], bool]) -> None:
        """What is in a container; `copy_of` is None for one that cannot change."""
        if value is sys.modules:  # which code looks up by names that it contains: see `imported_by`
            return
        items = list(items_in(value))
        if copy_of is not None:
            if len(items) > MOST:
                raise self._refusal(
                    f"can reach more than {MOST} values of Python's (a {type(value).__name__})", SMALLER
                )
            self.copies.append((value, copy_of(value), equal))
        is_mapping = isinstance(value, MAPPINGS)
        self.waiting += values_in(value) if is_mapping else items
        if is_mapping or isinstance(value, set | frozenset):
            keys = [x for x in items if isinstance(x, Tensor)]  # which are found by what they are
            self.compares |= bool(keys)
            self.waiting += keys

    def _object(self, value: Any) -> None:
        kind = type(value)
        if any(base.__module__.startswith(_LAZY) for base in kind.__mro__):
            self.read_names(value.__dict__, [*value.__dict__])
        if owners.is_ours(kind.__module__) and not kind.__module__.startswith(_STATEFUL):
            self.own.append(value)
            told = getattr(value, "_read_by_steps", None)
            if told is not None:
                self.read_call(f"a {kind.__name__}", Reader(told))
            function = getattr(value, "_function", None)
            if callable(function):  # a compiled function, which may have attributes of the user's
                self.waiting.append(function)
                own = getattr(value, "_own", ())
                self.read_names(
                    value.__dict__, [n for n in self.words if n in value.__dict__ and n not in own]
                )
            return
        mapping = attributes_of(value)
        self.watched.objects.append(value)
        if owners.is_users_class(kind):
            self.read_class(kind, "__call__")
        if self.computed or owners.is_foreign(kind) or not owners.is_users_class(kind):
            self.read_all_attributes(value, mapping)
            self.waiting += methods_of_packages(kind, self.words)
            return
        if mapping is not None:
            self.read_words(mapping)
        self.read_names(Slots(value), [n for n in slots_of(kind) if n in self.words])

    def read_all_attributes(self, value: Any, mapping: Any) -> None:
        """Every attribute of an object, or the memory of one that has none."""
        users = owners.is_users_class(type(value))
        if (array := array_of(value)) is not None:
            self.copies.append((value, array.copy(), same_as_array))  # of a record it is the memory itself
            if not users:
                return
        if mapping is not None:
            self.copies.append((mapping, dict(mapping), same_values))
            read = {n: x for n, x in mapping.items() if n != "__annotations__"}
            self.waiting += [x for x in read.values() if users or not isinstance(x, UNREAD)]
        self._memory(value)
        self.read_names(Slots(value), slots_of(type(value)))
        if isinstance(value, CACHE) and not runs(value.__wrapped__, self._ran):
            self.copies.append((value, results_in(value), same_results))
        held = held_inside(value)
        self.words |= names_among(held)
        self.waiting += held

    def _memory(self, value: Any) -> None:
        """The memory that an object such as an `array.array` lends, if it does."""
        memory = bytes_of(value)
        if memory is not None:
            self.copies.append((value, memory, same_bytes))

    # code --------------------------------------------------------------------------------------------

    def _method_of_others(self, method: types.BuiltinFunctionType) -> None:
        """A built-in function, or the method of a container, such as ``table.get``."""
        if method.__name__ in COMPUTED:
            self.words.add(method.__name__)
        if not isinstance(method.__self__, types.ModuleType):
            self.waiting.append(method.__self__)

    def read_class(self, kind: type, *methods: str, made: bool = False) -> None:
        """What code names of a class of the user's, of those it is made from, and what runs without being named.

        `made` says that the class itself is called, not only an object of it.
        """
        if not self._is_new((id(kind), methods, made)):
            return
        if type(kind) is not type:
            self.waiting.append(type(kind))
        if made and isinstance(kind, abc.ABCMeta):
            self.read_call("what is registered with abstract classes", Reader(abc.get_cache_token))
        called = {*methods, *called_by_others(kind)}
        for base in kind.__mro__:
            if not owners.is_users_class(base):
                self.others[id(base)] = base
                continue
            mapping = base.__dict__
            self.spaces.append(mapping)
            self.watched.add_class(base, called, self.computed)
            names = {n for n in mapping if n in self.words or n in called}
            names |= {n for n in mapping if self.computed and not n.startswith("__")}
            self.waiting += map(mapping.__getitem__, names)
            unnamed = [n for n in mapping if n.startswith("__") and (made or runs_unnamed(n, self.words))]
            members = map(function_of, map(mapping.__getitem__, {*names, *unnamed}))
            self.waiting += [x for x in members if isinstance(x, types.FunctionType)]
            self.words.update(mapping.get("__match_args__", ()))

    def _function(self, function: types.FunctionType) -> None:
        """What a function's code names, or what a function of others holds."""
        if owners.is_our_function(function):
            self.waiting += [x for x in (vars(function).get("__wrapped__"),) if x is not None]
            return
        self.waiting += [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
        if not runs(function, self._ran) and not self._opens and INSPECTED.isdisjoint(self.words):
            self.watched.bystanders.append(function)
            self.read_attributes(function)
            return
        self.waiting += read_by(function)
        users = owners.is_users_function(function)
        self._variables_of(function, users)
        if not users:
            self.waiting += [vars(function)] if owners.is_other_packages(function.__module__) else []
            return
        self.words |= words_of(function.__code__)
        self.compares |= compares_identity(function.__code__)
        if unbound := unbound_in(function.__globals__, function.__code__):
            self.without(function.__globals__, unbound)
        self.waiting += imported_by(function)
        self.watched.functions.append(function)
        if len(self.watched.functions) > self._many:
            raise self._refusal(f"can reach more than {self._many} functions", SMALLER)
        self.read_attributes(function)

    def _variables_of(self, function: types.FunctionType, users: bool) -> None:
        """The variables of closures and modules that a function looks up by name, and what they mean.

        Of what a function of others finds in its module, only functions are followed, as they have variables, too,
        and in packages what may count; containers of the standard library are caches.
        """
        code, namespace = function.__code__, function.__globals__
        kinds = FOLLOWED[owners.is_other_packages(function.__globals__.get("__name__"))]
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            if not self._is_new(id(cell)):
                continue
            value = Cell(cell).get(name, MISSING)
            if value is MISSING:  # not bound yet
                self.read_names(Cell(cell), [name])
            else:
                self.watched.cells.append((cell, name))
                self.waiting.append(value)
        for name in read_from(namespace, code):
            value = namespace[name]
            if self._is_new((id(namespace), name)) and not isinstance(value, types.ModuleType):
                if not (users and is_expected(value)):  # which is watched
                    self.maps.append((namespace, name, value))
                self.globals.append((name, value))
            if users or isinstance(value, kinds):
                self.waiting.append(value)

    def _is_new(self, variable: Any) -> bool:
        """Whether a variable has not been met yet."""
        if variable in self._variables:
            return False
        self._variables.add(variable)
        return True

    def _namespace(self, module: types.ModuleType) -> None:
        """What code names of a module: everything of the user's, and objects of others' that can change."""
        if owners.is_users(module.__name__):
            self.read_words(vars(module))
            return
        self.others[id(module)] = module
        if owners.is_ours(module.__name__):
            return
        found = [vars(module)[n] for n in vars(module).keys() & self.words]
        for x in found:
            self.waiting += read_by(x)
        self.waiting += [x for x in found if not (callable(x) or isinstance(x, (*UNREAD, Iterator)))]
