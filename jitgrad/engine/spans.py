"""Whose memory lies where: a program's list of spans of addresses, looked into for every array of its records."""

from .jit import jit
from .layout import (
    EXTERNAL,
    OWN,
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
from .pointers import load_word, memcpy, store_word
from .sharing import overlaps
from .tables import storage_at

WORD = 8


@jit
def add_span(p, begin, size, storage):
    """Note what lies in some bytes."""
    if size > 0:
        store_word(p.end, SPAN_BEGIN, begin)
        store_word(p.end, SPAN_END, begin + size)
        store_word(p.end, SPAN_STORAGE, storage)
        store_word(p.end, SPAN_USE, 0)
        p.end += SPAN_WORDS * WORD
        p.span_count += 1


@jit
def sort_spans(p):
    """Put the spans in the order of their addresses."""
    gap = p.span_count >> 1
    while gap > 0:
        for k in range(gap, p.span_count):
            line = p.spans + k * SPAN_WORDS * WORD
            begin = load_word(line, SPAN_BEGIN)
            end = load_word(line, SPAN_END)
            storage = load_word(line, SPAN_STORAGE)
            j = k
            while j >= gap:
                before = p.spans + (j - gap) * SPAN_WORDS * WORD
                if load_word(before, SPAN_BEGIN) <= begin:
                    break
                memcpy(before + gap * SPAN_WORDS * WORD, before, SPAN_WORDS * WORD)
                j -= gap
            line = p.spans + j * SPAN_WORDS * WORD
            store_word(line, SPAN_BEGIN, begin)
            store_word(line, SPAN_END, end)
            store_word(line, SPAN_STORAGE, storage)
        gap >>= 1


@jit
def is_argument(c, p, storage):
    """Whether a storage is an argument's."""
    for k in range(p.arity):
        if load_word(p.argument_storages, k) == storage:
            return True
    return False


@jit
def map_memory(c, p, taken, number, base):
    """Note whose memory lies where: what was there before, and the recording's own.

    That of program `base` is neither. Where two arrays of the user's overlap, an argument's goes before the other.
    """
    p.spans = p.end
    for s in range(1, c.storage_top):
        x = storage_at(c, s)
        if x.owner == number:
            if x.size_class == EXTERNAL:  # other memory of its own lies in the blocks
                add_span(p, x.address, x.bytes, OWN)
        elif x.refs > 0 and (base == 0 or x.owner != base):
            hidden = False
            if x.size_class == EXTERNAL and not is_argument(c, p, s):
                for k in range(p.arity):
                    hidden = hidden or overlaps(c, s, load_word(p.argument_storages, k))
            if not hidden:
                add_span(p, x.address, x.bytes, s)
    blocks = taken + (TAKEN_HEAD + load_word(taken, TAKEN_LOG)) * WORD
    for k in range(load_word(taken, TAKEN_BLOCKS)):
        add_span(p, load_word(blocks, 2 * k), class_size(load_word(blocks, 2 * k + 1)), OWN)
    sort_spans(p)
    p.kept = p.end
    for s in range(1, c.storage_top):
        x = storage_at(c, s)
        if x.owner == number and (x.refs > 0 or x.size_class == EXTERNAL):
            store_word(p.end, 0, x.address)
            store_word(p.end, 1, x.address + x.bytes)
            p.end += 2 * WORD
            p.kept_count += 1


@jit
def span_at(p, address):
    """The span in which an address lies, or 0."""
    low = 0
    high = p.span_count
    while low < high:
        middle = (low + high) >> 1
        if load_word(p.spans + middle * SPAN_WORDS * WORD, SPAN_BEGIN) <= address:
            low = middle + 1
        else:
            high = middle
    span = p.spans + (low - 1) * SPAN_WORDS * WORD
    if low == 0 or address >= load_word(span, SPAN_END):
        return 0
    return span


@jit
def use_of(c, p, storage):
    """How the records use a storage from outside: USED and WRITTEN, as bits."""
    span = span_at(p, storage_at(c, storage).address)
    if span == 0 or load_word(span, SPAN_STORAGE) != storage:
        return 0
    return load_word(span, SPAN_USE)
