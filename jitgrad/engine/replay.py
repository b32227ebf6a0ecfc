"""Programs: checking that one fits, and replaying it. A call is one compiled call.

Nothing is changed before every check has passed. A replay makes no storage but those of the results.
"""

from ..kernels.arguments import ExactHandle, Handle
from ..kernels.plain import run_records
from .create import empty
from .handles import release
from .jit import entry, jit
from .layout import (
    A_BEHIND,
    A_DIMS,
    A_DTYPE,
    A_FIRST,
    A_FLAGS,
    A_SHAPE,
    A_WRITTEN,
    ANY_GRADIENT,
    ANY_MODE,
    ARGUMENT_WORDS,
    BAD_CLASS,
    BAD_INDEX,
    BEHIND_RECORD,
    CHECK_ARGUMENT,
    CHECK_CLASSES,
    CHECK_IGNORED,
    CHECK_WORDS,
    G_ADDRESS,
    G_DTYPE,
    G_FLAGS,
    G_GRAD,
    G_GRAD_ADDRESS,
    G_NUMEL,
    G_SLOT,
    GRADIENT_LEAF,
    GRADIENT_OWN,
    GRADIENT_SLOT,
    GRADIENT_WORDS,
    GUARD_WORDS,
    GUARDED_FLAGS,
    MAX_DIMS,
    OTHER_PROGRAM,
    PATCH_ARGUMENT,
    PATCH_OFFSET,
    PATCH_PLACE,
    PATCH_WORDS,
    REPORT_LATE,
    RESULT_DIMS,
    RESULT_DTYPE,
    RESULT_SHAPE,
    RESULT_SOURCE,
    RESULT_WORDS,
    SEGMENT_BEGIN,
    SEGMENT_END,
    SEGMENT_PARTS,
    SEGMENT_REPORT,
    SEGMENT_WORDS,
)
from .memory import recording_here
from .pointers import load_word, memcpy, store_word
from .spans import meet
from .tables import program_at, slot_at, storage_at
from .tape_rows import item_size, mode_of_thread, room
from .watching import same_words

WORD = 8


@jit
def same_argument(c, line, slot):
    """Whether a tensor has the dtype, geometry and flags of the one a program was recorded with."""
    x = slot_at(c, slot)
    if x.dtype != load_word(line, A_DTYPE) or x.dims != load_word(line, A_DIMS):
        return False
    if (x.flags & GUARDED_FLAGS) != load_word(line, A_FLAGS):
        return False
    for d in range(x.dims):
        if x.shape[d] != load_word(line, A_SHAPE + d):
            return False
        if x.strides[d] != load_word(line, A_SHAPE + MAX_DIMS + d) and x.shape[d] != 1:
            return False
    return True


@jit
def same_memory(c, p, ids, k):
    """Whether argument number `k` shares memory with those before it as it did, and with nothing that is written."""
    line = p.arguments + k * ARGUMENT_WORDS * WORD
    x = slot_at(c, load_word(ids, k))
    first = load_word(line, A_FIRST)
    for j in range(k):
        y = slot_at(c, load_word(ids, j))
        together = load_word(p.arguments + j * ARGUMENT_WORDS * WORD, A_FIRST) == first
        if together != meet(c, x.storage, y.storage):
            return False
        if j == first and x.address - y.address != load_word(line, A_BEHIND):
            return False
    for j in range(p.written_count):
        if meet(c, load_word(p.written, j), x.storage):
            return False
    if load_word(line, A_WRITTEN):
        for j in range(p.guard_count):
            if meet(c, slot_at(c, load_word(p.guards, GUARD_WORDS * j + G_SLOT)).storage, x.storage):
                return False
    return True


@jit
def same_arguments(c, p, ids):
    """Whether the tensors at address `ids` fit a program."""
    for k in range(p.arity):
        if not same_argument(c, p.arguments + k * ARGUMENT_WORDS * WORD, load_word(ids, k)):
            return False
        if not same_memory(c, p, ids, k):
            return False
    return True


@jit
def same_surroundings(c, p):
    """Whether the tensors from outside, their gradients and the modes are what they were."""
    if not same_words(p.watched, p.watched_count):
        return False
    if c.structure != p.structure or (p.mode != ANY_MODE and mode_of_thread(c) != p.mode):
        return False
    for k in range(p.guard_count):
        line = p.guards + k * GUARD_WORDS * WORD
        x = slot_at(c, load_word(line, G_SLOT))
        if x.address != load_word(line, G_ADDRESS) or x.numel != load_word(line, G_NUMEL):
            return False
        if x.dtype != load_word(line, G_DTYPE) or (x.flags & GUARDED_FLAGS) != load_word(line, G_FLAGS):
            return False
        gradient = load_word(line, G_GRAD)
        if gradient != ANY_GRADIENT:
            if x.grad != gradient:
                return False
            if gradient != 0 and slot_at(c, gradient).address != load_word(line, G_GRAD_ADDRESS):
                return False
    return True


@jit
def own_gradients(c, p):
    """Whether nobody but the leaves, and programs, sees the gradients that the program will overwrite."""
    for k in range(p.gradient_count):
        line = p.gradients + k * GRADIENT_WORDS * WORD
        slot = load_word(line, GRADIENT_SLOT)
        if slot != 0 and load_word(line, GRADIENT_OWN):
            gradient = slot_at(c, slot)
            seen = gradient.handles - gradient.programs
            if slot_at(c, load_word(line, GRADIENT_LEAF)).grad == slot:
                seen -= 1
            if seen != 0 or storage_at(c, gradient.storage).refs != 1:
                return False
    return True


@jit
def good_classes(c, p, ids):
    """Whether the class indices among the arguments are in range."""
    for k in range(p.check_count):
        line = p.checks + k * CHECK_WORDS * WORD
        x = slot_at(c, load_word(ids, load_word(line, CHECK_ARGUMENT)))
        classes = load_word(line, CHECK_CLASSES)
        ignored = load_word(line, CHECK_IGNORED)
        for j in range(x.numel):
            index = load_word(x.address, j)
            if (index < 0 or index >= classes) and index != ignored:
                return False
    return True


@entry
def prepare(c, program, ids):
    """Check that a program fits the tensors at address `ids`, and point its records at them.

    Returns 0, OTHER_PROGRAM, BAD_CLASS or what `room` asks for; then nothing has changed.
    """
    p = program_at(program)
    status = room(c, 0)
    if status != 0:
        return status
    if p.running != 0 or c.observers != 0 or recording_here(c):
        return OTHER_PROGRAM  # what a replay does is neither seen nor logged: the function itself must run
    if not (same_surroundings(c, p) and same_arguments(c, p, ids) and own_gradients(c, p)):
        return OTHER_PROGRAM
    if not good_classes(c, p, ids):
        return BAD_CLASS
    for k in range(p.patch_count):
        line = p.patches + k * PATCH_WORDS * WORD
        x = slot_at(c, load_word(ids, load_word(line, PATCH_ARGUMENT)))
        store_word(load_word(line, PATCH_PLACE), 0, x.address + load_word(line, PATCH_OFFSET))
    return 0


@entry
def use_records(c, program, table, segments, patches, patch_count):
    """Let a program replay other records from now on; OTHER_PROGRAM while another thread runs those it has."""
    p = program_at(program)
    if p.running != 0:
        return OTHER_PROGRAM
    p.table = table
    p.segments = segments
    p.patches = patches
    p.patch_count = patch_count
    p.recorded = 0
    return 0


@entry
def begin(c, program, ids):
    """`prepare`, and keep other threads off the program until the word `running` is cleared."""
    status = prepare(c, program, ids)
    if status == 0:
        program_at(program).running = 1
    return status


@jit
def walk_segments(table, segments):
    """Run the segments of a program one after another on this thread.

    Returns the address of the report of a row that met a bad index, where the walk has ended, or 0.
    """
    for s in range(segments):
        line = table + s * SEGMENT_WORDS * WORD
        begin = load_word(line, SEGMENT_BEGIN)
        end = load_word(line, SEGMENT_END)
        parts = max(load_word(line, SEGMENT_PARTS), 1)
        for part in range(parts):
            run_records(begin, end, part, parts)
        report = load_word(line, SEGMENT_REPORT)
        if report != 0 and load_word(report, 0) != 0:
            return report
    return 0


@jit
def count_writes(c, p, ids):
    """Count the writes of a replay in the versions of what it writes."""
    for k in range(p.written_count):
        storage_at(c, load_word(p.written, k)).version += 1
    for k in range(p.arity):
        if load_word(p.arguments + k * ARGUMENT_WORDS * WORD, A_WRITTEN):
            storage_at(c, slot_at(c, load_word(ids, k)).storage).version += 1


@entry
def stop(c, program, ids, report):
    """After a replay that a bad index ended: BAD_CLASS when nothing has changed, else BAD_INDEX."""
    if load_word(report, REPORT_LATE) == 0:
        store_word(report, 0, 0)
        return BAD_CLASS
    count_writes(c, program_at(program), ids)
    c.detail[0] = report
    return BAD_INDEX


@jit
def copy_results(c, p, results, begin):
    """Copy the results from number `begin` on, as `complete` says; after a status, detail[0] says which failed."""
    first = 0
    for k in range(begin, p.result_count):
        line = p.results + k * RESULT_WORDS * WORD
        dtype = load_word(line, RESULT_DTYPE)
        out = empty(c, dtype, load_word(line, RESULT_DIMS), line + RESULT_SHAPE * WORD, 0)
        if out < 0:
            c.detail[0] = k
            return out
        x = slot_at(c, out)
        memcpy(x.address, load_word(line, RESULT_SOURCE), x.numel * item_size(dtype))
        store_word(results, k, out)
        if k == 0:
            first = out
    return first


@entry
def complete_results(c, program, results, begin):
    """The rest of `complete`, when it had no room for results from number `begin` on."""
    return copy_results(c, program_at(program), results, begin)


@entry
def complete(c, program, ids, results):
    """After a replay: gradients to their leaves, versions counted, and the results copied.

    The slot of every result goes to address `results`, with one handle. Returns the first, or 0, or a status.
    """
    p = program_at(program)
    for k in range(p.gradient_count):
        line = p.gradients + k * GRADIENT_WORDS * WORD
        leaf = slot_at(c, load_word(line, GRADIENT_LEAF))
        slot = load_word(line, GRADIENT_SLOT)
        before = leaf.grad
        if before != slot:
            if slot != 0:
                slot_at(c, slot).handles += 1
            leaf.grad = slot
            if before != 0:
                release(c, before)
    count_writes(c, p, ids)
    return copy_results(c, p, results, 0)


@entry
def call(c, program, ids, results):
    """A whole call of a program on one thread; as `complete`, or a status of `prepare`."""
    p = program_at(program)
    if p.recorded == 1:
        return OTHER_PROGRAM
    status = prepare(c, program, ids)
    if status != 0:
        return status
    if p.recorded > 1:
        p.recorded -= 1
    report = walk_segments(p.table, p.segments)
    if report != 0:
        return stop(c, program, ids, report)
    return complete(c, program, ids, results)


@entry
def call_one(c, program, a: ExactHandle) -> Handle:
    """`call` with one argument and one result."""
    ids = c.scratch + BEHIND_RECORD * WORD
    store_word(ids, 0, a)
    return call(c, program, ids, ids + WORD)


@entry
def call_two(c, program, a: ExactHandle, b: ExactHandle) -> Handle:
    """`call` with two arguments and one result."""
    ids = c.scratch + BEHIND_RECORD * WORD
    store_word(ids, 0, a)
    store_word(ids, 1, b)
    return call(c, program, ids, ids + 2 * WORD)


@entry
def call_three(c, program, a: ExactHandle, b: ExactHandle, d: ExactHandle) -> Handle:
    """`call` with three arguments and one result."""
    ids = c.scratch + BEHIND_RECORD * WORD
    store_word(ids, 0, a)
    store_word(ids, 1, b)
    store_word(ids, 2, d)
    return call(c, program, ids, ids + 3 * WORD)
