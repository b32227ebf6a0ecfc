"""Reading a record of whole arrays, and walking their lines, from a kernel written in the staged language.

A *line* is what remains of an array when every index but one is fixed: softmax works line by line, a
loss sums over lines. `Arrays` reads the record; `each_line` writes the walk, in the form that suits the
strides: vectors along a line that is contiguous, vectors across lines that lie side by side, or elements
gathered along a line with any stride. The code for one line is written once, on `Line`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from . import abi
from .host import host
from .nest import share
from .stage import F64, I32, I64, MASK, Scope, Vec, new_kernel, new_module

Combine = Callable[[Vec, Vec], Vec]


class Arrays:
    """The arrays of a record.

    Attributes
    ----------
    scope : Scope
        Scalar scope of the function being written.
    """

    def __init__(self, b: ir.IRBuilder, record: ir.Value) -> None:
        self.scope = Scope(b, 1)
        self.b = b
        self.record = record
        self._attributes = self.scope.word(record, abi.R_ATTRS)

    def _word(self, k: int, field: int | ir.Value) -> ir.Value:
        at = abi.A_ARRAYS + k * abi.ARRAY_WORDS
        index = at + field if isinstance(field, int) else self.b.add(field, I64(at))
        return self.scope.word(self.record, index)

    def address(self, k: int) -> ir.Value:
        """Address of array `k`; 0 when it is absent."""
        return self._word(k, abi.ARRAY_ADDRESS)

    def present(self, k: int) -> ir.Value:
        """Whether array `k` is there, as a bit."""
        return self.b.icmp_signed("!=", self.address(k), I64(0))

    def pointer(self, k: int, dtype: int) -> ir.Value:
        """Pointer to element 0 of array `k`."""
        return self.scope.pointer(self.address(k), dtype)

    def dims(self, k: int) -> ir.Value:
        """Number of dimensions of array `k`."""
        return self._word(k, abi.ARRAY_DIMS)

    def numel(self, k: int) -> ir.Value:
        """Number of elements of array `k`."""
        return self._word(k, abi.ARRAY_NUMEL)

    def size(self, k: int, dim: int | ir.Value) -> ir.Value:
        """Extent of array `k` along a dimension."""
        return self._word(k, self._plus(dim, abi.ARRAY_SHAPE))

    def stride(self, k: int, dim: int | ir.Value) -> ir.Value:
        """Stride of array `k` along a dimension, in elements."""
        return self._word(k, self._plus(dim, abi.ARRAY_STRIDES))

    def last_dim(self, k: int) -> ir.Value:
        """The last dimension of array `k`; 0 when it has none."""
        last = self.b.sub(self.dims(k), I64(1))
        return self.b.select(self.b.icmp_signed("<", last, I64(0)), I64(0), last)

    def _plus(self, dim: int | ir.Value, field: int) -> int | ir.Value:
        return dim + field if isinstance(dim, int) else self.b.add(dim, I64(field))

    def word(self, index: int) -> ir.Value:
        """The integer attribute number `index`."""
        return self.scope.word(self.record, self.b.add(self._attributes, I64(index)))

    def number(self, index: int) -> Vec:
        """The floating attribute number `index`, a float64 scalar."""
        return Vec(self.scope, self.b.bitcast(self.word(index), F64), abi.FLOAT64)

    def offset(self, ks: Sequence[int], dims: ir.Value, skip: ir.Value, point: ir.Value) -> list[ir.Value]:
        """Offsets of arrays `ks` (of one shape) at row-major index `point`, without dimension `skip`."""
        b, one = self.b, self.scope
        rest = one.variable(I64)
        sums = [one.variable(I64) for _ in ks]
        b.store(point, rest)
        for s in sums:
            b.store(I64(0), s)
        with one.loop(I64(0), dims) as back:
            d = b.sub(b.sub(dims, I64(1)), back)
            with b.if_then(b.icmp_signed("!=", d, skip)):
                left = b.load(rest)
                # the outermost dimension needs no division; for a matrix that is the only one
                outermost = b.icmp_signed("==", d, b.zext(b.icmp_signed("==", skip, I64(0)), I64))
                digit = one.variable(I64)
                with b.if_else(outermost) as (last, inner):
                    with last:
                        b.store(left, digit)
                    with inner:
                        size = self.size(ks[0], d)
                        b.store(b.urem(left, size), digit)
                        b.store(b.udiv(left, size), rest)
                for k, s in zip(ks, sums, strict=True):
                    b.store(b.add(b.load(s), b.mul(b.load(digit), self.stride(k, d))), s)
        return [b.load(s) for s in sums]


def array_kernel(symbol: str) -> tuple[ir.Module, Arrays, ir.Value, ir.Value]:
    """A kernel on whole arrays, to be written: its module, its arrays, the part it is to do, and of how many."""
    module = new_module(symbol)
    b, record, part, parts = new_kernel(module, symbol)
    return module, Arrays(b, record), part, parts


class Line:
    """One line of each of several arrays, or several lines side by side, one a lane.

    Attributes
    ----------
    size : ir.Value
        Elements of a line.
    scope : Scope
        Where values that belong to a line as a whole live, such as its sum.
    mask : ir.Value or None
        Of lines side by side, those that there are.
    number : ir.Value or None
        The line's number in the order of the array without this dimension; of lines side by side the first's.
    """

    def __init__(
        self,
        scope: Scope,
        size: ir.Value,
        pointers: list[ir.Value],
        strides: list[ir.Value],
        dtypes: Sequence[int],
        form: str,
        mask: ir.Value | None = None,
        number: ir.Value | None = None,
    ) -> None:
        self.scope, self.b, self.size = scope, scope.b, size
        self.pointers, self.strides, self.dtypes = pointers, strides, dtypes
        self._form = form
        self.mask, self.number = mask, number

    def load(self, k: int, i: ir.Value, mask: ir.Value | None) -> Vec:
        """Elements of array `k` from number `i` on."""
        s, dtype = self.scope, self.dtypes[k]
        if self._form == "unit":
            return s.load(s.at(self.pointers[k], i), dtype, mask)
        place = s.at(self.pointers[k], self.b.mul(i, self.strides[k]))
        if self._form == "across":
            return s.load(place, dtype, mask)
        return s.gather(place, self.strides[k], dtype, mask if mask is not None else self._all())

    def store(self, k: int, i: ir.Value, value: Vec, mask: ir.Value | None) -> None:
        """Write elements of array `k` from number `i` on."""
        s = self.scope
        value = value.to(self.dtypes[k])
        if value.scope.lanes != s.lanes:
            value = s.splat(value.value, value.dtype)
        if self._form == "unit":
            s.store(value, s.at(self.pointers[k], i), mask)
            return
        place = s.at(self.pointers[k], self.b.mul(i, self.strides[k]))
        if self._form == "across":
            s.store(value, place, mask)
        else:
            s.scatter(value, place, self.strides[k], mask if mask is not None else self._all())

    def _all(self) -> ir.Value:
        return ir.Constant(self.scope.type(MASK), 1 if self.scope.lanes == 1 else [1] * self.scope.lanes)

    def fold(self, initial: float, combine: Combine, element: Callable[[ir.Value, Any], Vec]) -> Vec:
        """Fold ``element(i, mask)`` over the line; `element` may also store. One value for the line."""
        start = self.scope.constant(self.dtypes[0], initial)
        if self._form == "across":
            with self.scope.carried(I64(0), self.size, 1, [start]) as (i, (total,), carry):
                carry.next(combine(total, element(i, self.mask)))
            return carry.final[0]

        def turn(i: ir.Value, mask: ir.Value | None, total: Vec) -> Vec:
            value = combine(total, element(i, mask))
            return value if mask is None else Vec(self.scope, mask, MASK).select(value, total)

        s, lanes = self.scope, self.scope.lanes
        whole: ir.Value = I64(0)
        total = start
        if not (host().vector_bytes == 64 and lanes > 1):  # there a mask costs nothing
            whole = self.b.and_(self.size, I64(-lanes))
            with s.carried(I64(0), whole, lanes, [total]) as (i, (before,), carry):
                carry.next(turn(i, None, before))
            total = carry.final[0]
        if lanes > 1:
            with s.carried(whole, self.size, lanes, [total]) as (i, (before,), carry):
                carry.next(turn(i, s.tail_mask(self.b.sub(self.size, i)), before))
            total = carry.final[0]
        return self.whole(total.reduce(combine))

    def whole(self, value: Vec) -> Vec:
        """A scalar, or a value of the line as a whole, for use beside its elements."""
        return self.scope.splat(value.value, value.dtype) if value.scope.lanes != self.scope.lanes else value

    def keep(self, value: Vec) -> Callable[[], Vec]:
        """A value of the line as a whole, for use beside its elements: call what this returns there."""
        return lambda: value

    def put_by(self, k: int, i: ir.Value, value: Vec, mask: ir.Value | None) -> None:
        """Keep elements for `take_back`, in array `k`, which is written with others afterwards."""
        self.store(k, i, value, mask)

    def take_back(self, k: int, i: ir.Value, mask: ir.Value | None) -> Vec:
        """Elements that `put_by` kept."""
        return self.load(k, i, mask)

    @property
    def near(self) -> bool:
        """Whether the elements of each array's line lie side by side."""
        return self._form == "unit"

    @property
    def beside(self) -> bool:
        """Whether there are several lines side by side, one a lane."""
        return self._form == "across"

    def first(self, value: Vec) -> Vec:
        """A value of the line as a whole, as a scalar; not for lines side by side."""
        if self.scope.lanes == 1:
            return value
        lane = self.b.extract_element(value.value, I32(0))
        return Vec(self.scope.scalar, lane, value.dtype)

    def each(self, element: Callable[[ir.Value, Any], None]) -> None:
        """Call ``element(i, mask)`` over the line."""
        s, b, lanes = self.scope, self.b, self.scope.lanes
        if self._form == "across":
            with s.loop(I64(0), self.size) as i:
                element(i, self.mask)
            return
        whole: ir.Value = I64(0)
        if not (host().vector_bytes == 64 and lanes > 1):
            whole = b.and_(self.size, I64(-lanes))
            with s.loop(I64(0), whole, lanes) as i:
                element(i, None)
        if lanes > 1:
            with s.loop(whole, self.size, lanes) as i:
                element(i, s.tail_mask(b.sub(self.size, i)))


def each_line(
    arrays: Arrays,
    ks: Sequence[int],
    dtypes: Sequence[int],
    dim: ir.Value,
    share_of: tuple[ir.Value, ir.Value],
    body: Callable[[Line], None],
) -> None:
    """Write `body` for every line along `dim` of the arrays `ks`, which have one shape.

    Parameters
    ----------
    dtypes : sequence of int
        Dtype codes of these arrays, all of one size.
    share_of : pair of ir.Value
        Part and parts: the lines are shared out among them.
    body : callable
        Called up to three times, with the `Line` in each of its forms.
    """
    lines, b = _Lines(arrays, ks, dtypes, dim, share_of, body), arrays.b
    with b.if_then(b.not_(lines.empty)), b.if_else(lines.in_memory_order()) as (unit, other):
        with unit:
            lines.write_rows("unit", lines.lanes)
        with other, b.if_else(lines.beside()) as (across, far):
            with across:
                lines.write_columns()
            with far:
                # without gather instructions a vector of scattered elements only costs
                lines.write_rows("far", lines.lanes if host().vector_bytes == 64 else 1)


class _Lines:
    """How the lines of `each_line`, whose arguments these are, lie in memory, and the loops over them."""

    def __init__(
        self,
        arrays: Arrays,
        ks: Sequence[int],
        dtypes: Sequence[int],
        dim: ir.Value,
        share_of: tuple[ir.Value, ir.Value],
        body: Callable[[Line], None],
    ) -> None:
        self._arrays, self._ks, self._dtypes, self._dim = arrays, ks, dtypes, dim
        self._share_of, self._body = share_of, body
        b = self._b = arrays.b
        self.lanes = host().lanes(max(abi.ITEM_SIZES[d] for d in dtypes))
        self._dims = arrays.dims(ks[0])
        scalar = b.icmp_signed("==", self._dims, I64(0))
        # an array without dimensions is one line of one element
        self._size = b.select(scalar, I64(1), arrays.size(ks[0], dim))
        self._last = b.sub(self._dims, I64(1))
        self._along = b.or_(scalar, b.icmp_signed("==", dim, self._last))
        strides = [b.select(scalar, I64(1), arrays.stride(k, dim)) for k in ks]
        self._ends = [b.select(scalar, I64(1), arrays.stride(k, self._last)) for k in ks]
        # a stride along one element says nothing
        short = b.icmp_signed("<=", self._size, I64(1))
        self._strides = [b.select(short, I64(1), s) for s in strides]
        self._bases = [arrays.pointer(k, d) for k, d in zip(ks, dtypes, strict=True)]
        self.empty = b.icmp_signed("==", arrays.numel(ks[0]), I64(0))

    def in_memory_order(self) -> ir.Value:
        """Whether the elements of a line are neighbours in memory."""
        return self._b.and_(self._along, self._all_one(self._strides))

    def beside(self) -> ir.Value:
        """Whether lines lie side by side, so that their first elements are neighbours."""
        return self._b.and_(self._b.not_(self._along), self._all_one(self._ends))

    def _all_one(self, values: list[ir.Value]) -> ir.Value:
        b = self._b
        result = b.icmp_signed("==", values[0], I64(1))
        for v in values[1:]:
            result = b.and_(result, b.icmp_signed("==", v, I64(1)))
        return result

    def write_rows(self, form: str, width: int) -> None:
        """The body for one line after the other, in vectors of `width`."""
        b, one, arrays = self._b, self._arrays.scope, self._arrays
        count = one.variable(I64)
        matrix = b.icmp_signed("==", self._dims, I64(2))
        with b.if_else(matrix) as (two, many):
            with two:
                b.store(arrays.size(self._ks[0], b.sub(I64(1), self._dim)), count)
            with many:
                b.store(b.udiv(arrays.numel(self._ks[0]), self._size), count)
        begin, end = share(one, b.load(count), *self._share_of, 1)
        with one.loop(begin, end) as r:
            self._write_line(Scope(b, width), form, None, r)

    def write_columns(self) -> None:
        """The body for a vector of lines side by side after the other."""
        b, one, arrays = self._b, self._arrays.scope, self._arrays
        scope, lanes = Scope(b, self.lanes), I64(self.lanes)
        width = arrays.size(self._ks[0], self._last)
        blocks = b.sdiv(b.add(width, I64(self.lanes - 1)), lanes)
        lines = b.mul(b.udiv(arrays.numel(self._ks[0]), b.mul(self._size, width)), blocks)
        begin, end = share(one, lines, *self._share_of, 1)
        with one.loop(begin, end) as unit:
            first = b.mul(b.urem(unit, blocks), lanes)
            point = b.add(b.mul(b.udiv(unit, blocks), width), first)
            self._write_line(scope, "across", scope.tail_mask(b.sub(width, first)), point)

    def _write_line(self, scope: Scope, form: str, mask: ir.Value | None, number: ir.Value) -> None:
        one, arrays = self._arrays.scope, self._arrays
        offsets = arrays.offset(self._ks, self._dims, self._dim, number)
        pointers = [one.at(p, o) for p, o in zip(self._bases, offsets, strict=True)]
        self._body(Line(scope, self._size, pointers, self._strides, self._dtypes, form, mask, number))
