"""What was there before a recording: storages by their addresses, and the gradients of leaves."""

from __future__ import annotations

import bisect
import functools

import numpy as np

from ..engine.layout import GRAD_READ, S_HANDLES, S_STORAGE, SIZE_CLASSES, SLOT_WORDS, storage_dtype
from ..store import store

BLOCK_UNIT = 64  # bytes of the smallest block
ADDRESS, BYTES, SIZE_CLASS, REFS, OWNER = (
    storage_dtype.names.index(name)  # type: ignore[union-attr]
    for name in ("address", "bytes", "size_class", "refs", "owner")
)  # words of a storage


def storages() -> np.ndarray:
    """The table of storages, a row of words each."""
    count, words = store.field("storage_top"), storage_dtype.itemsize // 8
    return store.storage_table[:count].view(np.int64).reshape(count, words)


OWN = -1  # in place of a storage from outside: memory of the recording's


class Storages:
    """Which storage from outside recording `number` an address lies in.

    Those of program `base` are none, either. `own` is where the recording's own memory begins, and its sizes.
    """

    def __init__(self, number: int, base: int, own: tuple[np.ndarray, np.ndarray]) -> None:
        table = storages()
        live = np.flatnonzero(table[:, REFS] > 0)
        found = table[live]  # a copy: other threads go on changing the table
        owner = found[:, OWNER]
        outside = (owner != number) & (owner != (base or number)) & (found[:, BYTES] > 0)
        found, live = found[outside], live[outside]
        begins, sizes = own
        begins = np.concatenate([found[:, ADDRESS], begins])
        sizes = np.concatenate([found[:, BYTES], sizes])
        numbers = np.full(len(begins), OWN)
        numbers[: len(live)] = live
        order = np.argsort(begins)
        self._begins: np.ndarray = begins[order]
        self._ends: np.ndarray = self._begins + sizes[order]
        self._numbers: np.ndarray = numbers[order]
        self._known: dict[int, int] = {}

    def of(self, addresses: np.ndarray) -> np.ndarray:
        """`at` of many addresses, but OWN for those in the recording's own memory."""
        if not len(self._begins):
            return np.zeros(len(addresses), np.int64)
        k = np.searchsorted(self._begins, addresses, "right") - 1
        return np.where((k >= 0) & (addresses < self._ends[k]), self._numbers[k], 0)

    @functools.cached_property
    def _lists(self) -> tuple[list[int], list[int], list[int]]:
        outside = self._numbers != OWN
        return self._begins[outside].tolist(), self._ends[outside].tolist(), self._numbers[outside].tolist()

    def overlap(self, begin: int, end: int) -> bool:
        """Whether one of them has bytes between two addresses."""
        begins, ends, _ = self._lists
        k = bisect.bisect_left(begins, end)
        return k > 0 and ends[k - 1] > begin

    def at(self, address: int) -> int:
        """The storage, or 0."""
        known = self._known.get(address)
        if known is None:
            begins, ends, numbers = self._lists
            k = bisect.bisect_right(begins, address) - 1
            known = self._known[address] = numbers[k] if k >= 0 and address < ends[k] else 0
        return known


def class_size(k: int) -> int:
    """Bytes of a block of class `k`, see engine/memory.py."""
    if k < 8:
        return (k + 1) * BLOCK_UNIT
    shift = (k - 4) // 4
    return ((k - 4 * shift + 1) << shift) * BLOCK_UNIT


CLASS_BYTES = np.array([class_size(k) for k in range(SIZE_CLASSES)], np.int64)


def entry_gradients(events: np.ndarray, number: int) -> dict[int, int]:
    """The gradients that a step depends on: those of tensors from outside that it read before it set them.

    `events` are what program `number` noted, see EVENT_WORDS.
    """
    found: dict[int, int] = {}
    settled: set[int] = set()
    for event, slot, gradient in events.tolist():
        if slot not in settled:
            settled.add(slot)
            if event == GRAD_READ and _from_outside(slot, number):
                found[slot] = gradient
    return found


def _from_outside(slot: int, number: int) -> bool:
    words, at = store.slots, slot * SLOT_WORDS
    return words[at + S_HANDLES] > 0 and store.storage_table["owner"][words[at + S_STORAGE]] != number
