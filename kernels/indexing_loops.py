"""The kernels that read and write at indices, for Numba; how they walk is in `kernels.index_walks`."""

from __future__ import annotations

from typing import Any

from . import abi
from .abi import (
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_DTYPE,
    ARRAY_NUMEL,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    RUNTIME_ERROR,
)
from .index_walks import (
    ADD,
    CLEAR,
    I_ACCUMULATE,
    I_INDICES,
    I_STATUS,
    L_ACCUMULATE,
    READ,
    WRITE,
    check_line,
    check_points,
    loops,
    report,
    step_of,
)
from .plain import (
    accessors,
    attributes,
    bits,
    clear_bytes,
    described,
    helper,
    place,
    quotient,
    room_for_array,
    set_word,
    word,
)

load_flag = accessors(abi.BOOL)[0]


def index(dtype: int) -> Any:
    """``y = x[i0, i1, ...]``."""
    transfer = loops(dtype).transfer

    def kernel(record, part, parts):
        words = attributes(record)
        x, indices = described(record, 0), described(record, 1)
        if part == 0 and check_points(x, indices, words):
            transfer(x, indices, words, described(record, 1 + word(words, I_INDICES)), READ)

    return kernel


def index_backward(dtype: int) -> Any:
    """The cotangent, added where the elements came from."""
    transfer, clear_all = loops(dtype).transfer, loops(dtype).clear_all
    item = abi.ITEM_SIZES[dtype]

    def kernel(record, part, parts):
        words = attributes(record)
        count = word(words, I_INDICES)
        gradient = described(record, count + 3)
        if part == 0 and word(gradient, ARRAY_ADDRESS) != 0:
            clear_all(gradient)
            transfer(gradient, described(record, 1), words, described(record, count + 2), ADD)
            row = word(words, I_ACCUMULATE) - 1  # of a padding index, which takes no gradient
            if row >= 0:
                bytes_ = quotient(word(gradient, ARRAY_NUMEL), word(gradient, ARRAY_SHAPE)) * item
                clear_bytes(word(gradient, ARRAY_ADDRESS) + row * bytes_, bytes_)

    return kernel


def index_put(dtype: int) -> Any:
    """``y = x`` with values written (or added) at ``[i0, i1, ...]``; `y` may be `x`."""
    transfer, copy_all = loops(dtype).transfer, loops(dtype).copy_all

    def kernel(record, part, parts):
        words = attributes(record)
        x, values, indices = described(record, 0), described(record, 1), described(record, 2)
        if part == 0 and check_points(x, indices, words):
            y = described(record, 2 + word(words, I_INDICES))
            copy_all(y, x)
            transfer(y, indices, words, values, ADD if word(words, I_ACCUMULATE) else WRITE)

    return kernel


def index_put_backward(dtype: int) -> Any:
    """To `x` the cotangent, less what was overwritten; to the values the cotangent where they went."""
    transfer, copy_all = loops(dtype).transfer, loops(dtype).copy_all

    def kernel(record, part, parts):
        words = attributes(record)
        count = word(words, I_INDICES)
        indices, g = described(record, 2), described(record, 3 + count)
        to_x, to_values = described(record, 4 + count), described(record, 5 + count)
        if part != 0:
            return
        if word(to_x, ARRAY_ADDRESS) != 0:
            copy_all(to_x, g)
            if word(words, I_ACCUMULATE) == 0:
                transfer(to_x, indices, words, to_x, CLEAR)
        if word(to_values, ARRAY_ADDRESS) != 0:
            transfer(g, indices, words, to_values, READ)

    return kernel


def gather(dtype: int) -> Any:
    """``y[.., j, ..] = x[.., index[.., j, ..], ..]``."""
    along = loops(dtype).along

    def kernel(record, part, parts):
        words = attributes(record)
        x, index_ = described(record, 0), described(record, 1)
        if part == 0 and check_line(x, index_, words):
            along(x, index_, described(record, 2), words, READ)

    return kernel


def gather_backward(dtype: int) -> Any:
    """The cotangent, added where the elements came from."""
    along, clear_all = loops(dtype).along, loops(dtype).clear_all

    def kernel(record, part, parts):
        gradient = described(record, 4)
        if part == 0 and word(gradient, ARRAY_ADDRESS) != 0:
            clear_all(gradient)
            along(gradient, described(record, 1), described(record, 3), attributes(record), ADD)

    return kernel


def scatter(dtype: int) -> Any:
    """``y = x`` with ``y[.., index[.., j, ..], ..]`` written or added; `y` may be `x`."""
    along, copy_all = loops(dtype).along, loops(dtype).copy_all

    def kernel(record, part, parts):
        words = attributes(record)
        x, index_, y = described(record, 0), described(record, 1), described(record, 3)
        if part == 0 and check_line(x, index_, words):
            copy_all(y, x)
            along(y, index_, described(record, 2), words, ADD if word(words, L_ACCUMULATE) else WRITE)

    return kernel


def scatter_backward(dtype: int) -> Any:
    """To `x` the cotangent, less what was overwritten; to the source the cotangent where it went."""
    walks = loops(dtype)
    along, copy_all, clear_all = walks.along, walks.copy_all, walks.clear_all

    def kernel(record, part, parts):
        words = attributes(record)
        index_, g = described(record, 1), described(record, 4)
        to_x, to_source = described(record, 5), described(record, 7)
        if part != 0:
            return
        if word(to_x, ARRAY_ADDRESS) != 0:
            copy_all(to_x, g)
            if word(words, L_ACCUMULATE) == 0:
                along(to_x, index_, to_x, words, CLEAR)
        if word(to_source, ARRAY_ADDRESS) != 0:
            clear_all(to_source)
            along(g, index_, to_source, words, READ)

    return kernel


@helper
def window(array, words, region):
    """Where the region that view words at `words` name lies in an array.

    Writes a description (shape and strides) at address `region`, with the region's first element as address.
    """
    dims = word(words, 0)
    numel = 1
    for j in range(dims):
        at = words + (1 + 4 * j) * 8
        stride = word(array, ARRAY_STRIDES + word(at, 1)) * word(at, 2) if word(at, 1) >= 0 else 0
        if word(at, 3) >= 0:
            stride += word(array, ARRAY_STRIDES + word(at, 3))
        set_word(region, ARRAY_SHAPE + j, word(at, 0))
        set_word(region, ARRAY_STRIDES + j, stride)
        numel *= word(at, 0)
    offset = 0
    for d in range(word(array, ARRAY_DIMS)):
        offset += word(words, 1 + 4 * dims + d) * word(array, ARRAY_STRIDES + d)
    set_word(region, ARRAY_DIMS, dims)
    set_word(region, ARRAY_NUMEL, numel)
    size = 1 if word(array, ARRAY_DTYPE) <= 1 else 4
    if word(array, ARRAY_DTYPE) == abi.INT64 or word(array, ARRAY_DTYPE) == abi.FLOAT64:
        size = 8
    set_word(region, ARRAY_ADDRESS, word(array, ARRAY_ADDRESS) + offset * size)


def slice_put(dtype: int) -> Any:
    """``y = x`` with the region that view words name overwritten; `y` may be `x`."""
    copy_all = loops(dtype).copy_all

    def kernel(record, part, parts):
        x, values, y = described(record, 0), described(record, 1), described(record, 2)
        if part == 0:
            copy_all(y, x)
            region = room_for_array()
            window(y, attributes(record), region)
            copy_all(region, values)

    return kernel


def slice_put_backward(dtype: int) -> Any:
    """To `x` the cotangent outside the region; to the values the cotangent inside."""
    copy_all = loops(dtype).copy_all
    store = accessors(dtype)[1]

    def kernel(record, part, parts):
        words = attributes(record)
        region, g = room_for_array(), described(record, 3)
        to_x, to_values = described(record, 4), described(record, 5)
        if part != 0:
            return
        if word(to_values, ARRAY_ADDRESS) != 0:
            window(g, words, region)
            copy_all(to_values, region)
        if word(to_x, ARRAY_ADDRESS) != 0:
            copy_all(to_x, g)
            window(to_x, words, region)
            address, dims = word(region, ARRAY_ADDRESS), word(region, ARRAY_DIMS)
            for flat in range(word(region, ARRAY_NUMEL)):
                store(address, place(region, dims, flat), 0)

    return kernel


@helper
def fits_source(mask, source, words):
    """Whether a source has an element for every place of a mask; reports a number of elements that does not fit.

    The word behind the status asks for no more elements than places, either.
    """
    count, size = 0, word(source, ARRAY_NUMEL)
    flags, step, dims = word(mask, ARRAY_ADDRESS), step_of(mask), word(mask, ARRAY_DIMS)
    for k in range(word(mask, ARRAY_NUMEL)):
        count += load_flag(flags, k * step if step >= 0 else place(mask, dims, k))
    exact = word(words, I_STATUS + 1) != 0
    fits = count == size if exact else count <= size
    return fits or report(word(words, I_STATUS), RUNTIME_ERROR, 0, count, size)


def masked_scatter(dtype: int) -> Any:
    """``y = x`` with the elements of a row-major source, in order, where a mask is set; `y` may be `x`."""
    copy_all = loops(dtype).copy_all
    load, store = bits(dtype)

    def kernel(record, part, parts):
        mask, source = described(record, 1), described(record, 2)
        if part != 0 or not fits_source(mask, source, attributes(record)):
            return
        y, numel = described(record, 3), word(mask, ARRAY_NUMEL)
        copy_all(y, described(record, 0))
        flags, step, dims = word(mask, ARRAY_ADDRESS), step_of(mask), word(mask, ARRAY_DIMS)
        to, dense, of = word(y, ARRAY_ADDRESS), step_of(y), word(source, ARRAY_ADDRESS)
        count, last = 0, word(source, ARRAY_NUMEL) - 1
        if last < 0:
            return
        for k in range(numel):
            flag = load_flag(flags, k * step if step >= 0 else place(mask, dims, k))
            at = k if dense == 1 else place(y, dims, k)
            # one of both is written in any case: a random mask cannot be foretold
            value, old = load(of, min(count, last)), load(to, at)
            store(to, at, value if flag else old)
            count += flag

    return kernel


def masked_scatter_backward(dtype: int) -> Any:
    """To `x` the cotangent outside the mask; to the source, in order, that inside."""
    copy_all, clear_all = loops(dtype).copy_all, loops(dtype).clear_all
    load, store = accessors(dtype)

    def kernel(record, part, parts):
        mask, g = described(record, 1), described(record, 4)
        to_x, to_source = described(record, 5), described(record, 7)
        if part != 0:
            return
        flags, step, dims = word(mask, ARRAY_ADDRESS), step_of(mask), word(mask, ARRAY_DIMS)
        if word(to_x, ARRAY_ADDRESS) != 0:
            copy_all(to_x, g)
            for k in range(word(mask, ARRAY_NUMEL)):
                old = load(word(to_x, ARRAY_ADDRESS), k)
                flag = load_flag(flags, k * step if step >= 0 else place(mask, dims, k))
                store(word(to_x, ARRAY_ADDRESS), k, 0 if flag else old)
        if word(to_source, ARRAY_ADDRESS) != 0:
            clear_all(to_source)
            count, dense = 0, step_of(g)
            for k in range(word(mask, ARRAY_NUMEL)):
                if load_flag(flags, k * step if step >= 0 else place(mask, dims, k)):
                    at = k * dense if dense >= 0 else place(g, dims, k)
                    store(word(to_source, ARRAY_ADDRESS), count, load(word(g, ARRAY_ADDRESS), at))
                    count += 1

    return kernel


def nonzero(dtype: int) -> Any:
    """The coordinates of elements that are not zero, one dimension after the other."""
    load = accessors(dtype)[0]

    def kernel(record, part, parts):
        x, y = described(record, 0), described(record, 1)
        if part != 0 or word(x, ARRAY_NUMEL) == 0:
            return
        dims = word(x, ARRAY_DIMS)
        address, to = word(x, ARRAY_ADDRESS), word(y, ARRAY_ADDRESS)
        last, step = word(x, ARRAY_SHAPE + dims - 1), word(x, ARRAY_STRIDES + dims - 1)
        count = quotient(word(y, ARRAY_NUMEL), dims)
        found = 0
        for row in range(quotient(word(x, ARRAY_NUMEL), last)):
            start = place(x, dims - 1, row)
            for j in range(last):
                if load(address, start + j * step) != 0 and found < count:
                    set_word(to, (dims - 1) * count + found, j)
                    left = row
                    for back in range(dims - 1):
                        d = dims - 2 - back
                        rest = quotient(left, word(x, ARRAY_SHAPE + d))
                        set_word(to, d * count + found, left - rest * word(x, ARRAY_SHAPE + d))
                        left = rest
                    found += 1

    return kernel
