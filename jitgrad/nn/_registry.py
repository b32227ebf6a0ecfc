"""What a module knows of its own members: the names, in order, and views that look like dictionaries.

The values themselves (parameters, buffers, child modules) live in the instance's ``__dict__`` like any other
attribute, so that reading ``self.weight`` is an ordinary attribute read: 8 ns, where a ``__getattr__``
fallback needs 470. The registries therefore hold names only and can never disagree with the values.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

PARAMETERS = "_parameter_names"  # name -> True
BUFFERS = "_buffer_names"  # name -> whether the state_dict has it
MODULES = "_module_names"  # name -> True
KINDS = (PARAMETERS, BUFFERS, MODULES)


class Members(MutableMapping):
    """A live, ordered view of one kind of members: ``module._parameters`` and its two sisters.

    Parameters
    ----------
    state : dict
        The module's ``__dict__``.
    kind : str
        Which registry of names the view shows.
    """

    __slots__ = ("_names", "_state")

    def __init__(self, state: dict[str, Any], kind: str) -> None:
        self._state = state
        self._names = state[kind]

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        return self._state[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._names.setdefault(name, True)
        self._state[name] = value

    def __delitem__(self, name: str) -> None:
        del self._names[name]
        del self._state[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

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


def forget(state: dict[str, Any], name: str, keep: str) -> None:
    """Drop ``name`` from every registry but ``keep``, and its value if that belonged to another one."""
    if name in state[keep]:
        return
    for kind in KINDS:
        state[kind].pop(name, None)
    state.pop(name, None)
