"""One walk at a time, though walks may stop for Python.

While a walk is one compiled call, nothing can come between. When it stops for a custom function, others may
begin: inside that function's backward, or in another thread. A walk of another thread waits for its turn; a
nested one finds the tables as if the outer walk were not there, so that what it gives to a leaf is in ``.grad``
when it returns, and nothing else is.
"""

from __future__ import annotations

import contextlib
import threading
from array import array
from collections.abc import Iterator

from ..dispatch import CONTEXT
from ..engine.entry import entries
from ..engine.layout import LINE_WORDS

turn = threading.RLock()  # held from where a walk stops for Python to its end


@contextlib.contextmanager
def own_turn() -> Iterator[None]:
    """Hold the turn for a whole walk, with the marks and cotangents of walks that have stopped set aside."""
    with turn:
        walks = entries.hold_tape(CONTEXT)
        try:
            if walks == 1:
                yield
            else:
                with _set_aside():
                    yield
        finally:
            entries.end_walk(CONTEXT)


@contextlib.contextmanager
def _set_aside() -> Iterator[None]:
    count = room = 0
    lines = array("q")
    while room == 0 or count > room:
        room = max(64, count)
        lines = array("q", bytes(8 * LINE_WORDS * room))
        count = entries.set_aside(CONTEXT, lines.buffer_info()[0], room)
    try:
        yield
    finally:
        entries.put_back(CONTEXT, lines.buffer_info()[0], count)
