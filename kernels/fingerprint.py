"""Whether two Python functions are the same code: a text that says all that a function's result depends on.

The name of a cached kernel carries a hash of it. Numba compiles globals and closures into a kernel as
constants, so their values count, and so do the functions that it calls.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable
from typing import Any

import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, type(None), type(Ellipsis))
# modules whose code cannot change without a version that the cache's folder is named by
FIXED = ("math", "cmath", "numpy", "numba", "builtins", "operator")


class Unknowable(Exception):
    """A function depends on something whose state no text can say."""


def fingerprint(*parts: Any) -> tuple[str, bool]:
    """A hash of functions and plain values, and whether it says everything."""
    writer = _Writer()
    try:
        for part in parts:
            writer.add(part)
    except Unknowable:
        return "", False
    return digest("\0".join(writer.words)), True


def digest(text: str) -> str:
    """A short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class _Writer:
    def __init__(self) -> None:
        self.words: list[str] = []
        self._seen: dict[int, int] = {}

    def add(self, value: Any) -> None:
        """Write down a value and what it depends on."""
        value = getattr(value, "py_func", value)  # a function that Numba compiles
        if isinstance(value, PLAIN):
            self.words.append(f"{type(value).__name__} {value!r}")
        elif isinstance(value, np.generic | np.ndarray):
            array = np.asarray(value)
            if array.dtype.hasobject:
                raise Unknowable
            self.words.append(f"array {array.dtype.str} {array.shape} {array.tobytes().hex()}")
        elif isinstance(value, tuple | list):
            self.words.append(f"{type(value).__name__} {len(value)}")
            for item in value:
                self.add(item)
        elif isinstance(value, dict):
            self.words.append(f"dict {len(value)}")
            for key, item in value.items():
                self.add(key)
                self.add(item)
        elif isinstance(value, types.FunctionType):
            self._add_function(value)
        elif isinstance(value, types.ModuleType) and value.__name__.partition(".")[0] in FIXED:
            self.words.append(f"module {value.__name__}")
        elif _is_fixed(value):
            self.words.append(f"object {value.__module__}.{getattr(value, '__qualname__', value.__name__)}")
        else:
            raise Unknowable

    def _add_function(self, function: Callable) -> None:
        if id(function) in self._seen:
            self.words.append(f"again {self._seen[id(function)]}")
            return
        self._seen[id(function)] = len(self._seen)
        self._add_code(function.__code__)
        self.add(function.__defaults__)
        self.add(function.__kwdefaults__)
        for cell in function.__closure__ or ():
            try:
                self.add(cell.cell_contents)
            except ValueError:
                raise Unknowable from None
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                self.words.append(f"global {name}")
                self.add(function.__globals__[name])

    def _add_code(self, code: types.CodeType) -> None:
        self.words.append(f"code {code.co_code.hex()} {code.co_names} {code.co_varnames} {code.co_argcount}")
        self.words.append(f"{code.co_freevars} {code.co_cellvars} {code.co_flags} {code.co_kwonlyargcount}")
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._add_code(constant)
            elif isinstance(constant, frozenset):
                self.words.append(f"set {sorted(map(repr, constant))}")
            else:
                self.add(constant)


def _names(code: types.CodeType) -> set[str]:
    inner = (_names(c) for c in code.co_consts if isinstance(c, types.CodeType))
    return set(code.co_names).union(*inner)


def _is_fixed(value: Any) -> bool:
    """Whether something is a function or type of a module that does not change."""
    module = getattr(value, "__module__", None)
    named = hasattr(value, "__name__") and isinstance(module, str)
    return named and module.partition(".")[0] in FIXED
