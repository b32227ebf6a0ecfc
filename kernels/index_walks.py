"""The walks of indexing kernels, for Numba: one walk over index points serves reading, writing and adding.

Every kernel moves elements between a tensor, at places that indices name, and a flat side: the result of
a read, the values of a write, or a gradient. MOVES say in which direction.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

from . import abi
from .abi import (
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_NUMEL,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    COUNT_FROM_END,
    INDEX_ERROR,
    RUNTIME_ERROR,
)
from .index_checks import all_within
from .index_lines import ADD, CLEAR, READ, WRITE, adder, line_mover
from .plain import (
    accessors,
    clear_bytes,
    copy_bytes,
    helper,
    place,
    quotient,
    set_word,
    word,
)

DESCRIPTION = abi.ARRAY_WORDS * abi.WORD
# attribute words of index kernels
I_STATUS, I_INDICES, I_OUTER, I_INNER, I_ACCUMULATE, I_REFUSAL, I_DIMS = range(7)
# attribute words of kernels along one dimension
L_STATUS, L_DIM, L_ACCUMULATE = range(3)
# words of a report: what error a bad index is, or 0, then its dimension, value and the dimension's size
REPORT_WORDS = 4


@helper
def report(status, error, dim, value, size):
    """Tell Python that an index is out of range."""
    set_word(status, 1, dim)
    set_word(status, 2, value)
    set_word(status, 3, size)
    set_word(status, 0, error)
    return False


@helper
def step_of(array):
    """1 for a row-major array without gaps, 0 for one element repeated, -1 for anything else."""
    dense, constant = True, True
    numel = 1
    for back in range(word(array, ARRAY_DIMS)):
        d = word(array, ARRAY_DIMS) - 1 - back
        size = word(array, ARRAY_SHAPE + d)
        if size != 1:
            stride = word(array, ARRAY_STRIDES + d)
            if stride != numel:
                dense = False
            if stride != 0:
                constant = False
            numel *= size
    if dense:
        return 1
    return 0 if constant else -1


@helper
def listed_place(array, dims, count, flat):
    """Like `place`, for the `count` dimensions listed at address `dims`."""
    offset = 0
    for back in range(count):
        d = word(dims, count - 1 - back)
        size = word(array, ARRAY_SHAPE + d)
        rest = quotient(flat, size)
        offset += (flat - rest * size) * word(array, ARRAY_STRIDES + d)
        flat = rest
    return offset


@helper
def listed_numel(array, dims, count):
    """Number of points of the `count` dimensions listed at address `dims`."""
    numel = 1
    for k in range(count):
        numel *= word(array, ARRAY_SHAPE + word(dims, k))
    return numel


@helper
def check_points(tensor, indices, words):
    """Whether every index of an index kernel is in range; reports the first that is not."""
    refusal = word(words, I_REFUSAL)
    for k in range(word(words, I_INDICES)):
        d = word(words, I_DIMS + k)
        size = word(tensor, ARRAY_SHAPE + d)
        least = -size if refusal == COUNT_FROM_END else 0
        values = word(indices + k * DESCRIPTION, ARRAY_ADDRESS)
        if all_within(values, word(indices, ARRAY_NUMEL), least, size):
            continue
        for b in range(word(indices, ARRAY_NUMEL)):
            i = word(values, b)
            if i < least or i >= size:
                return report(word(words, I_STATUS), max(refusal, INDEX_ERROR), d, i, size)
    return True


@helper
def check_line(tensor, index, words):
    """Whether every index of a kernel along one dimension is in range; reports the first that is not."""
    d = word(words, L_DIM)
    size = word(tensor, ARRAY_SHAPE + d)
    values = word(index, ARRAY_ADDRESS)
    dims = word(index, ARRAY_DIMS)
    step = step_of(index)
    if step == 1 and all_within(values, word(index, ARRAY_NUMEL), 0, size):
        return True
    for flat in range(word(index, ARRAY_NUMEL)):
        i = word(values, flat * step if step >= 0 else place(index, dims, flat))
        if i < 0 or i >= size:
            return report(word(words, L_STATUS), RUNTIME_ERROR, d, i, size)
    return True


class Loops(NamedTuple):
    """The walks for elements of one dtype.

    Attributes
    ----------
    transfer : callable
        Visits the points of index tensors.
    along : callable
        Visits the points of an index tensor that stands for one coordinate.
    copy_all : callable
        Copies an array.
    clear_all : callable
        Zeroes a row-major array.
    """

    transfer: Any
    along: Any
    copy_all: Any
    clear_all: Any


@functools.cache
def loops(dtype: int) -> Loops:
    """The walks for elements of one dtype."""
    transfer = _transfer(_elements(dtype), _run(dtype))
    return Loops(transfer, _along(dtype), *_whole_arrays(dtype))


def _run(dtype: int) -> Any:
    """``run(tensor, t, flat, f, step, count, mode)``: moves neighbours."""
    load, store = accessors(dtype)
    item, added = abi.ITEM_SIZES[dtype], adder(dtype)

    @helper
    def run(tensor, t, flat, f, step, count, mode):
        """Move `count` neighbours at `tensor` + t; the flat side steps by `step`."""
        if mode == READ:
            if count * item >= 32 and step == 1:
                copy_bytes(flat + f * item, tensor + t * item, count * item)
            else:
                for j in range(count):
                    store(flat, f + j * step, load(tensor, t + j))
        elif mode == WRITE:
            if count * item >= 32 and step == 1:
                copy_bytes(tensor + t * item, flat + f * item, count * item)
            else:
                for j in range(count):
                    store(tensor, t + j, load(flat, f + j * step))
        elif mode == ADD:
            for j in range(count):
                store(tensor, t + j, added(load(tensor, t + j), load(flat, f + j * step)))
        else:
            clear_bytes(tensor + t * item, count * item)

    return run


def _single(dtype: int) -> Any:
    """``single(tensor, t, flat, f, mode)``: moves one element."""
    load, store = accessors(dtype)
    item, added = abi.ITEM_SIZES[dtype], adder(dtype)

    @helper
    def single(tensor, t, flat, f, mode):
        """Move one element."""
        if mode == READ:
            store(flat, f, load(tensor, t))
        elif mode == WRITE:
            store(tensor, t, load(flat, f))
        elif mode == ADD:
            store(tensor, t, added(load(tensor, t), load(flat, f)))
        else:
            clear_bytes(tensor + t * item, item)

    return single


def _elements(dtype: int) -> Any:
    """``elements(tensor, indices, words, outer_dims, flat, mode)``: a short `transfer`."""
    single, line, item = _single(dtype), line_mover(dtype, True), abi.ITEM_SIZES[dtype]

    @helper
    def elements(tensor, indices, words, outer_dims, flat, mode):
        """`transfer` for one index tensor along the last dimension: nothing but single elements."""
        outer, points = word(words, I_OUTER), word(indices, ARRAY_NUMEL)
        values, step = word(indices, ARRAY_ADDRESS), step_of(flat)
        d = word(words, I_DIMS)
        size, stride = word(tensor, ARRAY_SHAPE + d), word(tensor, ARRAY_STRIDES + d)
        address, flat_address = word(tensor, ARRAY_ADDRESS), word(flat, ARRAY_ADDRESS)
        flat_dims = word(flat, ARRAY_DIMS)
        position = 0
        for o in range(listed_numel(tensor, outer_dims, outer)):
            start = listed_place(tensor, outer_dims, outer, o)
            if mode != CLEAR and step == 1:
                to, of = address + start * item, flat_address + position * item
                line(to, of, values, points, 0, stride, size, mode)
                position += points
                continue
            for b in range(points):
                i = word(values, b)
                if i < 0:
                    i += size
                f = position * step if step >= 0 else place(flat, flat_dims, position)
                single(address, start + i * stride, flat_address, f, mode)
                position += 1

    return elements


@helper
def close_dims(tensor, dims, count):
    """How many of the listed dimensions, from the last one on, hold elements that lie close together."""
    run, taken = 1, 0
    while taken < count:
        d = word(dims, count - 1 - taken)
        size = word(tensor, ARRAY_SHAPE + d)
        if size != 1 and word(tensor, ARRAY_STRIDES + d) != run:
            break
        run *= size
        taken += 1
    return taken


@helper
def point(tensor, indices, words, b):
    """Where the point number `b` of index tensors lies along the dimensions that they index."""
    at = 0
    for k in range(word(words, I_INDICES)):
        d = word(words, I_DIMS + k)
        i = word(word(indices + k * DESCRIPTION, ARRAY_ADDRESS), b)
        if i < 0:
            i += word(tensor, ARRAY_SHAPE + d)
        at += i * word(tensor, ARRAY_STRIDES + d)
    return at


def _transfer(elements: Any, run: Any) -> Any:
    """``transfer(tensor, indices, words, flat, mode)``: see `Loops`."""

    @helper
    def transfer(tensor, indices, words, flat, mode):
        """Visit the points of index tensors; on the flat side their shape replaces the indexed dimensions."""
        outer, inner = word(words, I_OUTER), word(words, I_INNER)
        outer_dims = words + (I_DIMS + word(words, I_INDICES)) * 8
        inner_dims = outer_dims + outer * 8
        if word(words, I_INDICES) == 1 and inner == 0:
            elements(tensor, indices, words, outer_dims, flat, mode)
            return
        points = word(indices, ARRAY_NUMEL)
        step = step_of(flat)
        # trailing dimensions that lie close together move as one run
        close = close_dims(tensor, inner_dims, inner) if step >= 0 else 0
        inner -= close
        count = listed_numel(tensor, inner_dims + inner * 8, close)
        if count == 0:
            return
        runs = listed_numel(tensor, inner_dims, inner)
        address, flat_address = word(tensor, ARRAY_ADDRESS), word(flat, ARRAY_ADDRESS)
        flat_dims = word(flat, ARRAY_DIMS)
        position = 0
        for o in range(listed_numel(tensor, outer_dims, outer)):
            start = listed_place(tensor, outer_dims, outer, o)
            for b in range(points):
                t = start + point(tensor, indices, words, b)
                for r in range(runs):
                    f = position * step if step >= 0 else place(flat, flat_dims, position)
                    inside = listed_place(tensor, inner_dims, inner, r) if inner > 0 else 0
                    run(address, t + inside, flat_address, f, step, count, mode)
                    position += count

    return transfer


def _along(dtype: int) -> Any:
    """``along(tensor, index, flat, words, mode)``: see `Loops`."""
    single, line, item = _single(dtype), line_mover(dtype, False), abi.ITEM_SIZES[dtype]

    @helper
    def along(tensor, index, flat, words, mode):
        """Visit, for each point of an index tensor, the tensor's element whose one coordinate it replaces."""
        dim = word(words, L_DIM)
        dims = word(index, ARRAY_DIMS)
        numel = word(index, ARRAY_NUMEL)
        if numel == 0:
            return
        last = word(index, ARRAY_SHAPE + dims - 1)
        stride = word(tensor, ARRAY_STRIDES + dim)
        index_step = word(index, ARRAY_STRIDES + dims - 1)
        flat_step = word(flat, ARRAY_STRIDES + dims - 1)
        step = 0 if dim == dims - 1 else word(tensor, ARRAY_STRIDES + dims - 1)
        indices = word(index, ARRAY_ADDRESS)
        address, flat_address = word(tensor, ARRAY_ADDRESS), word(flat, ARRAY_ADDRESS)
        for row in range(quotient(numel, last)):
            x, f, t = 0, 0, 0
            left = row
            for back in range(dims - 1):
                d = dims - 2 - back
                width = word(index, ARRAY_SHAPE + d)
                rest = quotient(left, width)
                at = left - rest * width
                left = rest
                x += at * word(index, ARRAY_STRIDES + d)
                f += at * word(flat, ARRAY_STRIDES + d)
                if d != dim:
                    t += at * word(tensor, ARRAY_STRIDES + d)
            if mode != CLEAR and index_step == 1 and flat_step == 1:
                points = indices + x * abi.WORD
                line(address + t * item, flat_address + f * item, points, last, step, stride, 0, mode)
                continue
            for j in range(last):
                i = word(indices, x + j * index_step)
                to, of = t + j * step + i * stride, f + j * flat_step
                single(address, to, flat_address, of, mode)

    return along


def _whole_arrays(dtype: int) -> tuple[Any, Any]:
    """``copy_all(target, source)`` and ``clear_all(target)``."""
    load, store = accessors(dtype)
    item = abi.ITEM_SIZES[dtype]

    @helper
    def copy_all(target, source):
        """Copy an array into another of the same shape."""
        numel = word(target, ARRAY_NUMEL)
        to, of = word(target, ARRAY_ADDRESS), word(source, ARRAY_ADDRESS)
        if numel == 0 or to == of:
            return
        if step_of(target) == 1 and step_of(source) == 1:
            copy_bytes(to, of, numel * item)
            return
        dims = word(target, ARRAY_DIMS)
        last = word(target, ARRAY_SHAPE + dims - 1)
        t_step, s_step = word(target, ARRAY_STRIDES + dims - 1), word(source, ARRAY_STRIDES + dims - 1)
        for row in range(quotient(numel, last)):
            t, s = place(target, dims - 1, row), place(source, dims - 1, row)
            for j in range(last):
                store(to, t + j * t_step, load(of, s + j * s_step))

    @helper
    def clear_all(target):
        """Zero a row-major array."""
        clear_bytes(word(target, ARRAY_ADDRESS), word(target, ARRAY_NUMEL) * item)

    return copy_all, clear_all
