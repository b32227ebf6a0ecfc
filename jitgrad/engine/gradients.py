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
    T_OPERANDS,
    USE_COTANGENT,
    USE_OUTPUT,
    USE_PASS,
)
from .memory import (
    new_storage,
)
from .nests import (
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
from .shapes import same_shape
from .slots import (
    alias,
    new_slot,
    set_contiguous,
)
from .tables import (
    op_at,
    slot_at,
    storage_at,
)
from .tape_rows import item_size
from .turning import run_map, take_order

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
    run_map(c, kernel, 3, 0, 0)


@jit
def copy_of(c, slot):
    """A contiguous copy with one handle; 0 without memory."""
    dtype = slot_at(c, slot).dtype
    out = zeros_or_empty_like(c, slot, dtype, False)
    if out != 0:
        put_id(c, 0, out)
        put_id(c, 1, slot)
        run_map(c, kernel_address(c, c.copy_op, 0, dtype), 2, 0, 0)
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
        take_order(slot_at(c, gradient), slot_at(c, out))
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
        run_map(c, kernel_address(c, op, 1 + k, dtype), count, attrs, attr_count)
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
    take_order(slot_at(c, gradient), slot_at(c, x))
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
    run_map(c, kernel, count, c.scratch + REDUCE_ATTRS * WORD, attr_count - 1)
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
