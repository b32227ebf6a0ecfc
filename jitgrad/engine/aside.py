"""One row of a walk by itself, for Python to look at what goes in and what comes out.

Where Python wants to see the gradients that a row hands back, it puts *stand-ins* in place of the row's slots:
slots of their own with the same geometry, which receive those gradients alone. A stand-in may also bring other
memory, when the saved value is one that Python kept.
"""

from .handles import release
from .jit import entry
from .layout import (
    CAPTURE,
    IS_VIEW,
    NEEDED,
    NOT_SAVED,
    REQUIRES_GRAD,
    SAVED_BY_MAKER,
    SPOILED_OUTSIDE,
    T_INPUTS,
    T_KIND,
    T_OPERANDS,
    WRAPPED,
)
from .memory import recording_here
from .pointers import load_word, store_word
from .slots import alias, let_go
from .tables import slot_at, storage_at
from .tape_rows import room
from .walk import walk_row

WORD = 8
KEPT = REQUIRES_GRAD | NEEDED | CAPTURE | WRAPPED


@entry
def stand_in(c, slot, values, lend):
    """A slot like `slot` with one handle, with the memory of slot `values` if that is not 0; or a status.

    With `lend` it shows the cotangent of `slot`, which stays that slot's.
    """
    status = room(c, 0)
    if status != 0:
        return status
    s = alias(c, slot if values == 0 else values)
    record, original = slot_at(c, s), slot_at(c, slot)
    if record.storage == 0:
        storage_at(c, 0).refs -= 1  # no storage at all has no holders
    record.flags = (record.flags & ~IS_VIEW) | (original.flags & KEPT)
    record.handles = 1
    if lend:
        record.cotangent = original.cotangent
    return s


@entry
def end_stand_in(c, slot):
    """Let a stand-in go, but not what it was lent."""
    record = slot_at(c, slot)
    record.cotangent = 0
    release(c, slot)
    return 0


@entry
def walk_one(c, state, offset):
    """Hand on the cotangents of one row that Python does not run; 0 or a status."""
    status = room(c, 0)
    if status != 0:
        return status
    if offset < c.first_row and recording_here(c):
        c.spoiled = SPOILED_OUTSIDE
    row = c.tape + offset * WORD
    c.detail[0] = offset
    return walk_row(c, state, row, load_word(row, T_KIND))


@entry
def swap_cotangent(c, slot, cotangent):
    """Put another cotangent (with its handle) in place of the one on a slot."""
    record = slot_at(c, slot)
    before = record.cotangent
    record.cotangent = cotangent
    if before != 0:
        release(c, before)
    return 0


@entry
def forget_saved(c, offset, k):
    """Entry `k` of a row no longer keeps its value; returns the version at which it was saved."""
    row = c.tape + offset * WORD
    place = T_OPERANDS + 2 * k
    slot, version = load_word(row, place), load_word(row, place + 1)
    store_word(row, place + 1, NOT_SAVED)
    record = slot_at(c, slot)
    record.saved -= 1
    if k >= load_word(row, T_INPUTS):
        record.flags &= ~SAVED_BY_MAKER
    let_go(c, slot)
    return version
