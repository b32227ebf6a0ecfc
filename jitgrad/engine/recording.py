"""What is written down while a program is recorded: records that ran, constants, events, counters.

A recording is the log of every call record that this thread ran, in order. What compiled code writes without a
kernel (a number, zeros, ones) becomes a row of the log too, so that a replay finds the same values in the same
places whatever has used the memory in between.
"""

from ..kernels.abi import N_SIZES, PLAIN, R_ATTRS, R_KERNEL, R_LAYOUT, R_WORDS
from ..kernels.program_rows import (
    CLEAR_BYTES,
    CLEAR_TARGET,
    COPY_BYTES,
    COPY_SOURCE,
    COPY_TARGET,
    COUNT_COUNTERS,
    COUNT_FIRST,
)
from .jit import entry, jit
from .layout import EVENT_WORDS, EXTERNAL, NO_ROW, OTHER_PROGRAM, SIZE_CLASSES, TAKEN_HEAD
from .memory import give_block, longer, recording_here, size_class, take_fresh
from .pointers import load_word, memcpy, store_word, thread_ident
from .tables import slot_at, storage_at

WORD = 8


FIRST_LOG, FIRST_EVENTS, FIRST_BLOCKS = 1 << 14, 1 << 8, 1 << 8  # words, events, pairs


@jit
def first_room(c):
    """Buffers for the first recording; False without memory."""
    c.events = longer(c, c.events, EVENT_WORDS * FIRST_EVENTS)
    c.blocks = longer(c, c.blocks, 2 * FIRST_BLOCKS)
    c.event_room = FIRST_EVENTS
    c.block_room = FIRST_BLOCKS
    if c.events == 0 or c.blocks == 0:
        return False
    c.records = longer(c, c.records, FIRST_LOG)
    c.log_room = FIRST_LOG
    return c.records != 0


@entry
def begin_recording(c, number, first_row):
    """From now on this thread's kernels are logged for program `number`; 0 or OTHER_PROGRAM without memory.

    A walk over rows of the tape before `first_row` (or before this call, when it is NO_ROW) spoils the recording.
    """
    if c.records == 0 and not first_room(c):
        return OTHER_PROGRAM
    c.log_words = 0
    c.event_count = 0
    c.block_count = 0
    c.spoiled = 0
    for k in range(SIZE_CLASSES):
        c.recorded_blocks[k] = 0
    c.first_row = c.tape_top if first_row == NO_ROW else first_row
    c.recorder = thread_ident()
    c.recording = number
    return 0


@entry
def end_recording(c):
    """Stop logging; the log, events and blocks stay until the next recording. Returns words to copy them to."""
    c.recording = 0
    return TAKEN_HEAD + c.log_words + 2 * c.block_count + EVENT_WORDS * c.event_count


@entry
def give_blocks(c, number, blocks, count):
    """Take back the blocks of program `number`, given as (address, class) pairs.

    Storages that are still in use keep theirs, as if they had never been the program's.
    """
    for s in range(1, c.storage_count):
        record = storage_at(c, s)
        if record.owner == number and record.refs > 0:
            record.owner = 0
            record.pinned = 0
            for k in range(count):
                if load_word(blocks, 2 * k) == record.address and record.size_class != EXTERNAL:
                    store_word(blocks, 2 * k, 0)
    for k in range(count):
        if load_word(blocks, 2 * k) != 0:
            give_block(c, load_word(blocks, 2 * k), load_word(blocks, 2 * k + 1))
    return 0


@jit
def log_room(c, words):
    """The address of `words` new words at the end of the log, or 0 without memory."""
    if c.log_words + words > c.log_room:
        moved = longer(c, c.records, 2 * (c.log_room + words))
        if moved == 0:
            return 0
        c.records = moved
        c.log_room = 2 * (c.log_room + words)
    place = c.records + c.log_words * WORD
    c.log_words += words
    return place


@jit
def log_record(c):
    """Append the record that has just run to the log, when this thread records."""
    if recording_here(c):
        words = load_word(c.scratch, R_WORDS)
        place = log_room(c, words)
        if place != 0:
            memcpy(place, c.scratch, words * WORD)


@jit
def plain_record(c, kernel, words):
    """The address of a new record of the layout PLAIN with room for `words` words, or 0."""
    place = log_room(c, N_SIZES + words)
    if place != 0:
        for k in range(N_SIZES):
            store_word(place, k, 0)
        store_word(place, R_KERNEL, kernel)
        store_word(place, R_WORDS, N_SIZES + words)
        store_word(place, R_LAYOUT, PLAIN)
        store_word(place, R_ATTRS, N_SIZES)
    return place


@jit
def keep_constant(c, storage):
    """A storage has been filled by other means than a kernel: log a row that fills it again."""
    if recording_here(c):
        record = storage_at(c, storage)
        record.pinned = 1
        original = take_fresh(c, size_class(record.bytes))  # earlier rows must not write there
        if original != 0:
            memcpy(original, record.address, record.bytes)
            place = plain_record(c, c.copy_kernel, 3)
            if place != 0:
                store_word(place, COPY_TARGET, record.address)
                store_word(place, COPY_SOURCE, original)
                store_word(place, COPY_BYTES, record.bytes)


@jit
def keep_zeros(c, storage):
    """A storage has been cleared: log a row that clears it again."""
    if recording_here(c):
        record = storage_at(c, storage)
        record.pinned = 1
        place = plain_record(c, c.clear_kernel, 2)
        if place != 0:
            store_word(place, CLEAR_TARGET, record.address)
            store_word(place, CLEAR_BYTES, record.bytes)


@jit
def count_up(c, counter):
    """Log a row that adds one to the float64 at an address."""
    if recording_here(c):
        place = plain_record(c, c.count_kernel, 2)
        if place != 0:
            store_word(place, COUNT_COUNTERS, 1)
            store_word(place, COUNT_FIRST, counter)


@jit
def note(c, event, slot):
    """Note that the gradient of a slot has been read or is being set, when this thread records."""
    if recording_here(c):
        if c.event_count == c.event_room:
            moved = longer(c, c.events, 2 * EVENT_WORDS * c.event_room)
            if moved == 0:
                return
            c.events = moved
            c.event_room *= 2
        store_word(c.events, EVENT_WORDS * c.event_count, event)
        store_word(c.events, EVENT_WORDS * c.event_count + 1, slot)
        gradient = slot_at(c, slot).grad
        store_word(c.events, EVENT_WORDS * c.event_count + 2, gradient)
        store_word(c.events, EVENT_WORDS * c.event_count + 3, slot_at(c, gradient).address if gradient else 0)
        c.event_count += 1
