"""A whole call of a program with the team, where that is faster: as `call_one` and so on of ``replay.py``.

Programs with rows that are worth sharing are called so; they are compiled with the team, which others do not need.
"""

from ..kernels.arguments import ExactHandle, Handle
from .atomics import release_python, retake_python
from .block import BUSY, NO_TEAM, UNDECIDED, WANTS_WORKERS
from .jit import entry, jit
from .layout import BEHIND_RECORD, OTHER_PROGRAM
from .pace import paced
from .pointers import store_word
from .replay import complete, prepare, stop, walk_segments
from .tables import program_at

WORD = 8


@jit
def put_arguments(c, a, b, d):
    """The address at which the arguments of a call stand: other threads call when Python's lock is free."""
    ids = c.scratch + BEHIND_RECORD * WORD
    store_word(ids, 0, a)
    store_word(ids, 1, b)
    store_word(ids, 2, d)
    return ids


@jit
def walk(team, table, segments):
    """Walk once; as `walk_segments`, or WANTS_WORKERS after a walk for which Python should see to the team."""
    if team != UNDECIDED and team != NO_TEAM:
        outcome = paced(team, table, segments, 1)
        if outcome != BUSY:
            return outcome
    python = release_python()
    report = walk_segments(table, segments)
    retake_python(python)
    return WANTS_WORKERS if report == 0 and team == UNDECIDED else report


@jit
def call_together(c, program, a, b, d):
    """A call with up to three arguments; as `call`."""
    p = program_at(program)
    if p.recorded == 1:
        return OTHER_PROGRAM
    status = prepare(c, program, put_arguments(c, a, b, d))
    if status != 0:
        return status
    p.running = 1
    outcome = walk(c.team, p.table, p.segments)
    p.running = 0
    ids = put_arguments(c, a, b, d)
    if outcome > 0:
        return stop(c, program, ids, outcome)
    if outcome < 0:
        p.recorded = 1  # the next call goes through Python
    return complete(c, program, ids, ids + 3 * WORD)


@entry
def call_one_together(c, program, a: ExactHandle) -> Handle:
    """`call_together` with one argument and one result."""
    return call_together(c, program, a, 0, 0)


@entry
def call_two_together(c, program, a: ExactHandle, b: ExactHandle) -> Handle:
    """`call_together` with two arguments and one result."""
    return call_together(c, program, a, b, 0)


@entry
def call_three_together(c, program, a: ExactHandle, b: ExactHandle, d: ExactHandle) -> Handle:
    """`call_together` with three arguments and one result."""
    return call_together(c, program, a, b, d)
