"""What nobody changes in most programs, and anybody may: watched in words of memory that compiled code compares.

These are variables of closures, the code and defaults of functions, the classes of objects, what classes are made
from, and what stands in modules and classes of the library and others under names that the step's code contains. The
words are addresses of objects, which are kept here: no other object comes to lie there. Python compares only after a
word has changed, and when it finds that nothing else has, the words are read anew.
"""

from __future__ import annotations

import builtins
import types
from array import array
from collections.abc import Iterable, Set
from typing import Any, NamedTuple

from ...dispatch import CONTEXT
from ...engine.entry import entries
from ...engine.layout import WATCH_ADDRESS, WATCH_VALUE, WATCH_WORDS
from .cpython import attribute_address, entry_addresses, version_address
from .owners import MADE_AT_RUN_TIME, packages
from .patches import RUN, patches, with_submodules
from .reading import MISSING, Cell, same
from .words import expected_in

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

    def addresses(self) -> list[int] | None:
        """Of the words that tell of a change; None where that is not known."""
        address = attribute_address(self._owner, self.name)
        return None if address is None else [address]

    def changed(self) -> str | None:
        """The name if it is something else now."""
        return None if getattr(self._owner, self.name, MISSING) is self._value else self.name


class Variable:
    """A variable of a closure.

    Parameters
    ----------
    cell : cell
        Where the closure keeps it.
    name : str
        What it is called.
    """

    def __init__(self, cell: types.CellType, name: str) -> None:
        self._cell, self._name = cell, name
        self._value = cell.cell_contents

    def addresses(self) -> list[int] | None:
        """Of the word that tells of a change; None where that is not known."""
        address = attribute_address(self._cell, "cell_contents")
        return None if address is None else [address]

    def changed(self) -> str | None:
        """The name if it means something else now."""
        now = Cell(self._cell).get(self._name, MISSING)
        if now is not self._value and not same(now, self._value):
            return self._name
        self._value = now
        return None


class Namespace:
    """A dict in which some names have to mean what they meant.

    Parameters
    ----------
    mapping : mapping
        What a module or class shows of its names, or a function's globals.
    names : iterable of str
        Those that matter.
    """

    def __init__(self, mapping: Any, names: Iterable[str]) -> None:
        self._mapping, self._names = mapping, names
        self._found = self._taken()

    def _taken(self) -> dict[str, Any]:
        """What has to stay: the names that matter, and what they mean."""
        mapping = self._mapping
        return {n: mapping[n] for n in self._names if n in mapping}

    def addresses(self) -> list[int] | None:
        """Of the words that tell of a change, the later ones in memory of which the first tells; None if unknown."""
        return entry_addresses(self._mapping, self._found)

    def changed(self) -> str | None:
        """A name that means something else now, if there is one."""
        before, now = self._found, self._taken()
        for name in {**before, **now}:
            x, y = before.get(name, MISSING), now.get(name, MISSING)
            if x is not y and not same(x, y):
                return name
        self._found = now
        return None


class Class(Namespace):
    """What stands in a class. Names with two underscores matter, too: Python looks them up by itself.

    With None for `names`, all do.
    """

    def __init__(self, kind: type, names: Set[str] | None) -> None:
        self._kind = kind
        super().__init__(vars(kind), names)

    def _taken(self) -> dict[str, Any]:
        names, special = self._names, _DESCRIBING
        return {
            n: value
            for n, value in dict(self._mapping).items()  # a copy: another thread may change it meanwhile
            if names is None or n in names or (n.startswith("__") and n not in special)
        }

    def addresses(self) -> list[int] | None:
        """Of the number of its version."""
        address = version_address(self._kind)
        return None if address is None else [address]


Item = Pin | Variable | Namespace


class Watched:
    """What a function can reach that hardly ever changes, as it is found.

    Attributes
    ----------
    functions, objects : list
        The user's functions, and objects of classes that can be changed.
    cells : list of (cell, str)
        Variables of closures, and what they are called.
    bystanders : list
        Functions that no call runs: code may ask for their defaults.
    bare : list of dict
        Attributes of functions and the like that have had none.
    classes : dict
        The user's classes by their ids, and the names in them that matter whether or not code contains them; None for
        all.
    others : Others
        What is looked up in modules and classes of the library and of others.
    """

    def __init__(self) -> None:
        self.functions: list[types.FunctionType] = []
        self.objects: list[Any] = []
        self.bystanders: list[types.FunctionType] = []
        self.cells: list[tuple[types.CellType, str]] = []
        self.bare: list[dict[str, Any]] = []
        self.classes: dict[int, tuple[type, Set[str] | None]] = {}
        self.others: Others | None = None

    def add_class(self, kind: type, names: Set[str], everything: bool) -> None:
        """Watch a class of the user's: names that code contains, these, or everything."""
        _, before = self.classes.get(id(kind), (kind, frozenset()))
        self.classes[id(kind)] = kind, None if everything or before is None else before | names

    def watch(self, words: set[str]) -> Watch:
        """Watch all of it, from now on, for code with these words in it."""
        functions = [*self.functions, *self.bystanders]
        found: list[Item] = [Pin(x, name) for x in functions for name in _OF_FUNCTIONS]
        found += [Pin(x, "__class__") for x in self.objects if _is_changeable(type(x))]
        for kind, names in self.classes.values():
            found.append(Pin(kind, "__mro__"))
            found.append(Class(kind, names if names is None else words if names <= words else words | names))
        found += [Variable(cell, name) for cell, name in self.cells]
        found += [Namespace(x, words) for x in self.bare]
        expected: dict[int, tuple[dict[str, Any], set[str]]] = {}
        for x in self.functions:
            space = expected.setdefault(id(x.__globals__), (x.__globals__, set()))
            space[1].update(expected_in(x.__globals__, x.__code__))
        defaults = [x.__kwdefaults__ for x in functions if x.__kwdefaults__]
        found += [Namespace(mapping, [*mapping]) for mapping in defaults]
        found += [Namespace(mapping, names) for mapping, names in expected.values() if names]
        return Watch(found, self.others and self.others.watch)


def _is_changeable(kind: type) -> bool:
    return bool(kind.__flags__ & MADE_AT_RUN_TIME)


class Watch:
    """Everything that is watched for a program.

    Parameters
    ----------
    items : iterable
        What there is to watch.
    besides : Watch, optional
        What it watches is watched, too; its words are those of now.

    Attributes
    ----------
    address, count : int
        Of the table of words and what they have to be, WATCH_WORDS each.
    often : list
        What Python compares before every call.
    """

    def __init__(self, items: Iterable[Item], besides: Watch | None = None) -> None:
        self.often: list[Item] = [] if besides is None else [*besides.often]
        self._watched: list[tuple[Item, int]] = []  # and how many words tell of it
        addresses: list[int] = []
        for x in items:
            found = x.addresses()
            if found is None:
                self.often.append(x)
            else:
                self._watched.append((x, len(found)))
                addresses += found
        self._table = _table_of(addresses)
        if besides is not None:
            self._watched, self._table = besides._watched + self._watched, besides._table + self._table
        self.count = len(self._table) // WATCH_WORDS
        self.address = self._table.buffer_info()[0]

    def holds(self) -> bool:
        """Whether no word is another one."""
        return not self.often and bool(entries.words_hold(CONTEXT, self.address, self.count))

    def changed(self) -> str | None:
        """What has changed, or None; then the words are those of now."""
        for x in self.often:
            if (name := x.changed()) is not None:
                return name
        if entries.words_hold(CONTEXT, self.address, self.count):
            return None
        table, lost = (
            self._found_anew()
        )  # before anything is compared: another thread may change it after that
        for x, _ in self._watched:
            if (name := x.changed()) is not None:
                return name
        self._table[:] = table  # in the same place, where compiled code looks
        self.often = [*self.often, *lost]
        return None

    def _found_anew(self) -> tuple[array, list[Item]]:
        """A table of what the words are now, and what Python has to compare, because they are not found any more."""
        addresses, lost = [], []
        for x, count in self._watched:
            found = x.addresses()
            if found is None or len(found) != count:
                found = [_QUIET.buffer_info()[0]] * count
                lost += [] if x in self.often else [x]
            addresses += found
        return _table_of(addresses), lost


def _table_of(addresses: list[int]) -> array:
    """A line for each address, with what its word says."""
    table, count = _QUIET * (WATCH_WORDS * len(addresses)), len(addresses)
    table[WATCH_ADDRESS::WATCH_WORDS] = array("q", addresses)
    values = _QUIET * count
    entries.read_words(CONTEXT, table.buffer_info()[0], values.buffer_info()[0], count)
    table[WATCH_VALUE::WATCH_WORDS] = values
    return table


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
            Class(x, names) if isinstance(x, type) else Namespace(vars(x), names)
            for x in (*owners, builtins)
            if not isinstance(x, type) or _is_changeable(x)
        ]
        known = _seen[key] = Others([*found, *owners], Watch(spaces), patches(owners, words))
    return known


_seen: dict[Any, Others] = {}  # by words, and ids of what it holds
MOST_SEEN = 100
