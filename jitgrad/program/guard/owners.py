"""Whose code it is: the user's, jitgrad's, or that of others (the standard library, most installed packages).

Code of installed packages that use jitgrad is looked into like the user's: it may keep anything that a step depends on.
"""

from __future__ import annotations

import functools
import sys
import types
from typing import Any

MADE_AT_RUN_TIME = 1 << 9  # a flag of classes: they, and the classes of their objects, can be changed
APPLICATION = "jitgrad.benchmarks"  # part of the package, but it uses the library as anybody does
# classes of these modules, which others are made from, have no state of their own
_STATELESS = {"abc", "builtins", "collections.abc", "typing"}
_compiling: set[str] = {"__main__", ""}  # packages that have compiled a function
_using: set[str] = set()  # installed packages that use jitgrad
_looked_at: dict[str, set[str]] = {}  # by installed packages: the modules whose globals have been looked at
_imported = 0  # how many modules there were when that was done for all


def compiles(function: Any) -> None:
    """Note that a function is compiled: the package that it comes from is the user's, even when it is installed."""
    while isinstance(function, functools.partial):  # an object of the standard library's
        function = function.func
    top = (getattr(function, "__module__", None) or "").partition(".")[0]
    if top not in _compiling and top != "jitgrad":
        _compiling.add(top)
        _forget()


def _forget() -> None:
    """Let what has been said of modules and classes be found out anew."""
    is_users.cache_clear()
    is_users_class.cache_clear()
    is_foreign.cache_clear()


def packages() -> int:
    """How many packages are known to be the user's: what `is_users` says may change when there is another one."""
    return len(_compiling) + len(_using)


def notice_imports() -> None:
    """Look whether packages have come to use jitgrad by modules that were imported meanwhile."""
    global _imported
    if len(sys.modules) != _imported:
        _imported, known = len(sys.modules), len(_using)
        for top in [*_looked_at]:
            _uses_jitgrad(top)
        if len(_using) > known:
            _forget()


@functools.cache
def is_users(module: str | None) -> bool:
    """Whether code of a module is looked into: the user's, and that of installed packages that use jitgrad.

    Not jitgrad's own, the standard library's or that of other installed packages.
    """
    top = _package(module)
    if top in _compiling or (top == "jitgrad" and (module or "").startswith(APPLICATION)):
        return True
    return _is_of_a_package(top) and (not _is_installed(top) or _uses_jitgrad(top))


def _is_of_a_package(top: str) -> bool:
    """Whether it is none of those whose modules keep nothing that results depend on."""
    return top not in ("jitgrad", "builtins", "numpy") and top not in sys.stdlib_module_names


def is_other_packages(module: str | None) -> bool:
    """Whether a module is of an installed package that does not use jitgrad."""
    return _is_of_a_package(_package(module)) and not is_users(module)


def is_users_function(function: types.FunctionType) -> bool:
    """Whether a function is looked into: `functools.wraps` gives it the module of another one."""
    return is_users(function.__module__) or is_users(function.__globals__.get("__name__"))


def is_our_function(function: types.FunctionType) -> bool:
    """Whether a function is jitgrad's, and not a wrapper of the user's around one."""
    return is_ours(function.__module__) and not is_users_function(function)


@functools.lru_cache(maxsize=1024)  # not without end: it keeps classes alive
def is_users_class(kind: type) -> bool:
    """Whether code of a class is looked into.

    Classes that the standard library makes for the user (`dataclasses.make_dataclass`), and those of code that `exec`
    runs, may say that they are from a module that has none of that name: their functions tell whose they are.
    """
    if is_users(kind.__module__):
        return True
    if not kind.__flags__ & MADE_AT_RUN_TIME:
        return False
    if getattr(sys.modules.get(kind.__module__), kind.__name__, None) is kind:
        return False
    functions = [x for x in vars(kind).values() if isinstance(x, types.FunctionType)]
    return any(is_users(x.__globals__.get("__name__")) for x in functions)


def is_installed(module: str | None) -> bool:
    """Whether a module is of an installed package that has not compiled anything itself."""
    top = _package(module)
    return top not in _compiling and _is_of_a_package(top) and _is_installed(top)


def _is_installed(top: str) -> bool:
    """Whether a package was installed: its files, or the first of its folders, are where installers put them."""
    module = sys.modules.get(top)
    folders = [*getattr(module, "__path__", ())]  # a package without __init__.py has no file
    place = getattr(module, "__file__", None) or (folders[0] if folders else "")
    return "site-packages" in place or "dist-packages" in place


def _uses_jitgrad(top: str) -> bool:
    """Whether a module of a package has something of jitgrad's among its globals: packages that only count do not."""
    if top in _using:
        return True
    looked_at, inside = _looked_at.setdefault(top, set()), f"{top}."
    for name, module in [*sys.modules.items()]:
        if (name == top or name.startswith(inside)) and name not in looked_at:
            looked_at.add(name)
            if any(map(_is_of_jitgrad, [*getattr(module, "__dict__", {}).values()])):
                _using.add(top)
    return top in _using


def _is_of_jitgrad(value: Any) -> bool:
    """Whether something is a module, class or function of jitgrad's."""
    if isinstance(value, types.ModuleType):
        return _package(value.__name__) == "jitgrad"
    return isinstance(value, type | types.FunctionType) and _package(value.__module__) == "jitgrad"


def is_ours(module: str | None) -> bool:
    """Whether a module is jitgrad's: what it depends on is known without looking into its code."""
    return _package(module) == "jitgrad" and not is_users(module)


def _package(module: Any) -> str:
    """The outermost package of a module by its name; classes of Cython's functions give an object for a name."""
    return (module or "").partition(".")[0] if isinstance(module, str | None) else "builtins"


@functools.lru_cache(maxsize=256)  # not without end: it keeps classes alive
def is_foreign(kind: type) -> bool:
    """Whether a class has methods of others that may read any attribute: their code is not looked into."""
    return any(
        not (is_ours(base.__module__) or base.__module__ in _STATELESS or is_users_class(base))
        for base in kind.__mro__
    )
