"""What call records read and write: their words as arrays, each with its place in memory and its geometry."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from ...kernels import BY_NAME, partial_sums, program_rows, updates_row
from ...kernels.abi import (
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
    R_LAYOUT,
    STREAM_WORDS,
)
from ...kernels.table import BOTH, FORWARD, REDUCE
from ...kernels.update_table import UPDATES


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
        return self.end - self.begin == _places(self.shape, self.strides) * self.itemsize

    def touches(self, other: View) -> bool:
        """Whether the two may have bytes in common."""
        return self.begin < other.end and other.begin < self.end

    def covers(self, begin: int, end: int) -> bool:
        """Whether it names every byte from one address to another."""
        return self.is_dense and self.begin <= begin and end <= self.end

    def at(self, address: int) -> View:
        """The same array at another address."""
        by = address - self.address
        place, _, itemsize, shape, strides, begin, end = self
        return _new(View, (place, address, itemsize, shape, strides, begin + by, end + by))


_new = tuple.__new__  # without the way through a named tuple's own, in Python


@functools.lru_cache(4096)
def _places(shape: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many elements there are, repeated ones once."""
    return math.prod(n for n, s in zip(shape, strides, strict=True) if s)


@functools.lru_cache(4096)
def _span(shape: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, int]:
    """The first element's place and one past that of the last, counted from the one at the address."""
    if 0 in shape:
        return 0, 0
    ends = [(n - 1) * s for n, s in zip(shape, strides, strict=True)]
    return sum(e for e in ends if e < 0), sum(e for e in ends if e > 0) + 1


def view(place: int, address: int, itemsize: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> View:
    """A view with the bytes that it spans."""
    low, high = _span(shape, strides)
    begin, end = address + low * itemsize, address + high * itemsize
    return _new(View, (place, address, itemsize, shape, strides, begin, end))


Views = tuple[View, ...]


@functools.cache
def op_and_variant(kernel: str) -> tuple[str, int]:
    """The operation, rule or program row that a kernel is of, and which of its kernels it is: see `Row`."""
    first, second, *_ = kernel.split(".")
    return (second, -1) if first in ("update", "updates", "program") else (first, int(second))


def views_of(name: str, words: list[int]) -> tuple[Views, Views]:
    """What a record reads and what it writes."""
    layout = words[R_LAYOUT]
    if layout == PLAIN:
        return _plain(name, words)
    if layout == ARRAYS:
        return _arrays(name, words)
    return _nest(name, words)


def _dtype_size(name: str) -> int:
    return ITEM_SIZES[DTYPE_NAMES.index(name.rsplit(".", 1)[1])]


def _nest(name: str, words: list[int]) -> tuple[Views, Views]:
    """Streams of a nest: the outputs come first."""
    dims, count = words[R_DIMS], words[R_COUNT]
    sizes, outputs = streams(name, count)
    shape = tuple(words[N_SIZES : N_SIZES + dims])
    places = range(N_STREAMS, N_STREAMS + count * STREAM_WORDS, STREAM_WORDS)
    views = tuple(
        view(at, words[at], size, shape, tuple(words[at + 1 : at + 1 + dims]))
        for at, size in zip(places, sizes, strict=False)
    )
    reads, writes = views[outputs:], views[:outputs]
    if 0 in shape and _is_reduction(name):
        writes = tuple(_result_of_nothing(v) for v in writes)
    if name.startswith("update."):
        reads = (_step_count(words), *reads)
    return (reads + writes if words[R_FLAGS] & FLAG_ACCUMULATE else reads), writes


def _is_reduction(name: str) -> bool:
    op, variant = op_and_variant(name)
    return variant == FORWARD and op in BY_NAME and BY_NAME[op].kind == REDUCE


def _result_of_nothing(v: View) -> View:
    """What a reduction of no elements writes all the same: one number for each place of its result."""
    shape = tuple(n if stride else 1 for n, stride in zip(v.shape, v.strides, strict=True))
    return view(v.place, v.address, v.itemsize, shape, v.strides)


def _step_count(words: list[int]) -> View:
    """What an optimizer's update of one parameter reads besides its streams."""
    return _flat(words, words[R_ATTRS] + 1, 1, 8)


@functools.cache
def streams(name: str, count: int) -> tuple[list[int], int]:
    """Bytes of an element of each stream of a nest, and how many of them are outputs."""
    op, variant = op_and_variant(name)
    if name.startswith("update."):
        outputs = 1 + len(UPDATES[op].state)
    else:
        outputs = 2 if makes_slope(op, variant) else 1
    return _stream_sizes(name, count), outputs


def makes_slope(op: str, variant: int) -> bool:
    """Whether a kernel of an elementwise operation makes the result and its derivative."""
    return variant == BOTH and op in BY_NAME and BY_NAME[op].with_slope is not None


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
    if makes_slope(op.name, variant):
        return [result, result, *operand.values()]
    target = op.operands[variant - 1]
    values = [*op.operands, "y", "g"]
    read = [n for n in values if n in op.reads(target)]
    return [own, *[operand.get(n, result) for n in read]][:count]


@functools.cache
def array_kinds(name: str, count: int) -> tuple[int, int, frozenset[int]]:
    """First array that is written, one past the last, and which operands are written, too."""
    stem, variant, _ = name.split(".")
    op = BY_NAME[stem]
    if variant != "0":
        return count - (count - 2 * op.outputs) // 2, count, frozenset()
    return count - op.outputs, count, frozenset(op.operands.index(changed) for changed in op.changes)


@functools.cache
def outputs_beside_gradients(name: str, count: int) -> frozenset[int]:
    """The arrays before the gradients that are written, too, where a kernel goes both ways."""
    op, variant = op_and_variant(name)
    outputs = BY_NAME[op].outputs
    inputs = (count - 2 * outputs) // 2
    return frozenset(range(inputs, inputs + outputs)) if variant == BOTH else frozenset()


def _arrays(name: str, words: list[int]) -> tuple[Views, Views]:
    """Arrays of a record: forward has operands, outputs; backward also cotangents and gradients."""
    first, count, both = array_kinds(name, words[R_COUNT])
    made = outputs_beside_gradients(name, count)
    reads, writes = [], []
    for k in range(count):
        at = A_ARRAYS + k * ARRAY_WORDS
        address = words[at + ARRAY_ADDRESS]
        if not address:
            continue  # absent: its other words may be left over from another record
        dims = words[at + ARRAY_DIMS]
        shape = tuple(words[at + ARRAY_SHAPE : at + ARRAY_SHAPE + dims])
        strides = tuple(words[at + ARRAY_STRIDES : at + ARRAY_STRIDES + dims])
        array = view(at + ARRAY_ADDRESS, address, ITEM_SIZES[words[at + ARRAY_DTYPE]], shape, strides)
        if k >= first or k in made:
            writes.append(array)
        else:
            reads.append(array)
            if k in both:
                writes.append(array)
    return tuple(reads), tuple(writes)


def _flat(words: list[int], place: int, itemsize: int, count: int) -> View:
    """Elements one behind the other."""
    address = words[place]
    return _new(View, (place, address, itemsize, (count,), (1,), address, address + count * itemsize))


def _plain(name: str, words: list[int]) -> tuple[Views, Views]:
    if name.startswith("updates."):
        return _updates(name, words)
    kind = name.split(".")[1]
    if kind == "copy":
        size = words[program_rows.COPY_BYTES]
        source = _flat(words, program_rows.COPY_SOURCE, 1, size)
        return (source,), (_flat(words, program_rows.COPY_TARGET, 1, size),)
    if kind == "clear":
        return (), (_flat(words, program_rows.CLEAR_TARGET, 1, words[program_rows.CLEAR_BYTES]),)
    if kind == "count":
        first = program_rows.COUNT_FIRST
        counters = words[program_rows.COUNT_COUNTERS]
        views = tuple(_flat(words, first + k, 1, 8) for k in range(counters))
        return views, views
    if kind == "sums":
        return _sums(name, words)
    return (), ()


def _sums(name: str, words: list[int]) -> tuple[Views, Views]:
    """The targets; nothing else touches the memory of their other pieces."""
    size = _dtype_size(name)
    views = []
    for k in range(words[partial_sums.COUNT]):
        at = partial_sums.FIRST + k * partial_sums.WIDTH
        views.append(_flat(words, at + partial_sums.TARGET, size, words[at + partial_sums.NUMEL]))
    return tuple(views), tuple(views)


def _updates(name: str, words: list[int]) -> tuple[Views, Views]:
    """Streams of all parameters of a joint update."""
    _, rule, _ = name.split(".")
    size = _dtype_size(name)
    width, streams, outputs = updates_row.width(rule), updates_row.streams(rule), 1 + len(UPDATES[rule].state)
    reads: list[View] = []
    writes: list[View] = []
    for k in range(words[updates_row.COUNT]):
        at = updates_row.FIRST + k * width
        numel, first = words[at + updates_row.NUMEL], at + updates_row.STREAMS
        views = [_flat(words, place, size, numel) for place in range(first, first + streams)]
        writes += views[:outputs]
        reads += [_flat(words, at, 1, 8), *views[outputs:]]
    return tuple(reads), tuple(writes)
