"""Elementwise records one of whose operands lies across the output, as a transposed matrix does.

A loop along the output's memory would pick each element of such an operand from another cache line. So the operand is
copied first, into memory laid out as the output is: copies turn squares of such a matrix in registers.
"""

from ..kernels.abi import (
    FLOAT32,
    ITEM_SIZES,
    N_SIZES,
    N_STREAMS,
    NEST_STRIDED,
    R_DIMS,
    R_LAYOUT,
    STREAM_WORDS,
)
from ..kernels.host import host
from .handles import release
from .jit import jit
from .layout import CONTIGUOUS, N_DTYPES, VARIANTS
from .memory import new_storage
from .nests import SHORT_ROW, get_id, map_nest, put_id, run
from .pointers import load_word
from .slots import new_slot, set_contiguous
from .tables import slot_at, storage_at
from .tape_rows import item_size

TURNS = host().turns(ITEM_SIZES[FLOAT32])
FROM = 512  # elements for which a second record is worth its while
WIDE = sum(1 << dtype for dtype, size in enumerate(ITEM_SIZES) if size in (4, 8))  # dtypes that turn, as bits
# entries from the working list to where its slots wait while operands are copied, and to what is read in their place
SAVED, PLACED = 64, 96


@jit
def run_map(c, kernel, count, attrs, attr_count):
    """Run a nest over the streams in the working list, see `map_nest`."""
    map_nest(c, kernel, count, attrs, attr_count)
    turned = 0
    if TURNS and c.extent >= FROM and load_word(c.scratch, R_LAYOUT) == NEST_STRIDED:
        turned = across(c, kernel, count)
    if turned == 0:
        run(c)
        return
    for k in range(count):
        put_id(c, SAVED + k, get_id(c, k))
    out = get_id(c, 0)
    for k in range(count):
        x = get_id(c, SAVED + k)
        put_id(c, PLACED + k, in_order(c, out, x) if (turned >> k) & 1 else x)
    take_ids(c, PLACED, count)
    map_nest(c, kernel, count, attrs, attr_count)
    run(c)
    take_ids(c, SAVED, count)
    for k in range(1, count):
        if get_id(c, PLACED + k) != get_id(c, k):
            release(c, get_id(c, PLACED + k))


@jit
def take_ids(c, place, count):
    """Fill the working list with the slots that wait at a place behind it."""
    for k in range(count):
        put_id(c, k, get_id(c, place + k))


@jit
def may_turn(x):
    """Whether slot record `x` may be an operand that is copied first."""
    return TURNS and x.flags & CONTIGUOUS == 0 and x.numel >= FROM and (WIDE >> x.dtype) & 1 != 0


@jit
def lies_across(x):
    """Whether slot record `x` may turn, and does not step by one element along its last dimension."""
    if not may_turn(x):
        return False
    found = False
    for k in range(x.dims):
        d = x.dims - 1 - k
        if x.shape[d] > 1:
            if x.strides[d] == 1:
                return found
            found = True
    return False


@jit
def across(c, kernel, count):
    """Streams of the record, as bits, that lie across the output, if all others lie along it."""
    dims = load_word(c.scratch, R_DIMS)
    if dims < 2 or kernel == copy_kernel(c, slot_at(c, get_id(c, 0)).dtype):
        return 0
    along, other = dims - 1, dims - 2
    if stride(c, 0, along) != 1:
        along, other = other, along
    size = load_word(c.scratch, N_SIZES + along)
    if stride(c, 0, along) != 1 or size < 2:
        return 0
    found = 0
    for k in range(1, count):
        dtype = slot_at(c, get_id(c, k)).dtype
        if stride(c, k, along) > 1:
            if stride(c, k, other) != 1 or (WIDE >> dtype) & 1 == 0 or copy_kernel(c, dtype) == 0:
                return 0
            found |= 1 << k
        elif stride(c, k, along) < 0 or (
            size < SHORT_ROW and stride(c, k, other) != size * stride(c, k, along)
        ):
            return 0  # short rows that do not go on in the next one are walked better across
    return found


@jit
def stride(c, k, d):
    """Stride of stream `k` of the record along its dimension `d`."""
    return load_word(c.scratch, N_STREAMS + k * STREAM_WORDS + 1 + d)


@jit
def copy_kernel(c, dtype):
    """Address of the copy kernel of a dtype, or 0."""
    return load_word(c.kernels, c.copy_op * VARIANTS * N_DTYPES + dtype)


@jit
def in_order(c, out, x):
    """A copy of slot `x` that lies as slot `out` does, with one handle; `x` itself where there is no room."""
    if c.free_storage < 0:
        return x
    like, dtype = slot_at(c, out), slot_at(c, x).dtype
    storage = new_storage(c, like.numel * item_size(dtype))
    if storage == 0:
        return x
    s = new_slot(c, storage, storage_at(c, storage).address, dtype)
    y = slot_at(c, s)
    y.dims = like.dims
    for d in range(like.dims):
        y.shape[d] = like.shape[d]
    set_contiguous(y)
    take_order(y, like)
    y.handles = 1
    put_id(c, 0, s)
    put_id(c, 1, x)
    map_nest(c, copy_kernel(c, dtype), 2, 0, 0)
    run(c)
    return s


@jit
def take_order(y, x):
    """Lay a contiguous slot out as another of its shape, if that has an order of dimensions and no gaps.

    What is a permuted view of contiguous memory gets a gradient that is one, too: permuted back it is contiguous.
    """
    if x.flags & CONTIGUOUS:
        return
    taken, step = 0, 1
    while step < x.numel:
        found = -1
        for d in range(x.dims):
            if x.strides[d] == step and x.shape[d] > 1 and (taken >> d) & 1 == 0:
                found = d
        if found < 0:
            return
        taken |= 1 << found
        step *= x.shape[found]
    for d in range(x.dims):
        y.strides[d] = x.strides[d]
    y.flags = 0
