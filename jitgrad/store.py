"""The tables of the engine as Python sees them, and the mending of what a compiled call asks for."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn
from weakref import WeakSet

import numpy as np

from .engine import layout
from .engine.entry import entries
from .engine.layout import (
    context_dtype,
    op_dtype,
    slot_dtype,
    storage_dtype,
)
from .kernels.abi import FLOAT32

SCRATCH_WORDS = 1 << 16
FIRST_SLOTS = 1 << 12
_FIELDS = {name: at // 8 for name, (_, at, *_) in context_dtype.fields.items()}  # type: ignore[union-attr]
_STORAGE_FIELDS = {name: at // 8 for name, (_, at, *_) in storage_dtype.fields.items()}  # type: ignore[union-attr]
_STORAGE_WORDS, _VERSION = len(_STORAGE_FIELDS), _STORAGE_FIELDS["version"]
FIRST_TAPE_WORDS = 1 << 16
RESERVED_SLOTS = 1 << 20  # entries for which there is address space; beyond them the tables move
RESERVED_TAPE_WORDS = 1 << 25
OP_CAPACITY = 1024  # operations for which there is room at first
SHARED_FROM = 1 << 14  # elements of a record: with fewer a single thread is done before another could help
POOL_LIMIT = 1 << 31  # bytes of free large blocks kept for reuse


class Store:
    """Owner of the flat tables.

    Attributes
    ----------
    context : int
        Address of the context record: the first argument of every compiled call.
    slots : memoryview
        The slot table as 64-bit words, for quick reads of single fields.
    tape_words : memoryview
        The tape, with what lies behind its words in use, for quick reads of a row.
    """

    def __init__(self, slots: int = RESERVED_SLOTS, tape_words: int = RESERVED_TAPE_WORDS) -> None:
        # memory of zeros costs nothing until it is used, and a table that never moves needs no care
        self._context = np.zeros(1, context_dtype)
        self.context: int = self._context.ctypes.data
        self._slots = np.zeros(slots, slot_dtype)
        self._storages = np.zeros(slots, storage_dtype)
        self._storage_words = memoryview(self._storages.view(np.int64))
        self._tape = np.zeros(tape_words, np.int64)
        self.tape_words: memoryview = memoryview(self._tape)
        self.slots: memoryview = memoryview(self._slots.view(np.int64))
        self._scratch = np.zeros(SCRATCH_WORDS, np.int64)
        self.ops = np.zeros(OP_CAPACITY, op_dtype)
        self.kernels = np.zeros((OP_CAPACITY, layout.VARIANTS, layout.N_DTYPES), np.int64)
        self._outgrown: list[np.ndarray] = []
        self.recording: Any = None  # the program being recorded (see program/record/recording.py), or None
        self._words = memoryview(self._context.view(np.int64))
        self._structure = _FIELDS["structure"]
        self.externals: dict[int, Any] = {}  # storage -> the object that owns its memory
        self._followers: dict[int, WeakSet[Any]] = {}  # slot -> who keeps that number
        c = self._context[0]
        c["scratch"] = self._scratch.ctypes.data
        c["ops"] = self.ops.ctypes.data
        c["kernels"] = self.kernels.ctypes.data
        c["last_row"] = layout.NO_ROW
        c["default_dtype"] = FLOAT32
        c["pool_limit"] = POOL_LIMIT
        c["shared_from"] = SHARED_FROM
        self.freed_nodes = np.zeros(0, np.int64)
        first = min(FIRST_SLOTS, slots)
        for table, name in ((self._slots, "slot"), (self._storages, "storage")):
            _chain(table, first)
            c[f"{name}s"] = table.ctypes.data
            c[f"{name}_count"] = first
            c[f"free_{name}"] = 1
        c["free_slots"] = first - 1
        c["tape"] = self._tape.ctypes.data
        c["tape_words"] = min(FIRST_TAPE_WORDS, tape_words)

    def field(self, name: str) -> int:
        """A field of the context."""
        return self._words[_FIELDS[name]]

    def set_field(self, name: str, value: int) -> None:
        """Set a field of the context."""
        self._words[_FIELDS[name]] = value

    @property
    def structure(self) -> int:
        """Counts changes of modules and optimizers on which recorded programs may depend."""
        return self._words[self._structure]

    def structure_changed(self) -> None:
        """A module, an optimizer or the like is no longer what programs were recorded with."""
        self._words[self._structure] += 1

    @contextlib.contextmanager
    def outside_recording(self) -> Iterator[None]:
        """Do something once that is no part of the program being recorded, such as making lasting state."""
        recording = self.recording_here
        if recording is None:
            yield
            return
        try:
            self.recording = None
            self.set_field("recorder", 0)
            yield
        finally:
            self.set_field("recorder", recording.thread)
            self.recording = recording

    @property
    def recording_here(self) -> Any:
        """The program that this thread records, or None."""
        recording = self.recording
        return recording if recording is not None and recording.thread == threading.get_ident() else None

    @property
    def slot_table(self) -> np.ndarray:
        """The slot table as a structured array."""
        return self._slots

    @property
    def storage_table(self) -> np.ndarray:
        """The storage table as a structured array."""
        return self._storages

    def storage_word(self, storage: int, name: str) -> int:
        """A field of a storage; quicker than `storage_table`."""
        return self._storage_words[storage * _STORAGE_WORDS + _STORAGE_FIELDS[name]]

    def version(self, slot: int) -> int:
        """How often the memory that a slot shows has been written to in place."""
        storage = self.slots[slot * layout.SLOT_WORDS + layout.S_STORAGE]
        return self._storage_words[storage * _STORAGE_WORDS + _VERSION]

    @property
    def tape(self) -> np.ndarray:
        """The words of the tape in use."""
        return self._tape[: self.field("tape_top")]

    def grow_slots(self, count: int) -> None:
        """Make room for `count` slots in all."""
        if count > len(self._slots):
            longer = np.zeros(2 * count, slot_dtype)
            entries.move_slots(self.context, longer.ctypes.data, len(self._slots) * layout.SLOT_WORDS)
            self._slots, self.slots = longer, memoryview(longer.view(np.int64))
        entries.add_slots(self.context, count)

    def grow_storages(self, count: int) -> None:
        """Make room for `count` storages in all."""
        if count > len(self._storages):
            longer = np.zeros(2 * count, storage_dtype)
            words = len(self._storages) * storage_dtype.itemsize // 8
            entries.move_storages(self.context, longer.ctypes.data, words)
            self._storages, self._storage_words = longer, memoryview(longer.view(np.int64))
        entries.add_storages(self.context, count)

    def grow_tape(self, words: int) -> None:
        """Make room for `words` words of tape in all."""
        if words <= len(self._tape):
            self._context[0]["tape_words"] = words
            return
        longer = np.zeros(words, np.int64)
        entries.move_tape(self.context, longer.ctypes.data, words)
        self._tape, self.tape_words = longer, memoryview(longer)

    def grow_ops(self, count: int) -> None:
        """Make room for `count` operations in all."""
        if count <= len(self.ops):
            return
        ops = np.zeros(2 * count, op_dtype)
        kernels = np.zeros((2 * count, layout.VARIANTS, layout.N_DTYPES), np.int64)
        ops[: len(self.ops)], kernels[: len(self.kernels)] = self.ops, self.kernels
        self._outgrown += [self.ops, self.kernels]  # compiled code of another thread may still read them
        self.ops, self.kernels = ops, kernels
        self._context[0]["ops"], self._context[0]["kernels"] = ops.ctypes.data, kernels.ctypes.data

    def keep_room_for_nodes(self, count: int) -> None:
        """Make the list of freed rows of custom functions long enough for all that are alive."""
        used = self.field("freed_node_count")
        if count + used > len(self.freed_nodes):
            longer = np.zeros(2 * (count + used) + 64, np.int64)
            entries.move_nodes(self.context, longer.ctypes.data)
            self.freed_nodes = longer

    def keep_telling(self, follower: Any, slots: Iterable[int]) -> None:
        """Let somebody who keeps the numbers of slots know, by `follow`, when a tensor takes another slot."""
        for slot in slots:
            self._followers.setdefault(slot, WeakSet()).add(follower)

    def tell_moved(self, slot: int) -> None:
        """Tell those who keep a slot's number that its tensor has another one by now."""
        for follower in self._followers.pop(slot, ()):
            follower.follow()

    def drop_externals(self) -> None:
        """Let go of Python objects whose memory no tensor uses any more."""
        while storage := entries.take_released(self.context):
            self.externals.pop(storage, None)
            entries.recycle(self.context, storage)

    def mend(self, status: int) -> bool:
        """Give a compiled call what it asked for; True when calling again makes sense."""
        if status == layout.NEED_KERNEL:
            from .kernels.op_kernels import compile_kernel

            op, variant, dtype = (int(x) for x in self._context[0]["detail"][:3])
            self.kernels[op, variant, dtype] = compile_kernel(op, variant, dtype)
        elif status == layout.NEED_SLOTS:
            self.grow_slots(2 * self.field("slot_count"))
        elif status == layout.NEED_STORAGES:
            self.grow_storages(2 * self.field("storage_count"))
        elif status == layout.NEED_TAPE:
            self.grow_tape(2 * self.field("tape_words"))
        elif status == layout.NEED_TEAM:
            from .team import help_eager_code

            help_eager_code()
        else:
            return False
        return True

    def detail(self) -> list[int]:
        """What the last refused call left as detail."""
        return [int(x) for x in self._context[0]["detail"]]


def _chain(table: np.ndarray, count: int) -> None:
    """Make entries 1 .. count - 1 of a new table its free list; entry 0 stands for none."""
    table["next"][1 : count - 1] = np.arange(2, count)
    table["next"][count - 1] = -1


def raise_out_of_memory() -> NoReturn:
    """The system gave no memory."""
    gc.collect()
    raise RuntimeError("jitgrad: out of memory; free some tensors or use smaller ones")


store = Store()
