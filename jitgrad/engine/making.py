"""Making a program of a recording: what must hold for its records to be replayed, and what they leave behind.

All of it is one compiled call, which writes the program's tables behind its header.
"""

from .jit import entry, jit
from .layout import (
    A_BEHIND,
    A_DIMS,
    A_DTYPE,
    A_FIRST,
    A_FLAGS,
    A_SHAPE,
    A_WRITTEN,
    ANY_GRADIENT,
    ANY_MODE,
    ARGUMENT_GRADIENT,
    ARGUMENT_WORDS,
    EVENT_WORDS,
    G_ADDRESS,
    G_DTYPE,
    G_FLAGS,
    G_GRAD,
    G_GRAD_ADDRESS,
    G_NUMEL,
    G_SLOT,
    GRAD_READ,
    GRADIENT_LEAF,
    GRADIENT_OWN,
    GRADIENT_SLOT,
    GRADIENT_WORDS,
    GUARD_WORDS,
    GUARDED_FLAGS,
    HEADER_WORDS,
    LISTED,
    MAX_DIMS,
    RESULT_DIMS,
    RESULT_DTYPE,
    RESULT_SHAPE,
    RESULT_SOURCE,
    RESULT_WORDS,
    S_SHAPE,
    SEEN,
    SEGMENT_BEGIN,
    SEGMENT_END,
    SEGMENT_PARTS,
    SEGMENT_REPORT,
    SEGMENT_WORDS,
    SETTLED,
    SLOT_WORDS,
    SPAN_ARGUMENT,
    SPAN_STORAGE,
    SPAN_USE,
    SPAN_WORDS,
    TAKEN_BLOCKS,
    TAKEN_EVENTS,
    TAKEN_HEAD,
    TAKEN_LOG,
    USED,
    WRITTEN,
)
from .pointers import load_word, memcpy, store_word
from .spans import argument_of, first_beside, map_memory, mark, span_of
from .survey import look_at_log
from .tables import program_at, slot_at, storage_at
from .tape_rows import mode_of_thread

WORD = 8


@entry
def program_room(c, taken, arity, results):
    """Words that the tables of a program need at most."""
    events, log = load_word(taken, TAKEN_EVENTS), load_word(taken, TAKEN_LOG)
    words = HEADER_WORDS + SEGMENT_WORDS + SPAN_WORDS + arity * (ARGUMENT_WORDS + 2) + results * RESULT_WORDS
    words += (c.storage_top + load_word(taken, TAKEN_BLOCKS)) * SPAN_WORDS + 3 * c.storage_top
    words += events * (GRADIENT_WORDS + 2 * GUARD_WORDS + 3)
    words += (c.slot_count - c.free_slots) * GUARD_WORDS
    return words + log + 2  # a record has at most two patches for 11 words, and reports once for 8


@jit
def shape_of(c, slot):
    """Where the sizes of a tensor are, and behind them its strides."""
    return c.slots + (slot * SLOT_WORDS + S_SHAPE) * WORD


@jit
def put_arguments(c, p, ids):
    """Say what the arguments have to be like, where they are, and whose memory that is."""
    p.arguments = p.end
    p.given = p.end + p.arity * ARGUMENT_WORDS * WORD
    for k in range(p.arity):
        slot = load_word(ids, k)
        x = slot_at(c, slot)
        first = first_beside(c, ids, k)
        store_word(p.end, A_DTYPE, x.dtype)
        store_word(p.end, A_FLAGS, x.flags & GUARDED_FLAGS)
        store_word(p.end, A_WRITTEN, 0)  # until the records have been looked at
        store_word(p.end, A_FIRST, first)
        store_word(p.end, A_BEHIND, x.address - slot_at(c, load_word(ids, first)).address)
        store_word(p.end, A_DIMS, x.dims)
        memcpy(p.end + A_SHAPE * WORD, shape_of(c, slot), 2 * MAX_DIMS * WORD)
        p.end += ARGUMENT_WORDS * WORD
        store_word(p.given, 2 * k, x.storage)
        store_word(p.given, 2 * k + 1, x.address)
        span = span_of(c, p, slot)
        if span != 0 and first == k:
            mark(span, (k + 1) * SPAN_ARGUMENT)
    p.end += 2 * p.arity * WORD


@jit
def put_gradient(c, p, ids, slot, number):
    """Say what the gradient of a leaf is in the end; 0 or a status."""
    x = slot_at(c, slot)
    if x.storage == 0 or (x.handles == 0 and x.links == 0) or storage_at(c, x.storage).owner == number:
        return 0  # gone, or made within the step
    store_word(p.end, GRADIENT_LEAF, slot)
    store_word(p.end, GRADIENT_SLOT, x.grad)
    own = x.grad != 0 and storage_at(c, slot_at(c, x.grad).storage).owner == number
    store_word(p.end, GRADIENT_OWN, 1 if own else 0)
    p.end += GRADIENT_WORDS * WORD
    p.gradient_count += 1
    for k in range(p.arity):
        if load_word(ids, k) == slot:
            return ARGUMENT_GRADIENT
    return 0


@jit
def put_gradients(c, p, taken, ids, number, base):
    """Name the leaves whose gradients are set, and those whose gradients are read before; 0 or a status.

    The first event of each slot counts.
    """
    events = taken + (TAKEN_HEAD + load_word(taken, TAKEN_LOG) + 2 * load_word(taken, TAKEN_BLOCKS)) * WORD
    end = events + load_word(taken, TAKEN_EVENTS) * EVENT_WORDS * WORD
    p.before = p.end
    p.end += 3 * load_word(taken, TAKEN_EVENTS) * WORD
    p.gradients = p.end
    status = 0
    line = events
    while line < end:
        slot, gradient = load_word(line, 1), load_word(line, 2)
        x = slot_at(c, slot)
        if x.flags & SETTLED == 0:
            x.flags |= SETTLED
            status = min(status, put_gradient(c, p, ids, slot, number))
            outside = x.handles > 0 and storage_at(c, x.storage).owner != number
            if base == 0 and outside and load_word(line, 0) == GRAD_READ:
                store_word(p.before, 3 * p.before_count, slot)
                store_word(p.before, 3 * p.before_count + 1, gradient)
                store_word(p.before, 3 * p.before_count + 2, load_word(line, 3))
                p.before_count += 1
                span = span_of(c, p, gradient)
                if span != 0:
                    mark(span, SEEN)
        line += EVENT_WORDS * WORD
    while events < end:
        slot_at(c, load_word(events, 1)).flags &= ~SETTLED
        events += EVENT_WORDS * WORD
    return status


@jit
def hold(c, slot):
    """A program's handle on a slot, see `release_held`."""
    x = slot_at(c, slot)
    x.handles += 1
    x.programs += 1


@jit
def add_guard(c, p, slot, gradient, lies):
    """Guard a tensor, once, and hold it so that its slot stays its own; its gradient lies at an address."""
    x = slot_at(c, slot)
    if x.flags & LISTED == 0:
        x.flags |= LISTED
        store_word(p.end, G_SLOT, slot)
        store_word(p.end, G_ADDRESS, x.address)
        store_word(p.end, G_DTYPE, x.dtype)
        store_word(p.end, G_NUMEL, x.numel)
        store_word(p.end, G_FLAGS, x.flags & GUARDED_FLAGS)
        store_word(p.end, G_GRAD, gradient)
        store_word(p.end, G_GRAD_ADDRESS, lies)
        p.end += GUARD_WORDS * WORD
        p.guard_count += 1
        hold(c, slot)


@jit
def was_there(c, slot, first_row):
    """Whether somebody has a tensor, other than programs, and it is not a view that the step has made and returns."""
    x = slot_at(c, slot)
    return x.handles > x.programs and x.row < first_row


@jit
def put_guards(c, p, first_row):
    """Guard every tensor that shows memory from outside which is used."""
    p.guards = p.end
    for k in range(p.before_count):
        line = p.before + 3 * k * WORD
        add_guard(c, p, load_word(line, 0), load_word(line, 1), load_word(line, 2))
    for s in range(1, c.slot_top):
        if was_there(c, s, first_row):
            span = span_of(c, p, s)
            if span != 0 and load_word(span, SPAN_USE) & USED and argument_of(span) < 0:
                add_guard(c, p, s, ANY_GRADIENT, 0)
    for k in range(p.gradient_count):
        add_guard(c, p, load_word(p.gradients, GRADIENT_WORDS * k + GRADIENT_LEAF), ANY_GRADIENT, 0)
        gradient = load_word(p.gradients, GRADIENT_WORDS * k + GRADIENT_SLOT)
        if gradient != 0:
            hold(c, gradient)
    for k in range(p.guard_count):
        slot_at(c, load_word(p.guards, GUARD_WORDS * k)).flags &= ~LISTED


@jit
def put_results(c, p, ids, count):
    """Say where the results are and what they are like."""
    p.results = p.end
    p.result_count = count
    for k in range(count):
        slot = load_word(ids, k)
        x = slot_at(c, slot)
        store_word(p.end, RESULT_SOURCE, x.address)
        store_word(p.end, RESULT_DTYPE, x.dtype)
        store_word(p.end, RESULT_DIMS, x.dims)
        memcpy(p.end + RESULT_SHAPE * WORD, shape_of(c, slot), MAX_DIMS * WORD)
        p.end += RESULT_WORDS * WORD


@jit
def put_written(p):
    """List the storages from outside that are written; arguments note that themselves."""
    p.written = p.end
    for k in range(p.span_count):
        span = p.spans + k * SPAN_WORDS * WORD
        storage = load_word(span, SPAN_STORAGE)
        if storage > 0 and load_word(span, SPAN_USE) & WRITTEN:
            argument = argument_of(span)
            if argument >= 0:
                store_word(p.arguments, argument * ARGUMENT_WORDS + A_WRITTEN, 1)
            else:
                store_word(p.end, 0, storage)
                p.end += WORD
                p.written_count += 1


@jit
def put_log(p, taken):
    """Replay the records where they were copied, in one segment."""
    log = taken + TAKEN_HEAD * WORD
    p.table = p.end
    p.segments = min(load_word(taken, TAKEN_LOG), 1)
    store_word(p.end, SEGMENT_BEGIN, log)
    store_word(p.end, SEGMENT_END, log + load_word(taken, TAKEN_LOG) * WORD)
    store_word(p.end, SEGMENT_PARTS, 1)
    store_word(p.end, SEGMENT_REPORT, 0)
    p.end += SEGMENT_WORDS * WORD


@entry
def make_program(c, program, taken, known, ids, arity, results, number, base, first_row):
    """Write the tables of the program whose header is at an address that has room for them; its words are 0.

    Parameters
    ----------
    taken : int
        Address of what `take_recording` has copied.
    known : int
        Address of what is known of kernels: see KNOWN_MASK.
    ids : int
        Address of the slots of the arguments and, behind them, the results.
    base : int
        Number of the program whose way back this is, or 0.
    first_row : int
        Where the tape stood when the recording began.

    Returns
    -------
    int
        0, or a status with nothing changed: NEED_KINDS, LOST_MEMORY or ARGUMENT_GRADIENT.
    """
    p = program_at(program)
    p.end = program + HEADER_WORDS * WORD
    p.arity = arity
    p.mode = mode_of_thread(c) if base == 0 else ANY_MODE
    p.structure = c.structure
    map_memory(c, p, taken, ids, number, base)
    put_arguments(c, p, ids)
    status = put_gradients(c, p, taken, ids, number, base)
    status = min(status, look_at_log(p, taken, known, base))
    if status != 0:
        return status
    put_guards(c, p, first_row)
    put_results(c, p, ids + arity * WORD, results)
    put_written(p)
    put_log(p, taken)
    return 0
