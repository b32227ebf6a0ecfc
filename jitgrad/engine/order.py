"""Elements in order along a dimension, from Python's arguments in one call: kernels give indices, which pick values."""

from ..kernels.abi import INT64
from ..kernels.arguments import UNFIT, Handle, Whole
from .arrays import OUTPUT_WORDS, apply_arrays
from .geometry import from_front
from .handles import release
from .jit import composer, entry, jit
from .layout import BEHIND_RECORD, CONTIGUOUS, HALF, RESHAPE, WHOLE_LINE
from .pointers import load_word, store_word
from .tables import slot_at
from .views import make_view

WORD = 8
KERNEL_WORDS, PICK_WORDS = 5, 2


@jit
def describe_like(c, place, dtype, x, at, size):
    """Describe an output with the sizes of `x`, but for the dimension `at`."""
    store_word(place, 0, dtype)
    store_word(place, 1, x.dims)
    for d in range(x.dims):
        store_word(place, 2 + d, size if d == at else x.shape[d])


@jit
def indices_in_order(c, op, x_slot, at, size, first, second, work):
    """Indices from a kernel that puts lines in order, `size` along dimension `at`; a slot, or a negative status."""
    x = slot_at(c, x_slot)
    described = c.scratch + BEHIND_RECORD * WORD
    describe_like(c, described, INT64, x, at, size)
    memory = described + OUTPUT_WORDS * WORD
    store_word(memory, 0, INT64)
    store_word(memory, 1, 1)
    store_word(memory, 2, work)
    attrs = memory + OUTPUT_WORDS * WORD
    outer = 1
    for d in range(at):
        outer *= x.shape[d]
    store_word(attrs, 0, outer)
    store_word(attrs, 1, x.shape[at])
    store_word(attrs, 2, x.numel // (outer * x.shape[at]))
    store_word(attrs, 3, first)
    store_word(attrs, 4, second)
    ids = attrs + KERNEL_WORDS * WORD
    store_word(ids, 0, x_slot)
    made = apply_arrays(c, op, x.dtype, 0, 1, ids, 2, described, attrs, KERNEL_WORDS)
    if made >= 0:
        release(c, load_word(memory, 0))
    return made


@jit
def picked(c, op, cell, x_slot, indices, at, size):
    """The elements of a tensor at indices along dimension `at`; a slot, or a negative status."""
    x = slot_at(c, x_slot)
    described = c.scratch + BEHIND_RECORD * WORD
    describe_like(c, described, x.dtype, x, at, size)
    attrs = described + OUTPUT_WORDS * WORD
    store_word(attrs, 0, cell)
    store_word(attrs, 1, at)
    ids = attrs + PICK_WORDS * WORD
    store_word(ids, 0, x_slot)
    store_word(ids, 1, indices)
    return apply_arrays(c, op, x.dtype, 0, 2, ids, 1, described, attrs, PICK_WORDS)


@jit
def without_dim(c, name, slot, at):
    """A tensor without a dimension of size 1, in place of it; a slot, or a negative status with nothing left."""
    x = slot_at(c, slot)
    sizes = c.scratch + BEHIND_RECORD * WORD
    for d in range(x.dims - 1):
        store_word(sizes, d, x.shape[d if d < at else d + 1])
    made = make_view(c, RESHAPE, name, slot, sizes, x.dims - 1)
    release(c, slot)
    return made


@composer
def ordered(
    c, op, pick, name, cell, x: Handle, dim: Whole, least: Whole, size, keep, first, second, per_element, more
):
    """Indices in order along a dimension, and the elements there; the slot of these is in the upper half.

    Parameters
    ----------
    op, pick : int
        Operations that make the indices, and that picks elements at them, which reports at address `cell`.
    name : int
        Of the views that leave out the dimension, where it is not to `keep`.
    least : int
        Elements that a line must have.
    size : int
        Indices along the dimension, or WHOLE_LINE.
    first, second : int
        Last attribute words of the kernel.
    per_element, more : int
        Words of working memory for each element of a line, and in all.
    """
    source = slot_at(c, x)
    at = from_front(dim, source.dims)
    if at < 0 or source.numel == 0 or source.flags & CONTIGUOUS == 0:
        return UNFIT
    length = source.shape[at]
    if least < 0 or least > length:
        return UNFIT
    count = length if size == WHOLE_LINE else size
    indices = indices_in_order(c, op, x, at, count, first, second, per_element * length + more)
    if indices < 0:
        return indices
    values = picked(c, pick, cell, x, indices, at, count)
    if values >= 0 and not keep:
        values = without_dim(c, name, values, at)
        if values >= 0:
            indices = without_dim(c, name, indices, at)
            if indices < 0:
                release(c, values)
                return indices
    if values < 0:
        release(c, indices)
        return values
    return indices | values << HALF


@entry
def places_in_order(c, op, x: Handle, dim: Whole, first, per_element, more) -> Handle:
    """The indices that put the elements in order along a dimension."""
    source = slot_at(c, x)
    at = from_front(dim, source.dims)
    if at < 0 or source.numel == 0 or source.flags & CONTIGUOUS == 0:
        return UNFIT
    length = source.shape[at]
    return indices_in_order(c, op, x, at, length, first, 0, per_element * length + more)
