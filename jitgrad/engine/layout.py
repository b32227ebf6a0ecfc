"""The engine's memory: every table is a flat array that compiled code and Python both read.

A *slot* is a tensor: dtype, shape, strides, the storage that holds its values, and its place in the graph. A
*storage* is a block of memory that views share. A *row* of the tape is one recorded operation. The *context*
holds the addresses of these tables, so that one integer tells compiled code where everything is.
"""

import numpy as np

from ..kernels.abi import MAX_DIMS, N_DTYPES

i8 = np.int64

slot_dtype = np.dtype(
    [
        ("storage", i8),  # 0 when the value has been dropped and only the graph needs the slot
        ("address", i8),  # of element 0
        ("dtype", i8),
        ("dims", i8),
        ("numel", i8),
        ("flags", i8),
        ("handles", i8),  # Python tensors that name this slot
        ("saved", i8),  # rows that need its value
        ("links", i8),  # rows that have it as an operand through which gradients flow
        ("row", i8),  # the row that made it, or NO_ROW, or FREED_ROW
        ("output", i8),  # which output of that row
        ("grad", i8),  # slot of .grad, or 0
        ("cotangent", i8),  # slot of the gradient on its way during a walk, or 0
        ("next", i8),  # next free slot; during a walk, next leaf to receive its gradient
        ("history", i8),  # the storage's history when the slot was made
        ("programs", i8),  # how many of its handles are those of programs
        ("shape", i8, MAX_DIMS),
        ("strides", i8, MAX_DIMS),  # in elements
    ]
)
SLOT_WORDS = slot_dtype.itemsize // 8
(
    S_STORAGE,
    S_ADDRESS,
    S_DTYPE,
    S_DIMS,
    S_NUMEL,
    S_FLAGS,
    S_HANDLES,
    S_SAVED,
    S_LINKS,
    S_ROW,
    S_OUTPUT,
    S_GRAD,
    S_COTANGENT,
    S_NEXT,
    S_HISTORY,
    S_PROGRAMS,
) = range(16)
S_SHAPE = 16
S_STRIDES = S_SHAPE + MAX_DIMS

NO_ROW = -1
FREED_PYTHON = (1 << 20) - 1  # stands for the operation of a freed row that Python ran
FREED_ROW = -2  # this or less: the row is gone; FREED_ROW - op remembers which operation it was

# slot flags
REQUIRES_GRAD = 1
CONTIGUOUS = 2
RETAIN_GRAD = 4
WRAPPED = 8  # made from a Python number: it does not decide the dtype of a result
IS_VIEW = 16
CAPTURE = 32  # autograd.grad asked for the gradient at this slot
NEEDED = 64  # on a path to a captured slot, during a walk
TOUCHED = 128  # in the walk's list of leaves
INFERENCE = 256  # made under inference_mode
SAVED_BY_MAKER = 512  # one of the counts in `saved` is the row's that made the slot
ORPHAN = 1024  # its row has been told that nobody needs this output
LISTED = 8192  # in a list of slots, while a program is made of a recording
SETTLED = 16384  # an event of the recording has been seen that concerns it
NOTED = 4096  # Python has written down something about the slot, which is gone when the flag is
HOOKED = 1 << 16  # Python wants to see its cotangent on the way; more than any row has outputs
# The bits from here on number a family: the tensors on one memory that follow one history. `detach` begins a new one.
FAMILY = 1 << 20
FAMILIES = -FAMILY

storage_dtype = np.dtype(
    [
        ("address", i8),
        ("bytes", i8),
        ("size_class", i8),  # EXTERNAL when Python owns the memory
        ("refs", i8),  # slots that hold it
        ("version", i8),  # counts writes in place
        ("history", i8),  # counts those that were recorded: views made before do not know of them
        ("next", i8),  # next free storage
        ("owner", i8),  # the program whose memory this is, or 0
        ("pinned", i8),  # its block is not used again while that program is recorded
    ]
)
EXTERNAL = -1

# a row of the tape: header, then operands and outputs as (slot, saved version) pairs, then attributes
T_OP, T_WORDS, T_PREV, T_INPUTS, T_OUTPUTS, T_LIVE, T_ATTRS, T_KIND = range(8)
T_OPERANDS = 8
NOT_SAVED = -1  # in place of a version: the value is not needed, only the slot's place in the graph
DEAD_OP = -1

# the state of one walk back, so that it can stop for Python and go on
W_CURSOR, W_PENDING, W_LEAVES, W_RETAIN, W_CAPTURE, W_STATUS, W_SEEN = range(7)
WALK_WORDS = 7
LEAVES_SEEN = -1  # as W_SEEN: Python has seen the leaves; a row that it has seen is noted as its place + 1
LINE_WORDS = 4  # of what is set aside for each slot: slot, flags, cotangent, next leaf

# kinds of rows
MAP, REDUCE, ARRAYS, STRIDED_VIEW, RESHAPE, PYTHON = range(6)

SIZE_CLASSES = 160
MODES = 64  # threads that may have switched recording off at once
MAX_OPERANDS = 4  # of an operation recorded by the fast entry

context_dtype = np.dtype(
    [
        ("slots", i8),
        ("slot_count", i8),
        ("free_slot", i8),
        ("free_slots", i8),  # how many
        ("slot_top", i8),  # one past the highest slot that has ever been used
        ("storages", i8),
        ("storage_count", i8),
        ("free_storage", i8),
        ("storage_top", i8),  # one past the highest storage that has ever been used
        ("tape", i8),
        ("tape_words", i8),
        ("tape_top", i8),
        ("last_row", i8),
        ("dead_words", i8),
        ("ops", i8),
        ("kernels", i8),
        ("scratch", i8),  # the call record being built
        ("slab", i8),  # where the next small block is cut from
        ("slab_end", i8),
        ("pooled", i8),  # bytes of free large blocks
        ("pool_limit", i8),
        ("bytes", i8),  # bytes handed out
        ("allocations", i8),  # blocks ever handed out
        ("system_allocations", i8),  # times the system was asked for memory
        ("rows", i8),  # rows ever recorded
        ("live_rows", i8),
        ("modes", i8),  # threads listed in mode_thread
        ("mode_thread", i8, MODES),
        ("mode", i8, MODES),
        ("sum_op", i8),  # roles the engine needs from the table
        ("add_op", i8),
        ("copy_op", i8),
        ("cast_op", i8),  # to the dtype of code 0; those to the others follow
        ("default_dtype", i8),  # of new floating tensors
        ("detail", i8, 4),  # what went wrong, for the message
        ("walks", i8),  # walks under way: the tape must not move under them
        ("released", i8),  # first external storage that was let go, linked through storage.next
        ("freed_nodes", i8),  # address of the list of Python's rows that went, room kept by Python
        ("freed_node_count", i8),
        ("free_blocks", i8, SIZE_CLASSES),
        # a program being recorded (see engine/recording.py)
        ("recording", i8),  # its number, or 0
        ("recorder", i8),  # the thread that records
        ("first_row", i8),  # where the tape stood when the recording began
        ("records", i8),  # the call records that ran so far
        ("log_words", i8),
        ("log_room", i8),
        ("events", i8),  # what happened to gradients, as (event, slot) pairs
        ("event_count", i8),
        ("event_room", i8),
        ("blocks", i8),  # blocks of memory that the program has taken, as (address, class) pairs
        ("block_count", i8),
        ("block_room", i8),
        ("spoiled", i8),  # a SPOILED_ reason why the program cannot be replayed, or 0
        ("copy_kernel", i8),  # copies bytes
        ("clear_kernel", i8),  # sets bytes to zero
        ("count_kernel", i8),  # adds one to counters
        ("recorded_blocks", i8, SIZE_CLASSES),  # free blocks among the program's own
        ("team", i8),  # the block of the threads that replay programs, see engine/together.py
        ("extent", i8),  # elements of the call record being built
        ("shared_from", i8),  # extents that may be worth several threads, see engine/eager.py
        ("large", i8),  # elements of such records, until Python is asked for threads
        ("sharer", i8),  # runs such a record with the team; 0 when there is none
        ("structure", i8),  # counts changes of modules and optimizers that a program may depend on
        ("families", i8),  # ever begun
        ("watch", i8),  # HOOKED when walks stop at every row for Python to look at
        ("observers", i8),  # who sees rows as they are recorded; programs leave none, and do not run then
    ]
)

# a program: call records to replay, and what must hold before and be done after. Addresses are of 64-bit words
program_dtype = np.dtype(
    [
        ("table", i8),  # SEGMENT_WORDS for each segment
        ("segments", i8),
        ("mode", i8),  # the recording mode in which it was recorded
        ("structure", i8),  # the context's `structure` for which the guards of Python are known to hold
        ("arity", i8),  # tensors among the arguments
        ("arguments", i8),  # ARGUMENT_WORDS each
        ("guards", i8),  # tensors from outside that it uses, GUARD_WORDS each
        ("guard_count", i8),
        ("patches", i8),  # where records hold the address of an argument, PATCH_WORDS each
        ("patch_count", i8),
        ("checks", i8),  # class indices among the arguments, CHECK_WORDS each
        ("check_count", i8),
        ("results", i8),  # RESULT_WORDS each
        ("result_count", i8),
        ("gradients", i8),  # leaves and the gradients they have in the end, GRADIENT_WORDS each
        ("gradient_count", i8),
        ("written", i8),  # storages from outside that it writes
        ("written_count", i8),
        ("recorded", i8),  # calls, and one, until Python is asked to rewrite the records or start workers
        ("watched", i8),  # words that say that Python's objects are what they were, WATCH_WORDS each
        ("watched_count", i8),
        ("running", i8),  # whether a call of it is under way, so that no other thread may begin one
        # what is known from its making (see engine/making.py)
        ("end", i8),  # of the tables
        ("spans", i8),  # whose memory lay where, in order, SPAN_WORDS each
        ("span_count", i8),
        ("alive", i8),  # first byte and end of what was alive after the recording
        ("alive_count", i8),
        ("given", i8),  # the arguments' storages and addresses
        ("before", i8),  # slots whose gradients are read before they are set, and these gradients
        ("before_count", i8),
        ("first_seen", i8),  # the word that says where the first write goes that others can see, or 0
        ("reporting", i8),  # records that report, each with its word that says where
        ("reporting_count", i8),
    ]
)
HEADER_WORDS = program_dtype.itemsize // 8
SPAN_BEGIN, SPAN_END, SPAN_STORAGE, SPAN_USE = range(4)
SPAN_WORDS = 4
OWN = -1  # in place of a storage from outside: memory of the recording's
USED, WRITTEN, SEEN = 1, 2, 4  # how a program uses a span, as bits; others see what is in it
SPAN_ARGUMENT = 8  # times the number of the argument whose memory it is and one, in the same word

# what is copied when a recording ends: how many of each, then the words of the log, the blocks and the events
TAKEN_LOG, TAKEN_BLOCKS, TAKEN_EVENTS = range(3)
TAKEN_HEAD = 3

# what is known of records by kernel, layout and count, in an open hash table whose size is a power of two: where the
# first array is named and its size, words from one to the next, how many there are, and which are written: those
# from a first to before a last one, and others as bits
KNOWN_MASK = 0
FIRST_REPORTS, OTHER_REPORTS = 1, 3  # first byte and end of the memory in which rows report
KNOWN_KINDS = 5
KIND_KERNEL, KIND_LAYOUT, KIND_COUNT, KIND_PLACE, KIND_SIZE, KIND_STEP, KIND_ARRAYS = range(7)
KIND_FIRST, KIND_LAST, KIND_MASK = range(7, 10)
KIND_WORDS = 10
ALONE, SHARED = 1, 0  # parts of a segment: one, or one for each thread
SEGMENT_BEGIN, SEGMENT_END, SEGMENT_PARTS, SEGMENT_REPORT = range(4)  # the cell to look at in the end, or 0
SEGMENT_WORDS = 4
# word of a cell, see program/layout/reports.py: what went before has changed what others see
REPORT_LATE = 4
# of an argument also the number of the first one in the same storage, and how many bytes it lies behind that one
A_DTYPE, A_FLAGS, A_WRITTEN, A_FIRST, A_BEHIND, A_DIMS = range(6)
A_SHAPE = 6
ARGUMENT_WORDS = A_SHAPE + 2 * MAX_DIMS
# the gradient that the program finds, and where it lay: when it is gone, its slot may become another's
G_SLOT, G_ADDRESS, G_DTYPE, G_NUMEL, G_FLAGS, G_GRAD, G_GRAD_ADDRESS = range(7)
GUARD_WORDS = 7
ANY_MODE = -1  # as a program's mode: it runs in any
ANY_GRADIENT = -1  # as G_GRAD: the program does not depend on the gradient it finds
PATCH_ARGUMENT, PATCH_PLACE, PATCH_OFFSET = range(3)
PATCH_WORDS = 3
CHECK_ARGUMENT, CHECK_CLASSES, CHECK_IGNORED = range(3)
CHECK_WORDS = 3
WATCH_ADDRESS, WATCH_VALUE = range(2)
WATCH_WORDS = 2
RESULT_SOURCE, RESULT_DTYPE, RESULT_DIMS, RESULT_SHAPE = range(4)
RESULT_WORDS = 3 + MAX_DIMS
GRADIENT_LEAF, GRADIENT_SLOT, GRADIENT_OWN = range(3)
GRADIENT_WORDS = 3
GUARDED_FLAGS = REQUIRES_GRAD | INFERENCE  # of arguments, and of gradients that a step reads
HALF = 32  # bits of half a word, for two slots in one
WHOLE_LINE = -1  # in place of a number of elements: as many as a line has
BEHIND_RECORD = 1 << 14  # words from the scratch record to other words of a call

# operation table, as compiled code sees it
MAX_OUTPUTS = 4
USES = 12  # operands that have bits of their own; those after them share the last
op_dtype = np.dtype(
    [
        ("kind", i8),
        ("inputs", i8),
        ("main", i8),  # operand whose dtype picks the kernel
        ("input_dtype", i8, MAX_OPERANDS),  # required dtype code, or SAME
        ("output_dtype", i8, MAX_OUTPUTS),  # dtype code, or SAME
        ("differentiable", i8),  # operands through which history flows, as bits
        ("underivable", i8),  # a MAP operation's row stops the walk back with an error
        ("uses", i8, USES),  # per operand: what its backward reads, operand bits and USE_*
        ("rule", i8),  # shape rule of an ARRAYS operation
        ("picks", i8),  # an ARRAYS operation reads only some elements of operand 0
        ("entered", i8, N_DTYPES),  # by dtype code: what operands that combine in it become; see promotion.py
    ]
)
SAME = -1
ENTERS_NOT = -1  # Python has to say what happens
ENTERS_DEFAULT = -2  # as the default dtype
USE_OUTPUT = 1 << USES  # output 0; the bits after it are the outputs 1, 2, ...
USE_COTANGENT = USE_OUTPUT << MAX_OUTPUTS
USE_PASS = USE_COTANGENT << 1  # the gradient is the cotangent itself: nothing to compute

VARIANTS = 8  # kernels of an operation: forward, then backward to each operand

# shape rules of ARRAYS operations
RULE_EXPLICIT = 0  # the caller gives the outputs' dtypes and shapes
RULE_SAME = 1  # like operand 0
RULE_SCALAR = 2  # no dimensions
RULE_PICKED = 3  # operand 0 without its second dimension
RULE_LINEAR = 4  # (..., k), (n, k) -> (..., n)
RULE_MATMUL = 5  # (..., m, k), (..., k, n) -> (..., m, n)

# what a compiled call returns instead of a slot; all are negative
NEED_KERNEL = -1  # detail: op, variant, dtype
NEED_SLOTS = -2
NEED_TAPE = -3
NEED_STORAGES = -4
BAD_DTYPE = -5  # operand dtypes differ or have no kernel: promotion is Python's
BAD_SHAPE = -6
OUT_OF_MEMORY = -7
LEAF_IN_PLACE = -8
SHARED_PLACES = -9  # a write into a tensor of which several elements lie in one place
STALE = -10  # detail: row, operand, saved version, version now
FREED = -11
NEED_PYTHON = -12  # detail: row that Python must run
NOT_VIEWABLE = -13
VIEW_IN_PLACE = -14  # a recorded write into a view
STALE_VIEW = -15  # a view whose base was written in place, recorded, since
OTHER_PROGRAM = -17  # what a program was recorded for does not hold
NEED_HOOKS = -20  # detail: row whose outputs' cotangents Python wants to see, or NO_ROW for the leaves
INFERENCE_SAVED = -21  # an operand made under inference_mode would have to be kept for the walk back
INFERENCE_IN_PLACE = -22  # a write into a tensor made under inference_mode, outside it
BAD_CLASS = -18  # a class index out of range
BAD_INDEX = -19  # an index out of range, after other rows have changed what can be seen; detail: the report
NEED_TEAM = -27  # so much has been done on one thread that others should be there
NEED_KINDS = -23  # a record of a kind of which nothing is known
LOST_MEMORY = -24  # a record uses memory that is neither the recording's nor anybody's any more
ARGUMENT_GRADIENT = -26  # a recording sets the gradient of an argument
NO_DERIVATIVE = -25  # the walk has come to an operation that has none; detail: row
STATUSES = -4096  # every status is more than this, and every address with its sign turned less
COPY_OPERANDS = -16  # detail: operands, as bits, whose values the write would change while they are needed

ENABLED, DISABLED, INFERENCE_MODE = 0, 1, 2

# what a call from Python writes to the tape: no row, one at most, or any number
RECORDS_NOTHING, RECORDS_ONE, RECORDS_SEVERAL = range(3)

# what a recording notes about the gradient of a leaf: whether the step depends on what it was before
GRAD_READ, GRAD_SET = range(2)
EVENT_WORDS = 4  # which of these, the slot, its gradient at that moment, and the address of that
SPOILED_OUTSIDE, SPOILED_MEMORY = 1, 2  # a walk over rows from before the recording; no memory for the log
