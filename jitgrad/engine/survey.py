"""What the records of a log touch, found in one pass over them."""

from ..kernels.abi import ARRAYS, R_ATTRS, R_COUNT, R_KERNEL, R_LAYOUT, R_WORDS
from .jit import jit
from .layout import (
    FIRST_REPORTS,
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
    LOST_MEMORY,
    NEED_KINDS,
    OTHER_PROGRAM,
    OTHER_REPORTS,
    PATCH_ARGUMENT,
    PATCH_OFFSET,
    PATCH_PLACE,
    PATCH_WORDS,
    SEEN,
    SPAN_STORAGE,
    SPAN_USE,
    TAKEN_HEAD,
    TAKEN_LOG,
    USED,
    WRITTEN,
)
from .pointers import load_word, store_word
from .spans import argument_of, mark, span_at

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
def look_at_arrays(p, record, kind, base):
    """Note what the arrays of a record lie in, and which words hold an argument's memory."""
    step = load_word(kind, KIND_STEP)
    size_step = step if load_word(record, R_LAYOUT) == ARRAYS else 0
    first = load_word(kind, KIND_FIRST)
    last = load_word(kind, KIND_LAST)
    place = record + load_word(kind, KIND_PLACE) * WORD
    size = record + load_word(kind, KIND_SIZE) * WORD
    for k in range(load_word(kind, KIND_ARRAYS)):
        address = load_word(place, 0)
        used = address != 0 and load_word(size, 0) != 0
        written = used and ((first <= k and k < last) or (load_word(kind, KIND_MASK) >> min(k, 62)) & 1 != 0)
        span = span_at(p, address)
        if span != 0:
            mark(span, USED | WRITTEN if written else USED)
            argument = argument_of(span)
            if argument >= 0:
                store_word(p.end, PATCH_ARGUMENT, argument)
                store_word(p.end, PATCH_PLACE, place)
                store_word(p.end, PATCH_OFFSET, address - load_word(p.given, 2 * argument + 1))
                p.end += PATCH_WORDS * WORD
                p.patch_count += 1
            is_seen = load_word(span, SPAN_STORAGE) > 0 or load_word(span, SPAN_USE) & SEEN
            if written and is_seen and p.first_seen == 0:
                p.first_seen = record
        elif used and base == 0:
            return LOST_MEMORY
        place += step * WORD
        size += size_step * WORD
    return 0


@jit
def look_at_attributes(p, known, record, end):
    """Note what a record's attributes point at, and which of them say where to report."""
    first = load_word(record, R_ATTRS)
    last = load_word(record, R_WORDS) if first != 0 else 0
    for at in range(first, last):
        value = load_word(record, at)
        span = span_at(p, value)
        if span != 0:
            mark(span, USED)
        elif (load_word(known, FIRST_REPORTS) <= value and value < load_word(known, FIRST_REPORTS + 1)) or (
            load_word(known, OTHER_REPORTS) <= value and value < load_word(known, OTHER_REPORTS + 1)
        ):
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
