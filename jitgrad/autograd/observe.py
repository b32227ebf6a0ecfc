"""Seeing rows as they are recorded.

The compiled entries that record rows are wrapped while somebody observes, and only then. Those that may record several
rows, or return several slots, are not called at all: Python does their work step by step.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..dispatch import CONTEXT
from ..engine.entry import entries
from ..engine.layout import RECORDS_ONE, RECORDS_SEVERAL, S_ROW, SLOT_WORDS
from ..kernels.arguments import UNFIT
from ..store import store
from ..tape import outputs_of

_observers: list[Callable[[int], None]] = []
_lock = threading.RLock()
_plain: dict[str, Any] = {}
_busy = threading.local()


def observe(observer: Callable[[int], None]) -> None:
    """Call ``observer(slot)`` with the first output of every row that is recorded from now on."""
    with _lock:
        _observers.append(observer)
        store.set_field("observers", len(_observers))
        if len(_observers) == 1:
            for name in entries.that_record(RECORDS_ONE):
                _plain[name] = getattr(entries, name)
                entries.__dict__[name] = _wrapped(_plain[name])
            for name in entries.that_record(RECORDS_SEVERAL):
                _plain[name] = getattr(entries, name)
                entries.__dict__[name] = _stepwise


def stop_observing(observer: Callable[[int], None]) -> None:
    """Undo one `observe`."""
    with _lock:
        _observers.remove(observer)
        store.set_field("observers", len(_observers))
        if not _observers:
            entries.__dict__.update(_plain)


def is_observed() -> bool:
    """Whether somebody sees rows as they are recorded: then functions run eagerly, as a replay records none."""
    return bool(_observers)


def recorded(slot: int) -> None:
    """Tell the observers of a row whose first output is `slot`."""
    if not _observers or getattr(_busy, "on", False) or store.slots[slot * SLOT_WORDS + S_ROW] < 0:
        return
    _busy.on = True  # what an observer computes is not observed
    try:
        for observer in _observers:
            observer(slot)
    finally:
        _busy.on = False


def _stepwise(*args: Any) -> int:
    return UNFIT


def _wrapped(entry: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        before = store.field("rows")
        result = entry(*args)
        if store.field("rows") == before or getattr(_busy, "on", False):
            return result
        if type(result) is not int:
            recorded(result._slot)
        elif result >= 0:
            try:
                recorded(result)
            except BaseException:
                offset = store.slots[result * SLOT_WORDS + S_ROW]
                for slot in outputs_of(offset) if offset >= 0 else (result,):
                    entries.release(CONTEXT, slot)  # nobody will have them
                raise
        return result

    return call
