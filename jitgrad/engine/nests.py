"""Call records: loop nests over broadcast operands, reductions, and whole-array descriptors."""

from ..kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_DIMS,
    ARRAY_DTYPE,
    ARRAY_NUMEL,
    ARRAY_SHAPE,
    ARRAY_STRIDES,
    ARRAY_WORDS,
    ARRAYS,
    N_SIZES,
    N_STREAMS,
    NEST_BROADCAST,
    NEST_CONTIGUOUS,
    NEST_STRIDED,
    R_ATTRS,
    R_COUNT,
    R_DIMS,
    R_FLAGS,
    R_KERNEL,
    R_LAYOUT,
    R_NUMEL,
    R_WORDS,
    STREAM_WORDS,
)
from ..kernels.plain import call_part
from .jit import jit
from .layout import CONTIGUOUS
from .pointers import (
    load_word,
    store_word,
)
from .recording import log_record
from .tables import (
    slot_at,
)

IDS = 1 << 15  # words from the scratch record to the list of slots being worked on
GROUP = 64  # entries from there to the dimensions that a reduction keeps or folds
# strided rows of fewer elements go along the dimension before, when that is so many times as long
SHORT_ROW, LONGER = 16, 4


@jit
def put_id(c, k, slot):
    """Set entry `k` of the working list of slots."""
    store_word(c.scratch, IDS + k, slot)


@jit
def get_id(c, k):
    """Entry `k` of the working list of slots."""
    return load_word(c.scratch, IDS + k)


@jit
def run(c):
    """Run the record in the scratch buffer, and log it when a program is being recorded."""
    if c.extent < c.shared_from:
        call_part(load_word(c.scratch, R_KERNEL), c.scratch, 0, 1)
    else:
        run_large(c)
    if c.recording != 0:
        log_record(c)


@jit
def run_large(c):
    """Run a record that may be worth several threads."""
    if c.sharer != 0:
        call_part(c.sharer, c.scratch, c.team, c.extent)
    else:
        c.large += c.extent
        call_part(load_word(c.scratch, R_KERNEL), c.scratch, 0, 1)


@jit
def map_nest(c, kernel, count, attrs, attr_count):
    """A nest over the streams in the working list; stream 0 is the output and gives the shape."""
    r = c.scratch
    out = slot_at(c, get_id(c, 0))
    flat = True
    layout = NEST_CONTIGUOUS
    for k in range(count):
        x = slot_at(c, get_id(c, k))
        if x.numel == 1 and out.numel != 1:
            layout = NEST_BROADCAST
        elif x.numel != out.numel or x.flags & CONTIGUOUS == 0:
            flat = False
            break
    if flat:
        store_word(r, R_DIMS, 1)
        store_word(r, N_SIZES, out.numel)
        for k in range(count):
            x = slot_at(c, get_id(c, k))
            at = N_STREAMS + k * STREAM_WORDS
            store_word(r, at, x.address)
            store_word(r, at + 1, 0 if x.numel == 1 and out.numel != 1 else 1)
    else:
        layout = general_nest(c, count)
    c.extent = out.numel
    finish_nest(c, kernel, layout, count, out.numel, attrs, attr_count)


@jit
def order_dims(c, count):
    """List the output's dimensions as they lie in memory, those of size one left out; returns how many.

    The list follows the `count` slots in the working list. The innermost loop of a nest then runs where the
    output's elements are nearest to one another.
    """
    out = slot_at(c, get_id(c, 0))
    listed = 0
    for d in range(out.dims):
        if out.shape[d] == 1:
            continue
        k = count + listed
        while k > count and out.strides[get_id(c, k - 1)] < out.strides[d]:
            put_id(c, k, get_id(c, k - 1))
            k -= 1
        put_id(c, k, d)
        listed += 1
    return listed


@jit
def general_nest(c, count):
    """Fill in sizes and strides of a nest that is not flat, merged; returns the layout class."""
    r = c.scratch
    out = slot_at(c, get_id(c, 0))
    dims = 0
    for j in range(order_dims(c, count)):
        d = get_id(c, count + j)
        size = out.shape[d]
        # a dimension continues the one before it when every stream steps over it evenly
        merge = dims > 0
        for k in range(count):
            x = slot_at(c, get_id(c, k))
            stride = broadcast_stride(x, out, d)
            before = load_word(r, N_STREAMS + k * STREAM_WORDS + dims)
            if merge and before != stride * size:
                merge = False
        if merge:
            dims -= 1
            store_word(r, N_SIZES + dims, load_word(r, N_SIZES + dims) * size)
        else:
            store_word(r, N_SIZES + dims, size)
        for k in range(count):
            x = slot_at(c, get_id(c, k))
            store_word(r, N_STREAMS + k * STREAM_WORDS + 1 + dims, broadcast_stride(x, out, d))
        dims += 1
    if dims == 0:
        store_word(r, N_SIZES, 1)
        for k in range(count):
            store_word(r, N_STREAMS + k * STREAM_WORDS + 1, 1)
        dims = 1
    store_word(r, R_DIMS, dims)
    for k in range(count):
        store_word(r, N_STREAMS + k * STREAM_WORDS, slot_at(c, get_id(c, k)).address)
    layout = inner_layout(c, count, dims)
    # a row has to be found before it is walked, and the first dimension stays where programs cut their strips
    if layout == NEST_STRIDED and dims > 2:
        size = load_word(r, N_SIZES + dims - 1)
        if size < SHORT_ROW and load_word(r, N_SIZES + dims - 2) >= LONGER * size:
            exchange_inner(c, count, dims)
            layout = inner_layout(c, count, dims)
    return layout


@jit
def inner_layout(c, count, dims):
    """The layout class of a nest by the strides of its innermost dimension."""
    layout = NEST_CONTIGUOUS
    for k in range(count):
        stride = load_word(c.scratch, N_STREAMS + k * STREAM_WORDS + dims)
        if stride == 0 and k > 0:
            layout = max(layout, NEST_BROADCAST)
        elif stride != 1:
            layout = NEST_STRIDED
    return layout


@jit
def exchange_inner(c, count, dims):
    """Exchange the two innermost dimensions of a nest."""
    exchange_words(c, N_SIZES + dims - 2)
    for k in range(count):
        exchange_words(c, N_STREAMS + k * STREAM_WORDS + dims - 1)


@jit
def exchange_words(c, at):
    """Exchange a word of the scratch record and the next one."""
    first = load_word(c.scratch, at)
    store_word(c.scratch, at, load_word(c.scratch, at + 1))
    store_word(c.scratch, at + 1, first)


@jit
def broadcast_stride(x, out, d):
    """Stride of `x` along dimension `d` of the shape it is broadcast to."""
    own = d - (out.dims - x.dims)
    if own < 0 or (x.shape[own] == 1 and out.shape[d] != 1):
        return 0
    return x.strides[own]


@jit
def finish_nest(c, kernel, layout, count, numel, attrs, attr_count):
    """Write a nest's header and attributes."""
    at = N_STREAMS + count * STREAM_WORDS
    header(c, kernel, layout, count, numel, at, attrs, attr_count)


@jit
def header(c, kernel, layout, count, numel, at, attrs, attr_count):
    """Write a record's header, with its attributes at word `at`."""
    r = c.scratch
    store_word(r, R_KERNEL, kernel)
    store_word(r, R_WORDS, at + attr_count)
    store_word(r, R_LAYOUT, layout)
    store_word(r, R_COUNT, count)
    store_word(r, R_ATTRS, at)
    store_word(r, R_NUMEL, numel)
    store_word(r, R_FLAGS, 0)
    for k in range(attr_count):
        store_word(r, at + k, load_word(attrs, k))


@jit
def dims_of_group(c, x, mask, folded):
    """List the dimensions of `x` that are kept, or those that are folded; returns how many. Sizes of one are left out.

    Kept ones are listed in their order, which is the output's, folded ones as they lie in memory, repeated ones first.
    """
    listed = 0
    for d in range(x.dims):
        if x.shape[d] == 1 or (mask >> d) & 1 != folded:
            continue
        k = GROUP + listed
        while folded and k > GROUP and lies_within(x, get_id(c, k - 1), d):
            put_id(c, k, get_id(c, k - 1))
            k -= 1
        put_id(c, k, d)
        listed += 1
    return listed


@jit
def lies_within(x, d, other):
    """Whether steps along dimension `d` of `x` are shorter than along another."""
    return x.strides[d] != 0 and (x.strides[other] == 0 or x.strides[d] < x.strides[other])


@jit
def reduce_nest(c, kernel, x, mask, out_address, attrs, attr_count):
    """A nest that folds `x` over the dimensions in `mask` into a contiguous output.

    Kept dimensions come first, reduced ones last, see `dims_of_group`, each group merged; attribute 0 counts the
    kept ones. The record's numel is that of the output, its layout says which group steps by one element.
    """
    r = c.scratch
    dims = 0
    kept = 0
    out_numel = 1
    for group in range(2):
        start = dims
        for j in range(dims_of_group(c, x, mask, group)):
            d = get_id(c, GROUP + j)
            size = x.shape[d]
            stride = x.strides[d]
            at = N_STREAMS + STREAM_WORDS + 1
            if dims > start and load_word(r, at + dims - 1) == stride * size:
                store_word(r, N_SIZES + dims - 1, load_word(r, N_SIZES + dims - 1) * size)
                store_word(r, at + dims - 1, stride)
            else:
                store_word(r, N_SIZES + dims, size)
                store_word(r, at + dims, stride)
                dims += 1
        if group == 0:
            kept = dims
    if dims == kept:  # nothing is folded: one turn over one element
        store_word(r, N_SIZES + dims, 1)
        store_word(r, N_STREAMS + STREAM_WORDS + 1 + dims, 1)
        dims += 1
    for k in range(dims):
        d = dims - 1 - k
        if d >= kept:
            store_word(r, N_STREAMS + 1 + d, 0)
        else:
            store_word(r, N_STREAMS + 1 + d, out_numel)
            out_numel *= load_word(r, N_SIZES + d)
    store_word(r, N_STREAMS, out_address)
    store_word(r, N_STREAMS + STREAM_WORDS, x.address)
    store_word(r, R_DIMS, dims)
    layout = NEST_STRIDED
    if load_word(r, N_STREAMS + STREAM_WORDS + dims) == 1:
        layout = NEST_CONTIGUOUS
    elif kept > 0 and load_word(r, N_STREAMS + STREAM_WORDS + kept) == 1:
        layout = NEST_BROADCAST
    at = N_STREAMS + 2 * STREAM_WORDS
    c.extent = x.numel
    header(c, kernel, layout, 2, out_numel, at + 1, attrs, attr_count)
    store_word(r, R_ATTRS, at)
    store_word(r, at, kept)


@jit
def put_array(c, k, x, dims, like):
    """Describe `x` as array `k`, with leading dimensions of stride 0 up to `dims`, sized as `like`."""
    at = A_ARRAYS + k * ARRAY_WORDS
    r = c.scratch
    store_word(r, at + ARRAY_ADDRESS, x.address)
    store_word(r, at + ARRAY_DTYPE, x.dtype)
    store_word(r, at + ARRAY_DIMS, dims)
    store_word(r, at + ARRAY_NUMEL, x.numel)
    pad = dims - x.dims
    for d in range(pad):
        store_word(r, at + ARRAY_SHAPE + d, like.shape[d])
        store_word(r, at + ARRAY_STRIDES + d, 0)
    for d in range(x.dims):
        store_word(r, at + ARRAY_SHAPE + pad + d, x.shape[d])
        store_word(r, at + ARRAY_STRIDES + pad + d, x.strides[d])


@jit
def put_absent(c, k):
    """Array `k` is not there."""
    store_word(c.scratch, A_ARRAYS + k * ARRAY_WORDS + ARRAY_ADDRESS, 0)


@jit
def finish_arrays(c, kernel, count, numel, attrs, attr_count):
    """Write the header and attributes of a record of arrays."""
    extent = 0
    for k in range(count):
        at = A_ARRAYS + k * ARRAY_WORDS
        if load_word(c.scratch, at + ARRAY_ADDRESS) != 0:
            extent += load_word(c.scratch, at + ARRAY_NUMEL)
    c.extent = extent
    header(c, kernel, ARRAYS, count, numel, A_ARRAYS + count * ARRAY_WORDS, attrs, attr_count)
