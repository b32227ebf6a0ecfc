"""Several threads walking one program: seats, gates, and the meeting after each shared segment.

A shared segment has `seats`, at most one for each thread; seat p stands for the parts p, p + seats, ... of its
records. Shared segments are numbered for the life of the team. Seat p of segment number g is *claimed* by
raising the seat's claim word to g, which one thread can do, and *done* when its done word is raised to g. Each
thread claims the seat with its own number, so it meets the same elements, warm in its cache, all the way; but a
thread that finds the others late claims their seats too. So nobody waits for a thread that the system has not
let run, unless it was stopped in the middle of a part.

The thread that called (number 0) walks the table, runs what is not shared, and opens the *gate* of each shared
segment. Where one follows another, the workers do not wait for the gate: they see the end of a segment as the
caller does, and have read in the table what comes next.

Workers round as the caller does and take subnormal numbers for zero where it does, so it makes no difference who
runs a part.

What a worker may read: the table and the records belong to the call, which ends when the seats of its last
segment are done. So a worker reads them only between claiming a seat and having it done.
"""

from ..kernels.plain import run_records
from .atomics import (
    arithmetic,
    bell_init,
    bell_ring,
    bell_wait,
    load_acquire,
    lock,
    lock_init,
    nanoseconds,
    pause,
    release_python,
    retake_python,
    set_arithmetic,
    store_release,
    swap_if,
    try_lock,
    unlock,
    usleep,
)
from .block import (
    DONE,
    SEAT_BITS,
    SEAT_WORDS,
    T_ARITHMETIC,
    T_AT,
    T_BELL,
    T_END,
    T_GATE,
    T_LIMIT,
    T_LOCK,
    T_NUMBER,
    T_PARKED,
    T_SEATS,
    T_STOP,
    T_TABLE,
    T_THREADS,
    WORD,
)
from .jit import entry, jit
from .layout import SEGMENT_BEGIN, SEGMENT_END, SEGMENT_PARTS, SEGMENT_REPORT, SEGMENT_WORDS
from .pointers import load_word, store_word

SEGMENT_BYTES = SEGMENT_WORDS * WORD

# nanoseconds, except for the first
POLLS = 24  # looks at a seat before the clock is read
PATIENCE = 400  # before a seat that nobody has claimed is taken from its owner
NAP_AFTER = 100_000  # before a thread that waits for another's part lets the system have the core
AWAKE = 150_000  # for which a worker spins between calls
AWAKE_WITHIN = 500_000  # and while a call runs what is not shared


@jit
def run_seat(begin, end, seat, seats, parts):
    """Run the parts of a seat."""
    part = seat
    while part < parts:
        run_records(begin, end, part, parts)
        part += seats


@jit
def claim(team, seat, number):
    """Take a seat of segment `number`, unless another thread has."""
    place = T_SEATS + seat * SEAT_WORDS
    before = load_acquire(team, place)
    return before < number and swap_if(team, place, before, number)


@jit
def is_done(team, seat, number):
    """Whether a seat is done; then what its parts wrote can be read."""
    return load_acquire(team, T_SEATS + seat * SEAT_WORDS + DONE) >= number


@jit
def set_done(team, seat, number):
    """Let the others see that a seat is done, and what its parts wrote."""
    store_release(team, T_SEATS + seat * SEAT_WORDS + DONE, number)


@jit
def stand_in(team, number, begin, end, seat, seats, parts):
    """Do the work of another's seat; False when somebody already does."""
    if not claim(team, seat, number):
        return False
    run_seat(begin, end, seat, seats, parts)
    set_done(team, seat, number)
    return True


@jit
def settle_seat(team, number, begin, end, seat, seats, parts, absent):
    """Wait until a seat is done, or do its work; whether its owner seems to be away.

    An owner that was away in the segment before is given no time.
    """
    if absent and stand_in(team, number, begin, end, seat, seats, parts):
        return True
    for _ in range(POLLS):
        if is_done(team, seat, number):
            return False
        pause()
    start = nanoseconds()
    while not is_done(team, seat, number):
        waited = nanoseconds() - start
        if waited > PATIENCE and stand_in(team, number, begin, end, seat, seats, parts):
            return True
        if waited > NAP_AFTER:
            usleep(1)
        pause()
    return False


@jit
def settle(team, me, number, begin, end, seats, parts, absent):
    """Return when all seats of a segment are done. `absent` has a bit for each owner that was away.

    Even the own seat may be in another's hands.
    """
    for k in range(seats):
        seat = me + k
        if seat >= seats:
            seat -= seats
        if not is_done(team, seat, number):
            bit = 1 << (seat & 63)
            if settle_seat(team, number, begin, end, seat, seats, parts, (absent & bit) != 0):
                absent |= bit
            else:
                absent &= ~bit
    return absent


@jit
def count_shared(table, end):
    """How many segments are for several threads."""
    found = 0
    line = table
    while line < end:
        if load_word(line, SEGMENT_PARTS) != 1:
            found += 1
        line += SEGMENT_BYTES
    return found


@jit
def open_gate(team, number, line, seats):
    """Let the workers into a segment, and wake those that sleep."""
    store_word(team, T_AT, line)
    store_release(team, T_GATE, (number << SEAT_BITS) | seats)
    # a worker that falls asleep at this moment may be missed: it sleeps until the next segment, and others
    # do its work meanwhile
    if load_word(team, T_PARKED) != 0:
        wake(team)


@jit
def wake(team):
    """Wake all workers that sleep, unless one is on its way to bed."""
    if try_lock(team + T_LOCK * WORD) == 0:
        store_word(team, T_PARKED, 0)
        bell_ring(team + T_BELL * WORD)
        unlock(team + T_LOCK * WORD)


@jit
def walk_together(team, table, segments, steps):
    """Walk a program `steps` times with the team, which is this thread's; returns as `walk_segments`."""
    threads = load_word(team, T_THREADS)
    number = load_word(team, T_NUMBER)
    end = table + segments * SEGMENT_BYTES
    store_word(team, T_TABLE, table)
    store_word(team, T_END, end)
    store_word(team, T_ARITHMETIC, arithmetic())
    store_word(team, T_LIMIT, number + steps * count_shared(table, end))
    absent = 0
    for _ in range(steps):
        line = table
        while line < end:
            begin = load_word(line, SEGMENT_BEGIN)
            stop = load_word(line, SEGMENT_END)
            parts = load_word(line, SEGMENT_PARTS)
            if parts == 1:
                run_records(begin, stop, 0, 1)
            else:
                if parts == 0:
                    parts = threads
                seats = min(parts, threads)
                number += 1
                open_gate(team, number, line, seats)
                stand_in(team, number, begin, stop, 0, seats, parts)
                absent = settle(team, 0, number, begin, stop, seats, parts, absent)
            report = load_word(line, SEGMENT_REPORT)
            if report != 0 and load_word(report, 0) != 0:
                store_word(team, T_LIMIT, number)
                store_word(team, T_NUMBER, number)
                return report
            line += SEGMENT_BYTES
    store_word(team, T_NUMBER, number)
    return 0


@jit
def work(team, me, number, absent):
    """Work from segment `number`, in which this thread has claimed its seat, as far as it can go by itself.

    Returns the number of the last segment that it need not come back to.
    """
    threads = load_word(team, T_THREADS)
    mode = load_word(team, T_ARITHMETIC)
    if mode != arithmetic():  # setting it takes longer than asking
        set_arithmetic(mode)
    line = load_word(team, T_AT)
    parts = load_word(line, SEGMENT_PARTS)
    while True:
        begin = load_word(line, SEGMENT_BEGIN)
        end = load_word(line, SEGMENT_END)
        if parts == 0:
            parts = threads
        seats = min(parts, threads)
        run_seat(begin, end, me, seats, parts)
        # look ahead while the call cannot end; a segment that may end it is followed by a gate
        may_end = load_word(line, SEGMENT_REPORT) != 0
        line += SEGMENT_BYTES
        if line == load_word(team, T_END):
            line = load_word(team, T_TABLE)
        following = load_word(line, SEGMENT_PARTS)
        goes_on = following != 1 and not may_end and number < load_word(team, T_LIMIT)
        set_done(team, me, number)
        absent = settle(team, me, number, begin, end, seats, parts, absent)
        if not goes_on:
            return number
        number += 1
        parts = following
        if (parts != 0 and me >= parts) or not claim(team, me, number):
            return number


@jit
def next_gate(team, seen):
    """Wait until a segment after number `seen` is open; its gate, or 0 when the team is dismissed."""
    start = nanoseconds()
    while True:
        for _ in range(POLLS):
            gate = load_acquire(team, T_GATE)
            if gate >> SEAT_BITS > seen:
                return gate
            pause()
        if load_acquire(team, T_STOP) != 0:
            return 0
        within = load_word(team, T_LIMIT) > gate >> SEAT_BITS
        if nanoseconds() - start > (AWAKE_WITHIN if within else AWAKE):
            park(team, seen)
            start = nanoseconds()


@jit
def park(team, seen):
    """Sleep until the caller or `dismiss` wakes this thread."""
    lock(team + T_LOCK * WORD)
    store_word(team, T_PARKED, 1)
    if load_acquire(team, T_GATE) >> SEAT_BITS <= seen and load_acquire(team, T_STOP) == 0:
        bell_wait(team + T_BELL * WORD, team + T_LOCK * WORD)
    unlock(team + T_LOCK * WORD)


@entry
def serve(c, team, me):
    """Be worker number `me` of a team until it is dismissed. Python's lock is not held meanwhile."""
    python = release_python()
    seen = 0
    while True:
        gate = next_gate(team, seen)
        if gate == 0:
            break
        seen = gate >> SEAT_BITS
        seats = gate & ((1 << SEAT_BITS) - 1)
        # once the claim has succeeded, the call stays in this segment until `work` is done with it
        if me < seats and claim(team, me, seen):
            seen = work(team, me, seen, 0)
    retake_python(python)
    return 0


@entry
def found(c, team, threads):
    """Make a team of a block of zeros."""
    store_word(team, T_THREADS, threads)
    lock_init(team + T_LOCK * WORD, 0)
    bell_init(team + T_BELL * WORD, 0)
    return 0


@entry
def dismiss(c, team):
    """Send the workers away. A call that has the team goes on without them."""
    lock(team + T_LOCK * WORD)
    store_release(team, T_STOP, 1)
    bell_ring(team + T_BELL * WORD)
    unlock(team + T_LOCK * WORD)
    return 0
