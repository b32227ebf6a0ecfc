"""Views: new geometry on the same storage.

Every view but a reshape is a linear map of indices: an output dimension steps along one input dimension, or
along two at once (a diagonal), or along none (an expanded dimension), from a starting offset. The map is kept
in the row as words: the number of output dimensions; for each of them its size, first input dimension, step,
and second input dimension; then the starting index along each input dimension.
"""

from .jit import jit, recorder
from .layout import (
    CONTIGUOUS,
    ENABLED,
    FAMILIES,
    INFERENCE,
    IS_VIEW,
    NEED_KERNEL,
    NOT_VIEWABLE,
    REQUIRES_GRAD,
    RESHAPE,
    STALE_VIEW,
)
from .nests import put_id
from .pointers import (
    load_word,
)
from .record import walk_kernels
from .slots import classify, let_go, new_slot, set_contiguous
from .tables import slot_at, storage_at
from .tape_rows import item_size, mode_of_thread, room, write_row

DIM_WORDS = 4
D_SIZE, D_FIRST, D_STEP, D_SECOND = range(4)
NONE = -1


@jit
def map_strides(x, y, attrs):
    """Give `y` the shape and strides of the view `attrs` of `x`; returns the offset in elements."""
    dims = load_word(attrs, 0)
    y.dims = dims
    for j in range(dims):
        at = attrs + (1 + j * DIM_WORDS) * 8
        first = load_word(at, D_FIRST)
        second = load_word(at, D_SECOND)
        stride = 0
        if first != NONE:
            stride = x.strides[first] * load_word(at, D_STEP)
            if second != NONE:
                stride += x.strides[second]
        y.shape[j] = load_word(at, D_SIZE)
        y.strides[j] = stride
    offset = 0
    for d in range(x.dims):
        offset += load_word(attrs, 1 + dims * DIM_WORDS + d) * x.strides[d]
    return offset


@jit
def reshape_strides(x, y, dims, shape):
    """Give `y` the shape at address `shape` as a view of `x`; False when strides cannot express it."""
    y.dims = dims
    for d in range(dims):
        y.shape[d] = load_word(shape, d)
    set_contiguous(y)
    if x.flags & CONTIGUOUS:
        return True
    # match runs of input dimensions that are contiguous among themselves with runs of the output's
    j = dims - 1
    d = x.dims - 1
    while d >= 0:
        base = x.strides[d]
        run = x.shape[d]
        while d > 0 and (x.shape[d - 1] == 1 or x.strides[d - 1] == run * base):
            d -= 1
            run *= x.shape[d]
        if run != 1:
            left = run
            while j >= 0 and left > 1:
                size = y.shape[j]
                if left % size != 0:
                    return False
                y.strides[j] = base
                base *= size
                left //= size
                j -= 1
            if left != 1:
                return False
        d -= 1
    classify(y)
    return True


@recorder
def make_view(c, kind, name, x_slot, attrs, attr_count):
    """A view of a slot, recorded; returns its slot with one handle, or a negative status.

    `name` stands where other rows have their operation: a number by which Python knows the view's name.
    """
    status = room(c, attr_count)
    if status != 0:
        return status
    x = slot_at(c, x_slot)
    mode = mode_of_thread(c)
    record = mode == ENABLED and x.flags & REQUIRES_GRAD != 0
    if record and x.flags & IS_VIEW and x.history != storage_at(c, x.storage).history:
        return STALE_VIEW
    if record and not walk_kernels(c, x.dtype):
        return NEED_KERNEL
    out = new_slot(c, x.storage, x.address, x.dtype)
    y = slot_at(c, out)
    if kind == RESHAPE:
        if not reshape_strides(x, y, attr_count, attrs):
            y.handles = 0
            let_go(c, out)
            return NOT_VIEWABLE
        y.flags |= IS_VIEW
    else:
        offset = map_strides(x, y, attrs)
        y.address = x.address + offset * item_size(x.dtype)
        y.flags = IS_VIEW
        classify(y)
    y.handles = 1
    if record:
        put_id(c, 0, out)
        put_id(c, 1, x_slot)
        write_row(c, name, kind, 1, 1, 0, attrs, attr_count)
    y.flags |= x.flags & (INFERENCE | FAMILIES)
    return out


@jit
def is_permutation(x, attrs):
    """Whether a view maps every element of `x` to exactly one of its own, repetitions of all of them aside."""
    numel = 1
    taken = 0
    for j in range(load_word(attrs, 0)):
        at = attrs + (1 + j * DIM_WORDS) * 8
        first, size = load_word(at, D_FIRST), load_word(at, D_SIZE)
        if first == NONE or size == 1:
            continue
        # windows of one dimension take it twice, and may have as many elements as it by chance
        if load_word(at, D_STEP) != 1 or load_word(at, D_SECOND) != NONE or (taken >> first) & 1:
            return False
        taken |= 1 << first
        numel *= size
    return numel == x.numel


@jit
def has_expansion(attrs):
    """Whether some dimension of the view repeats the same elements."""
    for j in range(load_word(attrs, 0)):
        at = attrs + (1 + j * DIM_WORDS) * 8
        if load_word(at, D_FIRST) == NONE and load_word(at, D_SIZE) != 1:
            return True
    return False
