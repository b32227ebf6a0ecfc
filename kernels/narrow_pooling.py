"""Max pooling of narrow planes with windows of 2x2: several rows of windows fill one vector.

`kernels.pair_pooling` takes a row of windows at a time, which leaves most lanes idle where rows are short. Here a
row of the input is half a vector or a whole one, planes lie in memory without gaps, and so four vectors in a row
hold exactly the windows of one vector of results. An element's place in its plane is its offset from the plane's
start, which spares all counting of rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from . import abi
from .host import host
from .squared_loss import contiguous
from .stage import I64, Scope, Vec
from .windows import Pool, pick

VECTORS = 4  # of the input to one of the result


def exceeds(value: Vec, best: Vec) -> Vec:
    """Whether a value takes the place of the best before it: a nan always does."""
    return (value > best) | (value != value)


def widths(dtype: int) -> list[int]:
    """Sizes of input rows that this is written for."""
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    return [lanes // 2, lanes] if lanes >= 4 else []


def fits(pool: Pool, dtype: int, width: int, arrays: tuple[int, ...]) -> ir.Value:
    """Whether planes of this width divide into whole vectors, and lie without gaps in these arrays; a bit."""
    b = pool.b
    deep, high, wide = pool.axes
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    rows = lanes // (width // 2)
    whole = (wide.size == width) & (wide.outputs + wide.outputs == wide.size)
    whole = whole & (high.outputs + high.outputs == high.size) & ((high.outputs & (rows - 1)) == 0)
    bit = b.and_((deep.size == 1).value, whole.value)
    for k in arrays:
        bit = b.and_(bit, contiguous(pool.arrays, (k,)))
    return bit


def _blocks(
    pool: Pool, lanes: int, share_of: tuple[ir.Value, ir.Value], visit: Callable[[Vec, Vec, Vec], None]
) -> None:
    """Call ``visit(first, place, number)`` for all vectors of results.

    These are the numbers of the first input element, in its array and in its plane, and of the first result.
    """
    one = pool.one
    _, high, wide = pool.axes
    begin, end = pool.mine(*share_of)
    outputs = high.outputs * wide.outputs
    with one.loop(begin, end) as plane, one.loop(I64(0), outputs.value, lanes) as at:
        start, done = Vec(one, plane, abi.INT64) * outputs, Vec(one, at, abi.INT64)
        visit((start + done) * VECTORS, done * VECTORS, start + done)


def write_narrow(pool: Pool, dtype: int, width: int, share_of: tuple[ir.Value, ir.Value]) -> None:
    """The forward kernel for input rows of `width`: arrays x, y, place."""
    one, b = pool.one, pool.b
    scope = Scope(b, host().lanes(abi.ITEM_SIZES[dtype]))
    lanes = scope.lanes
    x, result = (pool.arrays.pointer(k, dtype) for k in (0, 1))
    places = pool.arrays.pointer(2, abi.INT32)
    even, odd = (list(range(k, 2 * lanes, 2)) for k in (0, 1))
    # after neighbours have been compared, half rows follow each other: top, bottom, top, bottom
    half = width // 2
    tops = [lane // half * 2 * half + lane % half for lane in range(lanes)]
    bottoms = [lane + half for lane in tops]

    def visit(first: Vec, place: Vec, number: Vec) -> None:
        def neighbours(pair: int) -> tuple[Vec, Vec]:
            low, high = (scope.load(one.at(x, (first + (2 * pair + k) * lanes).value), dtype) for k in (0, 1))
            left, right = pick(scope, low, high, even), pick(scope, low, high, odd)
            at = scope.iota(abi.INT32) * 2 + (place + 2 * pair * lanes)
            take = exceeds(right, left)
            return take.select(right, left), take.select(at + 1, at)

        (v0, p0), (v1, p1) = neighbours(0), neighbours(1)
        top, bottom = pick(scope, v0, v1, tops), pick(scope, v0, v1, bottoms)
        take = exceeds(bottom, top)
        scope.store(take.select(bottom, top), one.at(result, number.value))
        at = take.select(pick(scope, p0, p1, bottoms), pick(scope, p0, p1, tops))
        scope.store(at, one.at(places, number.value))

    _blocks(pool, lanes, share_of, visit)


def write_narrow_backward(pool: Pool, dtype: int, width: int, share_of: tuple[ir.Value, ir.Value]) -> None:
    """The backward kernel for input rows of `width`: arrays x (its shape), y (-), place, g, -, gx."""
    one, b = pool.one, pool.b
    scope = Scope(b, host().lanes(abi.ITEM_SIZES[dtype]))
    lanes = scope.lanes
    places = pool.arrays.pointer(2, abi.INT32)
    cotangents, out = (pool.arrays.pointer(k, dtype) for k in (3, 5))
    zero = scope.constant(dtype, 0.0)
    # the window of every element of four vectors
    holders = [e // (2 * width) * (width // 2) + e % width // 2 for e in range(VECTORS * lanes)]

    def visit(first: Vec, place: Vec, number: Vec) -> None:
        at = scope.load(one.at(places, number.value), abi.INT32)
        g = scope.load(one.at(cotangents, number.value), dtype)
        for k in range(VECTORS):
            chosen = holders[k * lanes : (k + 1) * lanes]
            own = scope.iota(abi.INT32) + (place + k * lanes)
            value = (pick(scope, at, at, chosen) == own).select(pick(scope, g, g, chosen), zero)
            scope.store(value, one.at(out, (first + k * lanes).value))

    _blocks(pool, lanes, share_of, visit)


def choose(
    pool: Pool,
    dtype: int,
    arrays: tuple[int, ...],
    narrow: Callable[[int], None],
    other: Callable[[], None],
) -> None:
    """Write the tests and branches between `narrow(width)` for each width, and `other`."""
    b = pool.b

    def branch(left: list[int]) -> None:
        if not left:
            other()
            return
        with b.if_else(fits(pool, dtype, left[0], arrays)) as (this, rest):
            with this:
                narrow(left[0])
            with rest:
                branch(left[1:])

    branch(widths(dtype))
