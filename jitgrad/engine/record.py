"""One operation: check, allocate, run, write the tape row. All in one compiled call.

A call either does everything or returns a negative status and has changed nothing; Python then mends what it
can (compiles the kernel, grows a table, promotes dtypes) and calls again, or raises.
"""

from .jit import entry, jit, recorder
from .layout import (
    ARRAYS,
    BAD_DTYPE,
    BAD_SHAPE,
    CONTIGUOUS,
    COPY_OPERANDS,
    ENABLED,
    INFERENCE,
    INFERENCE_IN_PLACE,
    INFERENCE_MODE,
    IS_VIEW,
    LEAF_IN_PLACE,
    MAP,
    MODES,
    N_DTYPES,
    NEED_KERNEL,
    NO_ROW,
    OUT_OF_MEMORY,
    REDUCE,
    REQUIRES_GRAD,
    RULE_MATMUL,
    SAME,
    SHARED_PLACES,
    USE_PASS,
    USES,
    VARIANTS,
    VIEW_IN_PLACE,
)
from .memory import new_storage
from .nests import finish_arrays, get_id, put_absent, put_array, put_id, reduce_nest, run
from .pointers import load_word, thread_ident
from .shapes import all_apart, output_shape, same_shape
from .slots import new_slot, set_contiguous
from .tables import op_at, slot_at, storage_at
from .tape_rows import item_size, mode_of_thread, needed_values, rewrite, room, wants_grad, write_row
from .turning import may_turn, run_map, take_order

WORD = 8


@jit
def kernel_address(c, op, variant, dtype):
    """Address of a kernel, or 0 (and the detail for Python) when it has not been compiled yet."""
    address = load_word(c.kernels, (op * VARIANTS + variant) * N_DTYPES + dtype)
    if address == 0:
        c.detail[0] = op
        c.detail[1] = variant
        c.detail[2] = dtype
    return address


@jit
def walk_kernels(c, dtype):
    """Whether the kernels that every walk over this dtype may need are compiled: sum, add and copy."""
    return (
        kernel_address(c, c.sum_op, 0, dtype) != 0
        and kernel_address(c, c.add_op, 0, dtype) != 0
        and kernel_address(c, c.copy_op, 0, dtype) != 0
    )


@jit
def backward_kernels(c, op, dtype, inputs, differentiable, joint):
    """Whether the kernels that the walk back will need are compiled."""
    if joint:
        return kernel_address(c, op, 1, dtype) != 0 and walk_kernels(c, dtype)
    uses = op_at(c, op).uses
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        wanted = (differentiable >> k) & 1 and slot_at(c, slot).flags & REQUIRES_GRAD
        if wanted and uses[k] & USE_PASS == 0 and kernel_address(c, op, 1 + k, dtype) == 0:
            return False
    return walk_kernels(c, dtype)


@jit
def any_loose(c, inputs):
    """Whether any operand does not lie in row-major order."""
    flags = CONTIGUOUS
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        if slot != 0:
            flags &= slot_at(c, slot).flags
    return flags & CONTIGUOUS == 0


@jit
def follow_operands(c, inputs, out):
    """Lay a result out as the first operand of its shape whose dimensions lie in some order, as PyTorch does."""
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        if slot != 0 and same_shape(slot_at(c, slot), out):
            x = slot_at(c, slot)
            take_order(out, x)
            if out.flags & CONTIGUOUS == x.flags & CONTIGUOUS:
                return


@jit
def lacks_copy(c, inputs):
    """Whether an operand may have to be put in order first, see `run_map`, by a kernel that is not compiled."""
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        if (
            slot != 0
            and may_turn(slot_at(c, slot))
            and kernel_address(c, c.copy_op, 0, slot_at(c, slot).dtype) == 0
        ):
            return True
    return False


@jit
def check_dtypes(c, op):
    """The dtype that picks the kernel, or BAD_DTYPE when an operand does not fit."""
    info = op_at(c, op)
    main = slot_at(c, get_id(c, 1 + info.main)).dtype
    for k in range(info.inputs):
        slot = get_id(c, 1 + k)
        if slot == 0:
            continue
        wanted = info.input_dtype[k]
        if slot_at(c, slot).dtype != (main if wanted == SAME else wanted):
            return BAD_DTYPE
    return main


@jit
def execute(c, op, kernel, attrs, attr_count):
    """Run the forward kernel on the working list."""
    info = op_at(c, op)
    out = slot_at(c, get_id(c, 0))
    if info.kind == MAP:
        run_map(c, kernel, 1 + info.inputs, attrs, attr_count)
        return
    if info.kind == REDUCE:
        x = slot_at(c, get_id(c, 1))
        reduce_nest(c, kernel, x, load_word(attrs, 0), out.address, attrs + 2 * WORD, attr_count - 2)
    else:
        describe(c, info.inputs, out, info.rule == RULE_MATMUL)
        put_array(c, info.inputs, out, out.dims, out)
        finish_arrays(c, kernel, info.inputs + 1, out.numel, attrs, attr_count)
    run(c)


@jit
def describe(c, inputs, out, expand):
    """Describe the operands in the working list as arrays 0, 1, ..."""
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        if slot == 0:
            put_absent(c, k)
        else:
            x = slot_at(c, slot)
            put_array(c, k, x, out.dims if expand else x.dims, out)


@recorder
def apply(c, op, into, a, b, d, e, attrs, attr_count):
    """Run operation `op` on up to four operands and record it.

    Parameters
    ----------
    into : int
        0 for a new tensor; otherwise the slot whose values are overwritten.
    a, b, d, e : int
        Operand slots; 0 for an operand that is left out.
    attrs : int
        Address of the attribute words.

    Returns
    -------
    int
        Slot of the output with one handle counted for the caller, or a negative status.
    """
    status = room(c, attr_count)
    if status != 0:
        return status
    put_id(c, 1, a)
    put_id(c, 2, b)
    put_id(c, 3, d)
    put_id(c, 4, e)
    info = op_at(c, op)
    dtype = check_dtypes(c, op)
    if dtype < 0:
        return dtype
    kernel = kernel_address(c, op, 0, dtype)
    if kernel == 0:
        return NEED_KERNEL
    mode = mode_of_thread(c)
    record = wants_grad(c, info.inputs, info) if mode == ENABLED else 0
    if record < 0:
        return record
    wanted = dtype if info.output_dtype[0] == SAME else info.output_dtype[0]
    target = c.free_slot  # a free slot serves as the place where the shape is worked out
    status = output_shape(c, op, attrs, target)
    if status != 0:
        return status
    set_contiguous(slot_at(c, target))
    loose = info.kind == MAP and any_loose(c, info.inputs)
    if loose and into == 0 and op != c.copy_op and not c.cast_op <= op < c.cast_op + N_DTYPES:
        follow_operands(c, info.inputs, slot_at(c, target))
    if into != 0:
        out = write_target(c, into, target, wanted, mode, record)
        if out < 0:
            return out
        saves = needed_values(c, info.inputs, info) if record else 0
        if overwritten(c, into, info.inputs, saves, info.kind == MAP):
            return COPY_OPERANDS
    else:
        out = target
    put_id(c, 0, out)
    if loose and lacks_copy(c, info.inputs):
        return NEED_KERNEL
    if record and not backward_kernels(c, op, dtype, info.inputs, info.differentiable, info.kind == ARRAYS):
        return NEED_KERNEL
    if into == 0:
        storage = new_storage(c, slot_at(c, target).numel * item_size(wanted))
        if storage == 0:
            return OUT_OF_MEMORY
        order = slot_at(c, target).flags & CONTIGUOUS
        new_slot(c, storage, storage_at(c, storage).address, wanted)
        slot_at(c, out).flags = order
    execute(c, op, kernel, attrs, attr_count)
    if into != 0:
        storage_at(c, slot_at(c, into).storage).version += 1
        if record:
            out = rewrite(c, into)
    if record:
        saves = needed_values(c, info.inputs, info)
        write_row(c, op, info.kind, info.inputs, 1, saves, attrs, attr_count)
    if mode == INFERENCE_MODE and into == 0:
        slot_at(c, out).flags |= INFERENCE
    if into == 0 or record:
        slot_at(c, out).handles = 1
    return out


@jit
def overwritten(c, into, inputs, saves, elementwise):
    """Operands, as bits, that a write into slot `into` would spoil; also left as detail.

    These are operands that share its memory and are kept for the walk back, or that read it at other places
    than where the same element of the result goes. Of what is not elementwise, only operand 0 may lie there.
    """
    x = slot_at(c, into)
    bits = 0
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        if slot != 0 and slot_at(c, slot).storage == x.storage:
            kept = (saves >> min(k, USES - 1)) & 1
            if kept or (k > 0 and not elementwise) or not same_place(x, slot_at(c, slot)):
                bits |= 1 << k
    c.detail[0] = bits
    return bits


@jit
def same_place(x, y):
    """Whether two slots show the same elements of one storage in the same order."""
    return x.address == y.address and same_shape(x, y) and same_strides(x, y)


@jit
def same_strides(x, y):
    """Whether two slots of one shape step alike along all dimensions of more than one element."""
    for d in range(x.dims):
        if x.strides[d] != y.strides[d] and x.shape[d] != 1:
            return False
    return True


@jit
def write_target(c, into, shape_slot, dtype, mode, record):
    """Check that a result of the given shape and dtype may be written into slot `into`."""
    x, y = slot_at(c, into), slot_at(c, shape_slot)
    if mode == ENABLED and x.flags & REQUIRES_GRAD and x.row == NO_ROW:
        return LEAF_IN_PLACE
    if x.flags & INFERENCE and mode != INFERENCE_MODE:
        return INFERENCE_IN_PLACE
    if not all_apart(x):
        return SHARED_PLACES
    if record and x.flags & IS_VIEW:
        return VIEW_IN_PLACE
    if x.dtype != dtype:
        return BAD_DTYPE
    if x.dims != y.dims:
        return BAD_SHAPE
    for d in range(x.dims):
        if x.shape[d] != y.shape[d]:
            return BAD_SHAPE
    return into


@entry
def set_mode(c, mode):
    """Set this thread's mode and return the one before; -1 when too many threads have one set."""
    ident = thread_ident()
    empty = -1
    for k in range(MODES):
        if c.mode_thread[k] == ident:
            before = c.mode[k]
            c.mode[k] = mode
            if mode == ENABLED:
                c.mode_thread[k] = 0
                c.modes -= 1
            return before
        if c.mode_thread[k] == 0 and empty < 0:
            empty = k
    if mode == ENABLED:
        return ENABLED
    if empty < 0:
        return -1
    c.mode_thread[empty] = ident
    c.mode[empty] = mode
    c.modes += 1
    return ENABLED
