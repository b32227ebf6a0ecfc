"""Modules that hold parameters (and, as in PyTorch, whatever else is put into them)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jitgrad._tensor import Tensor

from .containers import pairs_of, position
from .module import Module
from .parameter import Parameter


def _as_parameter(value: Any) -> Any:
    """Make a parameter of a plain tensor; leave everything else alone."""
    if isinstance(value, Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _line(key: Any, value: Any, named: bool = False) -> str:
    """Describe one entry for ``repr``: a tensor by the name of its type if `named`, otherwise by its dtype."""
    if not isinstance(value, Tensor):
        return f"  ({key}): Object of type: {type(value).__name__}"
    size = "x".join(map(str, value.shape))
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    return f"  ({key}): {kind} containing: [{value.type() if named else value.dtype} of size {size}]"


class ParameterList(Module):
    """A list of parameters that are registered; tensors put into it become parameters.

    Parameters
    ----------
    values : iterable, optional
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[place] for place in range(self._size)])

    def __getitem__(self, where: int | slice) -> Any:
        if isinstance(where, slice):
            return type(self)([self[place] for place in range(*where.indices(self._size))])
        return getattr(self, str(position(where, self._size)))

    def __setitem__(self, where: int, value: Any) -> None:
        setattr(self, str(position(where, self._size)), _as_parameter(value))

    def append(self, value: Any) -> ParameterList:
        """Add a value at the end; return the list."""
        setattr(self, str(self._size), _as_parameter(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add values at the end; return the list.

        Raises
        ------
        TypeError
            If ``values`` is a tensor or not iterable.
        """
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(
                f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}"
            )
        for value in values:
            self.append(value)
        return self

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def pop(self, idx: int | slice) -> Any:
        """Remove a value (or with a slice several) and return it."""
        taken = self[idx]
        kept = list(self)
        del kept[idx]
        for place in range(self._size):
            delattr(self, str(place))
        self._size = 0
        self.extend(kept)
        return taken

    def extra_repr(self) -> str:
        """Return a line for each entry."""
        return "\n".join(_line(place, value) for place, value in enumerate(self))


class ParameterDict(Module):
    """A dictionary of parameters that are registered; tensors put into it become parameters.

    Parameters
    ----------
    parameters : mapping or iterable of pairs, optional
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(
                "ParameterDict: keys are attribute names, so a key must be a string, "
                f"got {type(key).__name__}"
            )
        if key not in self._keys and hasattr(self, key):
            raise KeyError(f"attribute '{key}' already exists")
        setattr(self, key, _as_parameter(value))
        self._keys[key] = None

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self._keys))

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self) -> Iterable[str]:
        """Return the keys."""
        return self._keys.keys()

    def values(self) -> Iterable[Any]:
        """Return the values."""
        return [self[key] for key in self._keys]

    def items(self) -> Iterable[tuple[str, Any]]:
        """Return pairs of key and value."""
        return [(key, self[key]) for key in self._keys]

    def copy(self) -> ParameterDict:
        """Return a new dictionary of the same values."""
        return ParameterDict(self.items())

    def clear(self) -> None:
        """Remove all entries."""
        for key in list(self._keys):
            del self[key]

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, or a default."""
        if key not in self:
            return default
        return self[key]

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of a key, after adding the default if it was missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Remove a key and return its value."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Remove the newest entry and return it as a pair.

        Raises
        ------
        KeyError
            If the dictionary is empty.
        """
        if not self._keys:
            raise KeyError("popitem: the ParameterDict is empty")
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """Return a new dictionary with these keys and one value."""
        return ParameterDict([(key, default) for key in keys])

    def update(self, parameters: Any) -> None:
        """Add or replace entries from a mapping or an iterable of pairs.

        As in PyTorch, a mapping's entries are sorted by key unless it is ordered by its type.
        """
        pairs = pairs_of("ParameterDict.update", parameters)
        if isinstance(parameters, Mapping) and not isinstance(parameters, OrderedDict):
            pairs = sorted(pairs, key=lambda pair: pair[0])
        for key, value in pairs:
            self[key] = value

    def __or__(self, other: ParameterDict) -> ParameterDict:
        return ParameterDict([*self.items(), *other.items()])

    def __ror__(self, other: ParameterDict) -> ParameterDict:
        return ParameterDict([*other.items(), *self.items()])

    def __ior__(self, other: ParameterDict) -> ParameterDict:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        """Return a line for each entry."""
        return "\n".join(_line(key, value, named=True) for key, value in self.items())
