"""The gradients of chosen tensors: a walk that goes only where they are, and leaves every ``.grad`` alone.

The chosen slots are flagged CAPTURE, so that the walk leaves their cotangents where they are. Every slot on a path from
them is flagged NEEDED, and the walk drops what leads elsewhere.
"""

from ..kernels.arguments import Handle, Handles, Whole
from .backward import begin_walk, starting
from .cotangents import take_cotangent
from .gradients import operand
from .jit import entry, jit
from .layout import (
    BAD_SHAPE,
    CAPTURE,
    DEAD_OP,
    NEEDED,
    REQUIRES_GRAD,
    T_INPUTS,
    T_OP,
    T_OUTPUTS,
    T_WORDS,
    W_STATUS,
)
from .memory import give_block
from .pointers import load_word, store_word
from .tables import slot_at

WORD = 8


@jit
def mark_needed(c, first, last, mark):
    """Flag (or clear) every slot on a path from a captured slot, over the rows first .. last."""
    offset = first
    while offset <= last:
        row = c.tape + offset * WORD
        if load_word(row, T_OP) != DEAD_OP:
            inputs = load_word(row, T_INPUTS)
            leads = False
            for k in range(inputs):
                slot = operand(row, k)
                if slot != 0 and slot_at(c, slot).flags & (CAPTURE | NEEDED):
                    leads = True
            for k in range(inputs, inputs + load_word(row, T_OUTPUTS)):
                slot = operand(row, k)
                if slot != 0:
                    if mark and leads:
                        slot_at(c, slot).flags |= NEEDED
                    elif not mark:
                        slot_at(c, slot).flags &= ~NEEDED
        offset += load_word(row, T_WORDS)
    return 0


@entry
def mark_chosen(c, first, last, mark, given: Handles):
    """Flag (or clear) the listed slots as CAPTURE, and every slot on a path from them over the rows first .. last."""
    for k in range(load_word(given, 0)):
        record = slot_at(c, load_word(given, 1 + k))
        if mark:
            record.flags |= CAPTURE
        else:
            record.flags &= ~CAPTURE
    return mark_needed(c, first, min(last, c.tape_top - 1), mark)


@jit
def choose(c, given):
    """Flag the listed slots; False, with none flagged, when one is listed twice or asks for no gradient."""
    count = load_word(given, 0)
    for k in range(count):
        record = slot_at(c, load_word(given, 1 + k))
        if record.flags & CAPTURE != 0 or record.flags & REQUIRES_GRAD == 0:
            for j in range(k):
                slot_at(c, load_word(given, 1 + j)).flags &= ~CAPTURE
            return False
        record.flags |= CAPTURE
    return True


@entry
def captured(c, state, first, given: Handles) -> Handles:
    """After a walk to chosen tensors: their gradients, or None; marks go, and the walk's state with them."""
    mark_needed(c, first, c.last_row, 0)
    for k in range(load_word(given, 0)):
        store_word(given, 1 + k, take_cotangent(c, load_word(given, 1 + k)))
    give_block(c, state, 0)
    return given


@entry
def gradients(c, first, root: Handle, retain: Whole, gradient, given: Handles) -> Handles:
    """The whole of ``autograd.grad`` with one output, when nothing is in the way: a gradient an input, or None.

    Rows before `first` are none of the walk's. A negative status means that nothing has changed; see `starting` for
    that and for `gradient`. For a walk that stops for Python it is the state's address with its sign turned; the state
    holds the status, and the marks stay until `captured`.
    """
    if c.walks > 0 or not choose(c, given):
        return BAD_SHAPE
    state = starting(c, root, retain, gradient, 1)
    if state < 0:
        for k in range(load_word(given, 0)):
            slot_at(c, load_word(given, 1 + k)).flags &= ~CAPTURE
        return state
    mark_needed(c, first, slot_at(c, root).row, 1)
    status = begin_walk(c, state, root)
    if status != 0:
        store_word(state, W_STATUS, status)
        return -state
    return captured(c, state, first, given)
