"""Attributes of single modules that are computed whenever they are read.

A property belongs to a class, so a module with one gets a class of its own, derived from the class that it had.
Nothing is stored in the module: a recorded step that reads the attribute computes it as one of its rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..module import Module


def computed_names(module: Module) -> list[str]:
    """The attributes of a module that are computed."""
    return list(getattr(type(module), "_computed", ()))


def plain_class(module: Module) -> type:
    """The class that a module had before it had computed attributes."""
    return getattr(type(module), "_computed_from", type(module))


def compute_attribute(
    module: Module,
    name: str,
    read: Callable[[Any], Any],
    write: Callable[[Any, Any], None] | None = None,
    prefix: str = "",
) -> None:
    """Let ``read(module)`` give an attribute, and ``write(module, value)`` take what is assigned to it.

    Parameters
    ----------
    prefix : str
        Put before the name of the class that the module gets.
    """
    computed = dict(getattr(type(module), "_computed", {}))
    computed[name] = property(read, write)
    _rebuild(module, computed, prefix)


def store_attribute(module: Module, name: str) -> None:
    """Make an attribute an ordinary one again, without a value."""
    computed = dict(type(module)._computed)  # type: ignore[attr-defined]
    del computed[name]
    kind = type(module).__name__
    _rebuild(module, computed, kind.removesuffix(plain_class(module).__name__))


def _rebuild(module: Module, computed: dict[str, property], prefix: str) -> None:
    """Give a module a class with these properties; classes are never changed, for copies share them."""
    base = plain_class(module)
    kind = base
    if computed:
        members = {"_computed": computed, "_computed_from": base, "__module__": base.__module__}
        members |= {"__doc__": base.__doc__, "__qualname__": prefix + base.__qualname__}
        kind = type(prefix + base.__name__, (base,), members | computed)
    module.__class__ = kind
    if module._hooks is not None:
        module._watch()
