"""Rows that only programs have: constants put back, counters, batches bound or gathered, results kept.

Their records have the layout PLAIN: a header, then words whose meaning each kernel states. Addresses are bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from . import compiler
from .abi import HEADER_WORDS, plain_record

# words of each record after the header, from word HEADER_WORDS on
COPY_TARGET, COPY_SOURCE, COPY_BYTES = range(HEADER_WORDS, HEADER_WORDS + 3)
CLEAR_TARGET, CLEAR_BYTES = range(HEADER_WORDS, HEADER_WORDS + 2)
COUNT_COUNTERS, COUNT_FIRST = range(HEADER_WORDS, HEADER_WORDS + 2)
BIND_STEP, BIND_BASE, BIND_STRIDE, BIND_PATCHES, BIND_FIRST = range(HEADER_WORDS, HEADER_WORDS + 5)
GATHER_STEP, GATHER_INDEX, GATHER_ROWS, GATHER_BASE, GATHER_BYTES, GATHER_TARGET = range(
    HEADER_WORDS, HEADER_WORDS + 6
)
KEEP_STEP, KEEP_BASE, KEEP_SOURCE, KEEP_BYTES = range(HEADER_WORDS, HEADER_WORDS + 4)
NEXT_COUNTERS, NEXT_BATCHES = range(HEADER_WORDS, HEADER_WORDS + 2)
STRIPS_COUNT, STRIPS_FIRST = range(HEADER_WORDS, HEADER_WORDS + 2)


def _copy() -> Callable:
    from .plain import copy_bytes, share_of, word

    def kernel(record, part, parts):
        """Copy bytes: target, source, count."""
        first, last = share_of(word(record, COPY_BYTES), part, parts)
        copy_bytes(word(record, COPY_TARGET) + first, word(record, COPY_SOURCE) + first, last - first)

    return kernel


def _clear() -> Callable:
    from .plain import clear_bytes, share_of, word

    def kernel(record, part, parts):
        """Set bytes to zero: target, count."""
        first, last = share_of(word(record, CLEAR_BYTES), part, parts)
        clear_bytes(word(record, CLEAR_TARGET) + first, last - first)

    return kernel


def _count() -> Callable:
    from .abi import FLOAT64
    from .plain import accessors, word

    load, store = accessors(FLOAT64)

    def kernel(record, part, parts):
        """Add one to float64 counters: how many, then their addresses."""
        if part == 0:
            for k in range(word(record, COUNT_COUNTERS)):
                counter = word(record, COUNT_FIRST + k)
                store(counter, 0, load(counter, 0) + 1.0)

    return kernel


def _bind() -> Callable:
    from .plain import set_word, word

    def kernel(record, part, parts):
        """Point records at the batch of this step: step counter, base, stride, then (word, offset) pairs."""
        if part == 0:
            step = word(word(record, BIND_STEP), 0)
            batch = word(record, BIND_BASE) + step * word(record, BIND_STRIDE)
            for k in range(word(record, BIND_PATCHES)):
                place = word(record, BIND_FIRST + 2 * k)
                set_word(place, 0, batch + word(record, BIND_FIRST + 2 * k + 1))

    return kernel


def _gather() -> Callable:
    from .abi import INT32
    from .plain import accessors, copy_bytes, share_of, word

    load, store = accessors(INT32)

    def kernel(record, part, parts):
        """Copy the rows of this step's batch: step counter, indices, rows, base, bytes of a row, target."""
        rows = word(record, GATHER_ROWS)
        size = word(record, GATHER_BYTES)
        base = word(record, GATHER_BASE)
        indices = word(record, GATHER_INDEX) + word(word(record, GATHER_STEP), 0) * rows * 8
        first, last = share_of(rows, part, parts)
        target = word(record, GATHER_TARGET)
        if size % 4 == 0 and size <= 32:
            quads = size // 4
            for k in range(first, last):
                source = base + word(indices, k) * size
                for j in range(quads):
                    store(target + k * size, j, load(source, j))
        else:
            for k in range(first, last):
                copy_bytes(target + k * size, base + word(indices, k) * size, size)

    return kernel


def _keep() -> Callable:
    from .plain import copy_bytes, word

    def kernel(record, part, parts):
        """Keep a result of this step: step counter, where step 0's goes, where it is, bytes."""
        if part == 0:
            size = word(record, KEEP_BYTES)
            target = word(record, KEEP_BASE) + word(word(record, KEEP_STEP), 0) * size
            copy_bytes(target, word(record, KEEP_SOURCE), size)

    return kernel


def _next() -> Callable:
    from .plain import set_word, word

    def kernel(record, part, parts):
        """Go on to the next step: the address of the counters (steps, and of these within the epoch), batches."""
        if part == 0:
            counters = word(record, NEXT_COUNTERS)
            set_word(counters, 0, word(counters, 0) + 1)
            batch = word(counters, 1) + 1
            set_word(counters, 1, batch if batch < word(record, NEXT_BATCHES) else 0)

    return kernel


def _strips() -> Callable:
    from .plain import run_records, share_of, word

    def kernel(record, part, parts):
        """Run lists of records, one for the strips of each lane: how many, then first and end of each list."""
        first, last = share_of(word(record, STRIPS_COUNT), part, parts)
        for k in range(first, last):
            run_records(word(record, STRIPS_FIRST + 2 * k), word(record, STRIPS_FIRST + 2 * k + 1), 0, 1)

    return kernel


_BUILDERS = {
    "copy": _copy,
    "clear": _clear,
    "count": _count,
    "bind": _bind,
    "gather": _gather,
    "keep": _keep,
    "next": _next,
    "strips": _strips,
}
NAMES = tuple(_BUILDERS)


def address(name: str) -> int:
    """Address of one of these kernels, compiled on first use."""
    return compiler.kernel(f"program.{name}", _BUILDERS[name])


def record(name: str, words: list[int]) -> list[int]:
    """A whole call record."""
    return plain_record(address(name), words)
