"""The walk back over the tape: each row turns the cotangents of its outputs into those of its operands.

A slot's cotangent is complete when the walk reaches the row that made it, because every row that used it stands
later on the tape. The walk stops as soon as no cotangent is waiting, so its length is that of the graph, not of
the tape. Rows are freed as it passes them. It returns to Python for rows that only Python can run, and for
table space; its state is in the caller's hands, so it goes on from there, and walks may nest.

Gradients of leaves are handed over at the very end: a walk that fails leaves every ``.grad`` as it was.
"""

from .cotangents import give_cotangent
from .gradients import ones_like
from .jit import entry, jit
from .layout import (
    BAD_SHAPE,
    FREED_ROW,
    NO_ROW,
    OUT_OF_MEMORY,
    REQUIRES_GRAD,
    W_CAPTURE,
    W_CURSOR,
    W_RETAIN,
    W_STATUS,
    WALK_WORDS,
)
from .memory import give_block, take_block
from .pointers import load_word, store_word
from .shapes import same_shape
from .tables import slot_at
from .tape_rows import room
from .turns import end_walk
from .walk import walk

WORD = 8


@entry
def begin_walk(c, state, slot):
    """Start a walk at a slot; it and the other roots have their cotangents already.

    Returns what `walk` returns; after 0 the walk is over, otherwise it goes on or is abandoned.
    """
    c.walks += 1
    store_word(state, W_CURSOR, max(load_word(state, W_CURSOR), slot_at(c, slot).row))
    status = walk(c, state)
    if status == 0:
        end_walk(c)
    return status


@jit
def starting(c, slot, retain, gradient, capture):
    """The state of a walk from a slot that has its cotangent now, or a negative status with nothing changed.

    A `gradient` of 0 stands for a one, and the root has to have one element; otherwise it is the slot of the
    cotangent, which has to have the root's dtype and shape. Refused while another walk is under way.
    """
    record = slot_at(c, slot)
    if record.flags & REQUIRES_GRAD == 0 or record.row <= FREED_ROW or c.walks > 0:
        return BAD_SHAPE
    if gradient == 0:
        fits = record.numel == 1
    else:
        given = slot_at(c, gradient)
        fits = given.dtype == record.dtype and same_shape(record, given)
    if not fits:
        return BAD_SHAPE
    status = room(c, 0)
    if status != 0:
        return status
    state = take_block(c, 0)
    if state == 0:
        return OUT_OF_MEMORY
    seed = gradient
    if gradient == 0:
        seed = ones_like(c, slot)
    else:
        slot_at(c, gradient).handles += 1
    if seed == 0:
        give_block(c, state, 0)
        return OUT_OF_MEMORY
    for k in range(WALK_WORDS):
        store_word(state, k, 0)
    store_word(state, W_CURSOR, NO_ROW)
    store_word(state, W_RETAIN, retain)
    store_word(state, W_CAPTURE, capture)
    give_cotangent(c, state, slot, seed)  # the first one of its slot, which nothing can refuse
    return state


@entry
def backward(c, slot, retain, gradient):
    """The whole of ``loss.backward()`` or ``y.backward(gradient)``, when nothing is in the way.

    Returns 0 when it is done, or a negative status with nothing changed; see `starting`. A walk that stops for
    Python returns the address of its state, a block that `free_state` takes back; it holds the status.
    """
    state = starting(c, slot, retain, gradient, 0)
    if state < 0:
        return state
    status = begin_walk(c, state, slot)
    if status != 0:
        store_word(state, W_STATUS, status)
        return state
    give_block(c, state, 0)
    return 0


@entry
def free_state(c, state):
    """Take back the state of a walk that `backward` began."""
    give_block(c, state, 0)
    return 0
