"""Matrix multiply with a few columns, as in a layer with 2 to 4 outputs: dot products in groups.

A vector is cut into groups, one for each column of B. Each group holds the same few terms of a row of A, so no lane is
idle, however few columns there are. The sums of several rows are then folded together. Where arithmetic units take the
widest vectors in two halves, the columns are shared by two vectors of half the width: 16 bytes go from memory to all
groups of those without taking a unit's time, and are multiplied twice.
"""

from __future__ import annotations

from llvmlite import ir

from .gemm_plan import ROWS_A_BASE, Plan
from .gemm_tiles import (
    ACCUMULATE,
    DEPTH,
    define,
    in_low_register,
    multiply_add,
    stack_buffer,
    store_tile,
    unknown,
    when,
)
from .gemm_transposed import concatenate, shuffle
from .host import host
from .stage import I64, Scope, Vec

GROUP_BYTES = 16
HEIGHTS = {1: (16, 8, 1), 2: (4, 1)}  # rows side by side, by the vectors of each: sums wait for others
TERMS = 8  # of a turn
HELD = 4  # groups at most of which the terms of B stay in registers


def columns_at_once(p: Plan) -> int:
    """The most columns that `groups` takes; 1 where it cannot be used."""
    return p.lanes * p.item // GROUP_BYTES if p.masked else 1


class _Groups:
    """Writes the function."""

    def __init__(self, b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> None:
        self.b, self.p, self.a = b, p, a
        self.count = columns_at_once(p)
        self.few = GROUP_BYTES // p.item
        self.vectors = 2 if host().half_units else 1  # of a row's sums
        self.at_once = self.few // self.vectors  # rows of which the sums are folded into one vector
        self.beside = self.count // self.vectors  # columns in a vector
        self.one, self.wide = Scope(b, 1), Scope(b, self.few * self.beside)
        self.group, self.line = Scope(b, self.few), Scope(b, self.count)
        packed = stack_buffer(b, p, DEPTH * self.count)
        self.source, self.target, self.packed = (
            self.one.pointer(x, p.dtype) for x in (a["A"], a["C"], packed)
        )
        self.mask = self.line.tail_mask(a["N"])
        self.bias = self._bias()
        self.accumulate = b.icmp_signed("!=", b.and_(a["flags"], I64(ACCUMULATE)), I64(0))
        full = b.icmp_signed("==", a["N"], I64(self.count))
        dense = b.and_(full, b.icmp_signed("==", a["rsC"], I64(self.count)))
        self.straight = b.and_(dense, b.not_(self.accumulate))  # written over, without gaps between rows

    def write(self) -> None:
        self._pack()
        self._choose(HELD if self.vectors > 1 else 0)
        self.b.ret_void()

    def _choose(self, groups: int) -> None:
        """Keep the terms of B in registers where they are so many groups, or fewer but not one."""
        if groups < 2:
            return self._rows([], None)
        b, few = self.b, I64(self.few)
        last = b.sub(self.a["K"], I64((groups - 1) * self.few))
        within = b.and_(b.icmp_signed(">", last, I64(0)), b.icmp_signed("<=", last, few))
        with b.if_else(within) as (here, elsewhere):
            with here:
                held = [self._terms(I64(0), g * self.few) for g in range(groups)]
                with b.if_else(b.icmp_signed("==", last, few)) as (whole, part):
                    with whole:
                        self._rows(held, None)
                    with part:
                        self._rows(held, self.group.tail_mask(last))
            with elsewhere:
                self._choose(groups - 1)

    def _rows(self, held: list[list[Vec]], last: ir.Value | None) -> None:
        """All rows of C; of terms that are held, `last` is the mask of the last group."""
        row: ir.Value = I64(0)
        for height in HEIGHTS[self.vectors]:
            with self.one.loop(row, self.b.sub(self.a["M"], I64(height - 1)), height) as i:
                self._tile(i, height, held, last)
            row = i

    def _pack(self) -> None:
        """Put a few terms of each column side by side, and those of all columns, with zeros behind the last ones."""
        with self.b.if_else(self.b.icmp_signed("==", self.a["rsB"], I64(1))) as (along, across):
            with along:
                self._pack_columns()
            with across:
                self._pack_rows()

    def _pack_columns(self) -> None:
        b, a, dtype = self.b, self.a, self.p.dtype
        column, places = self.one.pointer(a["B"], dtype), []
        for j in range(self.count):
            places.append(column)
            # beyond the last column the same one is read again, for lanes that nobody uses
            more = b.icmp_signed(">", a["N"], I64(j + 1))
            column = self.one.at(column, b.select(more, a["csB"], I64(0)))
        with self.one.loop(I64(0), a["K"], self.few) as k:
            mask = self.group.tail_mask(b.sub(a["K"], k))
            pieces = [self.group.load(self.one.at(q, k), dtype, mask) for q in places]
            self._keep(concatenate(pieces), k)

    def _pack_rows(self) -> None:
        b, a, dtype = self.b, self.a, self.p.dtype
        first, order = self.one.pointer(a["B"], dtype), range(self.few * self.count)
        nothing = ir.Constant(self.mask.type, None)
        with self.one.loop(I64(0), a["K"], self.few) as k:
            pieces = []
            for term in range(self.few):
                row = b.add(k, I64(term))
                inside = b.icmp_signed("<", row, a["K"])
                place = self.one.at(first, b.mul(b.select(inside, row, k), a["rsB"]))
                pieces.append(self.line.load(place, dtype, b.select(inside, self.mask, nothing)))
            rows = concatenate(pieces)
            turned = shuffle(rows, rows, [i % self.few * self.count + i // self.few for i in order])
            self._keep(turned, k)

    def _keep(self, terms: Vec, k: ir.Value) -> None:
        """Store the terms k and following of all columns."""
        Scope(self.b, self.few * self.count).store(terms, self._packed_at(k))

    def _packed_at(self, k: ir.Value) -> ir.Value:
        return self.one.at(self.packed, self.b.mul(k, I64(self.count)))

    def _tile(self, i: ir.Value, height: int, held: list[list[Vec]], last: ir.Value | None) -> None:
        b, a, one = self.b, self.a, self.one
        top = one.at(self.source, b.mul(i, a["rsA"]))
        bases = [one.at(top, b.mul(a["rsA"], I64(r))) for r in range(0, height, ROWS_A_BASE)]
        zero = self.wide.constant(self.p.dtype, 0.0)
        at, sums = [Vec(one, q, self.p.dtype) for q in bases], [zero] * (height * self.vectors)
        if held:
            for g, terms in enumerate(held):
                mask = last if g == len(held) - 1 else None
                sums = self._turn(at, g * self.few, mask, terms, sums)
        else:
            sums = self._walk(at, sums)
        parts = [self._folded(sums[r : r + self.few]) for r in range(0, len(sums), self.few)]
        self._store(i, parts, height)

    def _walk(self, at: list[Vec], sums: list[Vec]) -> list[Vec]:
        """Add the products of all terms."""
        b, a, one, start = self.b, self.a, self.one, [*at, *sums]
        k: ir.Value = I64(0)
        for groups in (TERMS // self.few, 1):
            step = groups * self.few
            with one.carried(k, b.sub(a["K"], I64(step - 1)), step, start) as (k, now, carry):
                at, sums = now[: len(at)], now[len(at) :]
                for g in range(groups):
                    ahead = g * self.few
                    sums = self._turn(at, ahead, None, self._terms(k, ahead), sums)
                carry.next(*self._onward(at, step), *sums)
            start = carry.final
        with one.carried(k, a["K"], self.few, start) as (k, now, carry):
            at, mask = now[: len(at)], self.group.tail_mask(b.sub(a["K"], k))
            carry.next(*at, *self._turn(at, 0, mask, self._terms(k, 0), now[len(at) :]))
        return carry.final[len(at) :]

    def _terms(self, k: ir.Value, ahead: int) -> list[Vec]:
        """A group's terms of all columns, from k + ahead."""
        packed = self.one.at(self._packed_at(k), ahead * self.count)
        places = [self.one.at(packed, v * self.wide.lanes) for v in range(self.vectors)]
        return [self.wide.load(q, self.p.dtype) for q in places]

    def _turn(
        self, at: list[Vec], ahead: int, mask: ir.Value | None, terms: list[Vec], sums: list[Vec]
    ) -> list[Vec]:
        """Add the products of a group's terms; `at` are the addresses of every ROWS_A_BASE-th row of A at k."""
        b, one, dtype, rs = self.b, self.one, self.p.dtype, self.a["rsA"]
        steps = (I64(0), rs, b.shl(rs, I64(1)))
        result = []
        for r in range(len(sums) // self.vectors):
            place = one.at(one.at(at[r // ROWS_A_BASE].value, steps[r % ROWS_A_BASE]), ahead)
            piece = self.group.load(place, dtype, mask)
            many = shuffle(piece, piece, [*range(self.few)] * self.beside)
            spread = self._low(Vec(self.wide, many.value, dtype))
            for x, total in zip(terms, sums[r * self.vectors :], strict=False):
                result.append(self._low(multiply_add(spread, x, total)))
        return result

    def _onward(self, at: list[Vec], terms: int) -> list[Vec]:
        """The addresses so many terms further."""
        return [Vec(q.scope, unknown(self.b, self.one.at(q.value, terms)), q.dtype) for q in at]

    def _folded(self, sums: list[Vec]) -> Vec:
        """As many rows of C as a vector has room for, one behind the other; of fewer, the first ones."""
        vectors = [sums[j % len(sums)] for j in range(self.few)]
        while len(vectors) > 1:
            vectors = [self._halved(x, y) for x, y in zip(vectors[::2], vectors[1::2], strict=True)]
        folded = vectors[0]  # lane j of each group has the sum of vector j
        order = [g * self.few + j for j in range(self.few) for g in range(self.beside)]
        return Vec(self.wide, shuffle(folded, folded, order).value, self.p.dtype) + self.bias

    def _halved(self, x: Vec, y: Vec) -> Vec:
        """Sums of neighbouring lanes: in each group those of x, then those of y."""
        groups = range(0, self.wide.lanes, self.few)
        even = [v + l for g in groups for v in (0, self.wide.lanes) for l in range(g, g + self.few, 2)]
        odd = self._low(
            shuffle(x, y, [l + 1 for l in even])
        )  # seen through, it would be a slower horizontal addition
        return shuffle(x, y, even) + odd

    def _low(self, x: Vec) -> Vec:
        """Two multiply-adds a cycle need short instructions: with any of 32 registers a row took 46 cycles, so 41."""
        return in_low_register(x) if self.vectors > 1 else x

    def _bias(self) -> Vec:
        """The bias of each lane of a few rows; where there is none, what changes no number when it is added."""
        b, s, dtype, address = self.b, self.line, self.p.dtype, self.a["bias"]
        given, nothing = b.icmp_signed("!=", address, I64(0)), s.constant(dtype, -0.0)
        some = when(
            b, given, lambda: s.load(s.pointer(address, dtype), dtype, self.mask).value, nothing.value
        )
        line = Vec(s, some, dtype)
        return Vec(self.wide, shuffle(line, line, [*range(self.count)] * self.at_once).value, dtype)

    def _store(self, i: ir.Value, parts: list[Vec], height: int) -> None:
        """Store rows of C, or with ACCUMULATE add them."""
        b, a, s = self.b, self.a, self.line
        top = s.at(self.target, b.mul(i, a["rsC"]))
        rows = [(x, r) for x in parts for r in range(min(self.at_once, height))]
        lines = [
            (
                Vec(s, shuffle(x, x, [*range(r * self.count, (r + 1) * self.count)]).value, x.dtype),
                s.at(top, b.mul(a["rsC"], I64(k))),
                self.mask,
            )
            for k, (x, r) in enumerate(rows)
        ]
        straight = b.and_(self.straight, ir.IntType(1)(height >= self.at_once))
        with b.if_else(straight) as (whole, apart):
            with whole:
                for k, x in enumerate(parts):
                    self.wide.store(x, s.at(top, k * self.wide.lanes))
            with apart:
                store_tile(b, self.accumulate, lines)


def build_groups(module: ir.Module, p: Plan) -> ir.Function:
    """``groups(M, N, K, A, rsA, B, rsB, csB, C, rsC, bias, flags)``: rows of A with 2 to 4 columns of B.

    Rows of A are contiguous; of B either rows or columns are. K is at most DEPTH. Each element sums k modulo the
    elements of a group, in increasing k; then sums beside each other are added, and the bias and (with ACCUMULATE) the
    old value.
    """
    b, a = define(module, "groups", "M N K A rsA B rsB csB C rsC bias flags")
    _Groups(b, p, a).write()
    return b.function
