"""Matrix multiply of a few terms, as in a layer of up to four inputs: B is held while many rows of A pass.

A tile of such a product (`gemm_tiles`) would do little between its first and its last instructions. Here every row is
a turn of a loop: its elements are broadcast, multiplied by the vectors held, and the row of C is done.
"""

from __future__ import annotations

from llvmlite import ir

from .gemm_plan import Plan
from .gemm_tiles import (
    ACCUMULATE,
    Masks,
    define,
    multiply_add,
    start_of_tile,
    store_tile,
    tiles_across,
)
from .stage import I64, Scope, Vec

TERMS = 4  # at most
TOGETHER = (4, 1)  # rows of a turn
PASSING = 16  # rows, until the next columns are held: the lines that follow in memory should be next


class _Held:
    """Writes the function."""

    def __init__(self, b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> None:
        self.b, self.p, self.a = b, p, a
        self.one, self.wide = Scope(b, 1), Scope(b, p.lanes)
        self.accumulate = b.icmp_signed("!=", b.and_(a["flags"], I64(ACCUMULATE)), I64(0))
        self.rows: tuple[ir.Value, ir.Value] = I64(0), a["M"]  # the first that pass, and the end

    def write(self) -> None:
        b, p, total = self.b, self.p, self.a["M"]
        with self.one.loop(I64(0), total, PASSING) as top:
            end = b.add(top, I64(PASSING))
            self.rows = top, b.select(b.icmp_signed("<", end, total), end, total)
            for _, j, masks in tiles_across(b, p, (p.width, 1), self.a["N"]):
                self._any_terms(j, masks)
        b.ret_void()

    def _any_terms(self, j: ir.Value, masks: Masks) -> None:
        """The columns from `j` on, as many vectors as there are masks."""
        b, s = self.b, self.wide
        start = start_of_tile(s, self.p, self.a["bias"], j, masks)
        done = b.append_basic_block("done")
        switch = b.switch(self.a["K"], done)
        for terms in range(TERMS + 1):
            case = b.append_basic_block(f"terms{terms}")
            switch.add_case(I64(terms), case)
            b.position_at_end(case)
            self._pass(j, self._hold(j, terms, masks), start, masks)
            b.branch(done)
        b.position_at_end(done)

    def _hold(self, j: ir.Value, terms: int, masks: Masks) -> list[list[Vec]]:
        """The vectors of each row of B."""
        s, dtype, held = self.wide, self.p.dtype, []
        place = s.at(s.pointer(self.a["B"], dtype), j)
        for _ in range(terms):
            held.append([s.load(s.at(place, v * s.lanes), dtype, mask) for v, mask in enumerate(masks)])
            place = s.at(place, self.a["rsB"])
        return held

    def _pass(self, j: ir.Value, held: list[list[Vec]], start: list[Vec], masks: Masks) -> None:
        b, row, end = self.b, *self.rows
        for together in TOGETHER:
            with self.one.loop(row, b.sub(end, I64(together - 1)), together) as i:
                for r in range(together):
                    self._row(b.add(i, I64(r)), j, held, start, masks)
            row = i

    def _row(
        self,
        i: ir.Value,
        j: ir.Value,
        held: list[list[Vec]],
        sums: list[Vec],
        masks: Masks,
    ) -> None:
        a, b, s, dtype = self.a, self.b, self.wide, self.p.dtype
        place = s.at(s.pointer(a["A"], dtype), b.mul(i, a["rsA"]))
        out = s.at(s.at(s.pointer(a["C"], dtype), j), b.mul(i, a["rsC"]))
        for vectors in held:
            x = s.splat(b.load(place), dtype)
            sums = [multiply_add(x, y, z) for y, z in zip(vectors, sums, strict=True)]
            place = s.at(place, a["csA"])
        places = [s.at(out, v * s.lanes) for v in range(len(masks))]
        store_tile(b, self.accumulate, zip(sums, places, masks, strict=True))


def build_held(module: ir.Module, p: Plan) -> ir.Function:
    """``held(M, N, K, A, rsA, csA, B, rsB, C, rsC, bias, flags)``: any number of rows, 0 <= K <= TERMS.

    Strides count elements; columns of B and C are contiguous. Each element is the chain that a tile makes of it.
    """
    b, a = define(module, "held", "M N K A rsA csA B rsB C rsC bias flags")
    _Held(b, p, a).write()
    return b.function
