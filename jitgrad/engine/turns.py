"""Walks around walks: setting aside what one has left in the tables while another runs.

A walk marks slots and collects cotangents in them. When it stops for Python, another may begin, which must find
the tables as if the first were not there.
"""

from .handles import release
from .jit import entry
from .layout import CAPTURE, LINE_WORDS, NEEDED, TOUCHED
from .pointers import load_word, store_word
from .slots import trim
from .tables import slot_at

MARKS = CAPTURE | NEEDED | TOUCHED


@entry
def hold_tape(c):
    """Keep the tape still; returns how many walks hold it now."""
    c.walks += 1
    return c.walks


@entry
def end_walk(c):
    """The walk that held the tape still is over."""
    c.walks -= 1
    trim(c)
    return 0


@entry
def set_aside(c, lines, room):
    """Move marks and cotangents from the slots to the `room` lines at address `lines`.

    Returns how many lines there are; when that is more than `room`, nothing has been moved.
    """
    count = 0
    for turn in range(2):
        count = 0
        for s in range(1, c.slot_count):
            record = slot_at(c, s)
            if record.storage == 0 and record.links == 0 and record.cotangent == 0:
                continue  # a free slot keeps its old flags
            if record.flags & MARKS == 0 and record.cotangent == 0:
                continue
            if turn == 1:
                at = lines + count * LINE_WORDS * 8
                store_word(at, 0, s)
                store_word(at, 1, record.flags & MARKS)
                store_word(at, 2, record.cotangent)
                store_word(at, 3, record.next)
                record.flags &= ~MARKS
                record.cotangent = 0
                record.next = 0
                record.handles += 1  # what only its cotangent kept must stay
            count += 1
        if count > room:
            break
    return count


@entry
def put_back(c, lines, count):
    """Undo `set_aside`; what nobody has needed since goes now."""
    for k in range(count):
        at = lines + k * LINE_WORDS * 8
        record = slot_at(c, load_word(at, 0))
        record.flags |= load_word(at, 1)
        record.cotangent = load_word(at, 2)
        record.next = load_word(at, 3)
    for k in range(count):
        release(c, load_word(lines + k * LINE_WORDS * 8, 0))
    return 0
