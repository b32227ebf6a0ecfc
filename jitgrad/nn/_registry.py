"""What a module knows of its own members, and views of them that look like dictionaries.

A member (parameter, buffer or child module) is kept twice: in the module's registry of its kind, for walking
the tree, and as an ordinary instance attribute, so that reading ``self.weight`` costs 8 ns and not the 470 of
a ``__getattr__`` fallback. `put` and `drop` are the only places that write either, so the two agree.

Nothing here touches a module's ``__dict__``: CPython 3.11 keeps attributes in a faster place until somebody
asks for the dictionary, and asking makes every later read of that instance 22 ns.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from jitgrad.store import store

PARAMETERS = "_own_parameters"
BUFFERS = "_own_buffers"
MODULES = "_own_modules"
KINDS = (PARAMETERS, BUFFERS, MODULES)

set_plainly = object.__setattr__
delete_plainly = object.__delattr__


_MISSING: Any = object()


def read_plainly(module: Any, name: str, default: Any = None) -> Any:
    """An attribute that a module has, past a ``__getattr__`` of its class, which may look further or ask back."""
    try:
        return object.__getattribute__(module, name)
    except AttributeError:
        return default


def count_change(module: Any) -> None:
    """Count a change of a module, so that recorded programs see that it is another than they knew."""
    set_plainly(module, "_changes", module._changes + 1)


def note_change(module: Any, name: str, value: Any) -> None:
    """Tell recorded programs that an attribute of a module gets another value than it has.

    A module counts its changes in ``_changes``, so that a program knows whether it is still the one it saw.
    """
    before = read_plainly(module, name, _MISSING)
    if before is value or (type(before) is type(value) and _same(before, value)):
        return
    count_change(module)
    store.structure_changed()
    if store.recording is not None and before is not _MISSING:
        store.recording.assigned(f"{type(module).__name__}.{name}")


def _same(a: Any, b: Any) -> bool:
    return isinstance(a, int | float | str | bool) and a == b


def put(module: Any, kind: str, name: str, value: Any) -> None:
    """Make ``value`` the member ``name``; a member of that kind and name keeps its place."""
    note_change(module, name, value)
    getattr(module, kind)[name] = value
    if not _is_property(module, name):
        set_plainly(module, name, value)


def drop(module: Any, kind: str, name: str) -> None:
    """Forget the member ``name``; KeyError if there is none of that kind."""
    note_change(module, name, None)
    del getattr(module, kind)[name]
    if name in module._transient:
        set_plainly(module, "_transient", module._transient - {name})
    if not _is_property(module, name):
        delete_plainly(module, name)


def _is_property(module: Any, name: str) -> bool:
    """Whether the class has a property of that name: it is what is read, and the member stands in its registry only."""
    return isinstance(getattr(type(module), name, None), property)


class Members(MutableMapping):
    """A live, ordered view of one kind of members: ``module._parameters`` and its two sisters.

    Parameters
    ----------
    module : Module
    kind : str
        Which registry the view shows.
    """

    __slots__ = ("_kind", "_module")

    def __init__(self, module: Any, kind: str) -> None:
        self._module = module
        self._kind = kind

    def __getitem__(self, name: str) -> Any:
        return getattr(self._module, self._kind)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        put(self._module, self._kind, name, value)

    def __delitem__(self, name: str) -> None:
        drop(self._module, self._kind, name)

    def __iter__(self) -> Iterator[str]:
        return iter(getattr(self._module, self._kind))

    def __len__(self) -> int:
        return len(getattr(self._module, self._kind))

    def __repr__(self) -> str:
        return repr(dict(self))


def check_name(what: str, name: Any) -> None:
    """Refuse names that could not be attributes or would make state_dict keys ambiguous."""
    if not isinstance(name, str):
        raise TypeError(f"{what} name should be a string, got {type(name).__name__}")
    if "." in name:
        raise KeyError(f'{what} name can\'t contain ".", got: "{name}"')
    if name == "":
        raise KeyError(f'{what} name can\'t be an empty string ""')
