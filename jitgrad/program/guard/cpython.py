"""Where CPython keeps what tells that an object is not what it was: found by looking at samples, once a process.

Code can be given to a function, a class to an object and a name to a module at any time. Compiled code sees that in
words of memory, without asking Python. Where a word is not found (another interpreter, or one that keeps things
otherwise), Python has to compare.
"""

from __future__ import annotations

import ctypes
import functools
import struct
import sys
import types
from collections.abc import Iterable
from typing import Any

WORD = ctypes.sizeof(ctypes.c_int64)
HEADER = 4  # words before the entries of a dict: how many there are, and of what kind


def word_at(address: int) -> int:
    """The word at an address."""
    return ctypes.c_int64.from_address(address).value


def attribute_address(value: Any, attribute: str) -> int | None:
    """Where an object keeps the address of an attribute: its class, a function's code, what a cell contains.

    None where that is not known.
    """
    place = _places().get(attribute)
    return None if place is None else id(value) + place


def version_address(kind: type) -> int | None:
    """Where a class keeps a number that is another one after every change of it, or of a class it is made from.

    None where that is not known.
    """
    place = _version_place()
    if place is None:
        return None
    getattr(kind, "__init__", None)  # a class has a number when something has been looked up in it
    return id(kind) + place if word_at(id(kind) + place) else None


def entry_addresses(mapping: Any, names: Iterable[str]) -> list[int] | None:
    """Where a dict keeps which memory its entries are in, how many there have been, and what each of `names` means.

    All but the first are in that memory: they may be read only while the first says the same. None where that is not
    known.
    """
    places = _dict_places()
    if places is None or type(mapping) is not dict:
        return None
    of_entries, of_count = places
    entries = word_at(id(mapping) + of_entries)
    memory = ctypes.string_at(entries, max(0, mapping.__sizeof__() - dict.__basicsize__))
    found = [id(mapping) + of_entries, entries + of_count]
    for name in names:
        value = mapping.get(name, mapping)  # in place of one that has gone: this is no name's value
        pair = memory.find(struct.pack("qq", id(name), id(value)))
        # nothing where the name has gone or is not the very string that is the key, and where dicts share entries
        if pair < 0 or pair % WORD:
            return None
        found.append(entries + pair + WORD)
    return found


def _words(address: int, count: int) -> list[int]:
    return list((ctypes.c_int64 * count).from_address(address))


def _words_of(value: Any) -> list[int]:
    return _words(id(value), type(value).__basicsize__ // WORD)


def _only(columns: Iterable[bool]) -> int | None:
    """Which one of the columns it is, in bytes; None when it is not one."""
    found = [k for k, fits in enumerate(columns) if fits]
    return WORD * found[0] if len(found) == 1 else None


def _is_cpython() -> bool:
    return sys.implementation.name == "cpython" and ctypes.sizeof(ctypes.c_void_p) == WORD


@functools.cache
def _places() -> dict[str, int]:
    """By attributes: how many bytes into an object their addresses are."""
    if not _is_cpython():
        return {}

    class Sample:
        pass

    def sample(a: int = 1, *, b: int = 2) -> None: ...

    wanted = [(sample, "__code__"), (sample, "__defaults__"), (sample, "__kwdefaults__")]
    wanted += [(Sample, "__mro__"), (Sample(), "__class__"), (types.CellType(Sample), "cell_contents")]
    found = {}
    for value, attribute in wanted:
        place = _only(word == id(getattr(value, attribute)) for word in _words_of(value))
        if place is not None:
            found[attribute] = place
    return found


@functools.cache
def _version_place() -> int | None:
    """How many bytes into a class its version is: the word that changes as soon as the class does, each time anew."""
    if not _is_cpython():
        return None

    class Sample:
        value: Any = 0

    seen = []
    for value in range(4):
        Sample.value = value
        changed = _words_of(Sample)
        assert Sample.value == value  # looked up, so that there is a number again
        seen.append((changed, _words_of(Sample)))

    def is_version(k: int) -> bool:
        numbers = [after[k] for _, after in seen]
        gone = [changed[k] != before for (changed, _), before in zip(seen[1:], numbers, strict=False)]
        return len(set(numbers)) == len(numbers) and all(gone)

    return _only(is_version(k) for k in range(len(seen[0][0])))


@functools.cache
def _dict_places() -> tuple[int, int] | None:
    """How many bytes into a dict the address of its entries is, and how many bytes into these their number."""
    if not _is_cpython():
        return None
    sample = dict.fromkeys(("a", "b", "c"))
    few = _words_of(sample)
    sample["d"] = None  # there is room
    four = _words_of(sample)
    sample.update({f"name{k}": None for k in range(100)})  # there is not
    many = _words_of(sample)
    of_entries = _only(a == b != c for a, b, c in zip(few, four, many, strict=True))
    if of_entries is None:
        return None
    entries = many[of_entries // WORD]
    before = _words(entries, HEADER)
    sample["another"] = None
    after = _words(entries, HEADER)
    moved = word_at(id(sample) + of_entries) != entries
    of_count = _only(x == len(sample) - 1 and y == x + 1 for x, y in zip(before, after, strict=True))
    return None if moved or of_count is None else (of_entries, of_count)
