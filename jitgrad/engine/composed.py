"""What is made of a few operations, in one compiled call.

The operations run, and are recorded, one after the other as if Python had called them. Where one of them cannot,
those before it are dropped and its status is returned; Python then goes through them one by one.
"""

from ..kernels.abi import FLOAT32, INT64
from ..kernels.arguments import UNFIT, Handle, Handles, Ints, Whole, Wholes
from .arrays import OUTPUT_WORDS, apply_arrays, join
from .create import apply_number
from .geometry import from_front, narrowed
from .handles import release
from .hot import EVERY_DIM, binary, fold, mask_of, unary
from .jit import composer, entry
from .layout import BEHIND_RECORD, CONTIGUOUS, REQUIRES_GRAD
from .pointers import load_byte, load_word, store_word
from .points import OPERANDS
from .tables import slot_at

WORD = 8


@composer
def variance(c, mean, minus, squares, over, root, correction, keep, x: Handle, dims: Wholes) -> Handle:
    """``sum((x - mean)**2) / (n - correction)`` over some dimensions, or all; its root if `root` is an operation.

    UNFIT where n is 0.
    """
    source, mask = slot_at(c, x), mask_of(c, x, dims, EVERY_DIM)
    if mask < 0 or source.dtype < FLOAT32 or source.numel == 0:
        return UNFIT
    count = 1
    for d in range(source.dims):
        if (mask >> d) & 1:
            count *= source.shape[d]
    center = fold(c, mean, x, mask, 1)
    if center < 0:
        return center
    apart = binary(c, minus, x, center)
    release(c, center)
    if apart < 0:
        return apart
    total = fold(c, squares, apart, mask, keep)
    release(c, apart)
    if total < 0:
        return total
    left = max(count - correction, 0)
    made = apply_number(c, over, 0, total, float(left), left, 1, 0)
    release(c, total)
    if made < 0 or root == 0:
        return made
    rooted = unary(c, root, made)
    release(c, made)
    return rooted


@entry
def folded_twice(c, first, second, keep, x: Handle, dims: Wholes) -> Handles:
    """Two reductions of a tensor that has elements, and asks for no gradient."""
    mask = mask_of(c, x, dims, EVERY_DIM)
    if mask < 0 or slot_at(c, x).numel == 0 or slot_at(c, x).flags & REQUIRES_GRAD:
        return UNFIT
    one = fold(c, first, x, mask, keep)
    if one < 0:
        return one
    other = fold(c, second, x, mask, keep)
    if other < 0:
        release(c, one)
        return other
    words = c.scratch + BEHIND_RECORD * WORD
    store_word(words, 0, 2)
    store_word(words, 1, one)
    store_word(words, 2, other)
    return words


@entry
def are_same(c, alike, every, a: Handle, b: Handle):
    """1 where two tensors of one dtype have one shape and the same elements, else 0; negative where that is open."""
    x, y = slot_at(c, a), slot_at(c, b)
    if x.dtype != y.dtype:
        return UNFIT
    if x.dims != y.dims:
        return 0
    for d in range(x.dims):
        if x.shape[d] != y.shape[d]:
            return 0
    which = binary(c, alike, a, b)
    if which < 0:
        return which
    found = fold(c, every, which, EVERY_DIM, 0)
    release(c, which)
    if found < 0:
        return found
    holds = load_byte(slot_at(c, found).address)
    release(c, found)
    return 1 if holds else 0


@composer
def rolled(c, name, joined, x: Handle, shift: Whole, dim: Whole) -> Handle:
    """Elements shifted along a dimension, as two ranges that change places; UNFIT where nothing moves."""
    source = slot_at(c, x)
    at = from_front(dim, source.dims)
    if at < 0 or source.shape[at] == 0:
        return UNFIT
    size = source.shape[at]
    step = shift % size
    if step == 0:
        return UNFIT
    late = narrowed(c, name, x, at, size - step, step)
    if late < 0:
        return late
    early = narrowed(c, name, x, at, 0, size - step)
    if early < 0:
        release(c, late)
        return early
    ids = c.scratch + OPERANDS * WORD
    store_word(ids, 0, late)
    store_word(ids, 1, early)
    made = join(c, joined, 2, ids, at)
    release(c, early)
    release(c, late)
    return made


@composer
def class_loss(c, op, whole, rows: Handle, target: Handle, words: Ints) -> Handle:
    """The losses of samples with a class each, whose kernel makes their slopes as well; `whole` reduces them, if any.

    UNFIT unless `rows` is a matrix that lies in order and `target` has one int64 for each of its rows.
    """
    x, classes = slot_at(c, rows), slot_at(c, target)
    if x.dims != 2 or classes.dims != 1 or x.dtype < FLOAT32 or classes.dtype != INT64 or x.numel == 0:
        return UNFIT
    if x.shape[0] != classes.shape[0] or x.flags & classes.flags & CONTIGUOUS == 0:
        return UNFIT
    outputs = c.scratch + BEHIND_RECORD * WORD
    for k in range(2):
        described = outputs + k * OUTPUT_WORDS * WORD
        store_word(described, 0, x.dtype)
        store_word(described, 1, 1 + k)
        store_word(described, 2, x.shape[0])
        store_word(described, 3, x.shape[1])
    ids = c.scratch + OPERANDS * WORD
    store_word(ids, 0, rows)
    store_word(ids, 1, target)
    made = apply_arrays(c, op, x.dtype, 0, 2, ids, 2, outputs, words + WORD, load_word(words, 0))
    if made < 0:
        return made
    release(c, load_word(outputs, OUTPUT_WORDS))
    if whole == 0:
        return made
    reduced = fold(c, whole, made, EVERY_DIM, 0)
    release(c, made)
    return reduced
