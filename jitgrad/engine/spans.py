"""Whose memory lies where: a program's list of spans of addresses, looked into for every array of its records."""

from .jit import jit
from .layout import (
    EXTERNAL,
    OWN,
    SPAN_ARGUMENT,
    SPAN_BEGIN,
    SPAN_END,
    SPAN_STORAGE,
    SPAN_USE,
    SPAN_WORDS,
    TAKEN_BLOCKS,
    TAKEN_HEAD,
    TAKEN_LOG,
)
from .memory import class_size
from .pointers import load_word, store_word
from .tables import slot_at, storage_at

LINE = 8 * SPAN_WORDS  # bytes


@jit
def overlaps(x, y):
    """Whether two storages have memory in common."""
    return x.address < y.address + y.bytes and y.address < x.address + x.bytes


@jit
def meet(c, s, t):
    """Whether two storages have memory in common; different ones only where Python owns the memory."""
    x, y = storage_at(c, s), storage_at(c, t)
    return s == t or ((x.size_class == EXTERNAL or y.size_class == EXTERNAL) and overlaps(x, y))


@jit
def first_beside(c, ids, k):
    """The number of the first of the slots at `ids` that is in the same storage as number `k`."""
    storage = slot_at(c, load_word(ids, k)).storage
    for j in range(k):
        if slot_at(c, load_word(ids, j)).storage == storage:
            return j
    return k


@jit
def add_span(p, begin, size, storage):
    """Note what lies in some bytes."""
    if size > 0:
        line = p.spans + p.span_count * LINE
        store_word(line, SPAN_BEGIN, begin)
        store_word(line, SPAN_END, begin + size)
        store_word(line, SPAN_STORAGE, storage)
        store_word(line, SPAN_USE, 0)
        p.span_count += 1


@jit
def copy_span(target, source):
    """Copy a span; a call of the system for four words would take longer."""
    store_word(target, SPAN_BEGIN, load_word(source, SPAN_BEGIN))
    store_word(target, SPAN_END, load_word(source, SPAN_END))
    store_word(target, SPAN_STORAGE, load_word(source, SPAN_STORAGE))


@jit
def sort_spans(p, spare):
    """Put the spans, not used yet, in the order of their addresses; there is room for one more at `spare`."""
    gap = p.span_count >> 1
    while gap > 0:
        for k in range(gap, p.span_count):
            place = p.spans + k * LINE
            copy_span(spare, place)
            before = place - gap * LINE
            while before >= p.spans and load_word(before, SPAN_BEGIN) > load_word(spare, SPAN_BEGIN):
                copy_span(place, before)
                place = before
                before -= gap * LINE
            copy_span(place, spare)
        gap >>= 1


@jit
def hidden(c, s, ids, arity):
    """Whether an argument, one of the slots at `ids`, goes before a storage of the user's that shares its memory."""
    x = storage_at(c, s)
    found = False
    for k in range(arity):
        storage = slot_at(c, load_word(ids, k)).storage
        if storage == s:
            return False
        found = found or overlaps(x, storage_at(c, storage))
    return found


@jit
def map_memory(c, p, taken, ids, number, base):
    """Note whose memory lies where: what was there before, and the recording's own; and what of that is kept.

    That of program `base` is neither.
    """
    count = load_word(taken, TAKEN_BLOCKS)
    p.spans = p.end
    p.alive = p.spans + (c.storage_top + count) * LINE
    p.end = p.alive
    for s in range(1, c.storage_top):
        x = storage_at(c, s)
        alive = x.refs > 0
        own = x.owner == number
        external = x.size_class == EXTERNAL
        if own and (alive or external):
            store_word(p.end, 0, x.address)
            store_word(p.end, 1, x.address + x.bytes)
            p.end += 16
            p.alive_count += 1
        if own and external:  # other memory of its own lies in the blocks
            add_span(p, x.address, x.bytes, OWN)
        shown = alive and not own and (base == 0 or x.owner != base)
        if shown and not (external and hidden(c, s, ids, p.arity)):
            # records name the memory of tensors without elements, too; in Python's own it may be anybody's
            add_span(p, x.address, x.bytes if external else max(x.bytes, 1), s)
    blocks = taken + 8 * (TAKEN_HEAD + load_word(taken, TAKEN_LOG))
    for k in range(count):
        add_span(p, load_word(blocks, 2 * k), class_size(load_word(blocks, 2 * k + 1)), OWN)
    sort_spans(p, p.end)


@jit
def span_at(p, address):
    """The span in which an address lies, or 0."""
    low = 0
    high = p.span_count if address >= load_word(p.spans, SPAN_BEGIN) else 0  # a number is small, most often
    while low < high:
        middle = (low + high) >> 1
        if load_word(p.spans + middle * LINE, SPAN_BEGIN) <= address:
            low = middle + 1
        else:
            high = middle
    span = p.spans + (low - 1) * LINE
    return span if low > 0 and address < load_word(span, SPAN_END) else 0


@jit
def span_of(c, p, slot):
    """The span of the storage from outside that a tensor shows, or 0."""
    storage = slot_at(c, slot).storage
    span = span_at(p, storage_at(c, storage).address)
    return span if span != 0 and storage > 0 and load_word(span, SPAN_STORAGE) == storage else 0


@jit
def mark(span, use):
    """Note a use of a span, as bits."""
    store_word(span, SPAN_USE, load_word(span, SPAN_USE) | use)


@jit
def argument_of(span):
    """The number of the argument that a span is the memory of, or -1."""
    return load_word(span, SPAN_USE) // SPAN_ARGUMENT - 1
