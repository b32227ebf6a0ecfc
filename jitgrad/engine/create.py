"""Tensors from nothing, and those that show what others do: empty ones, numbers, and tensors without their history."""

from ..kernels.abi import BOOL, FLOAT32, FLOAT64, INT32, INT64, MAX_DIMS
from ..kernels.arguments import UNFIT, Handle, Wholes
from .handles import release
from .jit import entry, jit, recorder
from .layout import (
    BAD_DTYPE,
    BEHIND_RECORD,
    CONTIGUOUS,
    FAMILIES,
    FAMILY,
    INFERENCE,
    INFERENCE_MODE,
    OUT_OF_MEMORY,
    WRAPPED,
)
from .memory import new_storage
from .pointers import (
    float_word,
    load_word,
    memset,
    store_byte,
    store_float32,
    store_int32,
    store_word,
)
from .record import apply
from .recording import keep_constant, keep_zeros
from .slots import alias, new_slot, set_contiguous
from .tables import (
    slot_at,
    storage_at,
)
from .tape_rows import item_size, mode_of_thread, room


@entry
def empty(c, dtype, dims, shape, zero):
    """A contiguous tensor with the shape at an address, zeroed on request; one handle."""
    status = room(c, 0)
    if status != 0:
        return status
    numel = 1
    for d in range(dims):
        numel *= load_word(shape, d)
    size = numel * item_size(dtype)
    storage = new_storage(c, size)
    if storage == 0:
        return OUT_OF_MEMORY
    address = storage_at(c, storage).address
    s = new_slot(c, storage, address, dtype)
    record = slot_at(c, s)
    record.dims = dims
    for d in range(dims):
        record.shape[d] = load_word(shape, d)
    set_contiguous(record)
    record.handles = 1
    if zero:
        memset(address, 0, size)
        keep_zeros(c, storage)
    if mode_of_thread(c) == INFERENCE_MODE:
        record.flags |= INFERENCE
    return s


@entry
def of_sizes(c, dtype, zero, sizes: Wholes) -> Handle:
    """`empty` with the sizes as a script gives them."""
    dims = load_word(sizes, 0)
    if dims > MAX_DIMS:
        return UNFIT
    for d in range(dims):
        if load_word(sizes, 1 + d) < 0:
            return UNFIT
    return empty(c, dtype, dims, sizes + 8, zero)


@jit
def store_number(address, dtype, value, whole):
    """Write a number as one element: `value` of a floating dtype, `whole` of another."""
    if dtype == FLOAT64:
        store_word(address, 0, float_word(value))
    elif dtype == FLOAT32:
        store_float32(address, value)
    elif dtype == INT32:
        store_int32(address, whole)
    elif dtype == INT64:
        store_word(address, 0, whole)
    else:
        store_byte(address, whole)


@entry
def number(c, dtype, value: float, whole):
    """A tensor without dimensions made from a Python number; it does not decide dtypes. One handle."""
    status = room(c, 0)
    if status != 0:
        return status
    storage = new_storage(c, 8)
    if storage == 0:
        return OUT_OF_MEMORY
    address = storage_at(c, storage).address
    s = new_slot(c, storage, address, dtype)
    record = slot_at(c, s)
    record.dims = 0
    record.numel = 1
    record.flags = CONTIGUOUS | WRAPPED
    record.handles = 1
    store_number(address, dtype, value, whole)
    keep_constant(c, storage)
    return s


@entry
def spaced(c, dtype, start: float, step: float, end: float, count) -> Handle:
    """`count` numbers, `step` apart, each counted from the nearer end, so that both ends are exact."""
    at = c.scratch + (BEHIND_RECORD << 3)
    store_word(at, 0, count)
    made = empty(c, dtype, 1, at, 0)
    if made < 0:
        return made
    address, item = slot_at(c, made).address, item_size(dtype)
    late = count - (count >> 1)
    for k in range(count):
        value = start + step * k if k < late else end - step * (count - 1 - k)
        store_number(address + k * item, dtype, value, int(value))
    keep_constant(c, slot_at(c, made).storage)
    return made


@entry
def triangle_places(c, dtype, rows, columns, offset, upper) -> Handle:
    """Rows and columns of the places in a matrix on and below a diagonal, or on and above it: two lines of numbers."""
    shift = offset if upper else offset + 1
    count = 0
    for r in range(rows):
        edge = min(max(r + shift, 0), columns)
        count += columns - edge if upper else edge
    at = c.scratch + (BEHIND_RECORD << 3)
    store_word(at, 0, 2)
    store_word(at, 1, count)
    made = empty(c, dtype, 2, at, 0)
    if made < 0:
        return made
    item = item_size(dtype)
    first = slot_at(c, made).address
    second = first + count * item
    for r in range(rows):
        edge = min(max(r + shift, 0), columns)
        start, width = (edge, columns - edge) if upper else (0, edge)
        if dtype == INT64:
            for k in range(width):
                store_word(first, k, r)
                store_word(second, k, start + k)
        else:
            for k in range(width):
                store_number(first + k * item, dtype, float(r), r)
                store_number(second + k * item, dtype, float(start + k), start + k)
        first += width * item
        second += width * item
    keep_constant(c, slot_at(c, made).storage)
    return made


@jit
def category(dtype):
    """0 for bool, 1 for integers, 2 for floating point."""
    if dtype >= FLOAT32:
        return 2
    return 1 if dtype > BOOL else 0


@recorder
def apply_number(c, op, into, x, value: float, whole, kind, reflected):
    """A binary operation of a tensor and a Python number, which takes the tensor's dtype.

    `kind` is the number's category; one above the tensor's changes the dtype, which is Python's task.
    """
    status = room(c, 0)
    if status != 0:
        return status
    dtype = slot_at(c, x).dtype
    if kind > category(dtype):
        return BAD_DTYPE
    n = number(c, dtype, value, whole)
    if n < 0:
        return n
    a, b = (n, x) if reflected else (x, n)
    out = apply(c, op, into, a, b, 0, 0, 0, 0)
    release(c, n)
    return out


@entry
def filled(c, dtype, op, value: float, whole, sizes: Wholes) -> Handle:
    """A tensor with the same number everywhere, which `op` writes; it is `value` or `whole` as the dtype asks."""
    made = of_sizes(c, dtype, 0, sizes)
    if made < 0:
        return made
    written = apply_number(c, op, made, made, value, whole, 0, 0)
    if written != made:
        release(c, made)
        return written if written < 0 else UNFIT
    return made


@entry
def without_history(c, slot):
    """The same values without a history, for a tensor that drops its own; one handle."""
    status = room(c, 0)
    if status != 0:
        return status
    s = alias(c, slot)
    slot_at(c, s).handles = 1
    slot_at(c, s).flags |= slot_at(c, slot).flags & INFERENCE
    return s


@entry
def detach(c, slot):
    """The same values in a tensor that does not follow the history of this one; one handle."""
    s = without_history(c, slot)
    if s >= 0:
        c.families += 1
        slot_at(c, s).flags = slot_at(c, s).flags & ~FAMILIES | c.families * FAMILY
    return s


@entry
def detached(c, x: Handle) -> Handle:
    """`detach` of a tensor object."""
    return detach(c, x)
