"""Programs made by hand: segment tables over call records of small kernels."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from unittest import mock

import numpy as np

from jitgrad.engine.layout import SEGMENT_WORDS
from jitgrad.kernels import abi, compiler


@functools.cache
def address_of(build: Callable) -> int:
    """The kernel that `build` returns as a Python function."""
    # kernels of tests are no part of the cache's key
    with mock.patch.dict(os.environ, {"JITGRAD_CACHE": "off"}):
        return compiler.kernel(f"test_team_{build.__name__}", build)


def mix():
    """Element i of the second array becomes a mix of elements of the first that other parts wrote."""
    from jitgrad.kernels.plain import set_word, word

    def kernel(record, part, parts):
        source, target, n = word(record, 8), word(record, 9), word(record, 10)
        for i in range(n * part // parts, n * (part + 1) // parts):
            set_word(target, i, 3 * word(source, n - 1 - i) + word(source, (i * 7) % n) + i)

    return kernel


def tally():
    """Count the calls of each part, 16 words apart."""
    from jitgrad.kernels.plain import set_word, word

    def kernel(record, part, parts):
        set_word(word(record, 8), 16 * part, word(word(record, 8), 16 * part) + 1)
        set_word(word(record, 8), 16 * part + 1, parts)

    return kernel


def sign():
    """Leave the thread's number where the part says, after some work."""
    from numba import types

    from jitgrad.kernels.plain import set_word, word

    thread_ident = types.ExternalFunction("PyThread_get_thread_ident", types.int64())

    def kernel(record, part, parts):
        x = part
        for k in range(20_000):
            x = (x * 6364136223846793005 + k) ^ (x >> 7)
        set_word(word(record, 8), 16 * part, thread_ident())
        set_word(word(record, 8), 16 * part + 1, x)

    return kernel


def complain():
    """Count the calls of part 0, and write into the report when there have been enough."""
    from jitgrad.kernels.plain import set_word, word

    def kernel(record, part, parts):
        if part == 0:
            calls = word(record, 10) + 1
            set_word(record, 10, calls)
            if calls == word(record, 9):
                set_word(word(record, 8), 0, calls)

    return kernel


def call(build: Callable, *words: int) -> np.ndarray:
    record = np.zeros(8 + len(words), np.int64)
    record[abi.R_KERNEL] = address_of(build)
    record[8:] = words
    return record


class Program:
    """A segment table over call records; `segments` are pairs of records and parts."""

    def __init__(self, segments: Sequence[tuple[Sequence[np.ndarray], int]]) -> None:
        for records, _ in segments:
            for record in records:
                record[abi.R_WORDS] = len(record)
        self.words = np.concatenate([record for records, _ in segments for record in records])
        at = self.words.ctypes.data
        self.lines = np.zeros((len(segments), SEGMENT_WORDS), np.int64)
        for line, (records, parts) in zip(self.lines, segments, strict=True):
            end = at + 8 * sum(len(record) for record in records)
            line[:3] = at, end, parts
            at = end
        self.where = (self.lines.ctypes.data, len(segments))


class Chain:
    """Two arrays that are made from one another by `mix`, segment after segment."""

    def __init__(self, n: int, parts: Sequence[int], records: int = 1) -> None:
        self.n = n
        self.arrays = np.zeros((2, n), np.int64)
        turns = [(k % 2, 1 - k % 2) for k in range(len(parts))]
        self.turns = turns if len(parts) % 2 == 0 else [*turns, (1, 0)]
        parts = [*parts, 1] if len(self.turns) > len(parts) else parts
        a = self.arrays.ctypes.data
        segments = []
        for (source, target), p in zip(self.turns, parts, strict=True):
            record = call(mix, a + 8 * n * source, a + 8 * n * target, n)
            segments.append(([record.copy() for _ in range(records)], p))
        self.program = Program(segments)
        self.where = self.program.where

    def begin(self) -> None:
        self.arrays[0] = np.arange(self.n)
        self.arrays[1] = 0

    def expected(self, steps: int) -> np.ndarray:
        x, i = np.arange(self.n), np.arange(self.n)
        for _ in range(steps * len(self.turns)):
            x = 3 * x[::-1] + x[(i * 7) % self.n] + i
        return x
