"""What a log of records touches, found in a few passes over all of it.

That is all that a program needs to know before it is replayed as it was recorded; its rows as objects come later.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np

from ..kernels import compiler, program_rows
from ..kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_NUMEL,
    ARRAY_WORDS,
    ARRAYS,
    N_STREAMS,
    PLAIN,
    R_ATTRS,
    R_COUNT,
    R_KERNEL,
    R_LAYOUT,
    R_NUMEL,
    R_WORDS,
    STREAM_WORDS,
)
from .rows import array_kinds, streams
from .surroundings import OWN, Storages

HEAD = R_ATTRS + 1  # words of a record that say where its arrays and attributes are

# arrays of the rows that compiled code writes into a log: the first word, that with their size (or another that is
# not 0), how many there are, and how many of them are written
_PLAIN = {
    "program.copy": (program_rows.COPY_TARGET, program_rows.COPY_BYTES, 2, 1),
    "program.clear": (program_rows.CLEAR_TARGET, program_rows.CLEAR_BYTES, 1, 1),
    "program.count": (program_rows.COUNT_FIRST, R_KERNEL, 1, 1),
}


class Survey:
    """Which memory the records of a log touch.

    Attributes
    ----------
    edges : list of int
        The word at which each record begins, and one past the last.
    places : numpy.ndarray
        The words that hold addresses of arrays, in order.
    addresses : numpy.ndarray
        What they hold.
    storages : numpy.ndarray
        The storages from outside in which these lie, or OWN, or 0.
    used : numpy.ndarray
        Whether the array is there, and has elements.
    writes : numpy.ndarray
        Whether it is written, and has elements.
    attributes, values : numpy.ndarray
        The words that are attributes, and what they hold.
    touched : list of int
        The storages from outside that occur, also as attributes.
    """

    def __init__(self, log: np.ndarray, outside: Storages) -> None:
        self.log = log
        words, begins, at = memoryview(log), [], 0
        while at < len(words):
            begins.append(at)
            at += words[at + R_WORDS]
        self.edges = [*begins, at]
        heads = (
            log[np.array(begins, np.int64)[:, None] + np.arange(HEAD)]
            if begins
            else np.zeros((0, HEAD), np.int64)
        )
        everything, count, sizes, writes = _words_of(heads.tobytes())
        words_there = log[everything]
        storages = outside.of(words_there)
        self.places, self.addresses, self.storages = everything[:count], words_there[:count], storages[:count]
        self.attributes, self.values = everything[count:], words_there[count:]
        self.used = (self.addresses != 0) & (log[sizes] != 0)
        self.writes = writes & self.used
        self.touched = sorted({*storages.tolist()} - {0, OWN})

    def written(self) -> set[int]:
        """The storages from outside that are written."""
        return {*self.storages[self.writes].tolist()} - {0, OWN}

    def all_known(self) -> bool:
        """Whether every array lies in memory from outside, or in the recording's own."""
        return not ((self.storages == 0) & self.used).any()

    def first_seen(self, spans: Iterable[tuple[int, int]]) -> int:
        """The word at which it is said where the first write goes that can be seen: outside, or in these spans."""
        seen = self.storages > 0
        for begin, end in spans:
            seen |= (self.addresses >= begin) & (self.addresses < end)
        found = np.flatnonzero(seen & self.writes)
        return int(self.places[found[0]]) if len(found) else len(self.log)

    def arguments(self, storages: list[int]) -> list[tuple[int, int, int]]:
        """Which argument (of those in these storages), which word names its memory, and which address."""
        named = []
        for number, storage in enumerate(storages):
            found = self.storages == storage
            named += [
                (number, place, address)
                for place, address in zip(
                    self.places[found].tolist(), self.addresses[found].tolist(), strict=True
                )
            ]
        return named


@functools.lru_cache(256)  # a function is often recorded for one batch size after the other
def _words_of(heads: bytes) -> tuple[np.ndarray, int, np.ndarray, np.ndarray]:
    """Of records with these first words: where addresses and attributes are, with the number of the former.

    Also where the sizes of the arrays are, and which are written.
    """
    places: list[int] = []
    sizes: list[int] = []  # words that are 0 when there are no elements
    writes: list[bool] = []
    attributes: list[int] = []
    at = 0
    for head in np.frombuffer(heads, np.int64).reshape(-1, HEAD).tolist():
        layout, end = head[R_LAYOUT], at + head[R_WORDS]
        place, size, step, written = _arrays_of(head[R_KERNEL], layout, head[R_COUNT])
        count = len(written)
        places += range(at + place, at + place + count * step, step)
        if layout == ARRAYS:
            sizes += range(at + size, at + size + count * step, step)
        else:
            sizes += [at + size] * count
        writes += written
        if head[R_ATTRS]:
            attributes += range(at + head[R_ATTRS], end)
        at = end
    everything = np.array(places + attributes, np.int64)
    return everything, len(places), np.array(sizes, np.int64), np.array(writes, bool)


@functools.cache
def _arrays_of(kernel: int, layout: int, count: int) -> tuple[int, int, int, tuple[bool, ...]]:
    """Where a record names its first array, its size, words from one to the next, and which are written.

    The size is that of each array of the layout ARRAYS, and otherwise that of all of them.
    """
    name = compiler.name_of(kernel)
    if layout == PLAIN:
        place, size, count, written = _PLAIN[name]
        return place, size, 1, tuple(k < written for k in range(count))
    if layout == ARRAYS:
        first, count, both = array_kinds(name, count)
        written_arrays = tuple(k >= first or k in both for k in range(count))
        return A_ARRAYS + ARRAY_ADDRESS, A_ARRAYS + ARRAY_NUMEL, ARRAY_WORDS, written_arrays
    sizes, outputs = streams(name, count)
    return N_STREAMS, R_NUMEL, STREAM_WORDS, tuple(k < outputs for k in range(min(count, len(sizes))))
