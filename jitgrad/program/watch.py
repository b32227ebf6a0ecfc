"""What nobody changes in most programs, and anybody may: watched in words of memory that compiled code compares.

These are the code and defaults of functions, the classes of objects, what classes are made from, and what stands in
modules and classes of the library and others under names that the step's code contains. Python compares only after a
word has changed, and when it finds that nothing else has, the words are read anew.
"""

from __future__ import annotations

import builtins
import types
from array import array
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..dispatch import CONTEXT
from ..engine.entry import entries
from ..engine.layout import WATCH_ADDRESS, WATCH_VALUE, WATCH_WORDS
from .memory_of import address_of, dict_behind, version_of, word_at
from .patches import RUN, patches, with_submodules
from .reading import MISSING, same
from .user_code import expected_in, packages

MOST_TURNS = 3  # readings anew for one namespace, after which Python compares it in every call
_MADE_AT_RUN_TIME = 1 << 9  # a flag of classes: they, and the classes of their objects, can be changed
_OF_FUNCTIONS = ("__code__", "__defaults__", "__kwdefaults__")
# of a class: what no operation looks up, and Python may add when it is first asked for
_DESCRIBING = frozenset(("__annotations__", "__doc__", "__module__", "__qualname__"))
_QUIET = array("q", [0])  # a word that never changes


class Pin:
    """An attribute that is kept outside an object's dict, such as a function's code.

    Parameters
    ----------
    owner : object
        Whose attribute it is.
    name : str
        What it is called.
    """

    def __init__(self, owner: Any, name: str) -> None:
        self._owner, self.name = owner, name
        self._value = getattr(owner, name)
        self.address = address_of(owner, name)

    def changed(self) -> str | None:
        """The name if it is something else now."""
        return None if getattr(self._owner, self.name, MISSING) is self._value else self.name


class Namespace:
    """A dict in which some names have to mean what they meant.

    Parameters
    ----------
    mapping : mapping
        What a module or class shows of its names, or a function's globals.
    names : set of str
        Those that matter.
    """

    def __init__(self, mapping: Any, names: Iterable[str]) -> None:
        self._mapping, self._names = mapping, names
        self._behind = dict_behind(mapping)
        self.address = None if self._behind is None else version_of(self._behind)
        self._found = self._taken()
        self.turns = 0
        self._compared_at: int | None = None  # the version of which nothing is another one

    def _taken(self) -> dict[str, Any]:
        """What has to stay: the names that matter, and what they mean."""
        mapping = self._mapping
        return {n: mapping[n] for n in self._names if n in mapping}

    def _compared(self) -> Iterable[str]:
        return self._names

    def changed(self) -> str | None:
        """A name that means something else now, if there is one."""
        version = None if self.address is None else word_at(self.address)
        if version is not None and version == self._compared_at:
            return None
        found, now = self._found, self._mapping
        for name in self._compared():
            before, after = found.get(name, MISSING), now.get(name, MISSING)
            if before is not after and not same(before, after):
                return name
        self._compared_at = version
        return None


class Shared(Namespace):
    """A namespace of the library or of others, which mostly stays as it is: programs share a copy of it."""

    def _taken(self) -> dict[str, Any]:
        return _copy_of(self._mapping, self.address)


class Class(Shared):
    """What stands in a class. Names with two underscores matter, too: Python looks them up by itself."""

    def _compared(self) -> Iterable[str]:
        names = self._names
        found = {*self._found, *self._mapping} - _DESCRIBING
        return [n for n in found if n.startswith("__") or n in names] + [n for n in _DESCRIBING if n in names]


_copies: dict[int, tuple[int, dict[str, Any]]] = {}  # by the address of a version: the version and a copy
MOST_COPIES = 400


def _copy_of(mapping: Any, address: int | None) -> dict[str, Any]:
    """A copy of a dict: the same as before while it has not changed."""
    if address is None:
        return dict(mapping)
    version = word_at(address)
    known = _copies.get(address)
    if known is None or known[0] != version:
        if len(_copies) > MOST_COPIES:
            _copies.clear()
        known = _copies[address] = version, dict(mapping)
    return known[1]


class Watched:
    """What a function can reach that hardly ever changes, as it is found.

    Attributes
    ----------
    functions, objects : list
        The user's functions, and objects of classes that can be changed.
    classes : dict
        The user's classes by their ids.
    others : Others
        What is looked up in modules and classes of the library and of others.
    """

    def __init__(self) -> None:
        self.functions: list[types.FunctionType] = []
        self.objects: list[Any] = []
        self.classes: dict[int, type] = {}
        self.others: Others | None = None

    def watch(self) -> Watch:
        """Watch all of it, from now on."""
        pins = [Pin(x, name) for x in self.functions for name in _OF_FUNCTIONS]
        pins += [Pin(x, "__class__") for x in self.objects if _is_changeable(type(x))]
        pins += [Pin(x, "__mro__") for x in self.classes.values()]
        namespaces = [] if self.others is None else [*self.others.watch.namespaces]
        namespaces += [Class(vars(x), ()) for x in self.classes.values()]
        expected: dict[int, tuple[dict[str, Any], set[str]]] = {}
        for x in self.functions:
            space = expected.setdefault(id(x.__globals__), (x.__globals__, set()))
            space[1].update(expected_in(x.__globals__, x.__code__))
            if x.__kwdefaults__:
                namespaces.append(Namespace(x.__kwdefaults__, [*x.__kwdefaults__]))
        namespaces += [Namespace(mapping, found) for mapping, found in expected.values() if found]
        return Watch(pins, namespaces)


def _is_changeable(kind: type) -> bool:
    return bool(kind.__flags__ & _MADE_AT_RUN_TIME)


class Watch:
    """Everything that is watched for a program.

    Parameters
    ----------
    pins, namespaces : iterable
        What there is to watch.

    Attributes
    ----------
    address, count : int
        Of the table of words and what they have to be, WATCH_WORDS each.
    often : list
        What Python compares before every call.
    """

    def __init__(self, pins: Iterable[Pin], namespaces: Iterable[Namespace]) -> None:
        self.namespaces = [*namespaces]
        watched: list[Pin | Namespace] = [*pins, *self.namespaces]
        self.often: list[Pin | Namespace] = [x for x in watched if x.address is None]
        self._watched = [x for x in watched if x.address is not None]
        self.count = len(self._watched)
        self._table = array("q", [w for x in self._watched for w in (x.address or 0, 0)])
        self.address = self._table.buffer_info()[0]
        self._table[WATCH_VALUE::WATCH_WORDS] = self._values()

    def holds(self) -> bool:
        """Whether no word is another one."""
        return not self.often and bool(entries.words_hold(CONTEXT, self.address, self.count))

    def _values(self) -> array:
        """What the words say."""
        values = _QUIET * self.count
        entries.read_words(CONTEXT, self.address, values.buffer_info()[0], self.count)
        return values

    def changed(self) -> str | None:
        """What has changed, or None; then the words are those of now."""
        for x in self.often:
            if (name := x.changed()) is not None:
                return name
        if entries.words_hold(CONTEXT, self.address, self.count):
            return None
        values = self._values()  # before anything is compared: another thread may change it after that
        for x in self._watched:
            if (name := x.changed()) is not None:
                return name
        for k, value in enumerate(values):
            if self._table[k * WATCH_WORDS + WATCH_VALUE] != value:
                self._turn(k, value)
        return None

    def _turn(self, k: int, value: int) -> None:
        """Expect another value of a word, or leave a namespace that changes all the time to Python."""
        x, line = self._watched[k], k * WATCH_WORDS
        if isinstance(x, Namespace):
            x.turns += 1
            if x.turns > MOST_TURNS and self._table[line + WATCH_ADDRESS] == x.address:
                self.often = [*self.often, x]
                self._table[line + WATCH_ADDRESS] = _QUIET.buffer_info()[0]
                value = 0
        self._table[line + WATCH_VALUE] = value


class Others(NamedTuple):
    """What code may look up in modules and classes that are not the user's.

    Attributes
    ----------
    owners : list
        The modules and classes.
    watch : Watch
        Says whether they still have it.
    put_in : list of (mapping, str)
        What users have put there: see `patches`.
    """

    owners: list[Any]
    watch: Watch
    put_in: list[tuple[Any, str]]


def others_of(found: Iterable[Any], words: set[str]) -> Others:
    """What code with these words in it may look up in others' modules and classes; as seen before, while it is so."""
    key = frozenset(words), packages(), *map(id, found)
    known = _seen.get(key)
    if known is None or not known.watch.holds():
        if len(_seen) > MOST_SEEN:
            _seen.clear()
        owners = list(with_submodules(found, words))
        names = words | RUN
        spaces = [
            (Class if isinstance(x, type) else Shared)(vars(x), names)
            for x in (*owners, builtins)
            if not isinstance(x, type) or _is_changeable(x)
        ]
        known = _seen[key] = Others([*found, *owners], Watch((), spaces), patches(owners, words))
    return known


_seen: dict[Any, Others] = {}  # by words, and ids of what it holds
MOST_SEEN = 100
