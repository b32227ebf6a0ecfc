"""One walk at a time: what a walk leaves in the engine's tables while Python runs one of its rows.

A walk marks slots and collects cotangents in them. That is safe while it is one compiled call. When it stops
for a custom function, other walks may begin: inside that function's backward, or in another thread. A walk of
another thread waits for its turn; a nested one finds the tables as if the outer walk were not there, so that
what it gives to a leaf is in ``.grad`` when it returns, and nothing else is.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import numpy as np

from ..engine import layout
from ..store import store

MARKS = layout.CAPTURE | layout.NEEDED | layout.TOUCHED


class _Standing:
    """How many walks stand in Python, all threads together; a plain number that hot paths look at."""

    walks = 0


standing = _Standing
_turn = threading.RLock()


@contextlib.contextmanager
def stopped() -> Iterator[None]:
    """Hold the turn from where a walk stops for Python to its end."""
    with _turn:
        standing.walks += 1
        try:
            yield
        finally:
            standing.walks -= 1


@contextlib.contextmanager
def apart() -> Iterator[None]:
    """Hold the turn for a whole walk, with the marks and cotangents of the walks around it set aside."""
    with stopped():
        if standing.walks == 1:
            yield
            return
        table = store.slot_table
        # free slots keep their old flags: only slots in use count
        used = (table["storage"] > 0) | (table["links"] > 0) | (table["cotangent"] > 0)
        waiting = np.flatnonzero(used & ((table["flags"] & MARKS != 0) | (table["cotangent"] > 0)))
        before = {name: table[name][waiting] for name in ("flags", "cotangent", "next")}
        table["flags"][waiting] &= ~MARKS
        table["cotangent"][waiting] = table["next"][waiting] = 0
        table["handles"][waiting] += 1
        try:
            yield
        finally:
            table = store.slot_table  # it may have grown
            table["flags"][waiting] |= before["flags"] & MARKS
            table["cotangent"][waiting] = before["cotangent"]
            table["next"][waiting] = before["next"]
            table["handles"][waiting] -= 1
