"""Gradients of single operands: what one row hands back.

Every function returns a slot with one handle, or 0 when the system has no memory.
"""

from ..kernels.abi import (
    A_ARRAYS,
    ARRAY_ADDRESS,
    ARRAY_WORDS,
    FLOAT32,
)
from .handles import (
    release,
)
from .jit import (
    jit,
)
from .layout import (
    CONTIGUOUS,
    RESHAPE,
    T_OPERANDS,
    USE_COTANGENT,
    USE_OUTPUT,
    USE_PASS,
)
from .memory import (
    new_storage,
)
from .nests import (
    map_nest,
    put_array,
    put_id,
    reduce_nest,
    run,
)
from .pointers import (
    float_word,
    load_word,
    memset,
    store_float32,
    store_word,
)
from .record import kernel_address
from .recording import keep_constant, keep_zeros
from .shapes import all_apart, apart, same_shape
from .slots import (
    alias,
    classify,
    new_slot,
    set_contiguous,
)
from .tables import (
    op_at,
    slot_at,
    storage_at,
)
from .tape_rows import item_size
from .views import (
    D_FIRST,
    DIM_WORDS,
    has_expansion,
    is_permutation,
    map_strides,
)

WORD = 8
GRADIENTS = (1 << 15) + (1 << 14)  # words from the scratch record to the gradients of one row
REDUCE_ATTRS = GRADIENTS + (1 << 12)


@jit
def zeros_or_empty_like(c, slot, dtype, zero):
    """A contiguous slot of the same shape with one handle; 0 without memory."""
    x = slot_at(c, slot)
    size = x.numel * item_size(dtype)
    storage = new_storage(c, size)
    if storage == 0:
        return 0
    address = storage_at(c, storage).address
    s = new_slot(c, storage, address, dtype)
    y = slot_at(c, s)
    y.dims = x.dims
    for d in range(x.dims):
        y.shape[d] = x.shape[d]
    set_contiguous(y)
    y.handles = 1
    if zero:
        memset(address, 0, size)
        keep_zeros(c, storage)
    return s


@jit
def add_into(c, target, other):
    """``target += other`` on slots of one shape."""
    put_id(c, 0, target)
    put_id(c, 1, target)
    put_id(c, 2, other)
    kernel = kernel_address(c, c.add_op, 0, slot_at(c, target).dtype)
    map_nest(c, kernel, 3, 0, 0)
    run(c)


@jit
def copy_of(c, slot):
    """A contiguous copy with one handle; 0 without memory."""
    dtype = slot_at(c, slot).dtype
    out = zeros_or_empty_like(c, slot, dtype, False)
    if out != 0:
        put_id(c, 0, out)
        put_id(c, 1, slot)
        map_nest(c, kernel_address(c, c.copy_op, 0, dtype), 2, 0, 0)
        run(c)
    return out


@jit
def operand(row, k):
    """Slot of entry `k` of a row: operands first, then outputs."""
    return load_word(row, T_OPERANDS + 2 * k)


@jit
def sum_to(c, source, slot):
    """Sum `source` (its handle is given up) down to the shape of `slot`; 0 without memory."""
    g, x = slot_at(c, source), slot_at(c, slot)
    mask = 0
    for d in range(g.dims):
        own = d - (g.dims - x.dims)
        if own < 0 or (x.shape[own] == 1 and g.shape[d] != 1):
            mask |= 1 << d
    out = zeros_or_empty_like(c, slot, g.dtype, False)
    if out != 0:
        kernel = kernel_address(c, c.sum_op, 0, g.dtype)
        reduce_nest(c, kernel, g, mask, slot_at(c, out).address, 0, 0)
        run(c)
    release(c, source)
    return out


@jit
def map_operand(c, op, row, k, out, inputs, attrs, attr_count):
    """Gradient of a MAP row for operand `k`; its slot with one handle, or 0 without memory."""
    info = op_at(c, op)
    uses = info.uses[k]
    x = operand(row, k)
    cotangent = slot_at(c, out).cotangent
    if uses & USE_PASS:
        gradient = alias(c, cotangent)
        slot_at(c, gradient).handles = 1
    else:
        gradient = zeros_or_empty_like(c, out, slot_at(c, x).dtype, False)
        if gradient == 0:
            return 0
        put_id(c, 0, gradient)
        count = 1
        for j in range(inputs):
            if (uses >> j) & 1:
                put_id(c, count, operand(row, j))
                count += 1
        if uses & USE_OUTPUT:
            put_id(c, count, out)
            count += 1
        if uses & USE_COTANGENT:
            put_id(c, count, cotangent)
            count += 1
        dtype = slot_at(c, operand(row, info.main)).dtype
        map_nest(c, kernel_address(c, op, 1 + k, dtype), count, attrs, attr_count)
        run(c)
    if not same_shape(slot_at(c, gradient), slot_at(c, x)):
        gradient = sum_to(c, gradient, x)
    return gradient


@jit
def unreduced(c, slot, x_slot, mask):
    """A view of a reduced slot with size 1 in the reduced dimensions, so that it broadcasts."""
    y, x = slot_at(c, slot), slot_at(c, x_slot)
    s = alias(c, slot)
    out = slot_at(c, s)
    kept = y.dims == x.dims
    j = 0
    out.dims = x.dims
    for d in range(x.dims):
        if (mask >> d) & 1:
            out.shape[d] = 1
            out.strides[d] = 0
            if kept:
                j += 1
        else:
            out.shape[d] = y.shape[j]
            out.strides[d] = y.strides[j]
            j += 1
    out.flags &= ~CONTIGUOUS
    if out.numel == 1:
        out.flags |= CONTIGUOUS
    out.handles = 1
    return s


@jit
def reduce_operand(c, op, row, out, attrs, attr_count):
    """Gradient of a REDUCE row for its operand; its slot with one handle, or 0 without memory."""
    uses = op_at(c, op).uses[0]
    x = operand(row, 0)
    mask = load_word(attrs, 0)
    gradient = zeros_or_empty_like(c, x, slot_at(c, x).dtype, False)
    if gradient == 0:
        return 0
    put_id(c, 0, gradient)
    count = 1
    if uses & 1:
        put_id(c, count, x)
        count += 1
    y = 0
    if uses & USE_OUTPUT:
        y = unreduced(c, out, x, mask)
        put_id(c, count, y)
        count += 1
    g = unreduced(c, slot_at(c, out).cotangent, x, mask)
    put_id(c, count, g)
    count += 1
    # the number of elements folded into one is attribute 0 of the kernel
    folded = 1.0
    for d in range(slot_at(c, x).dims):
        if (mask >> d) & 1:
            folded *= slot_at(c, x).shape[d]
    store_word(c.scratch, REDUCE_ATTRS, float_word(folded))
    for j in range(attr_count - 2):
        store_word(c.scratch, REDUCE_ATTRS + 1 + j, load_word(attrs, 2 + j))
    kernel = kernel_address(c, op, 1, slot_at(c, x).dtype)
    map_nest(c, kernel, count, c.scratch + REDUCE_ATTRS * WORD, attr_count - 1)
    run(c)
    if y != 0:
        release(c, y)
    release(c, g)
    return gradient


@jit
def put_geometry(c, k, x, expand, like):
    """Describe an absent array's shape: a kernel may ask for the shape of a value that was not saved."""
    put_array(c, k, x, like.dims if expand else x.dims, like)
    store_word(c.scratch, A_ARRAYS + k * ARRAY_WORDS + ARRAY_ADDRESS, 0)


@jit
def view_operand(c, kind, row, out, attrs, attr_count):
    """Gradient of a view's row for its operand; its slot with one handle, or 0 without memory."""
    x_slot = operand(row, 0)
    cotangent = slot_at(c, out).cotangent
    if kind == RESHAPE:
        return reshaped(c, cotangent, x_slot)
    part = sum_repeated(c, cotangent, attrs)
    if part == 0:
        return 0
    if is_permutation(slot_at(c, x_slot), attrs):
        gradient = unpermuted(c, part, x_slot, attrs)
    else:
        gradient = zeros_or_empty_like(c, x_slot, slot_at(c, x_slot).dtype, True)
        if gradient != 0:
            take_order(slot_at(c, gradient), slot_at(c, x_slot))
            add_into_view(c, gradient, part, attrs)
    release(c, part)
    return gradient


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


@jit
def add_into_view(c, target, other, attrs):
    """``target[view] += other`` for the view that `attrs` describe."""
    window = alias(c, target)
    w = slot_at(c, window)
    w.handles = 1
    offset = map_strides(slot_at(c, target), w, attrs)
    w.address += offset * item_size(w.dtype)
    w.numel = slot_at(c, other).numel
    for d in range(w.dims):
        w.shape[d] = slot_at(c, other).shape[d]  # 1 where repetitions have been summed
    w.flags = 0
    if all_apart(w):
        add_into(c, window, other)
    else:
        add_one_by_one(c, window, other)
    release(c, window)


@jit
def add_one_by_one(c, window, other):
    """`add_into` where elements of the window share places: a call for each index along what brings them together."""
    w, g = slot_at(c, window), slot_at(c, other)
    together = ~widest_apart(w)
    part = alias(c, other)
    p = slot_at(c, part)
    p.handles = 1
    p.flags = 0
    turns = 1
    for d in range(w.dims):
        if (together >> d) & 1:
            turns *= w.shape[d]
            p.numel //= max(w.shape[d], 1)
            w.shape[d] = 1
            p.shape[d] = 1
    w.numel = p.numel
    start = w.address
    for turn in range(turns):
        w.address, p.address = start, g.address
        left = turn
        for d in range(w.dims):
            if (together >> d) & 1:
                index = left % g.shape[d]
                left //= g.shape[d]
                w.address += index * w.strides[d] * item_size(w.dtype)
                p.address += index * p.strides[d] * item_size(p.dtype)
        add_into(c, window, part)
    release(c, part)


@jit
def widest_apart(x):
    """Dimensions, as bits, along which no two elements of `x` share a place: the longest first."""
    chosen = 0
    tried = 0
    for _ in range(x.dims):
        longest = -1
        for d in range(x.dims):
            if (tried >> d) & 1 == 0 and (longest < 0 or x.shape[d] > x.shape[longest]):
                longest = d
        tried |= 1 << longest
        if apart(x, chosen | (1 << longest)):
            chosen |= 1 << longest
    return chosen


@jit
def reshaped(c, cotangent, x_slot):
    """The cotangent in the shape of slot `x_slot`, as a view where strides allow; 0 without memory."""
    source = cotangent
    made = 0
    if slot_at(c, cotangent).flags & CONTIGUOUS == 0:
        made = copy_of(c, cotangent)
        if made == 0:
            return 0
        source = made
    s = alias(c, source)
    y, x = slot_at(c, s), slot_at(c, x_slot)
    y.dims = x.dims
    for d in range(x.dims):
        y.shape[d] = x.shape[d]
    set_contiguous(y)
    y.handles = 1
    if made != 0:
        release(c, made)
    return s


@jit
def unpermuted(c, cotangent, x_slot, attrs):
    """The cotangent with the dimensions of `x_slot` put back in order, as a view."""
    s = alias(c, cotangent)
    y, x, g = slot_at(c, s), slot_at(c, x_slot), slot_at(c, cotangent)
    y.dims = x.dims
    for d in range(x.dims):
        y.shape[d] = x.shape[d]
        y.strides[d] = 1
    for j in range(load_word(attrs, 0)):
        first = load_word(attrs, 1 + j * DIM_WORDS + D_FIRST)
        if first >= 0 and g.shape[j] != 1:
            y.strides[first] = g.strides[j]
    y.handles = 1
    numel = 1
    contiguous = True
    for k in range(y.dims):
        d = y.dims - 1 - k
        if y.shape[d] != 1 and y.strides[d] != numel:
            contiguous = False
        numel *= y.shape[d]
    y.flags = CONTIGUOUS if contiguous else 0
    return s


@jit
def sum_repeated(c, source, attrs):
    """Slot `source`, with one handle more, or its sum over the dimensions along which the view repeats.

    These have size 1 then. 0 without memory.
    """
    slot_at(c, source).handles += 1
    if not has_expansion(attrs):
        return source
    shape = alias(c, source)  # that of the sum
    for j in range(load_word(attrs, 0)):
        if load_word(attrs, 1 + j * DIM_WORDS + D_FIRST) < 0:
            slot_at(c, shape).shape[j] = 1
    classify(slot_at(c, shape))
    slot_at(c, shape).handles = 1
    out = sum_to(c, source, shape)
    release(c, shape)
    return out


@jit
def ones_like(c, slot):
    """A contiguous slot of ones of the same shape and floating dtype, with one handle; 0 without memory."""
    out = zeros_or_empty_like(c, slot, slot_at(c, slot).dtype, False)
    if out != 0:
        record = slot_at(c, out)
        for k in range(record.numel):
            if record.dtype == FLOAT32:
                store_float32(record.address + 4 * k, 1.0)
            else:
                store_word(record.address, k, float_word(1.0))
        keep_constant(c, record.storage)
    return out
