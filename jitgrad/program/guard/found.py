"""What of Python's objects a function may read, as a search writes it down: see `search`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..._tensor import Tensor
from ...nn.module import Module
from .drawn import Source
from .reading import MISSING, Reader
from .watch import Watched


class Found:
    """What a search has found, and the values among it that it has not looked at.

    Parameters
    ----------
    words : set of str
        The names that occur in the code that has been read; a search adds to it.

    Attributes
    ----------
    objects : list
        The modules and optimizers among what was found.
    tensors : list of (Tensor, int)
        The tensors among it, with their slots.
    own : list
        Other objects of jitgrad's: generators and the like.
    reached : dict
        All of it by ids, but for numbers and other values that cannot change.
    maps : list of (mapping, str, object)
        What is read by name, and what it is.
    globals : list of (str, object)
        The global names among that.
    absent : list of (mapping, frozenset of str)
        Names that code would find in a mapping before it looks elsewhere.
    copies : list of (object, object, callable)
        Containers, what is in them, and the function that compares the two.
    compares : bool
        Whether code asks if something is a certain object, or looks for a tensor in a set or dict.
    watched : Watched
        What hardly ever changes.
    sources : list of callable
        Say where generators stand that the function may draw from.
    waiting : list
        What is still to be looked at.
    spaces : list of mapping
        Where names have been looked up: code that is found later may name more that is there.
    """

    def __init__(self, words: set[str]) -> None:
        self.words = words
        self.reached: dict[int, Any] = {}
        self.waiting: list[Any] = []
        self.spaces: list[Any] = []
        self.maps: list[tuple[Any, str, Any]] = []
        self.globals: list[tuple[str, Any]] = []
        self.absent: list[tuple[Any, frozenset[str]]] = []
        self.copies: list[tuple[Any, Any, Callable[[Any, Any], bool]]] = []
        self.sources: list[Source] = []
        self.objects: list[Any] = []
        self.tensors: list[tuple[Tensor, int]] = []
        self.own: list[Any] = []
        self.watched = Watched()
        self.compares = False

    def read_names(self, mapping: Any, names: list[str]) -> None:
        """Names that code reads in a mapping."""
        for name in names:
            value = mapping.get(name, MISSING)
            self.maps.append((mapping, name, value))
            self.waiting.append(value)

    def read_call(self, name: str, reader: Reader) -> None:
        """What code reads by a call."""
        self.read_names(reader, [name])

    def read_words(self, mapping: Any) -> None:
        """What code names in a mapping, and what it would find there before it looks elsewhere."""
        self.spaces.append(mapping)
        self.read_names(mapping, [n for n in self.words if n in mapping])
        self.without(mapping, self.words - mapping.keys())

    def look_for(self, names: set[str]) -> None:
        """Follow what code names that was found after the places had been looked at.

        A pass that finds names is followed by another one, which does the same with all of them; but a chain of
        names needs no pass for each.
        """
        for mapping in self.spaces:
            self.waiting += [mapping[n] for n in names & mapping.keys()]

    def read_attributes(self, value: Any) -> None:
        """What code names among the attributes of a function or the like, which mostly has none."""
        if value.__dict__:
            self.read_words(value.__dict__)
        else:
            self.watched.bare.append(value.__dict__)

    def without(self, mapping: Any, names: Iterable[str]) -> None:
        """Names that are not in a mapping."""
        self.absent.append((mapping, frozenset(names)))


def members_of(objects: list[Any]) -> Iterator[Tensor]:
    """The tensors of modules and optimizers."""
    for x in objects:
        if isinstance(x, Module):
            yield from x.parameters()
            yield from x.buffers()
        else:
            yield from (p for group in x.param_groups for p in group["params"])
