"""What the records of a log touch, found in one pass over them."""

from ..kernels.abi import ARRAYS, R_ATTRS, R_COUNT, R_KERNEL, R_LAYOUT, R_WORDS
from .jit import jit
from .layout import (
    KIND_ARRAYS,
    KIND_COUNT,
    KIND_FIRST,
    KIND_KERNEL,
    KIND_LAST,
    KIND_LAYOUT,
    KIND_MASK,
    KIND_PLACE,
    KIND_SIZE,
    KIND_STEP,
    KIND_WORDS,
    KNOWN_KINDS,
    KNOWN_MASK,
    KNOWN_REPORTS,
    LOST_MEMORY,
    NEED_KINDS,
    OTHER_PROGRAM,
    PATCH_WORDS,
    REPORT_RANGES,
    SPAN_STORAGE,
    SPAN_USE,
    TAKEN_HEAD,
    TAKEN_LOG,
    USED,
    WRITTEN,
)
from .pointers import load_word, store_word
from .spans import span_at

WORD = 8
SHORTEST = 8  # words that a record has at least


@jit
def kind_of(known, record):
    """What is known of records like this one, or 0."""
    mask = load_word(known, KNOWN_MASK)
    kernel = load_word(record, R_KERNEL)
    layout = load_word(record, R_LAYOUT)
    count = load_word(record, R_COUNT)
    at = (kernel >> 4) + count & mask
    while True:
        kind = known + (KNOWN_KINDS + at * KIND_WORDS) * WORD
        if load_word(kind, KIND_KERNEL) == 0:
            return 0
        if (
            load_word(kind, KIND_KERNEL) == kernel
            and load_word(kind, KIND_LAYOUT) == layout
            and load_word(kind, KIND_COUNT) == count
        ):
            return kind
        at = at + 1 & mask


@jit
def is_seen(p, address):
    """Whether memory belongs to a gradient that was there before."""
    for k in range(p.seen_count):
        if load_word(p.seen, 2 * k) <= address and address < load_word(p.seen, 2 * k + 1):
            return True
    return False


@jit
def look_at_arrays(p, record, kind, base):
    """Note what the arrays of a record lie in, and which words hold an argument's memory."""
    step = load_word(kind, KIND_STEP)
    first = load_word(kind, KIND_FIRST)
    last = load_word(kind, KIND_LAST)
    mask = load_word(kind, KIND_MASK)
    at = load_word(kind, KIND_PLACE)
    size = load_word(kind, KIND_SIZE)
    size_step = step if load_word(record, R_LAYOUT) == ARRAYS else 0
    for k in range(load_word(kind, KIND_ARRAYS)):
        address = load_word(record, at)
        used = address != 0 and load_word(record, size) != 0
        written = used and ((first <= k and k < last) or (mask >> min(k, 62)) & 1 != 0)
        span = span_at(p, address)
        storage = 0
        if span != 0:
            storage = load_word(span, SPAN_STORAGE)
            store_word(span, SPAN_USE, load_word(span, SPAN_USE) | (USED | WRITTEN if written else USED))
        elif used and base == 0:
            return LOST_MEMORY
        if storage > 0:
            for j in range(p.arity):
                if load_word(p.argument_storages, j) == storage:
                    store_word(p.end, 0, j)
                    store_word(p.end, 1, record + at * WORD)
                    store_word(p.end, 2, address - load_word(p.argument_storages, p.arity + j))
                    p.end += PATCH_WORDS * WORD
                    p.patch_count += 1
        if written and p.first_seen == 0 and (storage > 0 or is_seen(p, address)):
            p.first_seen = record + at * WORD
        at += step
        size += size_step
    return 0


@jit
def look_at_attributes(p, known, record, end):
    """Note what a record's attributes point at, and which of them say where to report."""
    first = load_word(record, R_ATTRS)
    if first == 0:
        return 0
    for at in range(first, load_word(record, R_WORDS)):
        value = load_word(record, at)
        span = span_at(p, value)
        if span != 0:
            store_word(span, SPAN_USE, load_word(span, SPAN_USE) | USED)
        for k in range(REPORT_RANGES):
            begin = load_word(known, KNOWN_REPORTS + 2 * k)
            if begin <= value and value < load_word(known, KNOWN_REPORTS + 2 * k + 1):
                line = p.reporting + 2 * p.reporting_count * WORD
                if line >= end:
                    return OTHER_PROGRAM
                store_word(line, 0, record)
                store_word(line, 1, at)
                p.reporting_count += 1
    return 0


@jit
def look_at_log(p, taken, known, base):
    """Look at every record; 0 or a status."""
    record = taken + TAKEN_HEAD * WORD
    last = record + load_word(taken, TAKEN_LOG) * WORD
    p.reporting = p.end
    p.end += 2 * (load_word(taken, TAKEN_LOG) // SHORTEST + 1) * WORD
    end = p.end
    p.patches = p.end
    while record < last:
        kind = kind_of(known, record)
        if kind == 0:
            return NEED_KINDS
        status = look_at_arrays(p, record, kind, base)
        if status == 0:
            status = look_at_attributes(p, known, record, end)
        if status != 0:
            return status
        record += load_word(record, R_WORDS) * WORD
    return 0
