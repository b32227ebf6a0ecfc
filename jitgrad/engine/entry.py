"""The compiled calls that Python makes, compiled together (or read from the cache) at the first of them.

Every entry takes the context's address and integers (floats where annotated), and returns likewise. Python calls the compiled
function's own wrapper: that costs half of what a trip through Numba's dispatcher does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..kernels import compiler


def _signatures() -> dict[str, tuple[Any, Any]]:
    """Every entry's dispatcher and signature."""
    from numba import types

    from . import arrays, backward, create, handles, record, update, views
    from .tables import CONTEXT

    modules = (arrays, backward, create, handles, record, update, views)
    found = {}
    for module in modules:
        for name, dispatcher in vars(module).items():
            options = getattr(dispatcher, "targetoptions", None)
            if options is None or options.get("no_cpython_wrapper"):
                continue
            python = dispatcher.py_func
            names = python.__code__.co_varnames[1 : python.__code__.co_argcount]
            floating = [python.__annotations__.get(n) is float for n in (*names, "return")]
            *arguments, result = (types.float64 if f else types.int64 for f in floating)
            found[name] = (dispatcher, result(CONTEXT, *arguments))
    return found


class Entries:
    """The entries as attributes. The first one that is asked for brings them all."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__dict__.update(compiler.entry_points("engine", _signatures))
        if name not in self.__dict__:
            raise AttributeError(f"the engine has no entry {name!r}")
        return self.__dict__[name]


entries = Entries()
