"""What was there before a recording: storages by their addresses, and the gradients of leaves."""

from __future__ import annotations

import bisect

import numpy as np

from ..engine import layout
from ..engine.layout import GRAD_READ
from ..store import store

BLOCK_UNIT = 64  # bytes of the smallest block


class Storages:
    """Which storage from outside a recording an address lies in."""

    def __init__(self, number: int, base: int) -> None:
        table = store.storage_table[: store.field("storage_count")]
        owner = table["owner"]
        live = np.flatnonzero((table["refs"] > 0) & (owner != number) & (owner != (base or number)))
        found = table[live]  # a copy: other threads go on changing the table
        spans = sorted(zip(found["address"].tolist(), found["bytes"].tolist(), live.tolist(), strict=True))
        self._ids = [k for _, size, k in spans if size > 0]
        self._begin = [begin for begin, size, _ in spans if size > 0]
        self._end = [begin + size for begin, size, _ in spans if size > 0]
        self._known: dict[int, int] = {}

    def of(self, addresses: np.ndarray) -> np.ndarray:
        """`at` of many addresses."""
        if not self._ids or not len(addresses):
            return np.zeros(len(addresses), np.int64)
        k = np.searchsorted(np.array(self._begin), addresses, "right") - 1
        inside = (k >= 0) & (addresses < np.array(self._end)[k])
        return np.where(inside, np.array(self._ids)[k], 0)

    def overlap(self, begin: int, end: int) -> bool:
        """Whether one of them has bytes between two addresses."""
        k = bisect.bisect_left(self._begin, end)
        return k > 0 and self._end[k - 1] > begin

    def at(self, address: int) -> int:
        """The storage, or 0."""
        known = self._known.get(address)
        if known is None:
            k = bisect.bisect_right(self._begin, address) - 1
            known = self._known[address] = self._ids[k] if k >= 0 and address < self._end[k] else 0
        return known


def class_size(k: int) -> int:
    """Bytes of a block of class `k`, see engine/memory.py."""
    if k < 8:
        return (k + 1) * BLOCK_UNIT
    shift = (k - 4) // 4
    return ((k - 4 * shift + 1) << shift) * BLOCK_UNIT


def entry_gradients(events: np.ndarray, before: dict[int, int], number: int) -> dict[int, int]:
    """The gradients that a step depends on: those read before they were set.

    `before` are the gradients of the leaves when program `number` began; other tensors from outside had none.
    """
    found: dict[int, int] = {}
    settled: set[int] = set()
    for event, slot in events.tolist():
        if slot not in settled:
            settled.add(slot)
            if event == GRAD_READ and (slot in before or _from_outside(slot, number)):
                found[slot] = before.get(slot, 0)
    return found


def _from_outside(slot: int, number: int) -> bool:
    s = store.slot_table[slot]
    return bool(s["handles"]) and int(store.storage_table[s["storage"]]["owner"]) != number


def leaf_gradients() -> dict[int, int]:
    """The gradient of every leaf there is."""
    table = store.slot_table[: store.field("slot_count")]
    known = (table["flags"] & layout.REQUIRES_GRAD != 0) | (table["grad"] != 0)
    leaves = np.flatnonzero((table["handles"] > 0) & known)
    return dict(zip(leaves.tolist(), table["grad"][leaves].tolist(), strict=True))
