"""Whether a replay is shared: the choice between one thread and the team, by what either took lately.

A program alone is timed at its first step and now and then later. The team's time beyond that is its *debt*: it
grows when the cores are taken by others, when a worker is stopped in the middle of a part, when segments are
too small to share. A debt beyond a limit sends the program back to one thread for a while, each time for twice
as long. Nothing else is measured, so the walk itself reads no clock.
"""

from .atomics import nanoseconds, release_python, retake_python, store_release, swap_if
from .block import (
    BUSY,
    LINE,
    N_ALONE,
    N_DEBT,
    N_LEFT,
    N_NAME,
    N_REST,
    N_RETRY,
    N_SHARED,
    N_SINCE,
    N_SPENT,
    NOTES,
    T_BUSY,
    T_NOTES,
    T_PARKED,
    T_WORKERS,
    WANTS_WORKERS,
    WORD,
)
from .jit import entry, jit
from .layout import SEGMENT_BEGIN
from .pointers import load_word, store_word
from .replay import walk_segments
from .team import SEGMENT_BYTES, count_shared, walk_together

# nanoseconds
SLICE = 250_000  # of work between two decisions
SAMPLE = 20_000  # on one thread, to know what it takes
SAMPLE_EVERY = 20_000_000  # of work with the team
SAMPLE_SHARE = 128  # and at most this often
DEBT = 150_000
SHORT_REST = 1_000_000
LONG_REST = 50_000_000
LONGEST_REST = 500_000_000
RESTS = 16  # a debt is at most such a part of the time
SOUND = 10_000_000  # a team that did well so long starts again with a short rest
WORTH_SHARING = 2_000  # a step
WORTH_WAKING = 40_000  # a call
WORTH_WORKERS = 1_000_000  # all calls
NEAR = 50_000  # calls that follow one another so closely would find the workers awake
HOLD = 10_000  # a call for which Python's lock is kept


@jit
def walk_alone(table, segments, steps):
    """Walk a program `steps` times on this thread; returns as `walk_segments`."""
    for _ in range(steps):
        report = walk_segments(table, segments)
        if report != 0:
            return report
    return 0


@entry
def replay(c, table, segments, steps):
    """Run a program `steps` times on this thread, without Python's lock; returns as `walk_segments`."""
    python = release_python()
    report = walk_alone(table, segments, steps)
    retake_python(python)
    return report


@jit
def name_of(table, segments):
    """A number that tells what is walked: a table may lie where that of another program lay."""
    name = segments
    for s in range(segments):
        name = 31 * name + load_word(table + s * SEGMENT_BYTES, SEGMENT_BEGIN)
    return name


@jit
def note_of(team, name):
    """Address of the note on a program; a new program takes the place of an old one."""
    note = team + (T_NOTES + (((name >> 5) ^ (name >> 11)) & (NOTES - 1)) * LINE) * WORD
    if load_word(note, N_NAME) != name:
        for k in range(LINE):
            store_word(note, k, 0)
        store_word(note, N_NAME, name)
        store_word(note, N_REST, SHORT_REST)
    return note


@jit
def is_for_team(team, note, now, steps):
    """Whether the team should run the next steps."""
    alone = load_word(note, N_ALONE)
    if alone < WORTH_SHARING or load_word(note, N_SHARED) == 0:
        return False
    if load_word(team, T_WORKERS) <= 0 or now < load_word(note, N_RETRY):
        return False
    near = now - load_word(note, N_LEFT) < NEAR
    if load_word(team, T_PARKED) != 0 and alone * steps < WORTH_WAKING and not near:
        return False
    return load_word(note, N_SINCE) < max(SAMPLE_EVERY, SAMPLE_SHARE * alone)


@jit
def learn(note, took, steps, shared):
    """Note what `steps` steps on one thread took. Interruptions count little, improvements at once."""
    before = load_word(note, N_ALONE)
    each = max(took // steps, 1)
    if before == 0 or each < before:
        store_word(note, N_ALONE, each)
    else:
        store_word(note, N_ALONE, before + (min(each, 2 * before) - before + 7) // 8)
    store_word(note, N_SHARED, shared)
    store_word(note, N_SINCE, 0)
    if shared != 0:
        store_word(note, N_SPENT, load_word(note, N_SPENT) + took)


@jit
def judge(note, took, alone, now):
    """Note what the team took for what one thread does in `alone`."""
    debt = load_word(note, N_DEBT) + took - alone
    rest = load_word(note, N_REST)
    if debt > DEBT:
        store_word(note, N_RETRY, now + max(rest, min(RESTS * debt, LONGEST_REST)))
        store_word(note, N_REST, min(2 * rest, LONG_REST))
        debt = 0
    elif now - load_word(note, N_RETRY) > SOUND:
        store_word(note, N_REST, SHORT_REST)
    store_word(note, N_DEBT, max(debt, 0))
    store_word(note, N_SINCE, load_word(note, N_SINCE) + took)


@jit
def pace(team, note, table, segments, steps):
    """Walk a program; returns as `walk_segments`, or WANTS_WORKERS."""
    now = nanoseconds()
    while steps > 0:
        alone = load_word(note, N_ALONE)
        if is_for_team(team, note, now, steps):
            count = min(max(SLICE // alone, 1), steps)
            report = walk_together(team, table, segments, count)
            later = nanoseconds()
            judge(note, later - now, alone * count, later)
        else:
            time = SLICE if now < load_word(note, N_RETRY) else SAMPLE
            if load_word(note, N_SINCE) != 0 and steps > 1:
                # what the others have just written is in their caches: the first step is not like the next ones
                report = walk_alone(table, segments, 1)
                if report != 0:
                    return report
                now = nanoseconds()
                steps -= 1
            count = 1 if alone == 0 else min(max(time // alone, 1), steps)
            report = walk_alone(table, segments, count)
            later = nanoseconds()
            learn(note, later - now, count, count_shared(table, table + segments * SEGMENT_BYTES))
        if report != 0:
            return report
        now = later
        steps -= count
        if load_word(team, T_WORKERS) == 0 and load_word(note, N_SPENT) > WORTH_WORKERS:
            return WANTS_WORKERS - steps
    store_word(note, N_LEFT, now)
    return 0


@jit
def paced(team, table, segments, steps):
    """Run a program `steps` times, with the team where that is faster.

    Returns as `walk_segments`, or BUSY or WANTS_WORKERS.
    """
    if not swap_if(team, T_BUSY, 0, 1):
        return BUSY
    note = note_of(team, name_of(table, segments))
    alone = load_word(note, N_ALONE)
    if alone != 0 and alone * steps < HOLD:
        outcome = pace(team, note, table, segments, steps)
    else:
        python = release_python()
        outcome = pace(team, note, table, segments, steps)
        retake_python(python)
    store_release(team, T_BUSY, 0)
    return outcome


@entry
def replay_team(c, team, table, segments, steps):
    """`paced` for Python."""
    return paced(team, table, segments, steps)


@entry
def walk_team(c, team, table, segments, steps):
    """Run a program `steps` times with the team, whatever it takes; returns as `walk_segments`, or BUSY."""
    if not swap_if(team, T_BUSY, 0, 1):
        return BUSY
    python = release_python()
    report = walk_together(team, table, segments, steps)
    retake_python(python)
    store_release(team, T_BUSY, 0)
    return report
