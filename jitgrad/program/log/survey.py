"""What compiled code has to know of kernels to look at a log: where a record names its arrays, and which it writes."""

from __future__ import annotations

import functools
import threading
from array import array

import numpy as np

from ...engine.layout import FIRST_REPORTS, KIND_WORDS, KNOWN_KINDS, KNOWN_MASK
from ...functions import _launch, losses
from ...kernels import compiler, program_rows
from ...kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_NUMEL,
    ARRAY_WORDS,
    ARRAYS,
    N_STREAMS,
    PLAIN,
    R_COUNT,
    R_KERNEL,
    R_LAYOUT,
    R_NUMEL,
    R_WORDS,
    STREAM_WORDS,
)
from .views import array_kinds, streams

# arrays of the rows that compiled code writes into a log: the first word, that with their size (or another that is
# not 0), how many there are, and how many of them are written
_PLAIN = {
    "program.copy": (program_rows.COPY_TARGET, program_rows.COPY_BYTES, 2, 1),
    "program.clear": (program_rows.CLEAR_TARGET, program_rows.CLEAR_BYTES, 1, 1),
    "program.count": (program_rows.COUNT_FIRST, R_KERNEL, 1, 1),
}
FEWEST = 256  # kinds for which there is room at first; a power of two


class Known:
    """An open hash table of the kinds of records that have been met; see KNOWN_MASK.

    Attributes
    ----------
    words : array
        What compiled code reads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: dict[tuple[int, int, int], tuple[int, ...]] = {}
        self.words = self._table(FEWEST)

    def learn(self, log: np.ndarray) -> None:
        """Make known the kinds of all records of a log."""
        with self._lock:
            words, at = memoryview(log), 0
            while at < len(words):
                key = words[at + R_KERNEL], words[at + R_LAYOUT], words[at + R_COUNT]
                if key not in self._kinds:
                    self._kinds[key] = _arrays_of(*key)
                    self._put(self.words, key)
                at += words[at + R_WORDS]

    def _put(self, table: array, key: tuple[int, int, int]) -> None:
        mask = table[KNOWN_MASK]
        if 2 * len(self._kinds) > mask:  # at least half of it stays empty
            self.words = self._table(2 * (mask + 1))
            return
        at = (key[0] >> 4) + key[2] & mask
        while table[KNOWN_KINDS + at * KIND_WORDS]:
            at = at + 1 & mask
        first = KNOWN_KINDS + at * KIND_WORDS
        line = array("q", (*key, *self._kinds[key]))
        table[first + 1 : first + KIND_WORDS] = line[1:]
        table[first] = line[0]  # the kernel comes last: the line is there when it is

    def _table(self, size: int) -> array:
        table = array("q", bytes(8 * (KNOWN_KINDS + size * KIND_WORDS)))
        table[KNOWN_MASK] = size - 1
        ranges = array("q", [edge for pair in _report_memory() for edge in pair])
        table[FIRST_REPORTS:KNOWN_KINDS] = ranges
        for key in self._kinds:
            self._put(table, key)
        return table


def _report_memory() -> tuple[tuple[int, int], ...]:
    """Where rows report that run eagerly."""
    indices, loss = _launch.REPORTS_AT, losses.REPORT_ADDRESS
    size = 8 * _launch.REPORTS * _launch.REPORT_WORDS
    return (indices, indices + size), (loss, loss + 8 * len(losses.REPORT))


@functools.cache
def _arrays_of(kernel: int, layout: int, count: int) -> tuple[int, ...]:
    """Of a record: from KIND_PLACE on, what a line of the table says."""
    name = compiler.name_of(kernel)
    if layout == PLAIN:
        place, size, count, written = _PLAIN[name]
        return place, size, 1, count, 0, written, 0
    if layout == ARRAYS:
        first, count, both = array_kinds(name, count)
        bits = sum(1 << k for k in both)
        return A_ARRAYS + ARRAY_ADDRESS, A_ARRAYS + ARRAY_NUMEL, ARRAY_WORDS, count, first, count, bits
    sizes, outputs = streams(name, count)
    return N_STREAMS, R_NUMEL, STREAM_WORDS, min(count, len(sizes)), 0, outputs, 0


known = Known()
