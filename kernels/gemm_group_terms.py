"""The terms of B in groups, for a matrix multiply with a few columns (`gemm_groups`).

A group is a few terms of one column; the same terms of all columns lie side by side in one vector or two.
"""

from __future__ import annotations

from llvmlite import ir

from .gemm_plan import Plan
from .gemm_tiles import DEPTH, stack_buffer
from .gemm_transposed import concatenate, shuffle
from .host import host
from .stage import I64, Scope, Vec

GROUP_BYTES = 16


def columns_at_once(p: Plan) -> int:
    """The most columns of a product in groups; 1 where there is none."""
    return p.lanes * p.item // GROUP_BYTES if p.masked else 1


class GroupedTerms:
    """The sizes of groups, and what writes the terms of B: packed on the stack, or held in registers."""

    def __init__(self, b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> None:
        self.b, self.p, self.a = b, p, a
        self.count = columns_at_once(p)
        self.few = GROUP_BYTES // p.item  # terms of a group
        self.vectors = 2 if host().half_units else 1  # of the same terms of all columns
        self.beside = self.count // self.vectors  # columns in a vector
        self.one, self.wide = Scope(b, 1), Scope(b, self.few * self.beside)
        self.group, self.line = Scope(b, self.few), Scope(b, self.count)
        self.packed = self.one.pointer(stack_buffer(b, p, DEPTH * self.count), p.dtype)
        self.mask = self.line.tail_mask(a["N"])
        self.along = b.icmp_signed("==", a["rsB"], I64(1))

    def held(self, groups: int, last: ir.Value | None) -> list[list[Vec]]:
        """The terms of B, of so few groups that they are not packed where columns are contiguous."""
        b = self.b
        with b.if_else(self.along) as (along, across):
            with along:
                straight, here = self._straight_terms(groups, last), b.block
            with across:
                self._pack_rows()
                packed, there = [self.terms(I64(0), g * self.few) for g in range(groups)], b.block
        return [
            [self._either((x, here), (y, there)) for x, y in zip(near, far, strict=True)]
            for near, far in zip(straight, packed, strict=True)
        ]

    def _straight_terms(self, groups: int, last: ir.Value | None) -> list[list[Vec]]:
        held, columns = [], self._columns()
        for g in range(groups):
            mask = last if g == groups - 1 else None
            pieces = [self.group.load(self.one.at(q, g * self.few), self.p.dtype, mask) for q in columns]
            parts = [pieces[i : i + self.beside] for i in range(0, self.count, self.beside)]
            held.append([Vec(self.wide, concatenate(part).value, self.p.dtype) for part in parts])
        return held

    def _either(self, *values: tuple[Vec, ir.Block]) -> Vec:
        """Of several values the one of the block that has been left."""
        first = values[0][0]
        phi = self.b.phi(first.value.type)
        for x, block in values:
            phi.add_incoming(x.value, block)
        return Vec(first.scope, phi, first.dtype)

    def pack(self) -> None:
        """Put a few terms of each column side by side, and those of all columns, with zeros behind the last ones."""
        with self.b.if_else(self.along) as (along, across):
            with along:
                self._pack_columns()
            with across:
                self._pack_rows()

    def _columns(self) -> list[ir.Value]:
        """Where columns of B begin."""
        b, a = self.b, self.a
        column, places = self.one.pointer(a["B"], self.p.dtype), []
        for j in range(self.count):
            places.append(column)
            # beyond the last column the same one is read again, for lanes that nobody uses
            more = b.icmp_signed(">", a["N"], I64(j + 1))
            column = self.one.at(column, b.select(more, a["csB"], I64(0)))
        return places

    def _pack_columns(self) -> None:
        b, a, dtype, places = self.b, self.a, self.p.dtype, self._columns()
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

    def terms(self, k: ir.Value, ahead: int) -> list[Vec]:
        """A group's terms of all columns, from k + ahead."""
        packed = self.one.at(self._packed_at(k), ahead * self.count)
        places = [self.one.at(packed, v * self.wide.lanes) for v in range(self.vectors)]
        return [self.wide.load(q, self.p.dtype) for q in places]
