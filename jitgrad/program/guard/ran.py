"""Which code has run in the calls of a function: all that a search of much code has to look into.

A call reads Python's state only by the code that it runs. While everything that this code can read is as it was, the
next call takes the same turns and runs the same code. So code that the recorded call has not run needs no look,
however it may be named: of a large package that is nearly all.
"""

from __future__ import annotations

import _thread
import concurrent.futures
import queue
import sys
import threading
import types
from collections.abc import Callable, Iterable, Set
from pathlib import Path
from typing import Any

from ... import kernels
from ...ways_out import PASS_TENSOR
from ..spoiled import Spoiled
from .owners import APPLICATION

Codes = Set[types.CodeType]

_OPENED = "__closure__"  # where a function keeps its variables
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
# the same of built-in functions and of what they are methods of; a profiler that is put aside sees nothing, either
_ALONE = (_thread.start_new_thread, sys.setprofile)
_PASSED_ON = (_thread.LockType, queue.SimpleQueue)

_watching: set[int] = set()  # threads


def is_watched() -> bool:
    """Whether this thread is within `Ran.watch`."""
    return threading.get_ident() in _watching


class Wide(Spoiled):
    """A search has met so much code that it has to know which runs."""


class Unseen(Spoiled):
    """The recorded call has run code that the search did not look into: the next one will."""

    def __init__(self) -> None:
        super().__init__("runs other code than it has before", PASS_TENSOR, None, False)


class Ran:
    """The code that the calls of one function have run.

    Attributes
    ----------
    codes : set of code, or None
        All of it, another set as soon as there is more; None while no call has been seen.
    opens : bool
        Whether some of it takes the variables out of other functions, which then need not run to be read.
    """

    def __init__(self) -> None:
        self.codes: Codes | None = None
        self.opens = False

    @property
    def can_see(self) -> bool:
        """Whether calls can be watched: there is room for one profiler in a thread, and none may run elsewhere."""
        return sys.getprofile() is None and (self.codes is None or _ELSEWHERE.isdisjoint(self.codes))

    def watch(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function, and add the code that it runs, also when it fails.

        Where nothing can be seen, because there is a profiler already or the call comes from a function that traces
        others, as a debugger's does, `codes` is another set, which says no more.
        """
        if sys.getprofile() is not None:
            self._see_nothing()
            return function(*args, **kwargs)
        seen: dict[int, types.CodeType] = {}

        def note(frame: types.FrameType, event: str, called: Any) -> None:
            if event == "call":
                code = frame.f_code
                seen[id(code)] = code
            elif event == "c_call" and (
                called in _ALONE or isinstance(getattr(called, "__self__", None), _PASSED_ON)
            ):
                seen.update((id(code), code) for code in _ELSEWHERE)

        def call() -> Any:
            return function(*args, **kwargs)

        thread, found = threading.get_ident(), seen
        try:
            _watching.add(thread)
            sys.setprofile(note)
            result = call()
            found = seen if sys.getprofile() is note else seen | {id(code): code for code in _ELSEWHERE}
            return result
        finally:
            found = {**found}  # before the profiler sees that it goes
            _watching.discard(thread)
            if sys.getprofile() is note:
                sys.setprofile(None)
            if id(call.__code__) in found:
                self._add(found.values())
            else:
                self._see_nothing()

    def _see_nothing(self) -> None:
        self.codes = None if self.codes is None else {*self.codes}

    def _add(self, codes: Iterable[types.CodeType]) -> None:
        known: Codes = self.codes or frozenset()
        found = {code for code in codes if not is_our_code(code)}
        if self.codes is None or not found <= known:
            self.codes = known | found
            self.opens = any(_OPENED in code.co_names for code in self.codes)


def runs(function: Any, codes: Codes | None) -> bool:
    """Whether a function may run where only this code does (None: any): jitgrad's own, such as wrappers, always."""
    code = getattr(function, "__code__", None)
    return codes is None or code in codes or (code is not None and is_our_code(code))


def is_our_code(code: types.CodeType) -> bool:
    """Whether it is jitgrad's own, which is not noted."""
    name = code.co_filename
    return name.startswith(_FOLDERS) and not name.startswith(_APPLICATION)
