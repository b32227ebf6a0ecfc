"""Copying elements between arrays of one shape, in runs, from kernels written in the staged language.

Dimensions over which both arrays step evenly are merged first, so that what is left inside is as long as it can be;
that innermost run is cut into pieces, which are also what several threads share. A run is copied in vectors when
it lies side by side in both arrays, forwards or backwards.
"""

from __future__ import annotations

from typing import NamedTuple

from llvmlite import ir

from . import abi
from .host import host
from .nest import share
from .operands import Arrays
from .stage import I32, I64, Scope

PIECE = 4096  # elements of a run that are copied at a time
_BITS = {1: abi.UINT8, 4: abi.INT32, 8: abi.INT64}  # elements travel as integers: every bit of them counts


class Place(NamedTuple):
    """An array as a copy meets it: the address of its first element, and where its strides stand."""

    address: ir.Value
    strides: ir.Value


def geometry(arrays: Arrays, k: int | ir.Value) -> tuple[ir.Value, ir.Value]:
    """Where the sizes and the strides of array `k` stand in a record."""
    b = arrays.b
    k = I64(k) if isinstance(k, int) else k
    first = b.add(b.mul(k, I64(abi.ARRAY_WORDS)), I64(abi.A_ARRAYS))
    return tuple(
        b.gep(arrays.record, [b.add(first, I64(field))]) for field in (abi.ARRAY_SHAPE, abi.ARRAY_STRIDES)
    )


class Copy:
    """A copy between two arrays, to be written into a kernel.

    Parameters
    ----------
    one : Scope
        Scalar scope of the kernel.
    dtype : int
        Dtype code of the elements.
    """

    def __init__(self, one: Scope, dtype: int) -> None:
        self.one, self.b = one, one.b
        self.item = abi.ITEM_SIZES[dtype]
        self.dtype = _BITS[self.item]
        self.lanes = host().lanes(self.item)
        levels = ir.ArrayType(I64, abi.MAX_DIMS)
        self._sizes, self._to, self._of, self._index = (one.variable(levels) for _ in range(4))
        self._count, self._start, self._target, self._source = (one.variable(I64) for _ in range(4))

    def write(
        self,
        dims: ir.Value,
        sizes: ir.Value,
        target: Place,
        source: Place,
        reversed_dims: ir.Value,
        part: ir.Value,
        parts: ir.Value,
    ) -> None:
        """Copy this part's pieces; dimensions whose bit is set in `reversed_dims` are read from their end."""
        b, one = self.b, self.one
        b.store(source.address, self._start)
        self._merge(dims, sizes, target.strides, source.strides, reversed_dims)
        last = b.sub(b.load(self._count), I64(1))
        run, near, far = (self._get(cells, last) for cells in (self._sizes, self._to, self._of))
        # the pieces of the run take its place as the innermost dimension
        self._set(self._sizes, last, b.sdiv(b.add(run, I64(PIECE - 1)), I64(PIECE)))
        self._set(self._to, last, b.mul(near, I64(PIECE)))
        self._set(self._of, last, b.mul(far, I64(PIECE)))
        begin, end = share(one, self._total(last), part, parts, 1)
        with b.if_then(b.icmp_signed("<", begin, end)):
            self._go_to(begin, last, target.address)
            with one.loop(begin, end):
                left = b.sub(run, b.mul(self._get(self._index, last), I64(PIECE)))
                length = b.select(b.icmp_signed("<", left, I64(PIECE)), left, I64(PIECE))
                self._piece(length, near, far)
                self._step(last)

    def _get(self, cells: ir.Value, level: ir.Value) -> ir.Value:
        return self.b.load(self.b.gep(cells, [I64(0), level]))

    def _set(self, cells: ir.Value, level: ir.Value, value: ir.Value) -> None:
        self.b.store(value, self.b.gep(cells, [I64(0), level]))

    def _merge(
        self, dims: ir.Value, sizes: ir.Value, to: ir.Value, of: ir.Value, reversed_dims: ir.Value
    ) -> None:
        """Fill in the levels of the walk: dimensions, less those of one element, merged where possible."""
        b, one = self.b, self.one
        b.store(I64(0), self._count)
        with one.loop(I64(0), dims) as d:
            size, near, far = (one.word(words, d) for words in (sizes, to, of))
            with b.if_then(b.icmp_signed("!=", size, I64(1))):
                turned = b.icmp_signed("!=", b.and_(b.lshr(reversed_dims, d), I64(1)), I64(0))
                end = b.mul(b.mul(b.sub(size, I64(1)), far), I64(self.item))
                b.store(b.add(b.load(self._start), b.select(turned, end, I64(0))), self._start)
                self._add_level(size, near, b.select(turned, b.neg(far), far))
        with b.if_then(b.icmp_signed("==", b.load(self._count), I64(0))):
            self._add_level(I64(1), I64(1), I64(1))

    def _add_level(self, size: ir.Value, near: ir.Value, far: ir.Value) -> None:
        b = self.b
        count = b.load(self._count)
        some = b.icmp_signed(">", count, I64(0))
        before = b.select(some, b.sub(count, I64(1)), I64(0))
        follows = b.and_(
            b.icmp_signed("==", self._get(self._to, before), b.mul(near, size)),
            b.icmp_signed("==", self._get(self._of, before), b.mul(far, size)),
        )
        merged = b.and_(some, follows)
        level = b.select(merged, before, count)
        whole = b.select(merged, b.mul(self._get(self._sizes, before), size), size)
        for cells, value in ((self._sizes, whole), (self._to, near), (self._of, far)):
            self._set(cells, level, value)
        b.store(b.add(level, I64(1)), self._count)

    def _total(self, last: ir.Value) -> ir.Value:
        """The number of pieces."""
        b, total = self.b, self.one.variable(I64)
        b.store(I64(1), total)
        with self.one.loop(I64(0), b.add(last, I64(1))) as level:
            b.store(b.mul(b.load(total), self._get(self._sizes, level)), total)
        return b.load(total)

    def _go_to(self, piece: ir.Value, last: ir.Value, target: ir.Value) -> None:
        """Set index and addresses to a piece."""
        b, rest = self.b, self.one.variable(I64)
        b.store(piece, rest)
        b.store(target, self._target)
        b.store(b.load(self._start), self._source)
        with self.one.loop(I64(0), b.add(last, I64(1))) as k:
            level = b.sub(last, k)
            size, left = self._get(self._sizes, level), b.load(rest)
            digit = b.urem(left, size)
            b.store(b.udiv(left, size), rest)
            self._set(self._index, level, digit)
            self._advance(level, digit)

    def _advance(self, level: ir.Value, count: ir.Value) -> None:
        b = self.b
        for cells, address in ((self._to, self._target), (self._of, self._source)):
            step = b.mul(b.mul(count, self._get(cells, level)), I64(self.item))
            b.store(b.add(b.load(address), step), address)

    def _step(self, last: ir.Value) -> None:
        """Go to the next piece."""
        b = self.b
        level = self.one.variable(I64)
        b.store(last, level)
        head, turn, over, after = (b.append_basic_block(n) for n in ("step", "turn", "over", "after"))
        b.branch(head)
        b.position_at_end(head)
        at = b.load(level)
        b.cbranch(b.icmp_signed(">=", at, I64(0)), turn, after)
        b.position_at_end(turn)
        digit, size = b.add(self._get(self._index, at), I64(1)), self._get(self._sizes, at)
        self._set(self._index, at, digit)
        self._advance(at, I64(1))
        b.cbranch(b.icmp_signed("<", digit, size), after, over)
        b.position_at_end(over)
        self._set(self._index, at, I64(0))
        self._advance(at, b.neg(size))
        b.store(b.sub(at, I64(1)), level)
        b.branch(head)
        b.position_at_end(after)

    def _piece(self, length: ir.Value, near: ir.Value, far: ir.Value) -> None:
        b, one = self.b, self.one
        target, source = (one.pointer(b.load(a), self.dtype) for a in (self._target, self._source))
        beside = b.icmp_signed("==", near, I64(1))
        forwards = b.and_(beside, b.icmp_signed("==", far, I64(1)))
        with b.if_else(forwards) as (straight, other):
            with straight:
                self._vectors(length, lambda s, i, mask: self._straight(s, target, source, i, mask))
            with other:
                backwards = b.and_(beside, b.icmp_signed("==", far, I64(-1)))
                with b.if_else(backwards) as (turned, scattered):
                    with turned:
                        self._vectors(length, lambda s, i, mask: self._turned(s, target, source, i, mask))
                    with scattered:
                        self._scattered(length, target, source, near, far)

    def _vectors(self, length: ir.Value, body) -> None:
        """``body(scope, i, mask)`` over a run: whole vectors without a mask, then what is left."""
        b, wide = self.b, Scope(self.b, self.lanes)
        whole = b.and_(length, I64(-self.lanes))
        with wide.loop(I64(0), whole, self.lanes) as i:
            body(wide, i, None)
        if host().vector_bytes == 64:
            with b.if_then(b.icmp_signed("<", whole, length)):
                body(wide, whole, wide.tail_mask(b.sub(length, whole)))
        else:
            with self.one.loop(whole, length) as i:
                body(self.one, i, None)

    def _straight(self, scope: Scope, target: ir.Value, source: ir.Value, i: ir.Value, mask) -> None:
        scope.store(scope.load(scope.at(source, i), self.dtype, mask), scope.at(target, i), mask)

    def _turned(self, scope: Scope, target: ir.Value, source: ir.Value, i: ir.Value, mask) -> None:
        """Elements ``i, i + 1, ..`` of the target are those at ``-i, -i - 1, ..`` of the source."""
        b = self.b
        first = scope.at(source, b.sub(I64(1 - scope.lanes), i))
        there = None if mask is None else self._reverse(scope, mask)
        value = scope.load(first, self.dtype, there)
        value.value = self._reverse(scope, value.value)
        scope.store(value, scope.at(target, i), mask)

    def _reverse(self, scope: Scope, value: ir.Value) -> ir.Value:
        if scope.lanes == 1:
            return value
        order = ir.Constant(ir.VectorType(I32, scope.lanes), list(range(scope.lanes))[::-1])
        return self.b.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), order)

    def _scattered(
        self, length: ir.Value, target: ir.Value, source: ir.Value, near: ir.Value, far: ir.Value
    ) -> None:
        # elements of a byte cannot be gathered, and without gather instructions a vector of them only costs
        b = self.b
        scope = Scope(b, self.lanes if host().vector_bytes == 64 and self.item > 1 else 1)
        with scope.loop(I64(0), length, scope.lanes) as i:
            mask = scope.tail_mask(b.sub(length, i))
            value = scope.gather(scope.at(source, b.mul(i, far)), far, self.dtype, mask)
            scope.scatter(value, scope.at(target, b.mul(i, near)), near, mask)
