"""What attention's kernels have in common: the record that both directions read, and the weight of a score."""

from __future__ import annotations

from llvmlite import ir

from . import abi
from .attention_tiles import Heads, Tiles
from .math_core import fma, power_of_two
from .math_exp import exp_minus_one, reduce_exponent
from .operands import array_kernel
from .stage import I32, I64, Vec

Q, K, V, BIAS, KEEP, Y, LSE = range(7)
G, _G_LSE, GQ, GK, GV, G_BIAS = range(7, 13)
# attributes: which dimension numbers the rows of the result, and of query, key and value
A_SCALE, A_CAUSAL, A_ROW_DIM, A_KEEP_SCALE, A_OPERAND_ROW_DIM = range(5)
ALWAYS = (1 << 31) - 1
CHAINS = 4  # maxima and sums side by side: each waits for the one before it

# Logarithms of the square roots of the smallest normal numbers. Smaller weights count for nothing beside the largest,
# which is at least 1 / keys, but their products with gradients would not be normal numbers: those cost processors
# a hundred times as much as others.
NO_WEIGHT = {abi.FLOAT32: -43.67, abi.FLOAT64: -354.2}


def weight_of(x: Vec) -> Vec:
    """``exp(x)`` for x up to about 0, as differences from a maximum are; 0 below ``exp(NO_WEIGHT)``."""
    bottom = NO_WEIGHT[x.dtype]
    low = x < bottom
    n, r = reduce_exponent(low.select(x.like(bottom), x))
    power = power_of_two(n)
    return low.select(x.like(0.0), fma(power, exp_minus_one(r), power))


class Attention:
    """What both directions read from a record."""

    def __init__(self, symbol: str, dtype: int, operands: tuple[int, ...], results: tuple[int, ...]) -> None:
        self.module, self.arrays, self.part, self.parts = array_kernel(symbol)
        arrays = self.arrays
        self.b, self.one, self.dtype = arrays.b, arrays.scope, dtype
        self.tiles = Tiles(self.module, arrays, dtype)
        self.wide, self.lanes = self.tiles.wide, self.tiles.lanes
        b = self.b
        plain = b.sub(arrays.dims(Q), I64(2))
        row_dims = {BIAS: plain, KEEP: plain, G_BIAS: plain}
        row_dims |= dict.fromkeys(operands, arrays.word(A_OPERAND_ROW_DIM))
        row_dims |= dict.fromkeys(results, arrays.word(A_ROW_DIM))
        self.heads = Heads(arrays, row_dims)
        self.scale = self._everywhere(A_SCALE)
        self.keep_scale = self._everywhere(A_KEEP_SCALE)
        self.causal = b.icmp_signed("!=", arrays.word(A_CAUSAL), I64(0))
        self.biased, self.dropping = arrays.present(BIAS), arrays.present(KEEP)

    def _everywhere(self, attribute: int) -> Vec:
        value = self.arrays.number(attribute).to(self.dtype)
        return self.wide.splat(value.value, self.dtype)

    def constant(self, value: float) -> Vec:
        """A number in every lane."""
        return self.wide.constant(self.dtype, value)

    def smaller(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The smaller one of two whole numbers."""
        return self.b.select(self.b.icmp_signed("<", x, y), x, y)

    def when(self, bit: ir.Value, start: Vec, change) -> Vec:
        """``change(start)`` where the bit is set, else `start`, with a jump."""
        b = self.b
        before = b.block
        with b.if_then(bit):
            changed = change(start)
            inside = b.block
        phi = b.phi(start.value.type)
        phi.add_incoming(changed.value, inside)
        phi.add_incoming(start.value, before)
        return Vec(start.scope, phi, start.dtype)

    def counted(self, first: ir.Value) -> Vec:
        """The numbers ``first, first + 1, ...``, a lane each."""
        return self.wide.iota(abi.INT32) + self.index(first)

    def index(self, value: ir.Value) -> Vec:
        """A number of a key or a query in every lane."""
        return self.wide.splat(self.b.trunc(value, I32), abi.INT32)

    def last_key(self, query: Vec) -> Vec:
        """The last key that each query may see."""
        limit = self.wide.constant(abi.INT32, ALWAYS)
        return Vec(self.wide, self.b.select(self.causal, query.value, limit.value), abi.INT32)

    def fold(self, count: ir.Value, start: Vec, combine, element) -> Vec:
        """``element(0) .. element(count - 1)`` combined, in several chains side by side."""
        b, s = self.b, self.wide
        whole = b.and_(count, I64(-CHAINS))
        with s.carried(I64(0), whole, CHAINS, [start] * CHAINS) as (r, chains, carry):
            carry.next(*(combine(x, element(b.add(r, I64(c)))) for c, x in enumerate(chains)))
        w, x, y, z = carry.final
        with s.carried(whole, count, 1, [combine(combine(w, x), combine(y, z))]) as (r, (total,), carry):
            carry.next(combine(total, element(r)))
        return carry.final[0]

    def scalar(self, place: ir.Value) -> Vec:
        """A number in memory, in every lane."""
        return self.wide.splat(self.b.load(place), self.dtype)
