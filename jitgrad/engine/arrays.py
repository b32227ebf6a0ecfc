"""Operations whose output shapes Python works out, with any number of operands and outputs."""

from ..kernels.abi import MAX_DIMS
from ..kernels.arguments import MOST
from .handles import release
from .jit import entry, jit, recorder
from .layout import (
    ARRAYS,
    BAD_DTYPE,
    BAD_SHAPE,
    BEHIND_RECORD,
    CONTIGUOUS,
    COPY_OPERANDS,
    ENABLED,
    INFERENCE,
    INFERENCE_IN_PLACE,
    INFERENCE_MODE,
    IS_VIEW,
    LEAF_IN_PLACE,
    NEED_KERNEL,
    NEED_STORAGES,
    NO_ROW,
    OUT_OF_MEMORY,
    PYTHON,
    REQUIRES_GRAD,
    SHARED_PLACES,
    VIEW_IN_PLACE,
)
from .memory import new_storage
from .nests import finish_arrays, get_id, put_absent, put_array, put_id, run
from .pointers import (
    load_word,
    store_word,
)
from .record import apply, kernel_address, overwritten, walk_kernels
from .shapes import all_apart
from .slots import let_go, new_slot, set_contiguous
from .tables import (
    op_at,
    slot_at,
    storage_at,
)
from .tape_rows import item_size, mode_of_thread, needed_values, rewrite, room, wants_grad, write_row
from .turning import lies_across

OUTPUT_WORDS = 2 + MAX_DIMS  # dtype, dims, shape
WORD = 8
GIVEN = 160  # entries from the working list to operands in whose place copies are read
PICKED = 4  # an element picked from a cache line of its own takes as long as so many copied ones


@jit
def new_output(c, at):
    """A slot with storage as described at address `at` (dtype, dims, shape); 0 without memory."""
    dims = load_word(at, 1)
    dtype = load_word(at, 0)
    numel = 1
    for d in range(dims):
        numel *= load_word(at, 2 + d)
    storage = new_storage(c, numel * item_size(dtype))
    if storage == 0:
        return 0
    s = new_slot(c, storage, storage_at(c, storage).address, dtype)
    record = slot_at(c, s)
    record.dims = dims
    for d in range(dims):
        record.shape[d] = load_word(at, 2 + d)
    set_contiguous(record)
    return s


@jit
def join(c, op, inputs, ids, dim):
    """A new tensor from `inputs` ones, whose slots are at address `ids`, along a dimension where their sizes add up.

    BAD_SHAPE where other sizes differ, too, and BAD_DTYPE where dtypes do: what then happens is up to Python.
    """
    first = slot_at(c, load_word(ids, 0))
    if dim < 0:
        dim += first.dims
    if inputs == 0 or dim < 0 or dim >= first.dims:
        return BAD_SHAPE
    total = 0
    for k in range(inputs):
        x = slot_at(c, load_word(ids, k))
        if x.dtype != first.dtype:
            return BAD_DTYPE
        if x.dims != first.dims:
            return BAD_SHAPE
        for d in range(x.dims):
            if d != dim and x.shape[d] != first.shape[d]:
                return BAD_SHAPE
        total += x.shape[dim]
    described = c.scratch + BEHIND_RECORD * WORD
    store_word(described, 0, first.dtype)
    store_word(described, 1, first.dims)
    for d in range(first.dims):
        store_word(described, 2 + d, first.shape[d])
    store_word(described, 2 + dim, total)
    store_word(described, OUTPUT_WORDS, dim)
    attrs = described + OUTPUT_WORDS * WORD
    return apply_arrays(c, op, first.dtype, 0, inputs, ids, 1, described, attrs, 1)


@recorder
def apply_arrays(c, op, key, into, inputs, ids, outputs, shapes, attrs, attr_count):
    """Run and record an ARRAYS operation.

    Parameters
    ----------
    key : int
        Dtype code that picks the kernel.
    into : int
        0, or the slot that output 0 is written into.
    inputs, ids : int
        Number of operands, and the address of their slots (0: absent).
    outputs, shapes : int
        Number of outputs, and the address of their descriptions, OUTPUT_WORDS each; on return the first
        word of each holds the output's slot, with one handle counted for the caller.

    Returns
    -------
    int
        Slot of the first output, or a negative status.
    """
    copies = 0
    if into == 0 and inputs <= MOST:
        copies = put_in_order(c, inputs, ids, 1 if picks_few(c, op, ids, outputs, shapes) else 0)
    first = NEED_KERNEL
    if copies >= 0:
        first = run_arrays(c, op, key, into, inputs, ids, outputs, shapes, attrs, attr_count)
    k = 0
    while copies > 0:
        if copies & 1:
            release(c, load_word(ids, k))
            store_word(ids, k, get_id(c, GIVEN + k))
        copies >>= 1
        k += 1
    return first


@jit
def picks_few(c, op, ids, outputs, shapes):
    """Whether the operation reads so few elements of operand 0 that it takes longer to copy them all."""
    if op_at(c, op).picks == 0:
        return False
    made = 0
    for k in range(outputs):
        numel = 1
        at = shapes + k * OUTPUT_WORDS * WORD
        for d in range(load_word(at, 1)):
            numel *= load_word(at, 2 + d)
        made += numel
    return slot_at(c, load_word(ids, 0)).numel > PICKED * made


@jit
def put_in_order(c, inputs, ids, first):
    """Copy operands that lie across, see `lies_across`, so that kernels walk along memory in both directions.

    Those before number `first` are left as they lie.

    Returns which, as bits; their handles are the caller's, and what was given waits in the working list. Negative
    when that takes a kernel that is not compiled.
    """
    copies = 0
    for k in range(first, inputs):
        slot = load_word(ids, k)
        if slot != 0 and lies_across(slot_at(c, slot)):
            if kernel_address(c, c.copy_op, 0, slot_at(c, slot).dtype) == 0 and copies == 0:
                return NEED_KERNEL
            copy = apply(c, c.copy_op, 0, slot, 0, 0, 0, 0, 0)
            if copy == NEED_KERNEL and copies == 0:
                return NEED_KERNEL
            if copy > 0:
                put_id(c, GIVEN + k, slot)
                store_word(ids, k, copy)
                copies |= 1 << k
    return copies


@jit
def run_arrays(c, op, key, into, inputs, ids, outputs, shapes, attrs, attr_count):
    """`apply_arrays` on operands as they are."""
    status = room(c, attr_count + 2 * (inputs + outputs))
    if status != 0:
        return status
    info = op_at(c, op)
    for k in range(inputs):
        put_id(c, 1 + k, load_word(ids, k))
    kernel = kernel_address(c, op, 0, key)
    if kernel == 0:
        return NEED_KERNEL
    mode = mode_of_thread(c)
    record = wants_grad(c, inputs, info) if mode == ENABLED else 0
    if record < 0:
        return record
    if record and (kernel_address(c, op, 1, key) == 0 or not walk_kernels(c, key)):
        return NEED_KERNEL
    if into != 0:
        if mode == ENABLED and slot_at(c, into).flags & REQUIRES_GRAD and slot_at(c, into).row == NO_ROW:
            return LEAF_IN_PLACE
        if mode != INFERENCE_MODE and slot_at(c, into).flags & INFERENCE:
            return INFERENCE_IN_PLACE
        if not all_apart(slot_at(c, into)):
            return SHARED_PLACES
        if record and slot_at(c, into).flags & IS_VIEW:
            return VIEW_IN_PLACE
        if slot_at(c, into).dtype != load_word(shapes, 0):
            return BAD_DTYPE
        if overwritten(c, into, inputs, needed_values(c, inputs, info) if record else 0, False):
            return COPY_OPERANDS
    if outputs > 1 and not has_storages(c, outputs):
        return NEED_STORAGES
    if not make_outputs(c, into, inputs, outputs, shapes):
        return OUT_OF_MEMORY
    for k in range(inputs):
        slot = get_id(c, 1 + k)
        if slot == 0:
            put_absent(c, k)
        else:
            put_array(c, k, slot_at(c, slot), slot_at(c, slot).dims, slot_at(c, slot))
    for k in range(outputs):
        out = slot_at(c, output_id(c, inputs, k))
        put_array(c, inputs + k, out, out.dims, out)
    finish_arrays(c, kernel, inputs + outputs, slot_at(c, get_id(c, 0)).numel, attrs, attr_count)
    run(c)
    first = get_id(c, 0)
    if into != 0:
        storage_at(c, slot_at(c, into).storage).version += 1
        if record:
            first = rewrite(c, into)
            slot_at(c, first).handles = 1
    if record:
        write_row(c, op, ARRAYS, inputs, outputs, needed_values(c, inputs, info), attrs, attr_count)
    for k in range(outputs):
        slot = output_id(c, inputs, k)
        if mode == INFERENCE_MODE and slot != into:
            slot_at(c, slot).flags |= INFERENCE
        store_word(shapes, k * OUTPUT_WORDS, slot)
    return first


@jit
def has_storages(c, count):
    """Whether so many storages are free; `room` sees to one."""
    storage = c.free_storage
    for _ in range(count):
        if storage < 0:
            return False
        storage = storage_at(c, storage).next
    return True


@jit
def output_id(c, inputs, k):
    """Working list entry of output `k`."""
    return get_id(c, 0) if k == 0 else get_id(c, inputs + k)


@jit
def make_outputs(c, into, inputs, outputs, shapes):
    """Allocate the outputs, each with a handle, into the working list; False without memory."""
    for k in range(outputs):
        slot = into
        if k > 0 or into == 0:
            slot = new_output(c, shapes + k * OUTPUT_WORDS * 8)
            if slot == 0:
                for j in range(k):
                    made = output_id(c, inputs, j)
                    slot_at(c, made).handles = 0
                    let_go(c, made)
                return False
            slot_at(c, slot).flags = CONTIGUOUS
            slot_at(c, slot).handles = 1
        put_id(c, 0 if k == 0 else inputs + k, slot)
    return True


@entry
def link(c, op, inputs, ids, outputs, outs, saves):
    """Record a row that Python will run backwards: from operand slots to existing output slots."""
    status = room(c, 2 * (inputs + outputs))
    if status != 0:
        return status
    for k in range(inputs):
        slot = load_word(ids, k)
        if slot_at(c, slot).flags & REQUIRES_GRAD and not walk_kernels(c, slot_at(c, slot).dtype):
            return NEED_KERNEL
    for k in range(outputs):
        if not walk_kernels(c, slot_at(c, load_word(outs, k)).dtype):
            return NEED_KERNEL
    for k in range(inputs):
        put_id(c, 1 + k, load_word(ids, k))
    for k in range(outputs):
        put_id(c, 0 if k == 0 else inputs + k, load_word(outs, k))
    return write_row(c, op, PYTHON, inputs, outputs, saves, ids, 0)
