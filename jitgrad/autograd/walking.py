"""The walk back that a thread is making: what hooks remember within it, and what they do at its end."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

_here = threading.local()


class Walking:
    """One walk back, as hooks see it.

    Attributes
    ----------
    memory : dict
        What hooks remember until the walk is over, under keys of their own.
    endings : list of callable
        What to call without arguments when the walk is complete.
    """

    def __init__(self) -> None:
        self.memory: dict[Any, Any] = {}
        self.endings: list[Callable[[], Any]] = []

    def end(self) -> None:
        """The walk is complete: call what waits for that."""
        for ending in self.endings:
            ending()


def current_walk() -> Walking:
    """The innermost walk of this thread."""
    return _here.walk


@contextlib.contextmanager
def walking() -> Iterator[Walking]:
    """A walk of this thread goes on inside."""
    outer = getattr(_here, "walk", None)
    _here.walk = walk = Walking()
    try:
        yield walk
    finally:
        _here.walk = outer
