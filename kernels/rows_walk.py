"""Rows of one width, for kernels that need a row's sums before they can write it.

What is done with a row is written once, on `Values`: in a `Short` row every value stays in registers, in a `Long`
one it is computed again in each loop that needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from .stage import I32, I64, MASK, Scope, Vec

CHAINS = 4  # sums side by side: one addition waits for the one before it, four do not
SHORT = (1, 2, 4)  # vectors of a row that stays in registers

Values = Any  # of a Short row the list of its vectors, of a Long one the function that makes them
Read = Callable[[ir.Value, Any], Vec]


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


class Short:
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

    def read(self, element: Read) -> Values:
        """The values that ``element(i, mask)`` gives."""
        return [element(i, mask) for i, mask in zip(self._places, self._masks, strict=True)]

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

    def write(self, values: Values, pointer: ir.Value) -> None:
        """Store values as a contiguous row."""
        for v, i, mask in zip(values, self._places, self._masks, strict=True):
            self.scope.store(v, self.scope.at(pointer, i), mask)


class Long:
    """A row of any size; see `Short`."""

    def __init__(self, scope: Scope, size: ir.Value, dtype: int) -> None:
        self.scope, self.size, self.dtype = scope, size, dtype

    def read(self, element: Read) -> Values:
        """The values that ``element(i, mask)`` gives."""
        return element

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

    def write(self, values: Values, pointer: ir.Value) -> None:
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
