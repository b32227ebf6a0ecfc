"""Reductions: loops that fold a nest over some of its dimensions.

The record puts kept dimensions first and reduced ones last. When the last reduced dimension steps by one
element, vectors run along it and are folded across lanes at the end; when the last kept one does, vectors run
along that and every lane folds its own column. The order of the terms depends on shapes only, never on the
number of threads: these share out the outputs.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from . import abi
from .nest import Nest, compute_lanes, share, spread
from .stage import I64, Scope, Vec, new_kernel, new_module

STREAM_OUT, STREAM_IN = 0, 1
PARTIAL_SUMS = 4  # independent accumulators of a row: they hide latency and shorten the error of sums


def build_reduce(name: str, op: Any, dtype: int, result: int) -> ir.Module:
    """The forward kernel of a reduction declared with `table.reduction`."""
    module = new_module(name)
    b, record, part, parts = new_kernel(module, name)
    fold = _Fold(Nest(b, record, [result, dtype]), op, dtype, result)
    nest = fold.nest
    columns = b.icmp_signed("==", nest.layout, I64(abi.NEST_BROADCAST))
    with b.if_else(columns) as (across, along):
        with across:
            fold.columns(part, parts)
        with along:
            fold.rows(part, parts)
    b.ret_void()
    return module


class _Fold:
    def __init__(self, nest: Nest, op: Any, dtype: int, result: int) -> None:
        self.nest, self.op = nest, op
        self.b = nest.b
        self.dtype, self.result = dtype, result
        self.lanes = compute_lanes([dtype])
        self.kept = nest.attribute_word(0)
        self.inner = self.b.sub(nest.dims, I64(1))
        self.outer_reduced = nest.extent(self.kept, self.inner)
        self.count = self.b.mul(self.outer_reduced, nest.size(self.inner))
        self.work = dtype if dtype in (abi.FLOAT32, abi.FLOAT64) else abi.INT64
        if dtype == abi.BOOL or result == abi.BOOL:
            self.work = abi.INT64
        self.scalars = [nest.attribute(1 + k) for k in range(len(op.attributes))]

    def _initial(self, scope: Scope) -> Vec:
        return scope.constant(self.work, self.op.initial(self.work))

    def _element(self, scope: Scope, value: Vec, mask: ir.Value | None) -> Vec:
        value = self.op.forward(value).to(self.work)
        if mask is None:
            return value
        return Vec(scope, mask, -1).select(value, self._initial(scope))

    def _finish(self, total: Vec) -> Vec:
        n = Vec(self.nest.scope, self.b.sitofp(self.count, ir.DoubleType()), abi.FLOAT64)
        finished = self.op.after(total, n)
        return finished.to(self.result)

    def rows(self, part: ir.Value, parts: ir.Value) -> None:
        """Every output is a fold along the last reduced dimension, and over the others before it."""
        nest, b = self.nest, self.b
        begin, end = share(nest.scope, nest.extent(I64(0), self.kept), part, parts, 1)
        scope = Scope(b, self.lanes)
        cells = [scope.variable(scope.type(self.work)) for _ in range(PARTIAL_SUMS)]
        with nest.walk(I64(0), self.kept, begin, end) as kept_offsets:
            for cell in cells:
                b.store(self._initial(scope).value, cell)
            source = nest.scope.at(nest.pointers[STREAM_IN], kept_offsets[STREAM_IN])
            with nest.walk(self.kept, self.inner, I64(0), self.outer_reduced) as offsets:
                self._row(scope, nest.scope.at(source, offsets[STREAM_IN]), cells)
            total = self._collect(scope, cells)
            place = nest.scope.at(nest.pointers[STREAM_OUT], kept_offsets[STREAM_OUT])
            nest.scope.store(self._finish(total), place)

    def _row(self, scope: Scope, source: ir.Value, cells: list[ir.Value]) -> None:
        b, size = self.b, self.nest.size(self.inner)
        stride = self.nest.stride(STREAM_IN, self.inner)
        near = b.icmp_signed("==", stride, I64(1))
        with b.if_else(near) as (unit, far):
            with unit:
                block = self.lanes * PARTIAL_SUMS
                whole = b.and_(size, I64(-block))
                with scope.loop(I64(0), whole, block) as i:
                    for k, cell in enumerate(cells):
                        place = scope.at(source, b.add(i, I64(k * self.lanes)))
                        self._fold_in(scope, cell, scope.load(place, self.dtype), None)

                def rest(s: Scope, i: ir.Value, mask: ir.Value | None) -> None:
                    value = s.load(s.at(source, i), self.dtype, mask)
                    self._fold_in(s, cells[0], value, mask)

                spread(b, self.lanes, whole, size, rest)
            with far, scope.loop(I64(0), size) as i:
                one = scope.scalar
                value = one.load(one.at(source, b.mul(i, stride)), self.dtype)
                self._fold_in(one, cells[0], value, None)

    def _fold_in(self, scope: Scope, cell: ir.Value, value: Vec, mask: ir.Value | None) -> None:
        b = self.b
        if scope.lanes == 1 and self.lanes > 1:  # one element goes into lane 0
            cell = b.bitcast(cell, scope.type(self.work).as_pointer())
        total = Vec(scope, b.load(cell), self.work)
        total = self.op.combine(total, self._element(scope, value, mask))
        b.store(total.value, cell)

    def _collect(self, scope: Scope, cells: list[ir.Value]) -> Vec:
        partial = [Vec(scope, self.b.load(cell), self.work) for cell in cells]
        while len(partial) > 1:
            half = len(partial) // 2
            partial = [self.op.combine(x, y) for x, y in zip(partial[:half], partial[half:], strict=True)]
        return partial[0].reduce(self.op.combine)

    def columns(self, part: ir.Value, parts: ir.Value) -> None:
        """Vectors along the last kept dimension: each lane folds the column below it."""
        nest, b = self.nest, self.b
        last = b.sub(self.kept, I64(1))
        size = nest.size(last)
        begin, end = share(nest.scope, nest.extent(I64(0), last), part, parts, 1)
        # with a single row of outputs the threads share the columns instead
        single = b.icmp_signed("==", nest.extent(I64(0), last), I64(1))
        begin = b.select(single, I64(0), begin)
        end = b.select(single, I64(1), end)
        first, stop = share(nest.scope, size, part, parts, 64)
        first = b.select(single, first, I64(0))
        stop = b.select(single, stop, size)
        with nest.walk(I64(0), last, begin, end) as offsets:
            source = nest.scope.at(nest.pointers[STREAM_IN], offsets[STREAM_IN])
            target = nest.scope.at(nest.pointers[STREAM_OUT], offsets[STREAM_OUT])

            def column(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
                total = self._column(scope, scope.at(source, i), mask)
                scope.store(self._finish(total), scope.at(target, i), mask)

            spread(b, self.lanes, first, stop, column)

    def _column(self, scope: Scope, source: ir.Value, mask: ir.Value | None) -> Vec:
        nest, b = self.nest, self.b
        cell = scope.variable(scope.type(self.work))
        b.store(self._initial(scope).value, cell)
        stride = nest.stride(STREAM_IN, self.inner)
        size = nest.size(self.inner)
        with nest.walk(self.kept, self.inner, I64(0), self.outer_reduced) as offsets:
            top = scope.at(source, offsets[STREAM_IN])
            with scope.loop(I64(0), size) as i:
                value = scope.load(scope.at(top, b.mul(i, stride)), self.dtype, mask)
                total = Vec(scope, b.load(cell), self.work)
                value = self.op.forward(value).to(self.work)
                b.store(self.op.combine(total, value).value, cell)
        return Vec(scope, b.load(cell), self.work)
