"""The tables of the engine as Python sees them, and the mending of what a compiled call asks for."""

from __future__ import annotations

import gc
from typing import Any, NoReturn

import numpy as np

from .engine import layout
from .engine.layout import (
    context_dtype,
    op_dtype,
    slot_dtype,
    storage_dtype,
)

SCRATCH_WORDS = 1 << 16
FIRST_SLOTS = 1 << 12
FIRST_TAPE_WORDS = 1 << 16
OP_CAPACITY = 1024
POOL_LIMIT = 1 << 31  # bytes of free large blocks kept for reuse


class Store:
    """Owner of the flat tables.

    Attributes
    ----------
    context : int
        Address of the context record: the first argument of every compiled call.
    slots : memoryview
        The slot table as 64-bit words, for quick reads of single fields.
    """

    def __init__(self) -> None:
        self._context = np.zeros(1, context_dtype)
        self.context: int = self._context.ctypes.data
        self._slots = np.zeros(0, slot_dtype)
        self._storages = np.zeros(0, storage_dtype)
        self._tape = np.zeros(0, np.int64)
        self.slots: memoryview = memoryview(b"")
        self._scratch = np.zeros(SCRATCH_WORDS, np.int64)
        self.ops = np.zeros(OP_CAPACITY, op_dtype)
        self.kernels = np.zeros((OP_CAPACITY, layout.VARIANTS, layout.N_DTYPES), np.int64)
        self.externals: dict[int, Any] = {}  # storage -> the object that owns its memory
        c = self._context[0]
        c["scratch"] = self._scratch.ctypes.data
        c["ops"] = self.ops.ctypes.data
        c["kernels"] = self.kernels.ctypes.data
        c["last_row"] = layout.NO_ROW
        c["free_storage"] = c["free_slot"] = -1
        c["pool_limit"] = POOL_LIMIT
        self.freed_nodes = np.zeros(0, np.int64)
        self.grow_slots(FIRST_SLOTS)
        self.grow_storages(FIRST_SLOTS)
        self.grow_tape(FIRST_TAPE_WORDS)

    def field(self, name: str) -> int:
        """A field of the context."""
        return int(self._context[0][name])

    def set_field(self, name: str, value: int) -> None:
        """Set a field of the context."""
        self._context[0][name] = value

    @property
    def slot_table(self) -> np.ndarray:
        """The slot table as a structured array."""
        return self._slots

    @property
    def storage_table(self) -> np.ndarray:
        """The storage table as a structured array."""
        return self._storages

    @property
    def tape(self) -> np.ndarray:
        """The words of the tape in use."""
        return self._tape[: self.field("tape_top")]

    def grow_slots(self, count: int) -> None:
        """Make room for `count` slots in all. Slot 0 stands for none."""
        old = len(self._slots)
        self._slots = _larger(self._slots, count)
        _chain(self._slots, old, self._context[0], "free_slot")
        c = self._context[0]
        c["slots"] = self._slots.ctypes.data
        c["slot_count"] = count
        c["free_slots"] += count - max(old, 1)
        self.slots = memoryview(self._slots.view(np.int64))

    def grow_storages(self, count: int) -> None:
        """Make room for `count` storages in all. Storage 0 stands for none."""
        old = len(self._storages)
        self._storages = _larger(self._storages, count)
        _chain(self._storages, old, self._context[0], "free_storage")
        self._context[0]["storages"] = self._storages.ctypes.data
        self._context[0]["storage_count"] = count

    def grow_tape(self, words: int) -> None:
        """Make room for `words` words of tape in all."""
        self._tape = _larger(self._tape, words)
        self._context[0]["tape"] = self._tape.ctypes.data
        self._context[0]["tape_words"] = words

    def keep_room_for_nodes(self, count: int) -> None:
        """Make the list of freed rows of custom functions long enough for all that are alive."""
        used = self.field("freed_node_count")
        if count + used > len(self.freed_nodes):
            self.freed_nodes = _larger(self.freed_nodes, 2 * (count + used) + 64)
            self._context[0]["freed_nodes"] = self.freed_nodes.ctypes.data

    def drop_externals(self) -> None:
        """Let go of Python objects whose memory no tensor uses any more."""
        c = self._context[0]
        storage = int(c["released"])
        c["released"] = 0
        while storage:
            record = self._storages[storage]
            following = int(record["next"])
            self.externals.pop(storage, None)
            record["next"] = c["free_storage"]
            c["free_storage"] = storage
            storage = following

    def mend(self, status: int) -> bool:
        """Give a compiled call what it asked for; True when calling again makes sense."""
        if status == layout.NEED_KERNEL:
            from .kernels import table

            op, variant, dtype = (int(x) for x in self._context[0]["detail"][:3])
            self.kernels[op, variant, dtype] = table.compile_kernel(op, variant, dtype)
        elif status == layout.NEED_SLOTS:
            self.grow_slots(2 * len(self._slots))
        elif status == layout.NEED_STORAGES:
            self.grow_storages(2 * len(self._storages))
        elif status == layout.NEED_TAPE:
            self.grow_tape(2 * len(self._tape))
        else:
            return False
        return True

    def detail(self) -> list[int]:
        """What the last refused call left as detail."""
        return [int(x) for x in self._context[0]["detail"]]


def _larger(table: np.ndarray, count: int) -> np.ndarray:
    # zeros come from the system lazily: room that is not used yet costs no memory
    grown = np.zeros(count, table.dtype)
    grown[: len(table)] = table
    return grown


def _chain(table: np.ndarray, old: int, context: Any, head: str) -> None:
    """Put the new entries of a table on its free list, lowest first."""
    first = max(old, 1)
    table["next"][first:-1] = np.arange(first + 1, len(table))
    table["next"][-1] = context[head]
    context[head] = first


def raise_out_of_memory() -> NoReturn:
    """The system gave no memory."""
    gc.collect()
    raise RuntimeError("jitgrad: out of memory; free some tensors or use smaller ones")


store = Store()
