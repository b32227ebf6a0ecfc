"""Whose code it is, and what it may look up: the names in a function's code."""

from __future__ import annotations

import functools
import sys
import types

APPLICATION = "jitgrad.benchmarks"  # part of the package, but it uses the library as anybody does
# code with one of these names may read attributes whose names it does not contain
COMPUTED = {"attrgetter", "eval", "exec", "getattr", "vars", "__dict__", "__getattribute__"}
# classes of these modules, which others are made from, have no state of their own
_STATELESS = {"abc", "builtins", "collections.abc", "enum", "typing"}
_own: set[str] = {"__main__", ""}  # packages that have compiled a function
_code_words: dict[types.CodeType, frozenset[str]] = {}


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


def is_ours(module: str | None) -> bool:
    """Whether a module is jitgrad's: what it depends on is known without looking into its code."""
    return (module or "").partition(".")[0] == "jitgrad" and not is_users(module)


def is_foreign(kind: type) -> bool:
    """Whether a class has methods of others that may read any attribute: their code is not looked into."""
    modules = (base.__module__ for base in kind.__mro__)
    return any(not (is_users(m) or is_ours(m) or m in _STATELESS) for m in modules)


def words_of(code: types.CodeType) -> frozenset[str]:
    """The names and short strings in a function's code, and in that of functions within it."""
    known = _code_words.get(code)
    if known is None:
        found = set(code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                found |= words_of(constant)
            elif isinstance(constant, str) and constant.isidentifier():
                found.add(constant)
        known = _code_words[code] = frozenset(found)
    return known
