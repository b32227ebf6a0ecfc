"""Ctrl-C as a request: work stops at the next batch, in a state that can be kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any


class Interrupts:
    """A context in which the first Ctrl-C only sets `asked`; the second one interrupts at once.

    Attributes
    ----------
    asked : bool
        Whether Ctrl-C was pressed.
    """

    def __init__(self) -> None:
        self.asked = False
        self._at_once = False
        self._before: Any = None

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():  # only there can Python set handlers
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def run(self, work: Callable[[], Any]) -> bool:
        """Do work that Ctrl-C may end at any time; returns whether it was done to its end."""
        self._at_once = True
        try:
            work()
        except KeyboardInterrupt:
            return False
        finally:
            self._at_once = False
        return True

    def _note(self, number: int, frame: object) -> None:
        if self.asked or self._at_once:
            self.asked = True
            raise KeyboardInterrupt
        self.asked = True
