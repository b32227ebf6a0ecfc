"""Gradients of weights and bias of a layer of a few inputs, in one pass over the gradients of its outputs.

A product of so few rows reads a vector of those gradients for each few multiply-adds, and the sums of the bias would
read them all once more. Here the bias is one more row of sums.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from . import abi
from .gemm_blocks import Numbers, alternated
from .gemm_plan import plan
from .gemm_tiles import DEPTH, Masks, multiply_add, tiles_across
from .host import host
from .nest import share
from .stage import I64, Scope, Vec

INPUTS = 4  # at most
VECTORS = 2  # of outputs side by side


class Layer(NamedTuple):
    """Addresses, strides in elements, and sizes: gradients of outputs, inputs, the two results."""

    outputs: ir.Value
    stride: ir.Value
    inputs: ir.Value
    rows_apart: ir.Value
    inputs_apart: ir.Value
    weights: ir.Value
    bias: ir.Value
    rows: ir.Value
    features: ir.Value
    depth: ir.Value


def suits(features: int, depth: int, column: int) -> bool:
    """Whether a layer's gradients are taken in one pass: few inputs, and outputs that fill a vector.

    `column` is the stride from one output's gradient to the next one's.
    """
    return 0 < depth <= INPUTS and features >= _least() and column == 1


def suits_bit(b: ir.IRBuilder, features: ir.Value, depth: ir.Value, column: ir.Value) -> ir.Value:
    """The same as a bit, in a kernel."""
    num = Numbers(b)
    some = num.all(num.above(depth, 0), num.less(depth, I64(INPUTS + 1)))
    wide = num.all(num.above(features, _least() - 1), num.equal(column, 1))
    return num.all(some, wide)


def _least() -> int:
    return host().lanes(abi.ITEM_SIZES[abi.FLOAT32])


def _chains(inputs: int) -> int:
    """Sums side by side of each element, over rows modulo that number: as many as registers hold, a power of two."""
    held = VECTORS * (inputs + 1)
    return 1 << (host().vector_registers * 2 // 3 // held).bit_length() - 1


def weights_and_bias(one: Scope, dtype: int, layer: Layer, threads: tuple[ir.Value, ir.Value]) -> None:
    """Write both gradients, or this thread's part of them: some of the features."""
    _Pass(one, dtype, layer).write(*share(one, layer.features, *threads, host().lanes(plan(dtype).item)))


class _Pass:
    """Writes the loops."""

    def __init__(self, one: Scope, dtype: int, layer: Layer) -> None:
        self.one, self.b, self.dtype, self.layer = one, one.b, dtype, layer
        self.outputs, self.inputs, self.weights, self.bias = (
            one.pointer(x, dtype) for x in (layer.outputs, layer.inputs, layer.weights, layer.bias)
        )

    def write(self, begin: ir.Value, end: ir.Value) -> None:
        b, p = self.b, plan(self.dtype)
        for s, j, masks in tiles_across(b, p, (VECTORS, 1), b.sub(end, begin)):
            first = b.add(begin, j)
            done = b.append_basic_block("done")
            switch = b.switch(self.layer.depth, done)
            for inputs in range(1, INPUTS + 1):
                case = b.append_basic_block(f"inputs{inputs}")
                switch.add_case(I64(inputs), case)
                b.position_at_end(case)
                self._store(s, first, masks, self._sums(s, first, masks, inputs))
                b.branch(done)
            b.position_at_end(done)

    def _sums(self, s: Scope, first: ir.Value, masks: Masks, inputs: int) -> list[Vec]:
        """Sums for each input, and then those for the bias: as many vectors of each as there are masks.

        They are made of the sums of DEPTH rows each, as those of every product are.
        """
        b, rows = self.b, self.layer.rows
        totals = [s.constant(self.dtype, 0.0)] * (len(masks) * (inputs + 1))
        with s.carried(I64(0), rows, DEPTH, totals) as (top, now, carry):
            end = Numbers(b).smaller(b.add(top, I64(DEPTH)), rows)
            block = self._block(s, first, masks, (top, end), _chains(inputs), totals)
            carry.next(*(x + y for x, y in zip(now, block, strict=True)))
        return carry.final

    def _block(
        self,
        s: Scope,
        first: ir.Value,
        masks: Masks,
        rows: tuple[ir.Value, ir.Value],
        chains: int,
        zeros: list[Vec],
    ) -> list[Vec]:
        b, (top, end), each = self.b, rows, len(zeros)
        whole = b.sub(end, b.and_(b.sub(end, top), I64(chains - 1)))
        with s.carried(top, whole, chains, zeros * chains) as (row, now, carry):
            after: list[Vec] = []
            for c in range(chains):
                after += self._row(s, b.add(row, I64(c)), first, masks, now[c * each : (c + 1) * each])
            carry.next(*after)
        sums = [carry.final[c * each : (c + 1) * each] for c in range(chains)]
        with s.carried(whole, end, 1, sums[0]) as (row, now, carry):
            carry.next(*self._row(s, row, first, masks, now))
        sums[0] = carry.final
        while len(sums) > 1:
            sums = [
                [x + y for x, y in zip(left, right, strict=True)]
                for left, right in zip(sums[::2], sums[1::2], strict=True)
            ]
        return sums[0]

    def _row(self, s: Scope, row: ir.Value, first: ir.Value, masks: Masks, sums: list[Vec]) -> list[Vec]:
        """Add what one row of the batch gives."""
        b, layer, w = self.b, self.layer, len(masks)
        place = s.at(s.at(self.outputs, first), b.mul(row, layer.stride))
        vectors = [s.load(s.at(place, v * s.lanes), self.dtype, mask) for v, mask in enumerate(masks)]
        cell, after = self.one.at(self.inputs, b.mul(row, layer.rows_apart)), []
        for begin in range(0, len(sums) - w, w):
            x = s.splat(b.load(cell), self.dtype)
            after += [multiply_add(x, y, z) for y, z in zip(vectors, sums[begin : begin + w], strict=True)]
            cell = self.one.at(cell, layer.inputs_apart)
        return after + [x + y for x, y in zip(sums[-w:], vectors, strict=True)]

    def _store(self, s: Scope, first: ir.Value, masks: Masks, sums: list[Vec]) -> None:
        b, w = self.b, len(masks)
        inputs = len(sums) // w - 1
        for v, mask in enumerate(masks):
            column = b.add(first, I64(v * s.lanes))
            left = None if mask is None else b.sub(self.layer.features, column)
            self._store_weights(s, column, left, [sums[d * w + v] for d in range(inputs)])
            s.store(sums[inputs * w + v], s.at(self.bias, column), mask)

    def _store_weights(self, s: Scope, column: ir.Value, left: ir.Value | None, rows: list[Vec]) -> None:
        """Store sums of each input at the weights of `left` features from one on, or of a whole vector of them."""
        b, inputs = self.b, len(rows)
        place = s.at(self.weights, b.mul(column, I64(inputs)))
        if inputs & (inputs - 1):
            mask = s.tail_mask(I64(s.lanes) if left is None else left)
            for d, x in enumerate(rows):
                s.scatter(x, s.at(place, d), I64(inputs), mask)
            return
        for k, x in enumerate(alternated(rows)):
            mask = None if left is None else s.tail_mask(b.sub(b.mul(left, I64(inputs)), I64(k * s.lanes)))
            s.store(x, s.at(place, k * s.lanes), mask)
