"""Making a program of a recording: what must hold for its records to be replayed, and what they leave behind.

All of it is one compiled call, which writes the program's tables behind its header.
"""

from .jit import entry, jit
from .layout import (
    A_DIMS,
    A_DTYPE,
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
    G_NUMEL,
    G_SLOT,
    GRAD_READ,
    GRADIENT_WORDS,
    GUARD_WORDS,
    GUARDED_FLAGS,
    HEADER_WORDS,
    LISTED,
    MAX_DIMS,
    RESULT_WORDS,
    SEGMENT_WORDS,
    SETTLED,
    SHARED_ARGUMENTS,
    SPAN_STORAGE,
    SPAN_USE,
    SPAN_WORDS,
    TAKEN_BLOCKS,
    TAKEN_EVENTS,
    TAKEN_HEAD,
    TAKEN_LOG,
    WRITTEN,
)
from .pointers import load_word, store_word
from .record import mode_of_thread
from .spans import is_argument, map_memory, use_of
from .survey import look_at_log
from .tables import program_at, slot_at, storage_at

WORD = 8


@entry
def program_room(c, taken, arity, results):
    """Words that the tables of a program need at most."""
    held = 0
    for s in range(1, c.slot_top):
        if slot_at(c, s).handles > 0:
            held += 1
    events = load_word(taken, TAKEN_EVENTS)
    log = load_word(taken, TAKEN_LOG)
    words = HEADER_WORDS + SEGMENT_WORDS + (arity + 1) * (ARGUMENT_WORDS + 4) + results * (RESULT_WORDS + 1)
    words += (c.storage_top + load_word(taken, TAKEN_BLOCKS)) * SPAN_WORDS + 3 * c.storage_top
    words += events * (GRADIENT_WORDS + 2 * GUARD_WORDS + 4) + held * GUARD_WORDS
    return words + 2 * log  # a record has a patch for less than every third word


@jit
def take_arguments(c, p, ids):
    """Where the arguments lie."""
    p.argument_storages = p.end
    for k in range(p.arity):
        x = slot_at(c, load_word(ids, k))
        store_word(p.end, k, x.storage)
        store_word(p.end, p.arity + k, x.address)
    p.end += 2 * p.arity * WORD
    for k in range(p.arity):
        for j in range(k):
            if load_word(p.argument_storages, k) == load_word(p.argument_storages, j):
                return SHARED_ARGUMENTS
    return 0


@jit
def put_arguments(c, p, ids):
    """Say what the arguments have to be like."""
    p.arguments = p.end
    for k in range(p.arity):
        x = slot_at(c, load_word(ids, k))
        store_word(p.end, A_DTYPE, x.dtype)
        store_word(p.end, A_FLAGS, x.flags & GUARDED_FLAGS)
        store_word(p.end, A_WRITTEN, 1 if use_of(c, p, x.storage) & WRITTEN else 0)
        store_word(p.end, A_DIMS, x.dims)
        for d in range(x.dims):
            store_word(p.end, A_SHAPE + d, x.shape[d])
            store_word(p.end, A_SHAPE + MAX_DIMS + d, x.strides[d])
        p.end += ARGUMENT_WORDS * WORD


@jit
def put_gradient(c, p, slot, number):
    """Say what the gradient of a leaf is in the end; 0 or a status."""
    x = slot_at(c, slot)
    if x.storage == 0 or (x.handles == 0 and x.links == 0) or storage_at(c, x.storage).owner == number:
        return 0  # gone, or made within the step
    store_word(p.end, 0, slot)
    store_word(p.end, 1, x.grad)
    own = x.grad != 0 and storage_at(c, slot_at(c, x.grad).storage).owner == number
    store_word(p.end, 2, 1 if own else 0)
    p.end += GRADIENT_WORDS * WORD
    p.gradient_count += 1
    return ARGUMENT_GRADIENT if x.flags & LISTED else 0


@jit
def put_gradients(c, p, taken, number):
    """Name the leaves whose gradients are set; 0 or a status. The first event of each slot counts."""
    events = taken + (TAKEN_HEAD + load_word(taken, TAKEN_LOG) + 2 * load_word(taken, TAKEN_BLOCKS)) * WORD
    p.gradients = p.end
    status = 0
    for turn in range(2):
        for k in range(load_word(taken, TAKEN_EVENTS)):
            x = slot_at(c, load_word(events, EVENT_WORDS * k + 1))
            if turn == 1:
                x.flags &= ~SETTLED
            elif x.flags & SETTLED == 0:
                x.flags |= SETTLED
                status = min(status, put_gradient(c, p, load_word(events, EVENT_WORDS * k + 1), number))
    return status


@jit
def find_entry_gradients(c, p, taken, number):
    """List the slots from outside whose gradients are read before they are set, and these; and their memory."""
    events = taken + (TAKEN_HEAD + load_word(taken, TAKEN_LOG) + 2 * load_word(taken, TAKEN_BLOCKS)) * WORD
    count = load_word(taken, TAKEN_EVENTS)
    p.before = p.end
    for k in range(count):
        line = events + EVENT_WORDS * k * WORD
        x = slot_at(c, load_word(line, 1))
        if x.flags & SETTLED == 0:
            x.flags |= SETTLED
            if load_word(line, 0) == GRAD_READ and x.handles > 0 and storage_at(c, x.storage).owner != number:
                store_word(p.end, 0, load_word(line, 1))
                store_word(p.end, 1, load_word(line, 2))
                p.end += 2 * WORD
                p.before_count += 1
    for k in range(count):
        slot_at(c, load_word(events, EVENT_WORDS * k + 1)).flags &= ~SETTLED
    p.seen = p.end
    for k in range(p.before_count):
        gradient = load_word(p.before, 2 * k + 1)
        if gradient != 0:
            storage = storage_at(c, slot_at(c, gradient).storage)
            store_word(p.end, 0, storage.address)
            store_word(p.end, 1, storage.address + storage.bytes)
            p.end += 2 * WORD
            p.seen_count += 1


@jit
def add_guard(c, p, slot, gradient):
    """Guard a tensor, once, and hold it so that its slot stays its own."""
    x = slot_at(c, slot)
    if x.flags & LISTED == 0:
        x.flags |= LISTED
        store_word(p.end, G_SLOT, slot)
        store_word(p.end, G_ADDRESS, x.address)
        store_word(p.end, G_DTYPE, x.dtype)
        store_word(p.end, G_NUMEL, x.numel)
        store_word(p.end, G_FLAGS, x.flags & GUARDED_FLAGS)
        store_word(p.end, G_GRAD, gradient)
        p.end += GUARD_WORDS * WORD
        p.guard_count += 1
        x.handles += 1


@jit
def put_guards(c, p):
    """Guard every tensor that shows memory from outside which is used."""
    p.guards = p.end
    for k in range(p.before_count):
        add_guard(c, p, load_word(p.before, 2 * k), load_word(p.before, 2 * k + 1))
    for s in range(1, c.slot_top):
        x = slot_at(c, s)
        if x.handles > 0 and x.storage != 0 and use_of(c, p, x.storage) and not is_argument(c, p, x.storage):
            add_guard(c, p, s, ANY_GRADIENT)
    for k in range(p.gradient_count):
        add_guard(c, p, load_word(p.gradients, GRADIENT_WORDS * k), ANY_GRADIENT)
        gradient = load_word(p.gradients, GRADIENT_WORDS * k + 1)
        if gradient != 0:
            slot_at(c, gradient).handles += 1
    for k in range(p.guard_count):
        slot_at(c, load_word(p.guards, GUARD_WORDS * k)).flags &= ~LISTED


@jit
def put_results(c, p, ids, count):
    """Say where the results are and what they are like."""
    p.results = p.end
    p.result_count = count
    for k in range(count):
        x = slot_at(c, load_word(ids, k))
        store_word(p.end, 0, x.address)
        store_word(p.end, 1, x.dtype)
        store_word(p.end, 2, x.dims)
        for d in range(x.dims):
            store_word(p.end, 3 + d, x.shape[d])
        p.end += RESULT_WORDS * WORD


@jit
def put_written(c, p):
    """List the storages from outside that are written, but for arguments."""
    p.written = p.end
    for k in range(p.span_count):
        span = p.spans + k * SPAN_WORDS * WORD
        storage = load_word(span, SPAN_STORAGE)
        if storage > 0 and load_word(span, SPAN_USE) & WRITTEN and not is_argument(c, p, storage):
            store_word(p.end, 0, storage)
            p.end += WORD
            p.written_count += 1


@jit
def list_arguments(c, p, ids, on):
    """Mark the arguments' slots, or take the marks away."""
    for k in range(p.arity):
        x = slot_at(c, load_word(ids, k))
        if on:
            x.flags |= LISTED
        else:
            x.flags &= ~LISTED


@entry
def make_program(c, program, taken, known, ids, arity, results, number, base):
    """Write the tables of the program whose header is at an address that has room for them.

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

    Returns
    -------
    int
        0, or a status with nothing changed: NEED_KINDS, LOST_MEMORY, SHARED_ARGUMENTS or ARGUMENT_GRADIENT.
    """
    p = program_at(program)
    p.end = program + HEADER_WORDS * WORD
    p.arity = arity
    p.mode = mode_of_thread(c) if base == 0 else ANY_MODE
    p.structure = c.structure
    shared = take_arguments(c, p, ids)
    map_memory(c, p, taken, number, base)
    if base == 0:
        find_entry_gradients(c, p, taken, number)
    status = look_at_log(p, taken, known, base)
    if status != 0:
        return status
    if shared != 0:
        return shared
    list_arguments(c, p, ids, True)
    status = put_gradients(c, p, taken, number)
    if status == 0:
        put_guards(c, p)
    list_arguments(c, p, ids, False)
    if status != 0:
        return status
    put_arguments(c, p, ids)
    put_results(c, p, ids + arity * WORD, results)
    put_written(c, p)
    p.table = p.end
    log = taken + TAKEN_HEAD * WORD
    store_word(p.end, 0, log)
    store_word(p.end, 1, log + load_word(taken, TAKEN_LOG) * WORD)
    store_word(p.end, 2, 1)
    store_word(p.end, 3, 0)
    p.end += SEGMENT_WORDS * WORD
    p.segments = 1 if load_word(taken, TAKEN_LOG) > 0 else 0
    return 0
