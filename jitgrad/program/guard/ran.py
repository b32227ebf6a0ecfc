"""Which code has run in the calls of a function: all that a search of much code has to look into.

A call reads Python's state only by the code that it runs. While everything that this code can read is as it was, the
next call takes the same turns and runs the same code. So code that the recorded call has not run needs no look,
however it may be named: of a large package that is nearly all.
"""

from __future__ import annotations

import concurrent.futures
import sys
import threading
import types
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

from ... import kernels
from ..spoiled import Spoiled
from .owners import APPLICATION

Codes = Set[types.CodeType]

_FOLDERS = tuple(
    f"{Path(file).parent}/" for file in (sys.modules["jitgrad"].__file__, kernels.__file__) if file
)
_APPLICATION = f"{_FOLDERS[0]}{APPLICATION.partition('.')[2]}/"
# what hands work to other threads, whose code is not seen to run
_ELSEWHERE = frozenset(
    x.__code__
    for x in (
        threading.Thread.start,
        threading.Condition.wait,
        threading.Condition.notify,
        concurrent.futures.Future.__init__,
    )
)


_watching: set[int] = set()  # threads


def is_watched() -> bool:
    """Whether this thread is within `Ran.watch`."""
    return threading.get_ident() in _watching


class Wide(Spoiled):
    """A search has met so much code that it has to know which runs."""


class Unseen(Spoiled):
    """The recorded call has run code that the search did not look into: the next one will."""

    def __init__(self) -> None:
        super().__init__("runs other code than it has before", None, False)


class Ran:
    """The code that the calls of one function have run.

    Attributes
    ----------
    codes : set of code, or None
        All of it, another set as soon as there is more; None while no call has been seen.
    """

    def __init__(self) -> None:
        self.codes: Codes | None = None

    @property
    def can_see(self) -> bool:
        """Whether calls can be watched: there is room for one profiler in a thread, and none may run elsewhere."""
        return sys.getprofile() is None and (self.codes is None or _ELSEWHERE.isdisjoint(self.codes))

    def watch(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function, and add the code that it runs, also when it fails."""
        seen: dict[int, types.CodeType] = {}

        def note(frame: types.FrameType, event: str, _: Any) -> None:
            if event == "call":
                code = frame.f_code
                seen[id(code)] = code

        sys.setprofile(note)
        _watching.add(thread := threading.get_ident())
        try:
            return function(*args, **kwargs)
        finally:
            _watching.discard(thread)
            alone = sys.getprofile() is note
            if alone:
                sys.setprofile(None)
            self._add(seen.values() if alone else [*seen.values(), *_ELSEWHERE])

    def _add(self, codes: Any) -> None:
        known: Codes = self.codes or frozenset()
        found = {code for code in codes if not is_our_code(code)}
        if self.codes is None or not found <= known:
            self.codes = known | found


def runs(function: Any, codes: Codes | None) -> bool:
    """Whether a function may run where only this code does (None: any): jitgrad's own, such as wrappers, always."""
    code = getattr(function, "__code__", None)
    return codes is None or code in codes or (code is not None and is_our_code(code))


def is_our_code(code: types.CodeType) -> bool:
    """Whether it is jitgrad's own, which is not noted."""
    name = code.co_filename
    return name.startswith(_FOLDERS) and not name.startswith(_APPLICATION)
