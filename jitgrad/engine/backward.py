"""The walk back over the tape: each row turns the cotangents of its outputs into those of its operands.

A slot's cotangent is complete when the walk reaches the row that made it, because every row that used it stands
later on the tape. The walk stops as soon as no cotangent is waiting, so its length is that of the graph, not of
the tape. Rows are freed as it passes them. It returns to Python for rows that only Python can run, and for
table space; its state is in the caller's hands, so it goes on from there, and walks may nest.

Gradients of leaves are handed over at the very end: a walk that fails leaves every ``.grad`` as it was.
"""

from ..kernels.abi import A_ARRAYS, ARRAY_ADDRESS, ARRAY_WORDS, FLOAT32
from .handles import release
from .jit import entry, jit
from .layout import (
    ARRAYS,
    BAD_SHAPE,
    CAPTURE,
    CONTIGUOUS,
    DEAD_OP,
    FREED,
    FREED_ROW,
    MAP,
    NEED_KERNEL,
    NEED_PYTHON,
    NEEDED,
    NO_ROW,
    NOT_SAVED,
    OUT_OF_MEMORY,
    PYTHON,
    REDUCE,
    REQUIRES_GRAD,
    RESHAPE,
    RETAIN_GRAD,
    RULE_MATMUL,
    STALE,
    T_ATTRS,
    T_INPUTS,
    T_KIND,
    T_OP,
    T_OPERANDS,
    T_OUTPUTS,
    T_PREV,
    T_WORDS,
    TOUCHED,
    USE_COTANGENT,
    USE_OUTPUT,
    USE_PASS,
    W_CAPTURE,
    W_CURSOR,
    W_LEAVES,
    W_PENDING,
    W_RETAIN,
    WALK_WORDS,
)
from .memory import give_block, new_storage, take_block
from .nests import (
    finish_arrays,
    map_nest,
    put_absent,
    put_array,
    put_id,
    reduce_nest,
    run,
)
from .pointers import (
    float_word,
    load_word,
    memset,
    store_float32,
    store_word,
)
from .record import item_size, kernel_address, room, same_shape, walk_kernels
from .slots import alias, drain, let_go, new_slot, set_contiguous, settle, trim, unlink_row
from .tables import (
    op_at,
    slot_at,
    storage_at,
)
from .views import D_FIRST, DIM_WORDS, has_expansion, is_permutation, map_strides

WORD = 8
GRADIENTS = (1 << 15) + (1 << 14)  # words from the scratch record to the gradients of one row
REDUCE_ATTRS = GRADIENTS + (1 << 12)


@jit
def zeros_or_empty_like(c, slot, dtype, zero):
    """A contiguous slot of the same shape with one handle; 0 without memory."""
    x = slot_at(c, slot)
    size = x.numel * item_size(dtype)
    storage = new_storage(c, size)
    if storage == 0:
        return 0
    address = storage_at(c, storage).address
    s = new_slot(c, storage, address, dtype)
    y = slot_at(c, s)
    y.dims = x.dims
    for d in range(x.dims):
        y.shape[d] = x.shape[d]
    set_contiguous(y)
    y.handles = 1
    if zero:
        memset(address, 0, size)
    return s


@jit
def add_into(c, target, other):
    """``target += other`` on slots of one shape."""
    put_id(c, 0, target)
    put_id(c, 1, target)
    put_id(c, 2, other)
    kernel = kernel_address(c, c.add_op, 0, slot_at(c, target).dtype)
    map_nest(c, kernel, 3, 0, 0)
    run(c)


@jit
def copy_of(c, slot):
    """A contiguous copy with one handle; 0 without memory."""
    dtype = slot_at(c, slot).dtype
    out = zeros_or_empty_like(c, slot, dtype, False)
    if out != 0:
        put_id(c, 0, out)
        put_id(c, 1, slot)
        map_nest(c, kernel_address(c, c.copy_op, 0, dtype), 2, 0, 0)
        run(c)
    return out


@jit
def exclusive(c, slot):
    """Whether nobody else can see the values of a slot that we hold by one handle."""
    record = slot_at(c, slot)
    return record.handles == 1 and record.saved == 0 and storage_at(c, record.storage).refs == 1


@entry
def give_cotangent(c, state, slot, cotangent):
    """Hand a cotangent (and its handle) to a slot, adding to one that is already there; 0 or a status.

    NEED_KERNEL leaves everything as it was; it comes for roots only: rows had their kernels when recorded.
    """
    record = slot_at(c, slot)
    if record.row <= FREED_ROW and record.flags & CAPTURE == 0:
        release(c, cotangent)
        return FREED
    if record.cotangent == 0:
        record.cotangent = cotangent
        if record.row >= 0:
            store_word(state, W_PENDING, load_word(state, W_PENDING) + 1)
        elif record.flags & TOUCHED == 0:
            record.flags |= TOUCHED
            record.next = load_word(state, W_LEAVES)
            store_word(state, W_LEAVES, slot)
        return 0
    if not walk_kernels(c, record.dtype):
        return NEED_KERNEL
    if not exclusive(c, record.cotangent):
        # what is there may be seen elsewhere: add into a copy
        own = copy_of(c, record.cotangent)
        if own == 0:
            release(c, cotangent)
            return OUT_OF_MEMORY
        release(c, record.cotangent)
        record.cotangent = own
    add_into(c, record.cotangent, cotangent)
    release(c, cotangent)
    return 0


@jit
def wanted(c, state, slot):
    """Whether the walk owes this operand a gradient."""
    flags = slot_at(c, slot).flags
    if flags & REQUIRES_GRAD == 0:
        return False
    return load_word(state, W_CAPTURE) == 0 or flags & (NEEDED | CAPTURE) != 0


@jit
def operand(row, k):
    """Slot of entry `k` of a row: operands first, then outputs."""
    return load_word(row, T_OPERANDS + 2 * k)


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
def sum_to(c, source, slot):
    """Sum `source` (its handle is given up) down to the shape of `slot`; 0 without memory."""
    g, x = slot_at(c, source), slot_at(c, slot)
    mask = 0
    for d in range(g.dims):
        own = d - (g.dims - x.dims)
        if own < 0 or (x.shape[own] == 1 and g.shape[d] != 1):
            mask |= 1 << d
    out = zeros_or_empty_like(c, slot, g.dtype, False)
    if out != 0:
        kernel = kernel_address(c, c.sum_op, 0, g.dtype)
        reduce_nest(c, kernel, g, mask, slot_at(c, out).address, 0, 0)
        run(c)
    release(c, source)
    return out


@jit
def map_operand(c, op, row, k, out, inputs, attrs, attr_count):
    """Gradient of a MAP row for operand `k`; its slot with one handle, or 0 without memory."""
    info = op_at(c, op)
    uses = info.uses[k]
    x = operand(row, k)
    cotangent = slot_at(c, out).cotangent
    if uses & USE_PASS:
        gradient = alias(c, cotangent)
        slot_at(c, gradient).handles = 1
    else:
        gradient = zeros_or_empty_like(c, out, slot_at(c, x).dtype, False)
        if gradient == 0:
            return 0
        put_id(c, 0, gradient)
        count = 1
        for j in range(inputs):
            if (uses >> j) & 1:
                put_id(c, count, operand(row, j))
                count += 1
        if uses & USE_OUTPUT:
            put_id(c, count, out)
            count += 1
        if uses & USE_COTANGENT:
            put_id(c, count, cotangent)
            count += 1
        dtype = slot_at(c, operand(row, info.main)).dtype
        map_nest(c, kernel_address(c, op, 1 + k, dtype), count, attrs, attr_count)
        run(c)
    if not same_shape(slot_at(c, gradient), slot_at(c, x)):
        gradient = sum_to(c, gradient, x)
    return gradient


@jit
def unreduced(c, slot, x_slot, mask):
    """A view of a reduced slot with size 1 in the reduced dimensions, so that it broadcasts."""
    y, x = slot_at(c, slot), slot_at(c, x_slot)
    s = alias(c, slot)
    out = slot_at(c, s)
    kept = y.dims == x.dims
    j = 0
    out.dims = x.dims
    for d in range(x.dims):
        if (mask >> d) & 1:
            out.shape[d] = 1
            out.strides[d] = 0
            if kept:
                j += 1
        else:
            out.shape[d] = y.shape[j]
            out.strides[d] = y.strides[j]
            j += 1
    out.flags &= ~CONTIGUOUS
    if out.numel == 1:
        out.flags |= CONTIGUOUS
    out.handles = 1
    return s


@jit
def reduce_operand(c, op, row, out, attrs, attr_count):
    """Gradient of a REDUCE row for its operand; its slot with one handle, or 0 without memory."""
    uses = op_at(c, op).uses[0]
    x = operand(row, 0)
    mask = load_word(attrs, 0)
    gradient = zeros_or_empty_like(c, x, slot_at(c, x).dtype, False)
    if gradient == 0:
        return 0
    put_id(c, 0, gradient)
    count = 1
    if uses & 1:
        put_id(c, count, x)
        count += 1
    y = 0
    if uses & USE_OUTPUT:
        y = unreduced(c, out, x, mask)
        put_id(c, count, y)
        count += 1
    g = unreduced(c, slot_at(c, out).cotangent, x, mask)
    put_id(c, count, g)
    count += 1
    # the number of elements folded into one is attribute 0 of the kernel
    folded = 1.0
    for d in range(slot_at(c, x).dims):
        if (mask >> d) & 1:
            folded *= slot_at(c, x).shape[d]
    store_word(c.scratch, REDUCE_ATTRS, float_word(folded))
    for j in range(attr_count - 2):
        store_word(c.scratch, REDUCE_ATTRS + 1 + j, load_word(attrs, 2 + j))
    kernel = kernel_address(c, op, 1, slot_at(c, x).dtype)
    map_nest(c, kernel, count, c.scratch + REDUCE_ATTRS * WORD, attr_count - 1)
    run(c)
    if y != 0:
        release(c, y)
    release(c, g)
    return gradient


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
    for k in range(inputs):
        slot = operand(row, k)
        gradient = 0
        if slot != 0 and (info.differentiable >> k) & 1 and wanted(c, state, slot):
            gradient = zeros_or_empty_like(c, slot, slot_at(c, slot).dtype, False)
            if gradient == 0:
                status = OUT_OF_MEMORY
        store_word(c.scratch, GRADIENTS + k, gradient)
        if gradient == 0:
            put_absent(c, count + k)
        else:
            x = slot_at(c, gradient)
            put_array(c, count + k, x, like.dims if expand else x.dims, like)
    if status == 0:
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
def put_geometry(c, k, x, expand, like):
    """Describe an absent array's shape: a kernel may ask for the shape of a value that was not saved."""
    put_array(c, k, x, like.dims if expand else x.dims, like)
    store_word(c.scratch, A_ARRAYS + k * ARRAY_WORDS + ARRAY_ADDRESS, 0)


@jit
def view_operand(c, kind, row, out, attrs, attr_count):
    """Gradient of a view's row for its operand; its slot with one handle, or 0 without memory."""
    x_slot = operand(row, 0)
    cotangent = slot_at(c, out).cotangent
    if kind == RESHAPE:
        return reshaped(c, cotangent, x_slot)
    if is_permutation(slot_at(c, x_slot), attrs):
        return unpermuted(c, cotangent, x_slot, attrs)
    expansion = has_expansion(attrs)
    gradient = zeros_or_empty_like(c, x_slot, slot_at(c, x_slot).dtype, not expansion)
    if gradient == 0:
        return 0
    if expansion:
        release(c, gradient)
        slot_at(c, cotangent).handles += 1
        return sum_expanded(c, cotangent, x_slot, attrs)
    # the same view of the gradient's zeros is where the cotangent belongs
    window = alias(c, gradient)
    w = slot_at(c, window)
    w.handles = 1
    offset = map_strides(slot_at(c, gradient), w, attrs)
    w.address += offset * item_size(w.dtype)
    w.numel = slot_at(c, cotangent).numel
    w.flags = 0
    add_into(c, window, cotangent)
    release(c, window)
    return gradient


@jit
def reshaped(c, cotangent, x_slot):
    """The cotangent in the shape of slot `x_slot`, as a view where strides allow; 0 without memory."""
    source = cotangent
    made = 0
    if slot_at(c, cotangent).flags & CONTIGUOUS == 0:
        made = copy_of(c, cotangent)
        if made == 0:
            return 0
        source = made
    s = alias(c, source)
    y, x = slot_at(c, s), slot_at(c, x_slot)
    y.dims = x.dims
    for d in range(x.dims):
        y.shape[d] = x.shape[d]
    set_contiguous(y)
    y.handles = 1
    if made != 0:
        release(c, made)
    return s


@jit
def unpermuted(c, cotangent, x_slot, attrs):
    """The cotangent with the dimensions of `x_slot` put back in order, as a view."""
    s = alias(c, cotangent)
    y, x, g = slot_at(c, s), slot_at(c, x_slot), slot_at(c, cotangent)
    y.dims = x.dims
    for d in range(x.dims):
        y.shape[d] = x.shape[d]
        y.strides[d] = 1
    for j in range(load_word(attrs, 0)):
        first = load_word(attrs, 1 + j * DIM_WORDS + D_FIRST)
        if first >= 0:
            y.strides[first] = g.strides[j]
    y.handles = 1
    numel = 1
    contiguous = True
    for k in range(y.dims):
        d = y.dims - 1 - k
        if y.shape[d] != 1 and y.strides[d] != numel:
            contiguous = False
        numel *= y.shape[d]
    y.flags = CONTIGUOUS if contiguous else 0
    return s


@jit
def sum_expanded(c, source, x_slot, attrs):
    """Sum `source` (its handle is given up) over the dimensions along which the view repeats."""
    mask = 0
    dims = load_word(attrs, 0)
    for j in range(dims):
        if load_word(attrs, 1 + j * DIM_WORDS + D_FIRST) < 0:
            mask |= 1 << j
    out = zeros_or_empty_like(c, x_slot, slot_at(c, x_slot).dtype, False)
    if out != 0:
        kernel = kernel_address(c, c.sum_op, 0, slot_at(c, out).dtype)
        reduce_nest(c, kernel, slot_at(c, source), mask, slot_at(c, out).address, 0, 0)
        run(c)
    release(c, source)
    return out


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
            gradient = map_operand(c, op, row, k, out, inputs, attrs, attr_count)
        elif kind == REDUCE:
            gradient = reduce_operand(c, op, row, out, attrs, attr_count)
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
    """How many outputs of a row have a cotangent; -1 when none of those leads on to what is wanted."""
    inputs = load_word(row, T_INPUTS)
    outputs = load_word(row, T_OUTPUTS)
    count = 0
    leads = load_word(state, W_CAPTURE) == 0
    for k in range(inputs, inputs + outputs):
        slot = operand(row, k)
        if slot != 0 and slot_at(c, slot).cotangent != 0:
            count += 1
            if slot_at(c, slot).flags & NEEDED:
                leads = True
    if count > 0 and not leads:
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


@jit
def keep_gradient(c, slot, cotangent):
    """Add a complete cotangent (with its handle) to a slot's .grad; False without memory."""
    record = slot_at(c, slot)
    if record.grad != 0:
        add_into(c, record.grad, cotangent)
        storage_at(c, slot_at(c, record.grad).storage).version += 1
        release(c, cotangent)
        return True
    if not exclusive(c, cotangent) or slot_at(c, cotangent).flags & CONTIGUOUS == 0:
        own = copy_of(c, cotangent)
        release(c, cotangent)
        if own == 0:
            return False
        cotangent = own
    slot_at(c, cotangent).flags &= ~REQUIRES_GRAD
    record.grad = cotangent
    return True


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
            if count <= 0:
                store_word(state, W_CURSOR, load_word(row, T_PREV))
            else:
                status = room(c, 0)
                if status == 0:
                    kind = load_word(row, T_KIND)
                    status = NEED_PYTHON if kind == PYTHON else walk_row(c, state, row, kind)
                if status != 0:
                    c.detail[0] = offset
                    return status
                leave_row(c, state, offset)
    if load_word(state, W_CAPTURE):
        return drop_leaves(c, state)
    return hand_over(c, state)


@jit
def hand_over(c, state):
    """Give the leaves their gradients; 0 or a status, after NEED_KERNEL with the rest still to be given."""
    leaf = load_word(state, W_LEAVES)
    status = 0
    while leaf != 0:
        record = slot_at(c, leaf)
        if not walk_kernels(c, record.dtype):
            store_word(state, W_LEAVES, leaf)
            return NEED_KERNEL
        following = record.next
        cotangent = record.cotangent
        record.cotangent = 0
        record.next = 0
        record.flags &= ~TOUCHED
        if not keep_gradient(c, leaf, cotangent):
            status = OUT_OF_MEMORY
        let_go(c, leaf)
        leaf = following
    store_word(state, W_LEAVES, 0)
    return status


@jit
def drop_leaves(c, state):
    """Take the cotangents off leaves that nobody asked for (a root can be one); the others stay."""
    leaf = load_word(state, W_LEAVES)
    while leaf != 0:
        record = slot_at(c, leaf)
        following = record.next
        if record.flags & CAPTURE == 0:
            cotangent = record.cotangent
            record.cotangent = 0
            record.next = 0
            record.flags &= ~TOUCHED
            release(c, cotangent)
            let_go(c, leaf)
        leaf = following
    store_word(state, W_LEAVES, 0)
    return 0


@entry
def abandon(c, state):
    """Drop every waiting cotangent of a walk that failed, so that the graph is as before it."""
    offset = load_word(state, W_CURSOR)
    while offset >= 0:
        row = c.tape + offset * WORD
        previous = load_word(row, T_PREV)
        if load_word(row, T_OP) != DEAD_OP:
            inputs = load_word(row, T_INPUTS)
            for k in range(inputs, inputs + load_word(row, T_OUTPUTS)):
                slot = operand(row, k)
                if slot != 0 and slot_at(c, slot).cotangent != 0:
                    cotangent = slot_at(c, slot).cotangent
                    slot_at(c, slot).cotangent = 0
                    release(c, cotangent)
        offset = previous
    leaf = load_word(state, W_LEAVES)
    while leaf != 0:
        record = slot_at(c, leaf)
        following = record.next
        cotangent = record.cotangent
        record.cotangent = 0
        record.next = 0
        record.flags &= ~TOUCHED
        release(c, cotangent)
        let_go(c, leaf)
        leaf = following
    store_word(state, W_LEAVES, 0)
    store_word(state, W_PENDING, 0)
    return 0


@entry
def mark_needed(c, first, last, mark):
    """Flag (or clear) every slot on a path from a captured slot, over the rows first .. last."""
    offset = first
    while offset <= last:
        row = c.tape + offset * WORD
        if load_word(row, T_OP) != DEAD_OP:
            inputs = load_word(row, T_INPUTS)
            leads = False
            for k in range(inputs):
                slot = operand(row, k)
                if slot != 0 and slot_at(c, slot).flags & (CAPTURE | NEEDED):
                    leads = True
            for k in range(inputs, inputs + load_word(row, T_OUTPUTS)):
                slot = operand(row, k)
                if slot != 0:
                    if mark and leads:
                        slot_at(c, slot).flags |= NEEDED
                    elif not mark:
                        slot_at(c, slot).flags &= ~NEEDED
        offset += load_word(row, T_WORDS)
    return 0


@entry
def take_cotangent(c, slot):
    """Take the captured cotangent off a slot: its slot with the handle, or 0."""
    record = slot_at(c, slot)
    cotangent = record.cotangent
    record.cotangent = 0
    record.next = 0
    record.flags &= ~(TOUCHED | CAPTURE)
    let_go(c, slot)
    return cotangent


@entry
def end_walk(c):
    """The walk that held the tape still is over."""
    c.walks -= 1
    trim(c)
    return 0


@entry
def begin_walk(c, state, slot, seed):
    """Start a walk at a slot, with the cotangent in slot `seed` (its handle is given up), and go.

    A seed of 0 means that the roots have their cotangents already.

    Returns what `walk` returns; after 0 the walk is over, otherwise it goes on or is abandoned.
    """
    c.walks += 1
    store_word(state, W_CURSOR, max(load_word(state, W_CURSOR), slot_at(c, slot).row))
    status = 0
    if seed != 0:
        status = give_cotangent(c, state, slot, seed)
    if status == 0:
        status = walk(c, state)
    if status == 0:
        end_walk(c)
    return status


@jit
def ones_like(c, slot):
    """A contiguous slot of ones of the same shape and floating dtype, with one handle; 0 without memory."""
    out = zeros_or_empty_like(c, slot, slot_at(c, slot).dtype, False)
    if out != 0:
        record = slot_at(c, out)
        for k in range(record.numel):
            if record.dtype == FLOAT32:
                store_float32(record.address + 4 * k, 1.0)
            else:
                store_word(record.address, k, float_word(1.0))
    return out


@entry
def ones(c, slot):
    """`ones_like` for Python."""
    status = room(c, 0)
    if status != 0:
        return status
    out = ones_like(c, slot)
    return out if out != 0 else OUT_OF_MEMORY


@entry
def backward(c, slot, retain):
    """The whole of ``loss.backward()`` for a loss of one element, when nothing is in the way.

    Returns 0 when it is done, or a negative status with nothing changed. A walk that stops for Python returns
    the address of its state, a block that `free_state` takes back; the context keeps the status.
    """
    record = slot_at(c, slot)
    if record.flags & REQUIRES_GRAD == 0 or record.numel != 1 or record.row <= FREED_ROW:
        return BAD_SHAPE
    status = room(c, 0)
    if status != 0:
        return status
    seed = ones_like(c, slot)
    state = take_block(c, 0)
    if seed == 0 or state == 0:
        return OUT_OF_MEMORY
    for k in range(WALK_WORDS):
        store_word(state, k, 0)
    store_word(state, W_CURSOR, NO_ROW)
    store_word(state, W_RETAIN, retain)
    status = begin_walk(c, state, slot, seed)
    if status != 0:
        c.walk_status = status
        return state
    give_block(c, state, 0)
    return 0


@entry
def free_state(c, state):
    """Take back the state of a walk that `backward` began."""
    give_block(c, state, 0)
    return 0
