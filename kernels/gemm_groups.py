"""Matrix multiply with a few columns, as in a layer with 2 to 4 outputs: dot products in groups.

A vector is cut into groups, one for each column of B. Each group holds the same few terms of a row of A, so no lane is
idle, however few columns there are. The sums of several rows are then folded together. Where arithmetic units take the
widest vectors in two halves, the columns are shared by two vectors of half the width: 16 bytes go from memory to all
groups of those without taking a unit's time, and are multiplied twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from itertools import islice

from llvmlite import ir

from .gemm_group_terms import GroupedTerms
from .gemm_plan import ROWS_A_BASE, Plan
from .gemm_tiles import (
    ACCUMULATE,
    define,
    in_low_register,
    multiply_add,
    pinned,
    store_tile,
    unknown,
    when,
)
from .gemm_transposed import shuffle
from .stage import I64, Vec

HEIGHTS = {1: (16, 8, 1), 2: (4, 1)}  # rows side by side, by the vectors of each: sums wait for others
GROUP_TERMS = 8  # of each column at least
TERMS = 8  # of a turn
HELD = 4  # groups at most of which the terms of B stay in registers
WOVEN = 2  # rows side by side whose sums are folded later,
LAG = 2  # amid the products of those that come so many times WOVEN rows behind,
FOLDED = 2  # so many instructions after every group of terms


class _Groups(GroupedTerms):
    """Writes the function."""

    def __init__(self, b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> None:
        super().__init__(b, p, a)
        self.at_once = self.few // self.vectors  # rows of which the sums are folded into one vector
        self.source, self.target = (self.one.pointer(x, p.dtype) for x in (a["A"], a["C"]))
        self.start = self._start()
        self.accumulate = b.icmp_signed("!=", b.and_(a["flags"], I64(ACCUMULATE)), I64(0))
        full = b.icmp_signed("==", a["N"], I64(self.count))
        dense = b.and_(full, b.icmp_signed("==", a["rsC"], I64(self.count)))
        self.straight = b.and_(dense, b.not_(self.accumulate))  # written over, without gaps between rows

    def write(self) -> None:
        self._choose(HELD if self.vectors > 1 else 0)
        self.b.ret_void()

    def _choose(self, groups: int) -> None:
        """Keep the terms of B in registers where they are so many groups, or fewer."""
        if groups * self.few < GROUP_TERMS:
            self.pack()
            return self._rows([], None)
        b, few = self.b, I64(self.few)
        last = b.sub(self.a["K"], I64((groups - 1) * self.few))
        within = b.and_(b.icmp_signed(">", last, I64(0)), b.icmp_signed("<=", last, few))
        with b.if_else(within) as (here, elsewhere):
            with here, b.if_else(b.icmp_signed("==", last, few)) as (whole, part):
                with whole:
                    self._rows(self.held(groups, None), None)
                with part:
                    mask = self.group.tail_mask(last)
                    self._rows(self.held(groups, mask), mask)
            with elsewhere:
                self._choose(groups - 1)

    def _rows(self, held: list[list[Vec]], last: ir.Value | None) -> None:
        """All rows of C; of terms that are held, `last` is the mask of the last group."""
        row: ir.Value = I64(0)
        if held and last is None:
            many = self.b.icmp_signed(">=", self.a["M"], I64(3 * LAG * WOVEN))
            row = when(self.b, self.b.and_(self.straight, many), lambda: self._woven(held), row)
        for height in HEIGHTS[self.vectors]:
            with self.one.loop(row, self.b.sub(self.a["M"], I64(height - 1)), height) as i:
                self._tile(i, height, held, last)
            row = i

    def _woven(self, held: list[list[Vec]]) -> ir.Value:
        """Rows of a C without gaps, the sums of some folded amid the products of later ones; the first row left.

        Folded at once, they would fill the queues of the arithmetic units until their products are there, and nothing
        behind them could begin.
        """
        b, ahead = self.b, LAG * WOVEN
        rows = [I64(k) for k in range(0, 2 * ahead, WOVEN)]
        waiting = [x for row in rows[:LAG] for x in self._products(row, held, iter(()))]
        stop = b.sub(self.a["M"], I64(2 * ahead - 1))
        with self.one.carried(I64(ahead), stop, 2 * ahead, waiting) as (first, now, carry):
            queue = self._of_each(now)
            for k in rows:
                row = b.add(first, k)
                folding = self._folding(queue.pop(0), b.sub(row, I64(ahead)))
                queue.append(self._products(row, held, folding))
            carry.next(*(x for sums in queue for x in sums))
        for k, sums in zip(rows, self._of_each(carry.final), strict=False):
            deque(self._folding(sums, b.add(b.sub(first, I64(ahead)), k)))
        return first

    def _of_each(self, sums: list[Vec]) -> list[list[Vec]]:
        """The sums of every WOVEN rows."""
        each = WOVEN * self.vectors
        return [sums[k : k + each] for k in range(0, len(sums), each)]

    def _products(self, row: ir.Value, held: list[list[Vec]], folding: Iterator[Vec]) -> list[Vec]:
        """The sums of WOVEN rows, with FOLDED instructions of `folding` amid them after every group of terms."""
        one, rs = self.one, self.a["rsA"]
        top = one.at(self.source, self.b.mul(row, rs))
        lines = [Vec(one, one.at(top, self.b.mul(rs, I64(r))), self.p.dtype) for r in range(WOVEN)]
        sums = [self.start] * WOVEN
        for g, terms in enumerate(held):
            for r, line in enumerate(lines):
                sums[r] = self._turn([line], g * self.few, None, terms, sums[r], pinned)
                deque(islice(folding, FOLDED))
        deque(folding)
        return [x for row_sums in sums for x in row_sums]

    def _folding(self, sums: list[Vec], row: ir.Value) -> Iterator[Vec]:
        """Write what folds the sums of WOVEN rows and stores them, an instruction a turn."""
        to = self.one.at(self.target, self.b.mul(row, I64(self.count)))
        for part in range(0, len(sums), self.few):
            folded = yield from self._folds(sums[part : part + self.few], pinned)
            self.wide.store(folded, self.one.at(to, part * self.count // self.vectors))
            yield folded

    def _tile(self, i: ir.Value, height: int, held: list[list[Vec]], last: ir.Value | None) -> None:
        b, a, one = self.b, self.a, self.one
        top = one.at(self.source, b.mul(i, a["rsA"]))
        bases = [one.at(top, b.mul(a["rsA"], I64(r))) for r in range(0, height, ROWS_A_BASE)]
        at, sums = [Vec(one, q, self.p.dtype) for q in bases], self.start * height
        if held:
            for g, terms in enumerate(held):
                mask = last if g == len(held) - 1 else None
                sums = self._turn(at, g * self.few, mask, terms, sums, self._low)
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
                    sums = self._turn(at, ahead, None, self.terms(k, ahead), sums, self._low)
                carry.next(*self._onward(at, step), *sums)
            start = carry.final
        with one.carried(k, a["K"], self.few, start) as (k, now, carry):
            at, mask = now[: len(at)], self.group.tail_mask(b.sub(a["K"], k))
            sums = self._turn(at, 0, mask, self.terms(k, 0), now[len(at) :], self._low)
            carry.next(*at, *sums)
        return carry.final[len(at) :]

    def _turn(
        self,
        at: list[Vec],
        ahead: int,
        mask: ir.Value | None,
        terms: list[Vec],
        sums: list[Vec],
        hold: Callable[[Vec], Vec],
    ) -> list[Vec]:
        """Add the products of a group's terms; `at` are the addresses of every ROWS_A_BASE-th row of A at k."""
        b, one, rs = self.b, self.one, self.a["rsA"]
        steps = (I64(0), rs, b.shl(rs, I64(1)))
        result = []
        for r in range(len(sums) // self.vectors):
            place = one.at(one.at(at[r // ROWS_A_BASE].value, steps[r % ROWS_A_BASE]), ahead)
            piece = self.group.load(place, self.p.dtype, mask)
            many = shuffle(piece, piece, [*range(self.few)] * self.beside)
            spread = hold(Vec(self.wide, many.value, piece.dtype))
            for x, total in zip(terms, sums[r * self.vectors :], strict=False):
                result.append(hold(multiply_add(spread, x, total)))
        return result

    def _onward(self, at: list[Vec], terms: int) -> list[Vec]:
        """The addresses so many terms further."""
        return [Vec(q.scope, unknown(self.b, self.one.at(q.value, terms)), q.dtype) for q in at]

    def _folded(self, sums: list[Vec]) -> Vec:
        """As many rows of C as a vector has room for, one behind the other; of fewer, the first ones."""
        return deque(self._folds([sums[j % len(sums)] for j in range(self.few)], self._low))[-1]

    def _folds(self, vectors: list[Vec], hold: Callable[[Vec], Vec]) -> Generator[Vec, None, Vec]:
        """Fold as many vectors as a group has elements into one: yields what each instruction gives, at last rows.

        Every step adds neighbouring lanes: in each group those of one vector, then those of another. Seen through by
        LLVM, a step would be a slower horizontal addition, so `hold` has each result.
        """
        while len(vectors) > 1:
            pairs, vectors = zip(vectors[::2], vectors[1::2], strict=True), []
            for x, y in pairs:
                yield (even := hold(shuffle(x, y, self._even())))
                yield (odd := hold(shuffle(x, y, [k + 1 for k in self._even()])))
                vectors.append(hold(even + odd))
                yield vectors[-1]
        # lane j of each group has the sum of vector j
        order = [g * self.few + j for j in range(self.few) for g in range(self.beside)]
        rows = shuffle(vectors[0], vectors[0], order)
        folded = hold(Vec(self.wide, rows.value, rows.dtype))
        yield folded
        return folded

    def _even(self) -> list[int]:
        """Every other lane of two vectors, a group of the one behind that of the other."""
        groups = range(0, self.wide.lanes, self.few)
        return [v + l for g in groups for v in (0, self.wide.lanes) for l in range(g, g + self.few, 2)]

    def _low(self, x: Vec) -> Vec:
        """Two multiply-adds a cycle need short instructions: with any of 32 registers a row took 46 cycles, so 41."""
        return in_low_register(x) if self.vectors > 1 else x

    def _start(self) -> list[Vec]:
        """Where the sums of a row begin: with the bias in the first lane of each group, if there is one."""
        b, s, dtype, address = self.b, self.line, self.p.dtype, self.a["bias"]
        given, nothing = b.icmp_signed("!=", address, I64(0)), s.constant(dtype, 0.0)
        some = when(
            b, given, lambda: s.load(s.pointer(address, dtype), dtype, self.mask).value, nothing.value
        )
        line, zeros = Vec(s, some, dtype), [self.count] * (self.few - 1)
        columns = [range(i, i + self.beside) for i in range(0, self.count, self.beside)]
        orders = [[lane for j in part for lane in (j, *zeros)] for part in columns]
        return [Vec(self.wide, shuffle(line, nothing, order).value, dtype) for order in orders]

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
    elements of a group, in increasing k, the first of these sums from the bias on; then sums beside each other are
    added, and (with ACCUMULATE) the old value.
    """
    b, a = define(module, "groups", "M N K A rsA B rsB csB C rsC bias flags")
    _Groups(b, p, a).write()
    return b.function
