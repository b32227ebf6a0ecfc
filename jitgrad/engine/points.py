"""Reading and writing at index tensors, ``x[rows, columns]``, from Python's arguments in one compiled call.

The plain items in the brackets take a view first, and the tensors name points in that. Python sees to what does not
fit: masks, tensors of other dtypes than int64, indices that are out of range.
"""

from ..kernels.abi import COUNT_FROM_END, INDEX_ERROR, INT64, MAX_DIMS, RUNTIME_ERROR
from ..kernels.arguments import UNFIT, Handle, Items, Whole
from .arrays import OUTPUT_WORDS, apply_arrays
from .geometry import (
    IS_WHOLE,
    NONE,
    POINTS,
    from_front,
    list_point,
    put_dim,
    put_items,
    start_at_front,
    strided,
)
from .handles import release, retain
from .hot import EVERY_DIM, fold
from .jit import composer, entry, jit
from .layout import CONTIGUOUS
from .pointers import load_word, store_word
from .record import apply
from .tables import slot_at, storage_at

WORD = 8
# words from the scratch record to the index tensors' common shape (dimensions, sizes), to the description of the
# result, to the operands' slots, and to the attributes
COMMON = POINTS + 64
RESULT = COMMON + 64
OPERANDS = RESULT + OUTPUT_WORDS
ATTRIBUTES = OPERANDS + 32


@jit
def point_dim(c, k):
    """The dimension that index tensor `k` stands for."""
    return load_word(c.scratch, POINTS + 1 + 2 * k)


@jit
def point_slot(c, k):
    """The slot of index tensor `k`."""
    return load_word(c.scratch, POINTS + 2 + 2 * k)


@jit
def put_common_shape(c):
    """Work out the shape to which the index tensors broadcast; False where they do not, or kernels cannot read them."""
    count = load_word(c.scratch, POINTS)
    dims = 0
    for k in range(count):
        slot = point_slot(c, k)
        if slot < 1 or slot_at(c, slot).dtype != INT64 or slot_at(c, slot).dims == 0:
            return False
        dims = max(dims, slot_at(c, slot).dims)
    store_word(c.scratch, COMMON, dims)
    for d in range(dims):
        size = 1
        for k in range(count):
            index = slot_at(c, point_slot(c, k))
            at = d - dims + index.dims
            if at >= 0 and index.shape[at] != 1:
                if size != 1 and size != index.shape[at]:
                    return False
                size = index.shape[at]
        store_word(c.scratch, COMMON + 1 + d, size)
    return count > 0


@jit
def spread(c, name, x, shape, whole):
    """A tensor in the shape described at this word as kernels read it, with one handle unless it is `x`.

    That is contiguous, or, unless it has to be `whole`, one element everywhere. Negative if it fails.
    """
    source = slot_at(c, x)
    dims = load_word(c.scratch, shape)
    ahead = dims - source.dims
    if ahead < 0:
        return UNFIT
    is_same = ahead == 0 and source.flags & CONTIGUOUS != 0
    for d in range(dims):
        size = load_word(c.scratch, shape + 1 + d)
        own = source.shape[d - ahead] if d >= ahead else 1
        if own != size and own != 1:
            return UNFIT
        is_same = is_same and own == size
        put_dim(c, d, size, NONE if own == 1 else d - ahead, 1)
    if is_same:
        return x
    start_at_front(c, source)
    made = strided(c, name, x, dims)
    if made < 0 or (source.numel == 1 and not whole):
        return made
    copy = apply(c, c.copy_op, 0, made, 0, 0, 0, 0, 0)
    release(c, made)
    return copy


@jit
def spread_points(c, name):
    """Let every index tensor be as kernels read it, with a handle; how many could be, from the first one on."""
    count = load_word(c.scratch, POINTS)
    for k in range(count):
        slot = point_slot(c, k)
        made = spread(c, name, slot, COMMON, True)
        if made < 0:
            return k
        if made == slot:
            retain(c, slot)
        store_word(c.scratch, POINTS + 2 + 2 * k, made)
    return count


@jit
def release_points(c, count):
    """Release what `spread_points` holds."""
    for k in range(count):
        release(c, point_slot(c, k))


@jit
def begin(c, name, x, items):
    """The slot in whose tensor the index tensors name points, with a handle unless it is `x`; negative if none do."""
    dims = put_items(c, x, items)
    if dims < 0 or not put_common_shape(c):
        return UNFIT
    return x if load_word(c.scratch, IS_WHOLE) else strided(c, name, x, dims)


@jit
def describe(c, x, cell, flag, refusal):
    """Describe the result and the attributes of a call at points of `x`; how many attributes, or UNFIT.

    `flag` and `refusal` are the kernel's: whether a write adds, and what negative indices are.

    The dimensions of the index tensors lie where the first of them is, or in front when others come between.
    """
    source = slot_at(c, x)
    count, width = load_word(c.scratch, POINTS), load_word(c.scratch, COMMON)
    dims = source.dims - count + width
    if dims > MAX_DIMS:
        return UNFIT
    first = point_dim(c, 0)
    outer = first if point_dim(c, count - 1) - first == count - 1 else 0
    store_word(c.scratch, RESULT, source.dtype)
    store_word(c.scratch, RESULT + 1, dims)
    for d in range(width):
        store_word(c.scratch, RESULT + 2 + outer + d, load_word(c.scratch, COMMON + 1 + d))
    named = 0
    for k in range(count):
        store_word(c.scratch, ATTRIBUTES + 6 + k, point_dim(c, k))
        named |= 1 << point_dim(c, k)
    j = 0
    for d in range(source.dims):
        if (named >> d) & 1 == 0:
            store_word(c.scratch, RESULT + 2 + (j if j < outer else j + width), source.shape[d])
            store_word(c.scratch, ATTRIBUTES + 6 + count + j, d)
            j += 1
    store_word(c.scratch, ATTRIBUTES, cell)
    store_word(c.scratch, ATTRIBUTES + 1, count)
    store_word(c.scratch, ATTRIBUTES + 2, outer)
    store_word(c.scratch, ATTRIBUTES + 3, j - outer)
    store_word(c.scratch, ATTRIBUTES + 4, flag)
    store_word(c.scratch, ATTRIBUTES + 5, refusal)
    return 6 + count + j


@jit
def call(c, op, into, inputs, attributes, cell):
    """Call the operation that has been described, on `inputs` operands before the index tensors; see `run_checked`."""
    count = load_word(c.scratch, POINTS)
    for k in range(count):
        store_word(c.scratch, OPERANDS + inputs + k, point_slot(c, k))
    return run_checked(c, op, into, inputs + count, attributes, cell)


@jit
def run_checked(c, op, into, inputs, attributes, cell):
    """Run an operation as described; UNFIT, with nothing made or written, when its kernel reports a bad index."""
    key = slot_at(c, load_word(c.scratch, OPERANDS)).dtype
    ids, result = c.scratch + OPERANDS * WORD, c.scratch + RESULT * WORD
    words = c.scratch + ATTRIBUTES * WORD
    store_word(cell, 0, 0)
    made = apply_arrays(c, op, key, into, inputs, ids, 1, result, words, attributes)
    if made < 0 or load_word(cell, 0) == 0:
        return made
    if into:  # the write that has been counted did not happen
        storage_at(c, slot_at(c, into).storage).version -= 1
    else:
        release(c, made)
    return UNFIT


@jit
def read_points(c, name, op, cell, seen, refusal):
    """A copy of the points of `seen` that have been listed, or a negative status."""
    attributes = describe(c, seen, cell, 0, refusal)
    if attributes < 0:
        return UNFIT
    points = spread_points(c, name)
    made = UNFIT
    if points == load_word(c.scratch, POINTS):
        store_word(c.scratch, OPERANDS, seen)
        made = call(c, op, 0, 1, attributes, cell)
    release_points(c, points)
    return made


@jit
def write_points(c, name, op, cell, into, seen, value, flag, refusal):
    """`seen` with a tensor of the result's shape, or one element, at the points that have been listed.

    In place if `into` is its slot, else 0. Negative when that is not done: then nothing is.
    """
    attributes = describe(c, seen, cell, flag, refusal)
    if attributes < 0:
        return UNFIT
    given = spread(c, name, value, RESULT + 1, False)
    if given < 0:
        return given
    points = spread_points(c, name)
    status = UNFIT
    if points == load_word(c.scratch, POINTS):
        store_word(c.scratch, OPERANDS, seen)
        store_word(c.scratch, OPERANDS + 1, given)
        put_shape(c, seen)
        status = call(c, op, into, 2, attributes, cell)
    release_points(c, points)
    if given != value:
        release(c, given)
    return status


@composer
def at_points(c, name, op, cell, x: Handle, items: Items) -> Handle:
    """A copy of what square brackets with index tensors name; a bad index is reported in `cell`, and UNFIT."""
    seen = begin(c, name, x, items)
    if seen < 0:
        return seen
    made = read_points(c, name, op, cell, seen, COUNT_FROM_END)
    if seen != x:
        release(c, seen)
    return made


@composer
def put_at_points(c, name, op, cell, x: Handle, value: Handle, items: Items):
    """Write a tensor, which may broadcast, at what square brackets with index tensors name, in place.

    Not negative when that is done; otherwise nothing is. A bad index is reported in `cell`, and UNFIT.
    """
    if not are_apart(c, x, value):
        return UNFIT
    seen = begin(c, name, x, items)
    if seen < 0:
        return seen
    status = write_points(c, name, op, cell, seen, seen, value, 0, COUNT_FROM_END)
    if seen != x:
        release(c, seen)
    return status


@jit
def are_apart(c, x, value):
    """Whether a value can be written into `x` as it is: of its dtype, and not in its memory."""
    return (
        slot_at(c, value).dtype == slot_at(c, x).dtype and slot_at(c, value).storage != slot_at(c, x).storage
    )


@jit
def list_line(c, x, dim, index):
    """List the one point of an index tensor with one dimension along a dimension of `x`; which that is, or UNFIT."""
    at = from_front(dim, slot_at(c, x).dims)
    if at < 0 or slot_at(c, index).dims != 1:
        return UNFIT
    store_word(c.scratch, POINTS, 1)
    list_point(c, 0, at, index)
    return at if put_common_shape(c) else UNFIT


@composer
def rows_at(c, name, op, cell, x: Handle, dim: Whole, index: Handle) -> Handle:
    """Slices of `x` along a dimension; see `at_points`. Negative indices are bad."""
    at = list_line(c, x, dim, index)
    if at < 0:
        return UNFIT
    return read_points(c, name, op, cell, x, RUNTIME_ERROR if at else INDEX_ERROR)


@jit
def write_rows(c, name, op, cell, into, flag, refusal, x, value, dim, index):
    """`x` with slices along a dimension written, or one number to all of them; see `write_points`."""
    at = list_line(c, x, dim, index)
    given, target = slot_at(c, value), slot_at(c, x)
    if at < 0 or not are_apart(c, x, value) or (given.dims != target.dims and given.dims != 0):
        return UNFIT
    for d in range(given.dims):
        if given.shape[d] != (slot_at(c, index).numel if d == at else target.shape[d]):
            return UNFIT
    return write_points(c, name, op, cell, into, x, value, flag, refusal)


@composer
def put_rows(c, name, op, cell, flag, refusal, x: Handle, value: Handle, dim: Whole, index: Handle):
    """`write_rows` in place; see `put_at_points`."""
    return write_rows(c, name, op, cell, x, flag, refusal, x, value, dim, index)


@composer
def with_rows(
    c, name, op, cell, flag, refusal, x: Handle, value: Handle, dim: Whole, index: Handle
) -> Handle:
    """`write_rows` to a new tensor; see `at_points`."""
    return write_rows(c, name, op, cell, 0, flag, refusal, x, value, dim, index)


@jit
def put_shape(c, x):
    """Let the result have the shape of `x`."""
    source = slot_at(c, x)
    store_word(c.scratch, RESULT + 1, source.dims)
    for d in range(source.dims):
        store_word(c.scratch, RESULT + 2 + d, source.shape[d])


@entry
def places(c, counter, op, x: Handle) -> Handle:
    """Where a tensor is not zero, (dimensions, count), or (count,) of one dimension; `counter` tells how often."""
    counted = fold(c, counter, x, EVERY_DIM, 0)
    if counted < 0:
        return counted
    count = load_word(slot_at(c, counted).address, 0)
    release(c, counted)
    dims = slot_at(c, x).dims
    store_word(c.scratch, RESULT, INT64)
    store_word(c.scratch, RESULT + 1, 1 if dims == 1 else 2)
    store_word(c.scratch, RESULT + 2, count if dims == 1 else dims)
    store_word(c.scratch, RESULT + 3, count)
    store_word(c.scratch, OPERANDS, x)
    ids, result = c.scratch + OPERANDS * WORD, c.scratch + RESULT * WORD
    return apply_arrays(c, op, slot_at(c, x).dtype, 0, 1, ids, 1, result, 0, 0)
