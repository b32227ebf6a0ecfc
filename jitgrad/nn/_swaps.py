"""Whether tensors stand in the place of modules' parameters for a while, as in `functional_call`, or are `cached`.

Modules do not count that as a change, because everything is as before afterwards. So nothing that was recorded with
the modules' own parameters may be replayed meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from ..store import store

_lock = threading.Lock()
_count = 0


def are_swapped() -> bool:
    """Whether that is so now, in any thread: then functions run eagerly."""
    return _count > 0


@contextlib.contextmanager
def swaps() -> Iterator[None]:
    """Keep programs from being replayed; not within a step that is being recorded, whose records name the tensors."""
    if store.recording_here is not None:
        yield
        return
    _add(1)
    try:
        yield
    finally:
        _add(-1)


def _add(number: int) -> None:
    global _count
    with _lock:
        _count += number
        store.structure_changed()  # so that compiled code does not go on without asking Python
