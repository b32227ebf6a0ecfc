"""Values that come from Python's objects and go to them: arrays' memory, numbers, nested lists."""

import ctypes

from ..kernels.abi import MAX_DIMS
from ..kernels.arguments import UNFIT, Buffer, BufferView, Handle, Ints
from ..kernels.values_out import PAIR, V_ADDRESS, V_DIMS, V_DTYPE, V_SIZES, Sizes, Values
from .create import empty
from .jit import entry, jit
from .layout import BEHIND_RECORD, EXTERNAL
from .memory import recording_here, storage_of
from .pointers import load_int32, load_word, memcpy, store_word
from .recording import keep_constant
from .slots import classify, new_slot
from .tables import slot_at
from .tape_rows import item_size, room

WORD = ctypes.sizeof(ctypes.c_int64)
B_ADDRESS, B_BYTES, B_DIMS, B_SHAPE, B_STRIDES = (
    getattr(BufferView, name).offset for name in ("address", "bytes", "dims", "shape", "strides")
)


@jit
def described(c, x_slot, dims):
    """The description of what a slot shows, with all of its dimensions or of its first element."""
    x = slot_at(c, x_slot)
    words = c.scratch + BEHIND_RECORD * WORD
    store_word(words, V_DTYPE, x.dtype)
    store_word(words, V_ADDRESS, x.address)
    store_word(words, V_DIMS, dims)
    for d in range(dims):
        store_word(words, V_SIZES + PAIR * d, x.shape[d])
        store_word(words, V_SIZES + PAIR * d + 1, x.strides[d] * item_size(x.dtype))
    return words


@entry
def item(c, x: Handle) -> Values:
    """The only element; None where there are several, or none."""
    return described(c, x, 0) if slot_at(c, x).numel == 1 else 0


@entry
def nested(c, x: Handle) -> Values:
    """The elements as nested lists."""
    return described(c, x, slot_at(c, x).dims)


@jit
def listed(c, x_slot, of_steps):
    """The sizes, or the steps in memory, of a slot's dimensions."""
    words = c.scratch + BEHIND_RECORD * WORD
    x = slot_at(c, x_slot)
    store_word(words, 0, x.dims)
    for d in range(x.dims):
        store_word(words, 1 + d, x.strides[d] if of_steps else x.shape[d])
    return words


@entry
def sizes(c, x: Handle) -> Sizes:
    """The shape."""
    return listed(c, x, False)


@entry
def steps(c, x: Handle) -> Sizes:
    """The strides."""
    return listed(c, x, True)


@jit
def is_row_major(view, dims):
    """Whether the elements of a buffer lie one after the other."""
    shape, strides = load_word(view + B_SHAPE, 0), load_word(view + B_STRIDES, 0)
    numel = 1
    for k in range(dims):
        numel *= load_word(shape, k)
    step = load_word(view + B_BYTES, 0) // max(numel, 1)
    for k in range(dims):
        d = dims - 1 - k
        if load_word(strides, d) != step and load_word(shape, d) != 1:
            return numel == 0
        step *= load_word(shape, d)
    return True


@entry
def copied(c, dtype, values: Buffer) -> Handle:
    """A tensor with the values of an array, whose elements have this dtype and lie in row-major order."""
    dims = load_int32(values + B_DIMS)
    if dims > MAX_DIMS or not is_row_major(values, dims):
        return UNFIT
    s = empty(c, dtype, dims, load_word(values + B_SHAPE, 0), 0)
    if s >= 0:
        memcpy(slot_at(c, s).address, load_word(values + B_ADDRESS, 0), load_word(values + B_BYTES, 0))
        keep_constant(c, slot_at(c, s).storage)
    return s


@entry
def lent(c, dtype, strides: Ints, values: Buffer) -> Handle:
    """A tensor on the memory of an array, whose elements have this dtype.

    The array's own strides are given, in bytes: in its buffer those of dimensions of size 1 may be others.
    """
    dims = load_int32(values + B_DIMS)
    address, size = load_word(values + B_ADDRESS, 0), item_size(dtype)
    if dims > MAX_DIMS or dims != load_word(strides, 0) or address % size != 0:
        return UNFIT
    for d in range(dims):
        stride = load_word(strides, 1 + d)
        if stride < 0 or stride % size != 0:
            return UNFIT
    status = room(c, 0)
    if status != 0:
        return status
    owner = c.recording if recording_here(c) else 0
    storage = storage_of(c, address, load_word(values + B_BYTES, 0), EXTERNAL, owner)
    s = new_slot(c, storage, address, dtype)
    slot = slot_at(c, s)
    slot.dims = dims
    for d in range(dims):
        slot.shape[d] = load_word(load_word(values + B_SHAPE, 0), d)
        slot.strides[d] = load_word(strides, 1 + d) // size
    classify(slot)
    slot.handles = 1
    return s
