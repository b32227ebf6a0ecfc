"""Single elements along a dimension, at the places in a tensor of indices: gather and scatter in one compiled call."""

from ..kernels.abi import INT64
from ..kernels.arguments import UNFIT, Handle, Whole
from .geometry import from_front
from .handles import release
from .jit import composer, jit, recorder
from .pointers import store_word
from .points import ATTRIBUTES, COMMON, OPERANDS, RESULT, put_shape, run_checked, spread
from .tables import slot_at


@jit
def line_of(c, x, dim, index):
    """The dimension along which an index tensor points into `x`; negative where it does not fit."""
    own, places = slot_at(c, x), slot_at(c, index)
    at = from_front(dim, own.dims)
    if at < 0 or own.dims == 0 or places.dims != own.dims or places.dtype != INT64:
        return UNFIT
    for d in range(own.dims):
        if places.shape[d] > own.shape[d] and d != at:
            return UNFIT
    return at


@jit
def put_call(c, x, like, cell, at):
    """Describe a call whose first operand is `x`, and whose result has the shape of `like`."""
    store_word(c.scratch, RESULT, slot_at(c, x).dtype)
    put_shape(c, like)
    store_word(c.scratch, OPERANDS, x)
    store_word(c.scratch, ATTRIBUTES, cell)
    store_word(c.scratch, ATTRIBUTES + 1, at)


@recorder
def gathered(c, op, cell, x: Handle, dim: Whole, index: Handle) -> Handle:
    """Elements of `x` along a dimension; a bad index is reported in `cell`, and UNFIT."""
    at = line_of(c, x, dim, index)
    if at < 0:
        return UNFIT
    put_call(c, x, index, cell, at)
    store_word(c.scratch, OPERANDS + 1, index)
    return run_checked(c, op, 0, 2, 2, cell)


@jit
def spread_source(c, name, source, fills, index):
    """A tensor with an element for each index, with a handle unless it is `source`; UNFIT where it is too small.

    If it `fills`, it has one element, which is written everywhere.
    """
    given, places = slot_at(c, source), slot_at(c, index)
    if fills:
        store_word(c.scratch, COMMON, places.dims)
        for d in range(places.dims):
            store_word(c.scratch, COMMON + 1 + d, places.shape[d])
        return spread(c, name, source, COMMON, False)
    if given.dims != places.dims:
        return UNFIT
    for d in range(places.dims):
        if places.shape[d] > given.shape[d]:
            return UNFIT
    return source


@jit
def scatter(c, name, op, cell, into, adds, fills, x, source, dim, index):
    """`x` with the elements of `source`, or one number, written along a dimension; in place if `into` is its slot."""
    at = line_of(c, x, dim, index)
    if at < 0 or slot_at(c, index).numel == 0 or slot_at(c, source).dtype != slot_at(c, x).dtype:
        return UNFIT
    given = spread_source(c, name, source, fills, index)
    if given < 0:
        return given
    put_call(c, x, x, cell, at)
    store_word(c.scratch, OPERANDS + 1, index)
    store_word(c.scratch, OPERANDS + 2, given)
    store_word(c.scratch, ATTRIBUTES + 2, adds)
    made = run_checked(c, op, into, 3, 3, cell)
    if given != source:
        release(c, given)
    return made


@composer
def scattered(c, name, op, cell, adds, fills, x: Handle, source: Handle, dim: Whole, index: Handle) -> Handle:
    """`scatter` to a new tensor; a bad index is reported in `cell`, and UNFIT."""
    return scatter(c, name, op, cell, 0, adds, fills, x, source, dim, index)


@composer
def put_scattered(c, name, op, cell, adds, fills, x: Handle, source: Handle, dim: Whole, index: Handle):
    """`scatter` in place; not negative when that is done. A bad index is reported in `cell`, and UNFIT."""
    return scatter(c, name, op, cell, x, adds, fills, x, source, dim, index)
