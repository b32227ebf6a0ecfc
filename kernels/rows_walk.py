"""Rows of one width, for kernels that need a row's sums before they can write it.

What is done with a row is written once, on `Values`: in a `Short` row every value stays in registers, in a `Long`
one it is computed again in each loop that needs it, and `Beside` has as many short rows at once as a vector has
lanes, so that sums and roots of all of them are vectors. All add in one order: a row's result is the same in each.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from .formula import sqrt
from .stage import I32, I64, MASK, Scope, Vec

CHAINS = 4  # sums side by side: one addition waits for the one before it, four do not
SHORT = (1, 2, 4)  # vectors of a row that stays in registers

Values = Any  # of a Short row the list of its vectors, of a Long one the function that makes them
Read = Callable[[ir.Value, Any], Vec]  # of a place in the row, and a mask
OfRow = Callable[[ir.Value], Any]  # of a row's number


def everywhere(value: Vec) -> Vec:
    """The sum of all lanes, in every lane."""
    scope, b, half = value.scope, value.scope.b, value.scope.lanes // 2
    total = value
    while half:
        order = ir.Constant(ir.VectorType(I32, scope.lanes), [k ^ half for k in range(scope.lanes)])
        other = b.shuffle_vector(total.value, ir.Constant(total.value.type, ir.Undefined), order)
        total = total + Vec(scope, other, value.dtype)
        half //= 2
    return total


def first_lane(value: Vec) -> Vec:
    """Lane 0 as a scalar."""
    if value.scope.lanes == 1:
        return value
    lane = value.scope.b.extract_element(value.value, I32(0))
    return Vec(value.scope.scalar, lane, value.dtype)


def lane_by_lane(rows: list[Vec], combine: Callable[[Vec, Vec], Vec] = operator.add) -> Vec:
    """The sums of as many vectors as they have lanes, one a lane, added in the order of `everywhere`."""
    scope, lanes, dtype = rows[0].scope, rows[0].scope.lanes, rows[0].dtype
    kind = ir.VectorType(I32, lanes)
    half = lanes // 2
    while half:
        order = [
            (k // (2 * half)) * 2 * half + k % half + (lanes if k // half % 2 else 0) for k in range(lanes)
        ]
        merged = []
        for a, c in zip(rows[: len(rows) // 2], rows[len(rows) // 2 :], strict=True):
            low, high = (
                scope.b.shuffle_vector(a.value, c.value, ir.Constant(kind, [k + shift for k in order]))
                for shift in (0, half)
            )
            merged.append(combine(Vec(scope, low, dtype), Vec(scope, high, dtype)))
        rows = merged
        half //= 2
    return rows[0]


class _One:
    """What rows that are taken one at a time have in common."""

    scope: Scope
    step = 1  # rows at a time

    def keep(self, value: Vec, pointer: ir.Value) -> None:
        """Store a number of the row."""
        self.scope.scalar.store(first_lane(value), pointer)

    def reciprocal_root(self, total: Vec, factor: Vec, epsilon: Vec) -> Vec:
        """``1 / sqrt(total factor + epsilon)`` of a number that is in every lane."""
        value = 1.0 / sqrt(first_lane(total) * factor + epsilon)
        return self.scope.splat(value.value, value.dtype)

    def number(self, of_row: Callable[[ir.Value], Vec], row: ir.Value) -> Values:
        """A number of the row beside all its elements."""
        return self.spread(of_row(row))

    def spread(self, value: Vec) -> Values:
        """A number that is in every lane, beside all elements."""
        raise NotImplementedError


class Short(_One):
    """A row of at most so many vectors.

    Parameters
    ----------
    scope : Scope
        With the lanes of the vectors.
    size : ir.Value
        Elements of the row.
    dtype : int
        Of its sums.
    vectors : int
    """

    def __init__(self, scope: Scope, size: ir.Value, dtype: int, vectors: int) -> None:
        self.scope, self.dtype = scope, dtype
        b = scope.b
        self._places = [I64(v * scope.lanes) for v in range(vectors)]
        self._masks = [scope.tail_mask(b.sub(size, place)) for place in self._places]

    def shared(self, element: Read) -> Values:
        """Values that are the same in every row: ``element(i, mask)``."""
        return [element(i, mask) for i, mask in zip(self._places, self._masks, strict=True)]

    def read(self, of_row: OfRow, row: ir.Value) -> Values:
        """The values that ``of_row(row)(i, mask)`` gives."""
        return self.shared(of_row(row))

    def spread(self, value: Vec) -> Values:
        """A number that is in every lane, beside all elements."""
        return [value] * len(self._places)

    def combine(self, function: Callable[..., Vec], *values: Values) -> Values:
        """A function of values of this row, element by element."""
        return [function(*each) for each in zip(*values, strict=True)]

    def totals(self, *values: Values) -> list[Vec]:
        """The sum of each of several values over the row, in every lane."""
        zero = self.scope.constant(self.dtype, 0.0)
        result = []
        for parts in values:
            terms = [
                Vec(self.scope, m, MASK).select(p, zero) for p, m in zip(parts, self._masks, strict=True)
            ]
            while len(terms) > 1:
                terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=True)]
            result.append(everywhere(terms[0]))
        return result

    def write(self, values: Values, of_row: OfRow, row: ir.Value) -> None:
        """Store values at the pointer ``of_row(row)``."""
        pointer = of_row(row)
        for v, i, mask in zip(values, self._places, self._masks, strict=True):
            self.scope.store(v, self.scope.at(pointer, i), mask)


class Beside:
    """As many rows as a vector has lanes, each of at most one vector; see `Short`."""

    def __init__(self, scope: Scope, size: ir.Value, dtype: int) -> None:
        self.scope, self.dtype, self.step = scope, dtype, scope.lanes
        self._mask = scope.tail_mask(size)

    def shared(self, element: Read) -> Values:
        """Values that are the same in every row: ``element(i, mask)``."""
        return [element(I64(0), self._mask)] * self.step

    def _numbers(self, row: ir.Value) -> list[ir.Value]:
        return [self.scope.b.add(row, I64(k)) for k in range(self.step)]

    def read(self, of_row: OfRow, row: ir.Value) -> Values:
        """The values that ``of_row(row)(i, mask)`` gives."""
        return [of_row(r)(I64(0), self._mask) for r in self._numbers(row)]

    def number(self, of_row: Callable[[ir.Value], Vec], row: ir.Value) -> Values:
        """A number of each row beside all its elements."""
        return [of_row(r) for r in self._numbers(row)]

    def spread(self, value: Vec) -> Values:
        """Numbers, one a lane, each beside all elements of its row."""
        b, s = self.scope.b, self.scope
        undefined = ir.Constant(value.value.type, ir.Undefined)
        kind = ir.VectorType(I32, s.lanes)
        orders = [ir.Constant(kind, [k] * s.lanes) for k in range(self.step)]
        return [Vec(s, b.shuffle_vector(value.value, undefined, order), value.dtype) for order in orders]

    def combine(self, function: Callable[..., Vec], *values: Values) -> Values:
        """A function of values of these rows, element by element."""
        return [function(*each) for each in zip(*values, strict=True)]

    def totals(self, *values: Values) -> list[Vec]:
        """The sum of each of several values over the rows, one row a lane."""
        zero, inside = self.scope.constant(self.dtype, 0.0), Vec(self.scope, self._mask, MASK)
        return [lane_by_lane([inside.select(v, zero) for v in rows]) for rows in values]

    def keep(self, value: Vec, pointer: ir.Value) -> None:
        """Store a number of each row."""
        self.scope.store(value, pointer)

    def reciprocal_root(self, total: Vec, factor: Vec, epsilon: Vec) -> Vec:
        """``1 / sqrt(total factor + epsilon)``."""
        return 1.0 / sqrt(total * factor + epsilon)

    def write(self, values: Values, of_row: OfRow, row: ir.Value) -> None:
        """Store values at the pointers ``of_row(row)``."""
        for v, r in zip(values, self._numbers(row), strict=True):
            self.scope.store(v, of_row(r), self._mask)


class Long(_One):
    """A row of any size; see `Short`."""

    def __init__(self, scope: Scope, size: ir.Value, dtype: int) -> None:
        self.scope, self.size, self.dtype = scope, size, dtype

    def shared(self, element: Read) -> Values:
        """Values that are the same in every row: ``element(i, mask)``."""
        return element

    def read(self, of_row: OfRow, row: ir.Value) -> Values:
        """The values that ``of_row(row)(i, mask)`` gives."""
        return of_row(row)

    def spread(self, value: Vec) -> Values:
        """A number that is in every lane, beside all elements."""
        return lambda i, mask: value

    def combine(self, function: Callable[..., Vec], *values: Values) -> Values:
        """A function of values of this row, element by element."""
        return lambda i, mask: function(*(v(i, mask) for v in values))

    def totals(self, *values: Values) -> list[Vec]:
        """The sum of each of several values over the row, in every lane."""
        return [everywhere(v) for v in self.lane_totals(values)]

    def lane_totals(self, values: Sequence[Values], start: Sequence[Vec] = ()) -> list[Vec]:
        """Sums lane by lane of each of several values, begun at `start`."""
        s, b, lanes = self.scope, self.scope.b, self.scope.lanes
        count = len(values)
        begin = [*(start or self.zeros(count)), *self.zeros(count * (CHAINS - 1))]
        whole = b.and_(self.size, I64(-lanes * CHAINS))
        with s.carried(I64(0), whole, lanes * CHAINS, begin) as (i, before, carry):
            after = []
            for chain in range(CHAINS):
                place = b.add(i, I64(chain * lanes))
                after += [before[chain * count + k] + v(place, None) for k, v in enumerate(values)]
            carry.next(*after)
        chains = [carry.final[chain * count : (chain + 1) * count] for chain in range(CHAINS)]
        sums = [(w + u) + (v + z) for w, u, v, z in zip(*chains, strict=True)]
        with s.carried(whole, self.size, lanes, sums) as (i, before, carry):
            mask = self._tail(i)
            after = []
            for total, v in zip(before, values, strict=True):
                value = v(i, mask)
                if mask is not None:
                    value = Vec(s, mask, MASK).select(value, s.constant(value.dtype, 0.0))
                after.append(total + value)
            carry.next(*after)
        return list(carry.final)

    def zeros(self, count: int) -> list[Vec]:
        """So many sums of nothing."""
        return [self.scope.constant(self.dtype, 0.0)] * count

    def write(self, values: Values, of_row: OfRow, row: ir.Value) -> None:
        """Store values at the pointer ``of_row(row)``."""
        self.store(values, of_row(row))

    def store(self, values: Values, pointer: ir.Value) -> None:
        """Store values as a contiguous row."""
        s, b, lanes = self.scope, self.scope.b, self.scope.lanes
        whole = b.and_(self.size, I64(-lanes))
        with s.loop(I64(0), whole, lanes) as i:
            s.store(values(i, None), s.at(pointer, i))
        if lanes > 1:
            with s.loop(whole, self.size, lanes) as i:
                mask = self._tail(i)
                s.store(values(i, mask), s.at(pointer, i), mask)

    def _tail(self, i: ir.Value) -> ir.Value | None:
        return self.scope.tail_mask(self.scope.b.sub(self.size, i)) if self.scope.lanes > 1 else None
