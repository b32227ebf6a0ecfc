"""One execution of a function with everything it runs written down."""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dispatch import CONTEXT
from ..engine.entry import entries
from ..engine.layout import (
    DEAD_OP,
    EVENT_WORDS,
    EXTERNAL,
    NO_ROW,
    SPOILED_OUTSIDE,
    T_INPUTS,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_WORDS,
)
from ..kernels import program_rows
from ..store import store

_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
_numbers = itertools.count(1)


class Spoiled(Exception):
    """Why a recording cannot become a program; `place` is the user's line, or None.

    `lasting` says that the next recording will fare no better.
    """

    def __init__(self, reason: str, place: str | None = None, lasting: bool = True) -> None:
        super().__init__(reason)
        self.reason, self.place, self.lasting = reason, place, lasting


def user_line() -> str | None:
    """File and line of the innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return None if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def words_at(address: int, count: int) -> np.ndarray:
    """A copy of `count` words at an address."""
    words = np.empty(count, np.int64)
    if count:
        ctypes.memmove(words.ctypes.data, address, words.nbytes)
    return words


class Recording:
    """What a function runs while it is recorded.

    Attributes
    ----------
    number : int
        By which storages know their program.
    spoiled : Spoiled or None
        Why it cannot be replayed.
    log : numpy.ndarray
        The words of the call records, in order; after `run`.
    blocks : numpy.ndarray
        (address, size class) of the blocks of memory taken; after `run`.
    events : numpy.ndarray
        Lines of EVENT_WORDS about gradients; after `run`.
    """

    lock = threading.RLock()

    def __init__(self, first_row: int = NO_ROW) -> None:
        self.number = next(_numbers)
        self.spoiled: Spoiled | None = None
        self.thread = threading.get_ident()
        self.log = np.zeros(0, np.int64)
        self.blocks: Any = np.zeros((0, 2), np.int64)
        self.events: Any = np.zeros((0, EVENT_WORDS), np.int64)
        self.first_row = first_row
        self.boundary = 0  # row of the tape at which a walk back to chosen tensors stops
        self.made: list[Any] = []  # whose lasting memory has been made during the step
        self._moved: list[weakref.ref[Tensor]] = []

    # what the rest of the library reports ------------------------------------------------------------

    def spoil(self, reason: str) -> None:
        """Note that the function does something that cannot be replayed."""
        if self.spoiled is None and threading.get_ident() == self.thread:
            self.spoiled = Spoiled(reason, user_line())

    def read(self, name: str) -> None:
        """A tensor's values have gone to Python."""
        self.spoil(f"reads a tensor's value ({name})")

    def assigned(self, what: str) -> None:
        """Python state that later steps may depend on has changed."""
        self.spoil(f"assigns {what}")

    def moved(self, tensor: Tensor, slot: int) -> None:
        """A tensor becomes another one in place: its shape, memory or history is no longer that of `slot`."""
        storage = int(store.slot_table[slot]["storage"])
        if int(store.storage_table[storage]["owner"]) != self.number and threading.get_ident() == self.thread:
            self._moved.append(weakref.ref(tensor))

    def check_moved(self, outside: set[int], returned: set[int]) -> None:
        """Raise Spoiled when a tensor that has moved was there before, or stays: ids of those known."""
        for reference in self._moved:
            tensor = reference()
            if tensor is not None and (id(tensor) in outside or id(tensor) not in returned):
                raise Spoiled("changes the shape, memory or history of a tensor from outside in place")

    # running -----------------------------------------------------------------------------------------

    def run(self, function: Callable[[], Any]) -> Any:
        """Call a function and keep its log; what it raises passes through, with nothing left behind."""
        with Recording.lock:
            if store.recording is not None:
                return function()  # a compiled function within one that is being recorded is part of it
            if store.field("count_kernel") == 0:
                for name in ("copy", "clear", "count"):
                    store.set_field(f"{name}_kernel", program_rows.address(name))
            if entries.begin_recording(CONTEXT, self.number, self.first_row) != 0:
                raise Spoiled("has no memory for its log")
            self.first_row = store.field("first_row")
            store.recording = self
            try:
                return function()
            except BaseException:
                self.spoil("raised an exception")
                raise
            finally:
                store.recording = None
                entries.end_recording(CONTEXT)
                self._collect()

    def _collect(self) -> None:
        self.log = words_at(store.field("records"), store.field("log_words"))
        self.blocks = words_at(store.field("blocks"), 2 * store.field("block_count")).reshape(-1, 2)
        count = store.field("event_count")
        self.events = words_at(store.field("events"), EVENT_WORDS * count).reshape(count, EVENT_WORDS)
        spoiled = store.field("spoiled")
        if spoiled and self.spoiled is None:
            walked = "walks back over operations from before the step"
            self.spoiled = Spoiled(walked if spoiled == SPOILED_OUTSIDE else "has no memory for its log")

    # memory ------------------------------------------------------------------------------------------

    def rows_left(self, reachable: set[int]) -> bool:
        """Whether a row of the step is still on the tape; other threads' rows know none of its memory."""
        tape, at = store.tape, self.first_row
        storages = store.slot_table["storage"]
        owners = store.storage_table["owner"]
        while at < len(tape):
            if tape[at + T_OP] != DEAD_OP:
                count = int(tape[at + T_INPUTS] + tape[at + T_OUTPUTS])
                slots = tape[at + T_OPERANDS : at + T_OPERANDS + 2 * count : 2]
                mine = storages[slots[slots > 0]]
                if any(int(s) in reachable or owners[s] == self.number for s in mine if s):
                    return True
            at += int(tape[at + T_WORDS])
        return False

    def escaped(self, expected: dict[int, int]) -> list[int]:
        """Slots with memory of the recording that have more handles than expected."""
        slots = store.slot_table[: store.field("slot_top")]
        mine = store.storage_table["owner"][: store.field("storage_top")] == self.number
        held = np.flatnonzero(mine[slots["storage"]])
        counts = slots["handles"][held].tolist()
        return [s for s, n in zip(held.tolist(), counts, strict=True) if n > expected.get(s, 0)]

    def release(self) -> None:
        """Give the memory back: storages still in use keep theirs, as if it had never been recorded."""
        if not len(self.blocks) and not self.number:
            return
        blocks = np.ascontiguousarray(self.blocks)
        entries.give_blocks(CONTEXT, self.number, blocks.ctypes.data, len(blocks))
        table = store.storage_table[: store.field("storage_count")]
        unused = (table["owner"] == self.number) & (table["refs"] == 0) & (table["size_class"] == EXTERNAL)
        for storage in np.flatnonzero(unused):
            table["owner"][storage] = 0
            store.externals.pop(int(storage), None)
            entries.recycle(CONTEXT, int(storage))
        self.blocks = np.zeros((0, 2), np.int64)
        self.number = 0


def clone_outside(tensors: list[Tensor]) -> list[Tensor]:
    """Copies that are not the recording's."""
    return [t.detach().clone() for t in tensors]  # type: ignore[attr-defined]
