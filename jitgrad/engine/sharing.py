"""What a recording copies of its log, who shares memory with its arguments, and who keeps memory of its own."""

from .jit import entry, jit
from .layout import EVENT_WORDS, REQUIRES_GRAD, TAKEN_BLOCKS, TAKEN_EVENTS, TAKEN_HEAD, TAKEN_LOG
from .pointers import load_word, memcpy, store_word
from .spans import meet
from .tables import slot_at, storage_at

WORD = 8


@entry
def take_recording(c, target):
    """Copy the log, blocks and events to `target`: a head that says how many, then these."""
    store_word(target, TAKEN_LOG, c.log_words)
    store_word(target, TAKEN_BLOCKS, c.block_count)
    store_word(target, TAKEN_EVENTS, c.event_count)
    at = target + TAKEN_HEAD * WORD
    memcpy(at, c.records, c.log_words * WORD)
    at += c.log_words * WORD
    memcpy(at, c.blocks, 2 * c.block_count * WORD)
    at += 2 * c.block_count * WORD
    memcpy(at, c.events, EVENT_WORDS * c.event_count * WORD)
    return 0


@entry
def outlived(c, number, given, count):
    """How many slots with memory of program `number` somebody else holds than the `count` given handles and leaves."""
    found = 0
    for turn in range(2):
        by = -1 if turn == 0 else 1  # the handles are taken off, and put back
        for k in range(count):
            slot_at(c, load_word(given, k)).handles += by
        for s in range(1, c.slot_top):
            gradient = slot_at(c, s).grad
            if gradient > 0:
                slot_at(c, gradient).handles += by
        if turn == 0:
            for s in range(1, c.slot_top):
                x = slot_at(c, s)
                if x.storage != 0 and x.handles > 0 and storage_at(c, x.storage).owner == number:
                    found += 1
    return found


@jit
def share(c, a, b):
    """Whether two tensors have memory in common; slot 0 has with none."""
    return b != 0 and meet(c, slot_at(c, a).storage, slot_at(c, b).storage)


@jit
def go_together(c, a, b):
    """Whether two arguments that share memory are views whose distance is all that a program has to know."""
    x, y = slot_at(c, a), slot_at(c, b)
    return x.storage == y.storage and x.dtype == y.dtype and (x.flags | y.flags) & REQUIRES_GRAD == 0


@entry
def share_memory(c, ids, count, others, other_count):
    """1 when two of the tensors `ids` share memory otherwise than as views of one; 2 when one does with the others.

    With the gradients of these, too.
    """
    for k in range(count):
        x = load_word(ids, k)
        for j in range(k):
            if share(c, x, load_word(ids, j)) and not go_together(c, x, load_word(ids, j)):
                return 1
        for j in range(other_count):
            other = load_word(others, j)
            if share(c, x, other) or share(c, x, slot_at(c, other).grad):
                return 2
    return 0
