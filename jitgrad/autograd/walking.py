"""The walk back that a thread is making: what hooks remember within it, and what they do at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

_here = threading.local()


class Walking:
    """One walk back, as hooks see it: a context in which it is the walk of its thread.

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
        self._outer: Walking | None = None

    def __enter__(self) -> Walking:
        self._outer, _here.walk = getattr(_here, "walk", None), self
        return self

    def __exit__(self, *error: object) -> None:
        _here.walk = self._outer

    def end(self) -> None:
        """The walk is complete: call what waits for that."""
        for ending in self.endings:
            ending()


def current_walk() -> Walking:
    """The innermost walk of this thread."""
    return _here.walk
