"""Modules that hold modules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from operator import index
from typing import Any, TypeVar

from jitgrad._tensor import Tensor

from ._calls import call_with_one
from ._registry import MODULES, drop
from .module import Module

Chain = TypeVar("Chain", bound="_ListOfModules")


def position(where: Any, length: int) -> int:
    """Turn an index that may be negative into one from 0 to ``length - 1``.

    Raises
    ------
    IndexError
        If there is no such position.
    """
    where = index(where)
    if not -length <= where < length:
        raise IndexError(f"index {where} is out of range for {length} entries")
    return where % length if length else 0


class _ListOfModules(Module):
    """What `Sequential` and `ModuleList` share: modules in order, under the names of their places."""

    def __len__(self) -> int:
        return len(self._own_modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(list(self._own_modules.values()))

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def __getitem__(self, where: int | slice) -> Any:
        if isinstance(where, slice):
            return self._part(where)
        return self._own_modules[self._name(where)]

    def __setitem__(self, where: int, module: Module) -> None:
        setattr(self, self._name(where), module)

    def __delitem__(self, where: int | slice) -> None:
        names = list(self._own_modules)
        for name in names[where] if isinstance(where, slice) else [self._name(where)]:
            delattr(self, name)
        self._renumber(list(self))

    def _part(self, where: slice) -> Any:
        """Return a container of some of the modules."""
        raise NotImplementedError

    def _name(self, where: int) -> str:
        """Return the name of the module at a position."""
        return list(self._own_modules)[position(where, len(self))]

    def _renumber(self, modules: list[Module]) -> None:
        """Make these modules, in this order, the only ones."""
        for name in list(self._own_modules):
            drop(self, MODULES, name)
        for place, module in enumerate(modules):
            self.add_module(str(place), module)

    def append(self: Chain, module: Module) -> Chain:
        """Add a module at the end; return the container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: Chain, modules: Iterable[Module]) -> Chain:
        """Add modules at the end; return the container."""
        for module in self._checked(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before the one at ``index``, which may be the length.

        Raises
        ------
        IndexError
            If there is no such place.
        """
        if not -len(self) <= index <= len(self):
            raise IndexError(f"Index out of range: {index} for {len(self)} entries")
        modules = list(self)
        modules.insert(index, module)
        self._renumber(self._checked(modules))

    def pop(self, key: int | slice) -> Module:
        """Remove a module (or with a slice several) and return it."""
        taken = self[key]
        del self[key]
        return taken

    def _checked(self, modules: Iterable[Any]) -> list[Module]:
        """Refuse what is not an iterable of modules before anything changes."""
        if not isinstance(modules, Iterable):
            raise TypeError(
                f"{self._get_name()}: expected an iterable of modules, got {type(modules).__name__}"
            )
        modules = list(modules)
        for module in modules:
            if module is not None and not isinstance(module, Module):
                raise TypeError(f"{type(module).__name__} is not a Module subclass")
        return modules


class Sequential(_ListOfModules):
    """Apply modules one after the other.

    Parameters
    ----------
    *args : Module
        The modules in order; or one OrderedDict that names them.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for place, module in enumerate(args):
                self.add_module(str(place), module)

    __call__ = call_with_one

    def forward(self, input: Any) -> Any:
        """Give the input to the first module, its output to the second, and so on."""
        """Give the input to the first module, its output to the second, and so on."""
        for module in self._own_modules.values():
            # going to forward directly saves 60 ns a layer, where it is all that a call would do
            input = module.forward(input) if module._one_input else module(input)
        return input

    def _part(self, where: slice) -> Any:
        return type(self)(OrderedDict(list(self._own_modules.items())[where]))

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                f"add operator supports only objects of Sequential class, but {type(other)} is given."
            )
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            raise ValueError(
                f"add operator supports only objects of Sequential class, but {type(other)} is given."
            )
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        _check_times(times)
        return Sequential(*(list(self) * times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        _check_times(times)
        return self.extend(list(self) * (times - 1))


def _check_times(times: Any) -> None:
    if not isinstance(times, int):
        raise TypeError(f"unsupported operand type(s) for *: Sequential and {type(times).__name__}")
    if times <= 0:
        raise ValueError(f"Non-positive multiplication factor {times} for Sequential")


class ModuleList(_ListOfModules):
    """A list of modules that are registered; it has no ``forward``.

    Parameters
    ----------
    modules : iterable of Module, optional
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def _part(self, where: slice) -> Any:
        return type(self)(list(self)[where])

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)

    def __repr__(self) -> str:
        groups: list[tuple[int, int, str]] = []  # first place, last place, text
        for place, text in enumerate(map(repr, self)):
            if groups and groups[-1][2] == text:
                groups[-1] = (groups[-1][0], place, text)
            else:
                groups.append((place, place, text))
        lines = []
        for first, last, text in groups:
            head = f"({first})" if first == last else f"({first}-{last})"
            times = "" if first == last else f"{last - first + 1} x "
            lines.append(f"{head}: {times}{text}".replace("\n", "\n  "))
        body = "\n  " + "\n  ".join(lines) + "\n" if lines else ""
        return f"{self._get_name()}({body})"


class ModuleDict(Module):
    """A dictionary of modules that are registered; it has no ``forward``.

    Parameters
    ----------
    modules : mapping or iterable of pairs of str and Module, optional
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._own_modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        drop(self, MODULES, key)

    def __len__(self) -> int:
        return len(self._own_modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._own_modules)

    def __contains__(self, key: object) -> bool:
        return key in self._own_modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove the module of a name and return it."""
        module = self[key]
        del self[key]
        return module

    def keys(self) -> Iterable[str]:
        """Return the names."""
        return self._own_modules.keys()

    def values(self) -> Iterable[Module]:
        """Return the modules."""
        return self._own_modules.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """Return pairs of name and module."""
        return self._own_modules.items()

    def update(self, modules: Any) -> None:
        """Add or replace modules from a mapping or an iterable of pairs.

        Raises
        ------
        TypeError
            If ``modules`` is not iterable or an entry is not a pair.
        ValueError
            If an entry has another length than 2.
        """
        for key, module in pairs_of("ModuleDict.update", modules):
            self[key] = module


def pairs_of(what: str, entries: Any) -> list[tuple[Any, Any]]:
    """Return the key-value pairs of a mapping or of an iterable of pairs."""
    if not isinstance(entries, Iterable):
        raise TypeError(
            f"{what} should be called with an iterable of key/value pairs, but got {type(entries).__name__}"
        )
    if isinstance(entries, (Mapping, Module)):  # ModuleDict and ParameterDict have items too
        return list(entries.items())
    pairs = []
    for place, entry in enumerate(entries):
        if not isinstance(entry, Iterable) or isinstance(entry, Tensor):
            raise TypeError(
                f"{what}: sequence element #{place} should be iterable; is {type(entry).__name__}"
            )
        entry = list(entry)
        if len(entry) != 2:
            raise ValueError(f"{what}: sequence element #{place} has length {len(entry)}; 2 is required")
        pairs.append((entry[0], entry[1]))
    return pairs
