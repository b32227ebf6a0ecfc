"""What was there before a recording: storages by their addresses."""

from __future__ import annotations

import bisect

from ...engine.layout import OWN, SPAN_BEGIN, SPAN_END, SPAN_STORAGE

BLOCK_UNIT = 64  # bytes of the smallest block


class Storages:
    """Which storage from outside an address lay in when a program was recorded.

    Parameters
    ----------
    spans : list of list of int
        Whose memory lay where, in order: see SPAN_BEGIN and so on.
    """

    def __init__(self, spans: list[list[int]]) -> None:
        outside = [line for line in spans if line[SPAN_STORAGE] != OWN]
        self._begins = [line[SPAN_BEGIN] for line in outside]
        self._ends = [line[SPAN_END] for line in outside]
        self._numbers = [line[SPAN_STORAGE] for line in outside]
        self._known: dict[int, int] = {}

    def overlap(self, begin: int, end: int) -> bool:
        """Whether one of them has bytes between two addresses."""
        k = bisect.bisect_left(self._begins, end)
        return k > 0 and self._ends[k - 1] > begin

    def at(self, address: int) -> int:
        """The storage, or 0."""
        known = self._known.get(address)
        if known is None:
            k = bisect.bisect_right(self._begins, address) - 1
            inside = k >= 0 and address < self._ends[k]
            known = self._known[address] = self._numbers[k] if inside else 0
        return known


def class_size(k: int) -> int:
    """Bytes of a block of class `k`, see engine/memory.py."""
    if k < 8:
        return (k + 1) * BLOCK_UNIT
    shift = (k - 4) // 4
    return ((k - 4 * shift + 1) << shift) * BLOCK_UNIT
