"""Random tensors in one compiled call: the generator's state and a shape go in, a tensor comes out.

What does not fit is UNFIT, with nothing drawn: Python finds out what it is, and says so. Nothing that can fail may come
after a draw, as what Python would then do draws once more.
"""

from ..kernels.abi import MAX_DIMS
from ..kernels.arguments import UNFIT, Handle, Ints, Wholes
from .arrays import OUTPUT_WORDS, apply_arrays
from .jit import entry, jit
from .layout import BEHIND_RECORD, CONTIGUOUS, NO_ROW, REQUIRES_GRAD
from .pointers import load_word, store_word
from .tables import slot_at

WORD = 8


@jit
def draw(c, op, kind, into, state, words):
    """Draw what has been described, by an operation whose attributes are `words`."""
    described = c.scratch + BEHIND_RECORD * WORD
    store_word(described, 0, kind)
    ids = described + OUTPUT_WORDS * WORD
    store_word(ids, 0, state)
    return apply_arrays(c, op, kind, into, 1, ids, 1, described, words + WORD, load_word(words, 0))


@jit
def take_shape(c, x):
    """Let what is drawn have the shape of `x`."""
    source = slot_at(c, x)
    described = c.scratch + BEHIND_RECORD * WORD
    store_word(described, 1, source.dims)
    for d in range(source.dims):
        store_word(described, 2 + d, source.shape[d])


@entry
def drawn(c, op, kind, state: Handle, words: Ints, sizes: Wholes) -> Handle:
    """A new tensor of random numbers."""
    dims = load_word(sizes, 0)
    if dims > MAX_DIMS:
        return UNFIT
    described = c.scratch + BEHIND_RECORD * WORD
    store_word(described, 1, dims)
    for d in range(dims):
        size = load_word(sizes, 1 + d)
        if size < 0:
            return UNFIT
        store_word(described, 2 + d, size)
    return draw(c, op, kind, 0, state, words)


@entry
def redrawn(c, op, x: Handle, state: Handle, words: Ints):
    """Fill a tensor that lies in order, and has no history, with random numbers; returns its slot."""
    target = slot_at(c, x)
    if target.flags & CONTIGUOUS == 0 or (target.flags & REQUIRES_GRAD and target.row != NO_ROW):
        return UNFIT
    take_shape(c, x)
    return draw(c, op, target.dtype, x, state, words)
