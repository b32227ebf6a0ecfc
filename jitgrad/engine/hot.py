"""The calls that eager code makes all the time: tensors go in and come out as Python objects.

Their wrappers read the slot out of each handle and make the new handle themselves, so that Python runs no
bytecode for either; a handle's end runs none at all.
"""

from ..kernels.abi import BOOL, FLOAT32, MAX_DIMS
from ..kernels.arguments import UNFIT, Handle, Handles, Ints, Whole, Wholes
from .arrays import OUTPUT_WORDS, apply_arrays, join
from .create import apply_number, number
from .geometry import from_front
from .handles import alike, release
from .jit import composer, entry, jit, recorder
from .layout import (
    ARRAYS,
    BAD_DTYPE,
    BEHIND_RECORD,
    CONTIGUOUS,
    HALF,
    NEED_KERNEL,
    RESHAPE,
    RULE_LINEAR,
    RULE_MATMUL,
    SAME,
)
from .pointers import load_word, store_word
from .promotion import is_refused, promoted_number, promoted_one, promoted_two
from .record import apply
from .tables import op_at, slot_at
from .tape_rows import room
from .turning import lies_across
from .views import make_view

WORD = 8
EVERY_DIM = (1 << MAX_DIMS) - 1


@recorder
def unary(c, op, x: Handle) -> Handle:
    """A new tensor from one operand."""
    rows = 0 if slot_at(c, x).flags & CONTIGUOUS else even_rows(c, op, x)
    if rows == NEED_KERNEL:
        return rows
    out = apply(c, op, 0, rows if rows > 0 else x, 0, 0, 0, 0, 0)
    if rows > 0:
        release(c, rows)
    return promoted_one(c, op, x, 0, 0) if out == NEED_KERNEL else out


@recorder
def binary(c, op, a: Handle, b: Handle) -> Handle:
    """A new tensor from two operands."""
    rows = 0 if slot_at(c, a).flags & CONTIGUOUS else even_rows(c, op, a)
    if rows == NEED_KERNEL:
        return rows
    out = apply(c, op, 0, rows if rows > 0 else a, b, 0, 0, 0, 0)
    if rows > 0:
        release(c, rows)
    return promoted_two(c, op, a, b, out) if is_refused(out) else out


@recorder
def ternary(c, op, a: Handle, b: Handle, d: Handle) -> Handle:
    """A new tensor from three operands."""
    rows = 0 if slot_at(c, a).flags & CONTIGUOUS else even_rows(c, op, a)
    if rows == NEED_KERNEL:
        return rows
    out = apply(c, op, 0, rows if rows > 0 else a, b, d, 0, 0, 0)
    if rows > 0:
        release(c, rows)
    return out


@jit
def even_rows(c, op, x):
    """A copy, with one handle, of an operand that lies across, or of a linear layer's uneven rows; 0 if not needed.

    Otherwise each batch of rows would be a product of its own, in both directions. Negative where the copy failed.
    """
    record = slot_at(c, x)
    if op_at(c, op).kind != ARRAYS or op_at(c, op).rule == RULE_MATMUL:
        return 0
    if op_at(c, op).rule != RULE_LINEAR:
        return apply(c, c.copy_op, 0, x, 0, 0, 0, 0, 0) if lies_across(record) else 0
    if record.dims <= 2:
        return 0
    step = -1
    for k in range(1, record.dims):
        d = record.dims - 1 - k
        if record.shape[d] != 1:
            if step >= 0 and record.strides[d] != step:
                return apply(c, c.copy_op, 0, x, 0, 0, 0, 0, 0)
            step = record.strides[d] * record.shape[d]
    return 0


@recorder
def with_number(c, op, x: Handle, value: float, whole, kind, reflected) -> Handle:
    """A new tensor from one operand and a Python number."""
    out = apply_number(c, op, 0, x, value, whole, kind, reflected)
    return promoted_number(c, op, x, value, whole, kind, reflected, out) if is_refused(out) else out


@entry
def each_in_place(c, op, given: Handles, other: Handle):
    """Overwrite tensors, in order, by an operation of each and another one; returns how many it could."""
    count = load_word(given, 0)
    for k in range(count):
        x = load_word(given, 1 + k)
        if apply(c, op, x, x, other, 0, 0, 0, 0) != x:
            return k
    return count


@recorder
def with_last_number(c, op, a: Handle, b: Handle, value: float) -> Handle:
    """A new tensor from two operands and a Python number, where the operation is one on floats."""
    return beside_number(c, op, 0, a, b, value)


@recorder
def put_beside_number(c, op, a: Handle, b: Handle, value: float):
    """`with_last_number` that overwrites its first operand; returns the slot."""
    return beside_number(c, op, a, a, b, value)


@jit
def beside_number(c, op, into, a, b, value):
    """An operation on two operands and a Python number, whose dtype is that of the operation's main operand."""
    status = room(c, 0)
    if status != 0:
        return status
    dtype = slot_at(c, b if op_at(c, op).main == 1 else a).dtype
    if dtype < FLOAT32:
        return BAD_DTYPE
    n = number(c, dtype, value, 0)
    if n < 0:
        return n
    out = apply(c, op, into, a, b, n, 0, 0, 0)
    release(c, n)
    return out


@recorder
def reduced(c, op, x: Handle, keep, dims: Wholes) -> Handle:
    """A reduction over some dimensions."""
    mask = mask_of(c, x, dims, UNFIT)
    return fold(c, op, x, mask, keep) if mask > 0 else UNFIT


@jit
def mask_of(c, x, dims, otherwise):
    """The bits of the dimensions that are listed, or `otherwise` if none is; UNFIT where one is not there, or twice."""
    mask = 0
    for k in range(load_word(dims, 0)):
        at = from_front(load_word(dims, 1 + k), slot_at(c, x).dims)
        if at < 0 or (mask >> at) & 1:
            return UNFIT
        mask |= 1 << at
    return mask if mask else otherwise


@recorder
def reduced_whole(c, op, x: Handle) -> Handle:
    """A reduction over all dimensions."""
    return fold(c, op, x, EVERY_DIM, 0)


@jit
def fold(c, op, x, mask, keep):
    """A reduction over the dimensions whose bits are set."""
    words = c.scratch + BEHIND_RECORD * WORD
    store_word(words, 0, mask)
    store_word(words, 1, keep)
    out = apply(c, op, 0, x, 0, 0, 0, words, 2)
    return promoted_one(c, op, x, words, 2) if out == NEED_KERNEL else out


@recorder
def listed(c, op, key, kind, into, given: Handles, shape: Ints, words: Ints):
    """`apply_arrays` with one output of dtype `kind`; returns its slot."""
    if not describe(c, 0, kind, shape):
        return UNFIT
    inputs, attrs = load_word(given, 0), load_word(words, 0)
    described = c.scratch + BEHIND_RECORD * WORD
    return apply_arrays(c, op, key, into, inputs, given + WORD, 1, described, words + WORD, attrs)


@composer
def listed_pair(c, op, key, given: Handles, kind, shape: Ints, other_kind, other_shape: Ints, words: Ints):
    """`apply_arrays` with two outputs; returns the first one's slot, with the second one's in the upper half."""
    if not (describe(c, 0, kind, shape) and describe(c, 1, other_kind, other_shape)):
        return UNFIT
    inputs, attrs = load_word(given, 0), load_word(words, 0)
    described = c.scratch + BEHIND_RECORD * WORD
    first = apply_arrays(c, op, key, 0, inputs, given + WORD, 2, described, words + WORD, attrs)
    return first if first < 0 else first | load_word(described, OUTPUT_WORDS) << HALF


@recorder
def shaped(c, op, kind, given: Handles, words: Ints) -> Handle:
    """`apply_arrays` whose output has the first operand's shape, and its dtype where `kind` is SAME."""
    ids = given + WORD
    x = slot_at(c, load_word(ids, 0))
    described = c.scratch + BEHIND_RECORD * WORD
    store_word(described, 0, x.dtype if kind == SAME else kind)
    store_word(described, 1, x.dims)
    for d in range(x.dims):
        store_word(described, 2 + d, x.shape[d])
    return apply_arrays(
        c, op, x.dtype, 0, load_word(given, 0), ids, 1, described, words + WORD, load_word(words, 0)
    )


@jit
def describe(c, k, kind, shape):
    """Describe output `k` of a call of `apply_arrays`; False when it has too many dimensions."""
    dims = load_word(shape, 0)
    at = c.scratch + (BEHIND_RECORD + k * OUTPUT_WORDS) * WORD
    store_word(at, 0, kind)
    for j in range(1 + min(dims, MAX_DIMS)):
        store_word(at, 1 + j, load_word(shape, j))
    return dims <= MAX_DIMS


@recorder
def without_dim(c, op, kind, x: Handle, dim: Whole, keep) -> Handle:
    """An array operation along a dimension: a result of dtype `kind` without it, or where it is 1."""
    record = slot_at(c, x)
    at = from_front(dim, record.dims)
    if at < 0 or record.dims == 0 or record.shape[at] == 0 or record.dtype == BOOL:
        return UNFIT
    described = c.scratch + BEHIND_RECORD * WORD
    store_word(described, 0, kind)
    dims = 0
    for d in range(record.dims):
        if d != at or keep:
            store_word(described, 2 + dims, 1 if d == at else record.shape[d])
            dims += 1
    store_word(described, 1, dims)
    store_word(described, OUTPUT_WORDS, x)
    store_word(described, OUTPUT_WORDS + 1, at)
    ids = described + OUTPUT_WORDS * WORD
    return apply_arrays(c, op, record.dtype, 0, 1, ids, 1, described, ids + WORD, 1)


@entry
def lie_densely(c, given: Handles, most):
    """Whether all tensors are floating point, of one dtype, contiguous, and of at most so many elements."""
    kind = slot_at(c, load_word(given, 1)).dtype if load_word(given, 0) > 0 else 0
    for k in range(load_word(given, 0)):
        x = slot_at(c, load_word(given, 1 + k))
        if x.dtype != kind or x.flags & CONTIGUOUS == 0 or x.numel > most:
            return 0
    return 1 if kind >= FLOAT32 else 0


@recorder
def along(c, op, given: Handles, dim) -> Handle:
    """A new tensor from several, which lie one after the other along a dimension."""
    return join(c, op, load_word(given, 0), given + WORD, dim)


@composer
def stacked(c, op, name, given: Handles, dim: Whole) -> Handle:
    """A new tensor from several of one shape, along a new dimension: joined along the one there, which is then cut."""
    count, ids = load_word(given, 0), given + WORD
    if count == 0 or alike(c, ids, count) < count:
        return UNFIT
    x = slot_at(c, load_word(ids, 0))
    at = from_front(dim, x.dims + 1)
    if at < 0 or at == x.dims or x.dims == MAX_DIMS or x.numel == 0:
        return UNFIT
    joined = join(c, op, count, ids, at)
    if joined < 0:
        return joined
    sizes = c.scratch + BEHIND_RECORD * WORD
    for d in range(x.dims + 1):
        store_word(sizes, d, count if d == at else x.shape[d if d < at else d - 1])
    made = make_view(c, RESHAPE, name, joined, sizes, x.dims + 1)
    release(c, joined)
    return made


@entry
def finalize(c, x: Handle) -> None:
    """A handle is about to go: release its slot."""
    if x > 0:
        release(c, x)
    return 0
