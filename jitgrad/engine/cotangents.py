"""Cotangents on their way: given to slots, added up, and at the end handed to leaves as ``.grad``."""

from .gradients import (
    add_into,
    copy_of,
    ones_like,
    operand,
)
from .handles import (
    release,
)
from .jit import (
    entry,
    jit,
)
from .layout import (
    CAPTURE,
    CONTIGUOUS,
    DEAD_OP,
    FREED,
    FREED_ROW,
    GRAD_READ,
    NEED_KERNEL,
    NEEDED,
    OUT_OF_MEMORY,
    REQUIRES_GRAD,
    T_INPUTS,
    T_OP,
    T_OUTPUTS,
    T_PREV,
    TOUCHED,
    W_CAPTURE,
    W_CURSOR,
    W_LEAVES,
    W_PENDING,
)
from .pointers import (
    load_word,
    store_word,
)
from .record import walk_kernels
from .recording import note
from .shapes import all_apart
from .slots import (
    let_go,
)
from .tables import (
    slot_at,
    storage_at,
)
from .tape_rows import room
from .view_gradients import add_into_view
from .views import has_expansion

WORD = 8


@jit
def exclusive(c, slot):
    """Whether nobody else can see the values of a slot that we hold by one handle."""
    record = slot_at(c, slot)
    return record.handles == 1 and record.saved == 0 and storage_at(c, record.storage).refs == 1


@jit
def added_in_place(c, x, out, attrs):
    """Whether a view's cotangent could be added straight into its place in the one that `x` has already."""
    there = slot_at(c, x).cotangent
    if there == 0 or not exclusive(c, there) or has_expansion(attrs):
        return False
    add_into_view(c, there, slot_at(c, out).cotangent, attrs)
    return True


@entry
def give_cotangent(c, state, slot, cotangent):
    """Hand a cotangent (and its handle) to a slot, adding to one that is already there; 0 or a status.

    NEED_KERNEL leaves everything as it was; it comes for roots only: rows had their kernels when recorded.
    """
    record = slot_at(c, slot)
    if record.row <= FREED_ROW and record.flags & CAPTURE == 0:
        release(c, cotangent)
        return FREED
    if record.cotangent == 0:
        record.cotangent = cotangent
        if record.row >= 0:
            store_word(state, W_PENDING, load_word(state, W_PENDING) + 1)
        elif record.flags & TOUCHED == 0:
            record.flags |= TOUCHED
            record.next = load_word(state, W_LEAVES)
            store_word(state, W_LEAVES, slot)
        return 0
    if not walk_kernels(c, record.dtype):
        return NEED_KERNEL
    if not exclusive(c, record.cotangent):
        # what is there may be seen elsewhere: add into a copy
        own = copy_of(c, record.cotangent)
        if own == 0:
            release(c, cotangent)
            return OUT_OF_MEMORY
        release(c, record.cotangent)
        record.cotangent = own
    add_into(c, record.cotangent, cotangent)
    release(c, cotangent)
    return 0


@jit
def wanted(c, state, slot):
    """Whether the walk owes this operand a gradient."""
    flags = slot_at(c, slot).flags
    if flags & REQUIRES_GRAD == 0:
        return False
    return load_word(state, W_CAPTURE) == 0 or flags & (NEEDED | CAPTURE) != 0


@jit
def keep_gradient(c, slot, cotangent):
    """Add a complete cotangent (with its handle) to a slot's .grad; False without memory.

    What was there is added to in place, but for a tensor with repetitions, which a copy takes the place of.
    """
    record = slot_at(c, slot)
    note(c, GRAD_READ, slot)
    if record.grad != 0:
        if not all_apart(slot_at(c, record.grad)):
            own = copy_of(c, record.grad)
            if own == 0:
                return False
            release(c, record.grad)
            record.grad = own
        add_into(c, record.grad, cotangent)
        storage_at(c, slot_at(c, record.grad).storage).version += 1
        release(c, cotangent)
        return True
    if not exclusive(c, cotangent) or slot_at(c, cotangent).flags & CONTIGUOUS == 0:
        own = copy_of(c, cotangent)
        release(c, cotangent)
        if own == 0:
            return False
        cotangent = own
    slot_at(c, cotangent).flags &= ~REQUIRES_GRAD
    record.grad = cotangent
    return True


@jit
def hand_over(c, state):
    """Give the leaves their gradients; 0 or a status, after NEED_KERNEL with the rest still to be given."""
    leaf = load_word(state, W_LEAVES)
    status = 0
    while leaf != 0:
        record = slot_at(c, leaf)
        if not walk_kernels(c, record.dtype):
            store_word(state, W_LEAVES, leaf)
            return NEED_KERNEL
        following = record.next
        cotangent = record.cotangent
        record.cotangent = 0
        record.next = 0
        record.flags &= ~TOUCHED
        if not keep_gradient(c, leaf, cotangent):
            status = OUT_OF_MEMORY
        let_go(c, leaf)
        leaf = following
    store_word(state, W_LEAVES, 0)
    return status


@jit
def drop_leaves(c, state, spared):
    """Take the cotangents off the leaves, but for those with a flag of `spared`."""
    leaf = load_word(state, W_LEAVES)
    while leaf != 0:
        record = slot_at(c, leaf)
        following = record.next
        if record.flags & spared == 0:
            cotangent = record.cotangent
            record.cotangent = 0
            record.next = 0
            record.flags &= ~TOUCHED
            release(c, cotangent)
            let_go(c, leaf)
        leaf = following
    store_word(state, W_LEAVES, 0)


@entry
def abandon(c, state):
    """Drop every waiting cotangent of a walk that failed, so that the graph is as before it."""
    offset = load_word(state, W_CURSOR)
    while offset >= 0:
        row = c.tape + offset * WORD
        previous = load_word(row, T_PREV)
        if load_word(row, T_OP) != DEAD_OP:
            inputs = load_word(row, T_INPUTS)
            for k in range(inputs, inputs + load_word(row, T_OUTPUTS)):
                slot = operand(row, k)
                if slot != 0 and slot_at(c, slot).cotangent != 0:
                    cotangent = slot_at(c, slot).cotangent
                    slot_at(c, slot).cotangent = 0
                    release(c, cotangent)
                    let_go(c, slot)  # it may have been all that kept the slot, and so the row
        offset = previous
    drop_leaves(c, state, 0)
    store_word(state, W_PENDING, 0)
    return 0


@entry
def take_cotangent(c, slot):
    """Take the captured cotangent off a slot: its slot with the handle, or 0."""
    record = slot_at(c, slot)
    cotangent = record.cotangent
    record.cotangent = 0
    record.next = 0
    record.flags &= ~(TOUCHED | CAPTURE)
    let_go(c, slot)
    return cotangent


@entry
def ones(c, slot):
    """`ones_like` for Python."""
    status = room(c, 0)
    if status != 0:
        return status
    out = ones_like(c, slot)
    return out if out != 0 else OUT_OF_MEMORY
