"""What of Python's world a function depends on, and whether it is still as it was.

A replay runs no Python, so what Python would have read must not have changed: names, attributes, items of lists,
dicts and sets, contents of arrays. What there is to read is found by `search`.
"""

from __future__ import annotations

from typing import Any

from ...store import store
from ...ways_out import COUNT, DRAW
from ..spoiled import Spoiled
from .constants import is_constant
from .found import Found
from .reading import MISSING, same


class World:
    """The objects that a function can reach, as they are when this is made.

    Parameters
    ----------
    found : Found
        What a `search` has found.

    Attributes
    ----------
    objects, tensors, own : list
        What of jitgrad's is among them.
    compares : bool
        Whether it matters which tensors the arguments are.
    has_written : bool
        Whether arrays have been left out because a replay writes to them.
    words : set of str
        The names in the user's code.
    globals : list of (str, object)
        The global names that code reads, and what they mean.
    """

    def __init__(self, found: Found) -> None:
        self.objects, self.tensors, self.own = found.objects, found.tensors, found.own
        self._maps, self._absent, self._copies = found.maps, found.absent, found.copies
        self._sources, self._reached = found.sources, found.reached
        self.compares, self.words, self.globals = found.compares, found.words, found.globals
        self.watch = found.watched.watch(found.words)
        self.has_written = False

    @property
    def needs_python(self) -> bool:
        """Whether there is something to look at before a replay that compiled code does not compare."""
        return bool(self._maps or self._absent or self._copies or self.watch.often)

    def holds(self) -> bool:
        """Whether everything that a function can read is as it was, but for what compiled code compares."""
        often = self.watch.often
        return self._changed() is None and not (often and any(x.changed() for x in often))

    def changed(self) -> str | None:
        """What is not as it was."""
        return self._changed() or self.watch.changed()

    def _changed(self) -> str | None:
        for mapping, name, value in self._maps:
            now = mapping.get(name, MISSING)
            if now is not value and not same(now, value):
                return name
        for mapping, names in self._absent:
            if not mapping.keys().isdisjoint(names):  # which goes through the shorter of the two
                return next(n for n in names if n in mapping)
        for value, copy, equal in self._copies:
            if not equal(value, copy):
                return f"a {type(value).__name__}"
        return None

    def compare_missed(self, missed: list[tuple[Any, str]]) -> None:
        """Look from now on whether tensors have been given attributes that they did not have."""
        for tensor, name in missed:
            self._absent.append((vars(tensor), frozenset((name,))))

    def holds_object(self, value: Any) -> bool:
        """Whether an object was there before the function ran, or cannot change."""
        return id(value) in self._reached or is_constant(value)

    def standing(self) -> list[Any]:
        """Where the generators of Python and NumPy stand that a function can draw from."""
        return [source() for source in self._sources]

    def check_untouched(self, before: list[Any]) -> None:
        """Raise Spoiled when a run of the function has changed what it can reach, or drawn random numbers.

        `before` is what `standing` said before the run.
        """
        name = self.changed()
        if name is not None:
            raise Spoiled(f"changes a value of Python's ({name})", COUNT, None, False)
        if self.standing() != before:
            raise Spoiled("draws random numbers from Python or NumPy", DRAW)

    def without_written_arrays(self, number: int) -> World:
        """The same world, where arrays that program `number` made tensors on and wrote to need no look.

        A replay uses the memory of such an array. One that is only read keeps its look: Python may have read it, too.
        """
        if not self._copies:
            return self
        word = store.storage_word
        lent = [s for s in store.externals if word(s, "owner") == number and word(s, "version") > 0]
        written = {id(store.externals[s]) for s in lent}
        kept = [c for c in self._copies if id(c[0]) not in written]
        if len(kept) == len(self._copies):
            return self
        again: World = object.__new__(World)
        again.__dict__ |= self.__dict__
        again._copies, again.has_written = kept, True
        return again
