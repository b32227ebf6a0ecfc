"""Gradients of weights and bias of a layer of a few inputs, in one pass over the gradients of its outputs.

A product of so few rows reads a vector of those gradients for each few multiply-adds, and the sums of the bias would
read them all once more. Here the bias is one more row of sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from llvmlite import ir

from . import abi, compiler
from .gemm_blocks import Numbers, alternated
from .gemm_plan import plan
from .gemm_tiles import DEPTH, Mask, define, multiply_add, tiles_across
from .host import host
from .nest import share
from .stage import I64, VOID, Scope, Vec, new_module

INPUTS = 4  # at most
# gradients of outputs, inputs, the two results: addresses, strides in elements; sizes; which part of how many
SIGNATURE = "outputs stride inputs rows_apart inputs_apart weights bias rows features depth part parts"
NAMES = {abi.FLOAT32: "jg_few_inputs_f32", abi.FLOAT64: "jg_few_inputs_f64"}


def _ranges() -> tuple[tuple[int, int | None], ...]:
    """The least and the most features, inputs, and elements from one output's gradient to the next one's.

    Where they hold, a layer's gradients are taken in one pass: few inputs, and outputs that fill a vector.
    """
    return (host().lanes(abi.ITEM_SIZES[abi.FLOAT32]), None), (1, INPUTS), (1, 1)


def suits(features: int, depth: int, column: int) -> bool:
    """Whether a layer's gradients are taken in one pass; `column` is the stride between gradients of outputs."""
    sizes = zip((features, depth, column), _ranges(), strict=True)
    return all(least <= x and (most is None or x <= most) for x, (least, most) in sizes)


def suits_bit(b: ir.IRBuilder, features: ir.Value, depth: ir.Value, column: ir.Value) -> ir.Value:
    """The same as a bit, in a kernel."""
    num, bits = Numbers(b), []
    for x, (least, most) in zip((features, depth, column), _ranges(), strict=True):
        bits.append(num.above(x, least - 1))
        bits += [] if most is None else [num.less(x, I64(most + 1))]
    return num.all(*bits)


def provide(dtype: int) -> None:
    """Make the pass of `dtype` callable from kernels."""
    compiler.symbol(NAMES[dtype], lambda: build(dtype), light=True)


def call(s: Scope, dtype: int, arguments: Sequence[ir.Value]) -> None:
    """Write a call of the pass; `arguments` in the order of `SIGNATURE`."""
    s.call(NAMES[dtype], VOID, list(arguments))


def build(dtype: int) -> ir.Module:
    """The module of the function that writes both gradients, or a part of them: some of the features."""
    module = new_module(NAMES[dtype])
    b, a = define(module, NAMES[dtype], SIGNATURE, inline="")
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    _Pass(b, dtype, a).write(*share(Scope(b, 1), a["features"], a["part"], a["parts"], lanes))
    b.ret_void()
    return module


class _Pass:
    """Writes the loops: vectors of features, and for each all rows."""

    def __init__(self, b: ir.IRBuilder, dtype: int, a: dict[str, ir.Value]) -> None:
        self.b, self.dtype, self.a, self.one = b, dtype, a, Scope(b, 1)
        self.outputs, self.inputs, self.weights, self.bias = (
            self.one.pointer(a[key], dtype) for key in ("outputs", "inputs", "weights", "bias")
        )

    def write(self, begin: ir.Value, end: ir.Value) -> None:
        b = self.b
        for s, column, (mask,) in tiles_across(b, plan(self.dtype), (1,), b.sub(end, begin)):
            first = b.add(begin, column)
            done = b.append_basic_block("done")
            switch = b.switch(self.a["depth"], done)
            for inputs in range(1, INPUTS + 1):
                case = b.append_basic_block(f"inputs{inputs}")
                switch.add_case(I64(inputs), case)
                b.position_at_end(case)
                *weights, bias = self._sums(s, first, mask, inputs)
                self._store_weights(s, first, mask, weights)
                s.store(bias, s.at(self.bias, first), mask)
                b.branch(done)
            b.position_at_end(done)

    def _sums(self, s: Scope, first: ir.Value, mask: Mask, inputs: int) -> list[Vec]:
        """A vector of sums for each input, and one for the bias: of DEPTH rows at a time, as in every product."""
        b, rows = self.b, self.a["rows"]
        zeros = [s.constant(self.dtype, 0.0)] * (inputs + 1)
        with s.carried(I64(0), rows, DEPTH, zeros) as (top, totals, carry):
            end = Numbers(b).smaller(b.add(top, I64(DEPTH)), rows)
            carry.next(*_added(totals, self._block(s, first, mask, (top, end), zeros)))
        return carry.final

    def _block(
        self, s: Scope, first: ir.Value, mask: Mask, rows: tuple[ir.Value, ir.Value], zeros: list[Vec]
    ) -> list[Vec]:
        """The sums over some rows: in chains, the first of which takes the rows left over."""
        b, (top, end), each = self.b, rows, len(zeros)
        chains = _chains(each)
        starts = range(0, chains * each, each)
        whole = b.sub(end, b.and_(b.sub(end, top), I64(chains - 1)))
        with s.carried(top, whole, chains, zeros * chains) as (row, now, carry):
            after = [
                self._row(s, b.add(row, I64(c)), first, mask, now[k : k + each]) for c, k in enumerate(starts)
            ]
            carry.next(*chain.from_iterable(after))
        sums = [carry.final[k : k + each] for k in starts]
        with s.carried(whole, end, 1, sums[0]) as (row, now, carry):
            carry.next(*self._row(s, row, first, mask, now))
        sums[0] = carry.final
        while len(sums) > 1:
            sums = [_added(x, y) for x, y in zip(sums[::2], sums[1::2], strict=True)]
        return sums[0]

    def _row(self, s: Scope, row: ir.Value, first: ir.Value, mask: Mask, sums: list[Vec]) -> list[Vec]:
        """The sums with what one row of the batch adds."""
        b, a = self.b, self.a
        g = s.load(s.at(s.at(self.outputs, first), b.mul(row, a["stride"])), self.dtype, mask)
        cell, after = self.one.at(self.inputs, b.mul(row, a["rows_apart"])), []
        for total in sums[:-1]:
            after.append(multiply_add(s.splat(b.load(cell), self.dtype), g, total))
            cell = self.one.at(cell, a["inputs_apart"])
        return [*after, sums[-1] + g]

    def _store_weights(self, s: Scope, first: ir.Value, mask: Mask, sums: list[Vec]) -> None:
        """Store the sums of each input at the weights, where those of a feature lie side by side."""
        b, inputs = self.b, len(sums)
        place = s.at(self.weights, b.mul(first, I64(inputs)))
        left = I64(s.lanes) if mask is None else b.sub(self.a["features"], first)
        if inputs & (inputs - 1):
            for d, x in enumerate(sums):
                s.scatter(x, s.at(place, d), I64(inputs), s.tail_mask(left))
            return
        for k, x in enumerate(alternated(sums)):
            inside = mask and s.tail_mask(b.sub(b.mul(left, I64(inputs)), I64(k * s.lanes)))
            s.store(x, s.at(place, k * s.lanes), inside)


def _chains(sums: int) -> int:
    """How many of each sum go side by side, over rows modulo that number: what registers hold, a power of two."""
    return 1 << (host().vector_registers * 2 // 3 // sums).bit_length() - 1


def _added(left: list[Vec], right: list[Vec]) -> list[Vec]:
    return [x + y for x, y in zip(left, right, strict=True)]
