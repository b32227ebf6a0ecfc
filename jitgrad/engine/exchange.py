"""Two tensors change places in the graph, so that a handle shows another history without knowing of it."""

from .jit import entry
from .layout import (
    DEAD_OP,
    RETAIN_GRAD,
    S_GRAD,
    S_HANDLES,
    S_PROGRAMS,
    SLOT_WORDS,
    T_INPUTS,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_WORDS,
)
from .pointers import load_word, store_word
from .tables import slot_at

WORD = 8


@entry
def exchange(c, a, b):
    """Let slots `a` and `b` change places: rows that name one name the other; handles and ``.grad`` stay.

    No walk may be under way.
    """
    x, y = slot_at(c, a), slot_at(c, b)
    first, second = c.slots + a * SLOT_WORDS * WORD, c.slots + b * SLOT_WORDS * WORD
    for w in range(SLOT_WORDS):
        if w != S_HANDLES and w != S_PROGRAMS and w != S_GRAD:
            kept = load_word(first, w)
            store_word(first, w, load_word(second, w))
            store_word(second, w, kept)
    moved = (x.flags ^ y.flags) & RETAIN_GRAD
    x.flags ^= moved
    y.flags ^= moved
    offset = 0
    while offset < c.tape_top:
        row = c.tape + offset * WORD
        if load_word(row, T_OP) != DEAD_OP:
            for k in range(load_word(row, T_INPUTS) + load_word(row, T_OUTPUTS)):
                slot = load_word(row, T_OPERANDS + 2 * k)
                if slot == a:
                    store_word(row, T_OPERANDS + 2 * k, b)
                elif slot == b:
                    store_word(row, T_OPERANDS + 2 * k, a)
        offset += load_word(row, T_WORDS)
    return 0
