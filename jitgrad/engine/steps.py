"""Views with other steps or other places of dimensions, from Python's arguments in one compiled call.

See `geometry.py`, where the views are that scripts make most.
"""

from ..kernels.arguments import UNFIT, Handle, Ints, Whole, Wholes
from .geometry import WORDS, from_front, put_dim, start_at, start_at_front, strided
from .handles import release
from .jit import composer, recorder
from .layout import CONTIGUOUS, MAX_DIMS, RESHAPE
from .pointers import load_word, store_word
from .tables import slot_at
from .views import NONE, make_view

WORD = 8


@composer
def restrided(c, line_name, name, x: Handle, sizes: Ints, steps: Ints) -> Handle:
    """Elements of a tensor that lies in order, from its first one on, by sizes and steps in memory."""
    source, dims = slot_at(c, x), load_word(sizes, 0)
    if source.flags & CONTIGUOUS == 0 or dims != load_word(steps, 0) or dims > MAX_DIMS:
        return UNFIT
    numel, last = source.numel, 0
    for d in range(dims):
        size, step = load_word(sizes, 1 + d), load_word(steps, 1 + d)
        if size < 1 or step < 0 or (size > 1 and step > 0 and (size > numel or step >= numel)):
            return UNFIT
        last += (size - 1) * step
    if last >= numel:
        return UNFIT
    words = c.scratch + WORDS * WORD
    store_word(words, 0, numel)
    line = make_view(c, RESHAPE, line_name, x, words, 1)
    if line < 0:
        return line
    for d in range(dims):
        put_dim(c, d, load_word(sizes, 1 + d), 0, load_word(steps, 1 + d))
    start_at(c, 0, 0)
    made = strided(c, name, line, dims)
    release(c, line)
    return made


@recorder
def windows(c, name, x: Handle, dim: Whole, size: Whole, step: Whole) -> Handle:
    """Windows along a dimension, `step` apart, whose elements are the last dimension."""
    source = slot_at(c, x)
    at = from_front(dim, source.dims)
    if at < 0 or step < 1 or size < 0 or size > source.shape[at]:
        return UNFIT
    for d in range(source.dims):
        put_dim(c, d, source.shape[d], d, 1)
    put_dim(c, at, (source.shape[at] - size) // step + 1, at, step)
    put_dim(c, source.dims, size, at, 1)
    start_at_front(c, source)
    return strided(c, name, x, source.dims + 1)


@recorder
def parted(c, name, x: Handle, dim: Whole, sizes: Wholes) -> Handle:
    """One dimension as several, of which one size may be -1."""
    source, count = slot_at(c, x), load_word(sizes, 0)
    at = from_front(dim, source.dims)
    dims = source.dims - 1 + count
    if at < 0 or count == 0 or dims > MAX_DIMS or source.numel == 0:
        return UNFIT
    words = c.scratch + WORDS * WORD
    left, inferred = source.shape[at], NONE
    for k in range(count):
        size = load_word(sizes, 1 + k)
        if size == -1 and inferred == NONE:
            inferred = k
        elif size < 1 or left % size != 0:
            return UNFIT
        else:
            left //= size
        store_word(words, at + k, size)
    if inferred != NONE:
        store_word(words, at + inferred, left)
    elif left != 1:
        return UNFIT
    for d in range(source.dims):
        if d != at:
            store_word(words, d if d < at else d - 1 + count, source.shape[d])
    return make_view(c, RESHAPE, name, x, words, dims)


@recorder
def moved(c, name, x: Handle, start: Whole, end: Whole) -> Handle:
    """One dimension moved to another place, the rest in order."""
    source = slot_at(c, x)
    start, end = from_front(start, source.dims), from_front(end, source.dims)
    if start < 0 or end < 0:
        return UNFIT
    for j in range(source.dims):
        d = j
        if j == end:
            d = start
        elif start <= j < end:
            d = j + 1
        elif end < j <= start:
            d = j - 1
        put_dim(c, j, source.shape[d], d, 1)
    start_at_front(c, source)
    return strided(c, name, x, source.dims)
