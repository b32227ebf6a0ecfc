"""Rows of the tape: whether an operation needs one, room for it, and writing it."""

from .jit import jit
from .layout import (
    ENABLED,
    INFERENCE,
    INFERENCE_SAVED,
    IS_VIEW,
    MODES,
    NEED_SLOTS,
    NEED_STORAGES,
    NEED_TAPE,
    NEED_TEAM,
    NOT_SAVED,
    REQUIRES_GRAD,
    SAVED_BY_MAKER,
    STALE_VIEW,
    T_ATTRS,
    T_INPUTS,
    T_KIND,
    T_LIVE,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_PREV,
    T_WORDS,
    USE_OUTPUT,
    USES,
)
from .nests import get_id, put_id
from .pointers import load_word, store_word, thread_ident
from .slots import alias, compact
from .tables import slot_at, storage_at

WORD = 8
MARGIN = 64  # free slots and storages that any one call may use
ROW_MARGIN = 256  # words of tape
ON_ONE_THREAD = 1 << 25  # elements of large records: some tens of milliseconds


@jit
def mode_of_thread(c):
    """Whether this thread records: ENABLED, DISABLED or INFERENCE_MODE."""
    if c.modes == 0:
        return ENABLED
    ident = thread_ident()
    for k in range(MODES):
        if c.mode_thread[k] == ident:
            return c.mode[k]
    return ENABLED


@jit
def room(c, words):
    """Make sure that a call cannot run out of table entries half-way; 0 or a NEED_ status."""
    if c.free_slots < MARGIN:
        return NEED_SLOTS
    if c.free_storage < 0:
        return NEED_STORAGES
    if c.large > ON_ONE_THREAD:
        return NEED_TEAM
    if c.tape_top + words + ROW_MARGIN > c.tape_words:
        if c.dead_words * 2 > c.tape_words and c.walks == 0 and c.recording == 0:
            compact(c)
        else:
            return NEED_TAPE
    return 0


@jit
def item_size(dtype):
    """Bytes of an element, by dtype code."""
    if dtype <= 1:
        return 1
    return 4 if dtype == 2 or dtype == 4 else 8


@jit
def needed_values(c, inputs, info):
    """What the walk back will read, as USE_ bits: only what the operands that ask for gradients need."""
    needs = 0
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        if slot != 0 and slot_at(c, slot).flags & REQUIRES_GRAD and (info.differentiable >> k) & 1:
            needs |= info.uses[min(k, USES - 1)]
    return needs


@jit
def wants_grad(c, count, info):
    """1 when one of the first `count` listed operands asks for a gradient that the operation can give.

    STALE_VIEW when that operand is a view of a tensor that has been written in place since, in a recorded
    operation: the view's history does not contain the write. INFERENCE_SAVED when the walk back would read a
    tensor made under inference_mode.
    """
    wanted = 0
    seen = 0
    for k in range(count):
        slot = get_id(c, 1 + k)
        if slot != 0:
            record = slot_at(c, slot)
            seen |= record.flags
            if record.flags & REQUIRES_GRAD and (info.differentiable >> k) & 1:
                if record.flags & IS_VIEW and record.history != storage_at(c, record.storage).history:
                    return STALE_VIEW
                wanted = 1
    if wanted and seen & INFERENCE:
        needs = needed_values(c, count, info)
        for k in range(count):
            slot = get_id(c, 1 + k)
            if slot != 0 and (needs >> min(k, USES - 1)) & 1 and slot_at(c, slot).flags & INFERENCE:
                return INFERENCE_SAVED
    return wanted


@jit
def rewrite(c, into):
    """Give the tensor in slot `into`, just overwritten by a recorded operation, a slot of its own."""
    storage = storage_at(c, slot_at(c, into).storage)
    storage.history += 1
    out = alias(c, into)
    put_id(c, 0, out)
    return out


@jit
def write_row(c, op, kind, inputs, outputs, saves, attrs, attr_count):
    """Append a row: working list entries 1.. are the operands, entry 0 (and those after) the outputs."""
    offset = c.tape_top
    row = c.tape + offset * WORD
    words = T_OPERANDS + 2 * (inputs + outputs) + attr_count
    store_word(row, T_OP, op)
    store_word(row, T_KIND, kind)
    store_word(row, T_WORDS, words)
    store_word(row, T_PREV, c.last_row)
    store_word(row, T_INPUTS, inputs)
    store_word(row, T_OUTPUTS, outputs)
    store_word(row, T_LIVE, outputs)
    store_word(row, T_ATTRS, T_OPERANDS + 2 * (inputs + outputs))
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        version = NOT_SAVED
        if slot != 0:
            record = slot_at(c, slot)
            record.links += 1
            if (saves >> min(k, USES - 1)) & 1:
                record.saved += 1
                version = storage_at(c, record.storage).version
        store_word(row, T_OPERANDS + 2 * k, slot)
        store_word(row, T_OPERANDS + 2 * k + 1, version)
    for k in range(outputs):
        slot = get_id(c, 0) if k == 0 else get_id(c, inputs + k)
        record = slot_at(c, slot)
        record.row = offset
        record.output = k
        version = NOT_SAVED
        if saves & (USE_OUTPUT << k):
            record.saved += 1
            record.flags |= SAVED_BY_MAKER
            version = storage_at(c, record.storage).version
        if record.dtype >= 4:
            record.flags |= REQUIRES_GRAD
        at = T_OPERANDS + 2 * (inputs + k)
        store_word(row, at, slot)
        store_word(row, at + 1, version)
    for k in range(attr_count):
        store_word(row, T_OPERANDS + 2 * (inputs + outputs) + k, load_word(attrs, k))
    c.last_row = offset
    c.tape_top = offset + words
    c.rows += 1
    c.live_rows += 1
    return offset
