"""Whether indices that lie side by side are in range: a vector of them at a time, without a branch."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

I64 = ir.IntType(64)
LANES = 8
VECTOR = ir.VectorType(I64, LANES)


def _splat(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    nothing = ir.Constant(VECTOR, ir.Undefined)
    first_lane = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return b.shuffle_vector(b.insert_element(nothing, value, I64(0)), nothing, first_lane)


def _note(b: ir.IRBuilder, cell: ir.Value, x: ir.Value, least: ir.Value, last: ir.Value) -> None:
    """Let `cell` become negative where an index is outside: no size is so large that both differences wrap around."""
    outside = b.or_(b.sub(x, least), b.sub(last, x))
    b.store(b.or_(b.load(cell), outside), cell)


@intrinsic
def all_within(typing_context, values, count, least, size):
    """Whether the `count` words at an address are from `least` on, and less than `size`."""

    def generate(context, b, signature, args):
        values, count, least, size = args
        last = b.sub(size, I64(1))
        base = b.inttoptr(values, I64.as_pointer())
        many, rest = cgutils.alloca_once(b, VECTOR), cgutils.alloca_once(b, I64)
        b.store(ir.Constant(VECTOR, [0] * LANES), many)
        b.store(I64(0), rest)
        lows, highs = _splat(b, least), _splat(b, last)
        whole = b.and_(count, I64(-LANES))
        with cgutils.for_range_slice(b, I64(0), whole, I64(LANES), I64) as (k, _):
            place = b.bitcast(b.gep(base, [k]), VECTOR.as_pointer())
            _note(b, many, b.load(place, align=8), lows, highs)
        with cgutils.for_range_slice(b, whole, count, I64(1), I64) as (k, _):
            _note(b, rest, b.load(b.gep(base, [k])), least, last)
        found = b.load(rest)
        lanes = b.load(many)
        for lane in range(LANES):
            found = b.or_(found, b.extract_element(lanes, I64(lane)))
        return b.icmp_signed(">=", found, I64(0))

    return types.boolean(types.int64, types.int64, types.int64, types.int64), generate
