"""Walking the tape backwards: the kernels of each row that is reached, and what it leaves behind."""

from .cotangents import added_in_place, drop_leaves, give_cotangent, hand_over, keep_gradient, wanted
from .gradients import (
    GRADIENTS,
    map_operand,
    operand,
    put_geometry,
    reduce_operand,
    zeros_or_empty_like,
)
from .handles import release
from .jit import entry, jit
from .layout import (
    ARRAYS,
    CAPTURE,
    DEAD_OP,
    HOOKED,
    LEAVES_SEEN,
    MAP,
    NEED_HOOKS,
    NEED_PYTHON,
    NEEDED,
    NO_DERIVATIVE,
    NO_ROW,
    NOT_SAVED,
    OUT_OF_MEMORY,
    PYTHON,
    REDUCE,
    RETAIN_GRAD,
    RULE_MATMUL,
    SPOILED_OUTSIDE,
    STALE,
    STRIDED_VIEW,
    T_ATTRS,
    T_INPUTS,
    T_KIND,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_PREV,
    T_WORDS,
    W_CAPTURE,
    W_CURSOR,
    W_LEAVES,
    W_PENDING,
    W_RETAIN,
    W_SEEN,
)
from .memory import recording_here
from .nests import finish_arrays, put_absent, put_array, run
from .pointers import load_word, store_word
from .record import kernel_address
from .slots import drain, let_go, settle, unlink_row
from .tables import op_at, slot_at, storage_at
from .tape_rows import room
from .view_gradients import view_operand

WORD = 8


@jit
def stale(c, row, count):
    """The first saved value that was overwritten since it was recorded, or -1."""
    for k in range(count):
        version = load_word(row, T_OPERANDS + 2 * k + 1)
        if version != NOT_SAVED:
            record = slot_at(c, operand(row, k))
            now = storage_at(c, record.storage).version
            if now != version:
                c.detail[1] = k
                c.detail[2] = version
                c.detail[3] = now
                return k
    return -1


@jit
def arrays_row(c, state, op, row, inputs, outputs, attrs, attr_count):
    """Walk an ARRAYS row: one kernel writes every gradient that is wanted; 0 or a status."""
    info = op_at(c, op)
    first_out = operand(row, inputs)
    expand = info.rule == RULE_MATMUL
    like = slot_at(c, first_out) if first_out != 0 else slot_at(c, operand(row, 0))
    main = info.main
    dtype = slot_at(c, operand(row, main)).dtype if operand(row, main) != 0 else like.dtype
    count = inputs + 2 * outputs
    for k in range(inputs + outputs):
        slot = operand(row, k)
        if slot == 0 or load_word(row, T_OPERANDS + 2 * k + 1) == NOT_SAVED:
            put_absent(c, k)
            if slot != 0:
                put_geometry(c, k, slot_at(c, slot), expand and k < inputs, like)
        else:
            x = slot_at(c, slot)
            put_array(c, k, x, like.dims if expand and k < inputs else x.dims, like)
    for k in range(outputs):
        slot = operand(row, inputs + k)
        if slot == 0 or slot_at(c, slot).cotangent == 0:
            put_absent(c, inputs + outputs + k)
        else:
            g = slot_at(c, slot_at(c, slot).cotangent)
            put_array(c, inputs + outputs + k, g, g.dims, g)
    status = 0
    any_wanted = False
    for k in range(inputs):
        slot = operand(row, k)
        gradient = 0
        if slot != 0 and (info.differentiable >> k) & 1 and wanted(c, state, slot):
            gradient = zeros_or_empty_like(c, slot, slot_at(c, slot).dtype, False)
            any_wanted = True
            if gradient == 0:
                status = OUT_OF_MEMORY
        store_word(c.scratch, GRADIENTS + k, gradient)
        if gradient == 0:
            put_absent(c, count + k)
        else:
            x = slot_at(c, gradient)
            put_array(c, count + k, x, like.dims if expand else x.dims, like)
    if (
        status == 0 and any_wanted
    ):  # none is when leaves ask for gradients no more: kernels write one at least
        kernel = kernel_address(c, op, 1, dtype)
        finish_arrays(c, kernel, count + inputs, like.numel, attrs, attr_count)
        run(c)
    for k in range(inputs):
        gradient = load_word(c.scratch, GRADIENTS + k)
        if gradient != 0:
            if status == 0:
                status = give_cotangent(c, state, operand(row, k), gradient)
            else:
                release(c, gradient)
    return status


@jit
def walk_row(c, state, row, kind):
    """Hand on the cotangents of one row; 0 or a status."""
    op = load_word(row, T_OP)
    inputs = load_word(row, T_INPUTS)
    outputs = load_word(row, T_OUTPUTS)
    attrs = row + load_word(row, T_ATTRS) * WORD
    attr_count = load_word(row, T_WORDS) - load_word(row, T_ATTRS)
    if stale(c, row, inputs + outputs) >= 0:
        return STALE
    if kind == ARRAYS:
        return arrays_row(c, state, op, row, inputs, outputs, attrs, attr_count)
    out = operand(row, inputs)
    for k in range(inputs):
        x = operand(row, k)
        if x == 0 or not wanted(c, state, x):
            continue
        if kind == MAP:
            if (op_at(c, op).differentiable >> k) & 1 == 0:
                continue
            if op_at(c, op).underivable:
                return NO_DERIVATIVE
            gradient = map_operand(c, op, row, k, out, inputs, attrs, attr_count)
        elif kind == REDUCE:
            gradient = reduce_operand(c, op, row, out, attrs, attr_count)
        elif kind == STRIDED_VIEW and added_in_place(c, x, out, attrs):
            continue
        else:
            gradient = view_operand(c, kind, row, out, attrs, attr_count)
        if gradient == 0:
            return OUT_OF_MEMORY
        status = give_cotangent(c, state, x, gradient)
        if status != 0:
            return status
    return 0


@jit
def reached(c, state, row):
    """How many outputs of a row have a cotangent; -1 when none of those leads on to what is wanted.

    NEED_HOOKS when Python wants to see one of the cotangents first.
    """
    inputs = load_word(row, T_INPUTS)
    outputs = load_word(row, T_OUTPUTS)
    count = 0
    flags = c.watch
    for k in range(inputs, inputs + outputs):
        slot = operand(row, k)
        if slot != 0 and slot_at(c, slot).cotangent != 0:
            count += 1
            flags |= slot_at(c, slot).flags
    if flags & HOOKED and count > 0 and load_word(state, W_SEEN) != load_word(state, W_CURSOR) + 1:
        return NEED_HOOKS
    if count > 0 and load_word(state, W_CAPTURE) != 0 and flags & NEEDED == 0:
        store_word(state, W_PENDING, load_word(state, W_PENDING) - count)
        drop_cotangents(c, row)
        return -1
    return count


@jit
def drop_cotangents(c, row):
    """Take off a row's outputs what leads nowhere, but for what was asked for."""
    inputs = load_word(row, T_INPUTS)
    for k in range(inputs, inputs + load_word(row, T_OUTPUTS)):
        slot = operand(row, k)
        if slot != 0 and slot_at(c, slot).cotangent != 0 and slot_at(c, slot).flags & CAPTURE == 0:
            cotangent = slot_at(c, slot).cotangent
            slot_at(c, slot).cotangent = 0
            release(c, cotangent)
            let_go(c, slot)


@entry
def leave_row(c, state, offset):
    """After a row has been walked: settle its outputs' cotangents, and free it unless it is retained."""
    row = c.tape + offset * WORD
    store_word(state, W_CURSOR, load_word(row, T_PREV))
    inputs = load_word(row, T_INPUTS)
    outputs = load_word(row, T_OUTPUTS)
    doomed = NO_ROW
    for k in range(inputs, inputs + outputs):
        slot = operand(row, k)
        if slot == 0:
            continue
        record = slot_at(c, slot)
        if record.cotangent == 0:
            continue
        store_word(state, W_PENDING, load_word(state, W_PENDING) - 1)
        if record.flags & CAPTURE:
            continue
        cotangent = record.cotangent
        record.cotangent = 0
        if record.flags & RETAIN_GRAD:
            keep_gradient(c, slot, cotangent)
        else:
            release(c, cotangent)
    if load_word(state, W_RETAIN) == 0:
        doomed = unlink_row(c, offset, doomed)
    else:
        for k in range(inputs, inputs + outputs):
            slot = operand(row, k)
            if slot != 0:
                doomed = settle(c, slot, doomed)
    drain(c, doomed)
    return 0


@entry
def walk(c, state):
    """Walk back from the state's cursor; 0 when done, or the status for which Python must step in."""
    while load_word(state, W_PENDING) > 0:
        offset = load_word(state, W_CURSOR)
        if offset < 0:
            break
        row = c.tape + offset * WORD
        if load_word(row, T_OP) == DEAD_OP:
            store_word(state, W_CURSOR, load_word(row, T_PREV))
        else:
            count = reached(c, state, row)
            if count == NEED_HOOKS:
                c.detail[0] = offset
                return NEED_HOOKS
            if count <= 0:
                store_word(state, W_CURSOR, load_word(row, T_PREV))
            else:
                if offset < c.first_row and recording_here(c):
                    c.spoiled = SPOILED_OUTSIDE
                status = room(c, 0)
                if status == 0:
                    kind = load_word(row, T_KIND)
                    status = NEED_PYTHON if kind == PYTHON else walk_row(c, state, row, kind)
                if status != 0:
                    c.detail[0] = offset
                    return status
                leave_row(c, state, offset)
    if load_word(state, W_SEEN) != LEAVES_SEEN:
        leaf = load_word(state, W_LEAVES)
        while leaf != 0:
            if slot_at(c, leaf).flags & HOOKED:
                c.detail[0] = NO_ROW
                return NEED_HOOKS
            leaf = slot_at(c, leaf).next
    if load_word(state, W_CAPTURE):
        drop_leaves(c, state, CAPTURE)  # a root that nobody asked for can be a leaf
        return 0
    return hand_over(c, state)
