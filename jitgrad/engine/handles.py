"""What Python's tensor objects do to their slots: hold and release them, set flags and gradients."""

from .jit import entry
from .layout import CONTIGUOUS, GRAD_SET, ORPHAN
from .memory import drop_storage, hold_storage
from .pointers import load_word
from .recording import note
from .slots import let_go, win_back
from .tables import slot_at


@entry
def retain(c, slot):
    """Count one more handle on a slot."""
    record = slot_at(c, slot)
    record.handles += 1
    if record.flags & ORPHAN:
        win_back(c, record)
    return slot


@entry
def release(c, slot):
    """Drop one handle."""
    slot_at(c, slot).handles -= 1
    let_go(c, slot)
    return 0


@entry
def release_held(c, slot):
    """Drop a program's handle."""
    slot_at(c, slot).programs -= 1
    slot_at(c, slot).handles -= 1
    let_go(c, slot)
    return 0


@entry
def set_flag(c, slot, flag, on):
    """Set or clear bits of a slot's flags."""
    record = slot_at(c, slot)
    if on:
        record.flags |= flag
    else:
        record.flags &= ~flag
    return 0


@entry
def set_grad(c, slot, gradient):
    """Replace a slot's .grad; 0 for none. The gradient gains a handle."""
    record = slot_at(c, slot)
    if gradient != 0:
        slot_at(c, gradient).handles += 1
    note(c, GRAD_SET, slot)
    before = record.grad
    record.grad = gradient
    if before != 0:
        release(c, before)
    return 0


@entry
def adopt(c, slot, source):
    """Give a slot the values and geometry of another, keeping its flags, gradient and handles."""
    record, other = slot_at(c, slot), slot_at(c, source)
    hold_storage(c, other.storage)
    if record.storage != 0:
        drop_storage(c, record.storage)
    record.storage = other.storage
    record.address = other.address
    record.dtype = other.dtype
    record.dims = other.dims
    record.numel = other.numel
    for d in range(other.dims):
        record.shape[d] = other.shape[d]
        record.strides[d] = other.strides[d]
    record.flags = (record.flags & ~CONTIGUOUS) | (other.flags & CONTIGUOUS)
    return 0


@entry
def alike(c, ids, count):
    """How many of the slots at address `ids`, from the first on, have the first one's dtype and sizes."""
    first = slot_at(c, load_word(ids, 0))
    for k in range(1, count):
        other = slot_at(c, load_word(ids, k))
        same = other.dtype == first.dtype and other.dims == first.dims
        for d in range(first.dims):
            same = same and other.shape[d] == first.shape[d]
        if not same:
            return k
    return count
