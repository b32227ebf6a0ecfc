"""Slots and their lifetime.

A slot is kept by Python handles, by rows that saved its value, and by rows that route a gradient to it. Its
value goes when no handle and no row needs the value; the slot itself goes when nothing at all names it, and
with it, when no other output is left, the row that made it. Letting go of a row lets go of its operands, so
dropping the last handle on a result frees exactly the graph that nothing else can reach.
"""

from .jit import jit
from .layout import (
    CONTIGUOUS,
    DEAD_OP,
    FAMILIES,
    FREED_PYTHON,
    FREED_ROW,
    NEEDED,
    NO_ROW,
    NOT_SAVED,
    ORPHAN,
    PYTHON,
    SAVED_BY_MAKER,
    T_INPUTS,
    T_KIND,
    T_LIVE,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_PREV,
    T_WORDS,
)
from .memory import drop_value, hold_storage
from .pointers import (
    load_word,
    store_word,
)
from .tables import slot_at, storage_at

WORD = 8


@jit
def new_slot(c, storage, address, dtype):
    """A slot on a storage, without a shape yet and without a handle."""
    s = c.free_slot
    record = slot_at(c, s)
    c.free_slot = record.next
    c.slot_top = max(c.slot_top, s + 1)
    c.free_slots -= 1
    record.storage = storage
    record.address = address
    record.dtype = dtype
    record.flags = 0
    record.handles = 0
    record.saved = 0
    record.links = 0
    record.row = NO_ROW
    record.output = 0
    record.grad = 0
    record.cotangent = 0
    record.next = 0
    record.history = storage_at(c, storage).history
    record.programs = 0
    hold_storage(c, storage)
    return s


@jit
def set_contiguous(record):
    """Give a slot whose shape is set the strides of row-major order, and its number of elements."""
    numel = 1
    for k in range(record.dims):
        d = record.dims - 1 - k
        record.strides[d] = numel
        numel *= record.shape[d]
    record.numel = numel
    record.flags |= CONTIGUOUS


@jit
def classify(record):
    """Set the number of elements and the contiguity flag from shape and strides."""
    numel = 1
    contiguous = True
    for k in range(record.dims):
        d = record.dims - 1 - k
        if record.shape[d] != 1:
            if record.strides[d] != numel:
                contiguous = False
            numel *= record.shape[d]
    record.numel = numel
    if contiguous or numel == 0:
        record.flags |= CONTIGUOUS
    else:
        record.flags &= ~CONTIGUOUS


@jit
def alias(c, source):
    """A new slot with the geometry, storage and family of `source`."""
    s = new_slot(c, slot_at(c, source).storage, slot_at(c, source).address, slot_at(c, source).dtype)
    a, b = slot_at(c, source), slot_at(c, s)
    b.dims = a.dims
    b.numel = a.numel
    b.flags = a.flags & (CONTIGUOUS | FAMILIES)
    for d in range(a.dims):
        b.shape[d] = a.shape[d]
        b.strides[d] = a.strides[d]
    return s


@jit
def settle(c, slot, doomed):
    """Free what nobody needs of a slot; returns the new head of the list of doomed rows.

    A row that saved its own output does not keep it alive: otherwise the two would keep each other.
    """
    while slot != 0:
        record = slot_at(c, slot)
        own = 1 if record.flags & SAVED_BY_MAKER else 0
        if record.handles + record.saved - own > 0:
            return doomed
        if own == 0 and record.storage != 0:
            drop_value(c, slot)
        if record.links > 0 or record.cotangent != 0:
            return doomed
        if record.row >= 0 and record.flags & ORPHAN == 0:
            record.flags |= ORPHAN
            doomed = lose_output(c, record, doomed)
        if own:
            return doomed  # its row will settle it
        grad = record.grad
        record.grad = 0
        record.row = NO_ROW
        record.next = c.free_slot
        c.free_slot = slot
        c.free_slots += 1
        if grad != 0:
            slot_at(c, grad).handles -= 1
        slot = grad
    return doomed


@jit
def lose_output(c, record, doomed):
    """Tell the row of a slot that nobody needs this output; without any other it is doomed."""
    row = c.tape + record.row * WORD
    if record.flags & SAVED_BY_MAKER == 0:
        store_word(row, T_OPERANDS + 2 * (load_word(row, T_INPUTS) + record.output), 0)
    live = load_word(row, T_LIVE) - 1
    store_word(row, T_LIVE, live)
    if live == 0:
        # doomed rows wait in a list, linked through this word, instead of on a call stack
        store_word(row, T_LIVE, doomed)
        doomed = record.row
    return doomed


@jit
def win_back(c, record):
    """Tell the row of a slot that somebody needs this output again, which the row itself had kept."""
    record.flags &= ~ORPHAN
    if record.row >= 0:
        live = c.tape + (record.row + T_LIVE) * WORD
        store_word(live, 0, load_word(live, 0) + 1)


@jit
def let_go(c, slot):
    """Free a slot that has lost a holder, and every row and slot that only it kept."""
    drain(c, settle(c, slot, NO_ROW))


@jit
def drain(c, doomed):
    """Take the doomed rows off the tape, and those that this dooms in turn."""
    while doomed != NO_ROW:
        offset = doomed
        doomed = load_word(c.tape + offset * WORD, T_LIVE)
        doomed = unlink_row(c, offset, doomed)


@jit
def unlink_row(c, offset, doomed):
    """Take a row off its operands and outputs and mark it dead."""
    row = c.tape + offset * WORD
    inputs = load_word(row, T_INPUTS)
    outputs = load_word(row, T_OUTPUTS)
    op = load_word(row, T_OP)
    if load_word(row, T_KIND) == PYTHON:
        store_word(c.freed_nodes, c.freed_node_count, op)
        c.freed_node_count += 1
        op = FREED_PYTHON
    store_word(row, T_OP, DEAD_OP)
    store_word(row, T_LIVE, 0)
    c.dead_words += load_word(row, T_WORDS)
    c.live_rows -= 1
    for k in range(inputs + outputs):
        slot = load_word(row, T_OPERANDS + 2 * k)
        if slot == 0:
            continue
        version = load_word(row, T_OPERANDS + 2 * k + 1)
        record = slot_at(c, slot)
        if k >= inputs and record.row == offset:
            record.row = FREED_ROW - op
            record.flags &= ~NEEDED
        if version != NOT_SAVED:
            record.saved -= 1
            if k >= inputs:
                record.flags &= ~SAVED_BY_MAKER
        if k < inputs:
            record.links -= 1
        doomed = settle(c, slot, doomed)
    trim(c)
    return doomed


@jit
def trim(c):
    """Give back the tape's end when its last rows are dead, unless a walk stands on it."""
    if c.walks > 0:
        return
    while c.last_row >= (c.first_row if c.recording != 0 else 0):
        row = c.tape + c.last_row * WORD
        if load_word(row, T_OP) != DEAD_OP:
            return
        c.dead_words -= load_word(row, T_WORDS)
        c.tape_top = c.last_row
        c.last_row = load_word(row, T_PREV)


@jit
def compact(c):
    """Close the gaps that dead rows left in the middle of the tape."""
    source = 0
    target = 0
    previous = NO_ROW
    end = c.tape_top
    while source < end:
        row = c.tape + source * WORD
        words = load_word(row, T_WORDS)
        if load_word(row, T_OP) != DEAD_OP:
            moved = c.tape + target * WORD
            if target != source:
                for k in range(words):
                    store_word(moved, k, load_word(row, k))
            store_word(moved, T_PREV, previous)
            first = load_word(moved, T_INPUTS)
            for k in range(first, first + load_word(moved, T_OUTPUTS)):
                slot = load_word(moved, T_OPERANDS + 2 * k)
                if slot != 0 and slot_at(c, slot).row == source:
                    slot_at(c, slot).row = target
            previous = target
            target += words
        source += words
    c.tape_top = target
    c.last_row = previous
    c.dead_words = 0
