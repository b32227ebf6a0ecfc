"""Whose code it is: the user's, jitgrad's, or that of others (the standard library, installed packages)."""

from __future__ import annotations

import functools
import sys
from typing import Any

APPLICATION = "jitgrad.benchmarks"  # part of the package, but it uses the library as anybody does
# classes of these modules, which others are made from, have no state of their own
_STATELESS = {"abc", "builtins", "collections.abc", "typing"}
_compiling: set[str] = {"__main__", ""}  # packages that have compiled a function


def compiles(function: Any) -> None:
    """Note that a function is compiled: the package that it comes from is the user's, even when it is installed."""
    while isinstance(function, functools.partial):  # an object of the standard library's
        function = function.func
    top = (getattr(function, "__module__", None) or "").partition(".")[0]
    if top not in _compiling and top != "jitgrad":
        _compiling.add(top)
        is_users.cache_clear()
        is_foreign.cache_clear()


def packages() -> int:
    """How many packages are known to be the user's: what `is_users` says may change when there is another one."""
    return len(_compiling)


@functools.cache
def is_users(module: str | None) -> bool:
    """Whether a module of Python code is the user's: not jitgrad, the standard library or an installed package."""
    top = _package(module)
    if top in _compiling or (top == "jitgrad" and (module or "").startswith(APPLICATION)):
        return True
    if top in ("jitgrad", "builtins", "numpy") or top in sys.stdlib_module_names:
        return False
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return "site-packages" not in file and "dist-packages" not in file


def is_ours(module: str | None) -> bool:
    """Whether a module is jitgrad's: what it depends on is known without looking into its code."""
    return _package(module) == "jitgrad" and not is_users(module)


def _package(module: Any) -> str:
    """The outermost package of a module by its name; classes of Cython's functions give an object for a name."""
    return (module or "").partition(".")[0] if isinstance(module, str | None) else "builtins"


@functools.lru_cache(maxsize=256)  # not without end: it keeps classes alive
def is_foreign(kind: type) -> bool:
    """Whether a class has methods of others that may read any attribute: their code is not looked into."""
    modules = (base.__module__ for base in kind.__mro__)
    return any(not (is_users(m) or is_ours(m) or m in _STATELESS) for m in modules)
