"""Call records as objects: which kernel, what it reads, what it writes.

Rewrites and pictures of a program are written on these; replay itself knows only the records' words.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..kernels import BY_NAME, compiler, partial_sums, program_rows, updates_row
from ..kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_DTYPE,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    ARRAY_WORDS,
    ARRAYS,
    DTYPE_NAMES,
    FLAG_ACCUMULATE,
    ITEM_SIZES,
    N_SIZES,
    N_STREAMS,
    PLAIN,
    R_ATTRS,
    R_COUNT,
    R_DIMS,
    R_FLAGS,
    R_KERNEL,
    R_LAYOUT,
    R_WORDS,
    STREAM_WORDS,
)
from ..kernels.table import REDUCE, UPDATES

# operands that a forward kernel also writes: a generator's state, and what recurrent layers keep
WRITTEN_OPERANDS = (("state",), ("gates",), ("store",))


class View(NamedTuple):
    """An array that a record names: where, and with which geometry."""

    place: int  # the word of the record that holds the address
    address: int
    itemsize: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements
    begin: int  # first byte
    end: int  # one past the last byte; `begin` when there are no elements

    @property
    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def is_dense(self) -> bool:
        """Whether it names every byte that it spans."""
        places = math.prod(n for n, s in zip(self.shape, self.strides, strict=True) if s)
        return self.end - self.begin == places * self.itemsize

    def touches(self, other: View) -> bool:
        """Whether the two may have bytes in common."""
        return self.begin < other.end and other.begin < self.end


def view(place: int, address: int, itemsize: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> View:
    """A view with the bytes that it spans."""
    low = high = 0
    for n, s in zip(shape, strides, strict=True):
        if n == 0:
            return View(place, address, itemsize, shape, strides, address, address)
        if s > 0:
            high += (n - 1) * s
        else:
            low += (n - 1) * s
    return View(
        place, address, itemsize, shape, strides, address + low * itemsize, address + (high + 1) * itemsize
    )


class Row(NamedTuple):
    """One call record."""

    words: np.ndarray
    kernel: str  # "<operation>.<variant>.<dtype>", "update.<rule>.<dtype>" or "program.<name>"
    reads: tuple[View, ...]
    writes: tuple[View, ...]
    chain: tuple[Row, ...] = ()  # of a row that runs others strip by strip: those rows, whole,
    inner: tuple[tuple[Row, int], ...] = ()  # their strips, with the address where each lies,
    blocks: tuple[np.ndarray, ...] = ()  # and the memory they lie in

    @property
    def op(self) -> str:
        """Name of the operation, rule or program row."""
        parts = self.kernel.split(".")
        return parts[1] if parts[0] in ("update", "updates", "program") else parts[0]

    @property
    def variant(self) -> int:
        """0 for the forward kernel of an operation, 1 and more for its backward ones; -1 for other rows."""
        parts = self.kernel.split(".")
        return -1 if parts[0] in ("update", "updates", "program") else int(parts[1])


def rows_of(log: np.ndarray) -> Iterator[Row]:
    """The rows of a log of records lying one behind the other."""
    at = 0
    while at < len(log):
        words = log[at : at + int(log[at + R_WORDS])]
        yield decode(words)
        at += len(words)


def decode(words: np.ndarray) -> Row:
    """The row of one record."""
    name = compiler.name_of(int(words[R_KERNEL]))
    layout = int(words[R_LAYOUT])
    if layout == PLAIN:
        return Row(words, name, *_plain(name, words))
    if layout == ARRAYS:
        return Row(words, name, *_arrays(name, words))
    return Row(words, name, *_nest(name, words))


def _dtype_size(name: str) -> int:
    return ITEM_SIZES[DTYPE_NAMES.index(name.rsplit(".", 1)[1])]


def _nest(name: str, words: np.ndarray) -> tuple[tuple[View, ...], tuple[View, ...]]:
    """Streams of a nest: the outputs come first."""
    dims = int(words[R_DIMS])
    shape = tuple(int(n) for n in words[N_SIZES : N_SIZES + dims])
    sizes = _stream_sizes(name, int(words[R_COUNT]))
    views = []
    for k in range(int(words[R_COUNT])):
        at = N_STREAMS + k * STREAM_WORDS
        strides = tuple(int(s) for s in words[at + 1 : at + 1 + dims])
        views.append(view(at, int(words[at]), sizes[k], shape, strides))
    outputs = 1 + len(UPDATES[name.split(".")[1]].state) if name.startswith("update.") else 1
    reads = tuple(views[outputs:])
    if int(words[R_FLAGS]) & FLAG_ACCUMULATE:
        reads += tuple(views[:outputs])
    return reads, tuple(views[:outputs])


def _stream_sizes(name: str, count: int) -> list[int]:
    """Bytes of an element of each stream."""
    own = _dtype_size(name)
    op = BY_NAME.get(name.split(".")[0])
    if op is None:
        return [own] * count
    if op.kind == REDUCE:
        result = own if op.result < 0 or name.split(".")[1] != "0" else ITEM_SIZES[op.result]
        return [result, *[own] * (count - 1)]
    operand = {
        n: own if d < 0 else ITEM_SIZES[d] for n, d in zip(op.operands, op.operand_dtypes, strict=True)
    }
    result = own if op.result < 0 else ITEM_SIZES[op.result]
    variant = int(name.split(".")[1])
    if variant == 0:
        return [result, *operand.values()]
    target = op.operands[variant - 1]
    values = [*op.operands, "y", "g"]
    read = [n for n in values if n in op.reads(target)]
    return [own, *[operand.get(n, result) for n in read]][:count]


def _arrays(name: str, words: np.ndarray) -> tuple[tuple[View, ...], tuple[View, ...]]:
    """Arrays of a record: forward has operands, outputs; backward also cotangents and gradients."""
    op, variant, _ = name.split(".")
    count = int(words[R_COUNT])
    outputs = BY_NAME[op].outputs
    inputs = count - outputs if variant == "0" else (count - 2 * outputs) // 2
    written = range(inputs, count) if variant == "0" else range(count - inputs, count)
    reads, writes = [], []
    for k in range(count):
        if not words[A_ARRAYS + k * ARRAY_WORDS + ARRAY_ADDRESS]:
            continue  # absent: its other words may be left over from another record
        array = _array(words, k)
        if k in written:
            writes.append(array)
        else:
            reads.append(array)
            if variant == "0" and BY_NAME[op].operands[k : k + 1] in WRITTEN_OPERANDS:
                writes.append(array)
    return tuple(reads), tuple(writes)


def _array(words: np.ndarray, k: int) -> View:
    at = A_ARRAYS + k * ARRAY_WORDS
    dims = int(words[at + ARRAY_DIMS])
    shape = tuple(int(n) for n in words[at + ARRAY_SHAPE : at + ARRAY_SHAPE + dims])
    strides = tuple(int(n) for n in words[at + ARRAY_STRIDES : at + ARRAY_STRIDES + dims])
    size = ITEM_SIZES[int(words[at + ARRAY_DTYPE])]
    return view(at + ARRAY_ADDRESS, int(words[at + ARRAY_ADDRESS]), size, shape, strides)


def _bytes(words: np.ndarray, place: int, size: int) -> View:
    return view(place, int(words[place]), 1, (size,), (1,))


def _plain(name: str, words: np.ndarray) -> tuple[tuple[View, ...], tuple[View, ...]]:
    if name.startswith("updates."):
        return _updates(name, words)
    kind = name.split(".")[1]
    if kind == "copy":
        size = int(words[program_rows.COPY_BYTES])
        source = _bytes(words, program_rows.COPY_SOURCE, size)
        return (source,), (_bytes(words, program_rows.COPY_TARGET, size),)
    if kind == "clear":
        return (), (_bytes(words, program_rows.CLEAR_TARGET, int(words[program_rows.CLEAR_BYTES])),)
    if kind == "count":
        first = program_rows.COUNT_FIRST
        counters = int(words[program_rows.COUNT_COUNTERS])
        views = tuple(_bytes(words, first + k, 8) for k in range(counters))
        return views, views
    if kind == "sums":
        return _sums(name, words)
    return (), ()


def _sums(name: str, words: np.ndarray) -> tuple[tuple[View, ...], tuple[View, ...]]:
    """The targets; nothing else touches the memory of their other pieces."""
    size = _dtype_size(name)
    places = [partial_sums.FIRST + k * partial_sums.WIDTH for k in range(int(words[partial_sums.COUNT]))]
    views = tuple(
        view(at + partial_sums.TARGET, int(words[at]), size, (int(words[at + partial_sums.NUMEL]),), (1,))
        for at in places
    )
    return views, views


def _updates(name: str, words: np.ndarray) -> tuple[tuple[View, ...], tuple[View, ...]]:
    """Streams of all parameters of a joint update."""
    _, rule, dtype = name.split(".")
    size = ITEM_SIZES[DTYPE_NAMES.index(dtype)]
    outputs = 1 + len(UPDATES[rule].state)
    reads: list[View] = []
    writes: list[View] = []
    for k in range(int(words[updates_row.COUNT])):
        at = updates_row.FIRST + k * updates_row.width(rule)
        reads.append(_bytes(words, at, 8))
        numel = int(words[at + updates_row.NUMEL])
        for s in range(updates_row.streams(rule)):
            place = at + updates_row.STREAMS + s
            stream = view(place, int(words[place]), size, (numel,), (1,))
            (writes if s < outputs else reads).append(stream)
    return tuple(reads), tuple(writes)


def attributes(words: np.ndarray) -> np.ndarray:
    """The attribute words of a record."""
    return words[int(words[R_ATTRS]) :]
