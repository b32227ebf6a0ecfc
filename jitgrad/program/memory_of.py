"""Where CPython keeps what tells that an object is not what it was: found by looking at samples, once a process.

Code can be given to a function, a class to an object and a name to a module at any time. Compiled code sees that in
a word of memory, without asking Python. Where a word is not found (another interpreter, or a newer one that counts
nothing in its dicts), Python has to compare.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from typing import Any

WORD = ctypes.sizeof(ctypes.c_int64)


def word_at(address: int) -> int:
    """The word at an address."""
    return ctypes.c_int64.from_address(address).value


def address_of(value: Any, attribute: str) -> int | None:
    """Where an object keeps the address of an attribute: its class, a function's code, what a class is made from.

    None where that is not known.
    """
    place = _places().get(attribute)
    return None if place is None else id(value) + place


def version_of(mapping: dict[str, Any]) -> int | None:
    """Where a dict keeps a number that is a new one, of all dicts, after every change; None where that is not known."""
    place = _version_place()
    return None if place is None else id(mapping) + place


def dict_behind(mapping: Any) -> dict[str, Any] | None:
    """The dict itself: a class shows its own through a proxy."""
    if type(mapping) is dict:
        return mapping
    found: list[Any] = gc.get_referents(mapping)
    return found[0] if len(found) == 1 and type(found[0]) is dict else None


def _words(value: Any) -> list[int]:
    count = type(value).__basicsize__ // WORD
    return list((ctypes.c_int64 * count).from_address(id(value)))


@functools.cache
def _places() -> dict[str, int]:
    """By attributes: how many bytes into an object their addresses are."""
    if sys.implementation.name != "cpython":
        return {}

    class Sample:
        pass

    def sample(a: int = 1, *, b: int = 2) -> None: ...

    wanted = [(sample, "__code__"), (sample, "__defaults__"), (sample, "__kwdefaults__")]
    wanted += [(Sample, "__mro__"), (Sample(), "__class__")]
    found = {}
    for value, attribute in wanted:
        place = [k for k, word in enumerate(_words(value)) if word == id(getattr(value, attribute))]
        if len(place) == 1:
            found[attribute] = WORD * place[0]
    return found


@functools.cache
def _version_place() -> int | None:
    """How many bytes into a dict its version is: the word that changes when only a value does, every time."""
    if sys.implementation.name != "cpython":
        return None
    sample: dict[str, Any] = {"a": 0}
    seen = [_words(sample)]
    for value in (None, 0, None):
        sample["a"] = value
        seen.append(_words(sample))
    columns = list(zip(*seen, strict=True))
    changing = [k for k, column in enumerate(columns) if len(set(column)) > 1]
    if len(changing) != 1 or len(set(columns[changing[0]])) != len(seen):
        return None
    return WORD * changing[0]
