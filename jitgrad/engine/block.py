"""The memory through which the threads of a team see one another: a block of words, made by `jitgrad.team`.

CPUs fetch cache lines of 64 bytes in pairs, so what different threads write is 128 bytes apart.
"""

WORD = 8
LINE = 16  # words

T_GATE = 0  # the segment that is open: its number and its seats
T_AT = 1  # its line in the table
T_TABLE = LINE  # of the call: the table, its end, and the number of the last segment that is sure to come
T_END = LINE + 1
T_LIMIT = LINE + 2
T_ARITHMETIC = LINE + 3  # how the calling thread rounds, and whether it takes subnormal numbers for zero
T_PARKED = 2 * LINE  # whether a worker sleeps
T_STOP = 3 * LINE  # the workers shall leave
T_BUSY = 4 * LINE  # a call has the team
T_NUMBER = 4 * LINE + 1  # of the last segment
T_THREADS = 4 * LINE + 2
T_WORKERS = 4 * LINE + 3  # how many have been started; -1: there will be none
T_LOCK = 5 * LINE
T_BELL = 6 * LINE
T_RECORD = 7 * LINE  # the table of one segment for a single record, see engine/eager.py
T_NOTES = 8 * LINE  # NOTES lines
NOTES = 512
T_SEATS = T_NOTES + NOTES * LINE  # two lines for each thread
SEAT_WORDS = 2 * LINE
DONE = LINE  # claimed and done are apart, because others watch the one while its owner writes the other

SEAT_BITS = 16  # of a gate

# what a replay returns to Python where that is not the address of a report, or 0
BUSY = -1  # another call has the team
WANTS_WORKERS = -2  # less the steps that are left: the team should be given workers before they run

# in the context in place of a team's address
UNDECIDED = 0  # Python has not been asked yet
NO_TEAM = -1  # there is one thread

# a note on a program; times in nanoseconds
N_NAME = 0  # of which program
N_SHARED = 1  # how many of its segments are for several threads
N_ALONE = 2  # a step on one thread
N_SINCE = 3  # work with the team since that was measured
N_DEBT = 4  # what the team took beyond that
N_RETRY = 5  # no team before this moment
N_REST = 6  # how long the next time on one thread will be
N_LEFT = 7  # when the last call ended
N_SPENT = 8  # on one thread, in all
