"""Methods of the user's that run without being named in the user's code: others call them, or Python itself."""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator

from ..._tensor import Tensor
from ...nn.module import Module
from ...optim.optimizer import Optimizer
from .owners import is_other_packages, is_users_class
from .patches import function_of
from .words import SHOWS

# methods that run when an object is made, shown or copied, and not when it is used: the words of code that does so
_SHOWING = frozenset((SHOWS, "str", "repr", "ascii", "format"))
_COPYING = frozenset(("copy", "deepcopy", "dumps", "dump", "loads", "load"))
_APART: dict[str, frozenset[str]] = {
    **dict.fromkeys(("__init__", "__new__", "__post_init__", "__del__"), frozenset()),
    **dict.fromkeys(("__init_subclass__", "__set_name__"), frozenset()),
    **dict.fromkeys(("__repr__", "__str__"), _SHOWING),
    **dict.fromkeys(("__getstate__", "__setstate__", "__reduce__", "__reduce_ex__"), _COPYING),
}


@functools.cache
def _members(kind: type) -> frozenset[str]:
    """Names of what a class of others lets classes made from it define, and calls itself."""
    if kind is object or issubclass(kind, (Module, Optimizer, Tensor)):  # which are looked at by other names
        return frozenset()
    return frozenset(n for n, x in vars(kind).items() if not n.startswith("__") and callable(function_of(x)))


def called_by_others(kind: type) -> set[str]:
    """What code of others may call of a user's class, such as the ``backward`` of a `Function`."""
    return {n for base in kind.__mro__ if not is_users_class(base) for n in _members(base)}


def runs_unnamed(method: str, words: set[str]) -> bool:
    """Whether code with these words in it may run a method with two underscores of an object that there is."""
    return method not in _APART or not words.isdisjoint(_APART[method])


def methods_of_packages(kind: type, words: set[str]) -> Iterator[types.FunctionType]:
    """Methods that code with these words in it calls of objects of packages that do not use jitgrad."""
    for base in kind.__mro__:
        if is_other_packages(base.__module__):
            members = [function_of(x) for n, x in vars(base).items() if n in words or n == "__call__"]
            yield from (x for x in members if isinstance(x, types.FunctionType))
