"""Matrix multiply when the second operand lies transposed in memory: copying it straight.

In ``x @ W.T`` the columns of B are the rows of W, so a vector of columns is not contiguous. For many rows of x it
pays to copy B into row-major order first, by transposing blocks in registers.
"""

from __future__ import annotations

from llvmlite import ir

from .gemm_plan import Plan
from .gemm_tiles import define
from .stage import I32, I64, Scope, Vec


def shuffle(x: Vec, y: Vec, lanes: list[int]) -> Vec:
    """Pick lanes from the pair: `y`'s are numbered after `x`'s."""
    index = ir.Constant(ir.VectorType(I32, len(lanes)), lanes)
    return Vec(x.scope, x.scope.b.shuffle_vector(x.value, y.value, index), x.dtype)


# copying ------------------------------------------------------------------------------------------


def build_copy(module: ir.Module, p: Plan) -> ir.Function:
    """``copy(K, N, B, rsB, csB, to, pitch)``: K rows and N columns of B, row-major with `pitch`.

    Up to a vector less one of further columns of the target are overwritten.
    """
    b, a = define(module, "copy", "K N B rsB csB to pitch")
    one = Scope(b, 1)
    transposed = b.and_(
        b.icmp_signed("==", a["rsB"], I64(1)),
        b.icmp_signed(">=", a["K"], I64(16 // p.item)),
    )
    straight = b.icmp_signed("==", a["csB"], I64(1))
    with b.if_else(straight) as (rows, other):
        with rows:
            _copy_rows(Scope(b, p.lanes), p, a)
        with other, b.if_else(transposed) as (blocks, rest):
            with blocks:
                _copy_blocks(Scope(b, p.lanes), p, a)
            with rest:
                _copy_cells(Scope(b, p.lanes) if p.masked else one, p, a)
    b.ret_void()
    return b.function


def _copy_cells(s: Scope, p: Plan, a: dict[str, ir.Value]) -> None:
    """Elements that lie anywhere, a vector of columns at a time where the machine has masks."""
    b = s.b
    source, target = s.pointer(a["B"], p.dtype), s.pointer(a["to"], p.dtype)
    with s.loop(I64(0), a["K"]) as k:
        row, out = s.at(source, b.mul(k, a["rsB"])), s.at(target, b.mul(k, a["pitch"]))
        with s.loop(I64(0), a["N"], s.lanes) as n:
            place = s.at(row, b.mul(n, a["csB"]))
            mask = s.tail_mask(b.sub(a["N"], n)) if p.masked else None
            x = s.load(place, p.dtype) if mask is None else s.gather(place, a["csB"], p.dtype, mask)
            s.store(x, s.at(out, n))


def _copy_rows(s: Scope, p: Plan, a: dict[str, ir.Value]) -> None:
    b, one = s.b, s.scalar
    source, target = s.pointer(a["B"], p.dtype), s.pointer(a["to"], p.dtype)
    with s.loop(I64(0), a["K"]) as k:
        row, out = s.at(source, b.mul(k, a["rsB"])), s.at(target, b.mul(k, a["pitch"]))
        if p.masked:
            with s.loop(I64(0), a["N"], p.lanes) as n:
                mask = s.tail_mask(b.sub(a["N"], n))
                s.store(s.load(s.at(row, n), p.dtype, mask), s.at(out, n))
        else:
            with s.loop(I64(0), b.sub(a["N"], I64(p.lanes - 1)), p.lanes) as n:
                s.store(s.load(s.at(row, n), p.dtype), s.at(out, n))
            with one.loop(n, a["N"]) as i:
                one.store(one.load(s.at(row, i), p.dtype), s.at(out, i))


def _copy_blocks(s: Scope, p: Plan, a: dict[str, ir.Value]) -> None:
    """Transpose blocks of one vector of columns by 16 bytes of k."""
    b, few = s.b, 16 // p.item
    source, target = s.pointer(a["B"], p.dtype), s.pointer(a["to"], p.dtype)
    last = b.sub(a["K"], I64(few))
    with s.loop(I64(0), a["N"], p.lanes) as n:
        place, left, columns = s.at(source, b.mul(n, a["csB"])), b.sub(a["N"], n), []
        for j in range(p.lanes):
            columns.append(place)
            # beyond the last column the same one is read again, for lanes that nobody uses
            more = b.icmp_signed(">", left, I64(j + 1))
            place = s.at(place, b.select(more, a["csB"], I64(0)))
        with s.loop(I64(0), a["K"], few) as i:
            # the last block moves back over the one before, so as not to read past the end
            k = b.select(b.icmp_signed("<", i, last), i, last)
            out = s.at(s.at(target, b.mul(k, a["pitch"])), n)
            quarter = Scope(b, few)
            pieces = [quarter.load(s.at(q, k), p.dtype) for q in columns]
            for x in _transpose(pieces):
                s.store(x, out)
                out = s.at(out, a["pitch"])


def _transpose(pieces: list[Vec]) -> list[Vec]:
    """Turn 16-byte columns, one for each lane of a vector, into rows.

    Columns that lie as far apart as the lanes of 16 bytes share a vector, so that all that follows stays
    within each 16 bytes of it, which every machine does fast.
    """
    few, lanes = pieces[0].scope.lanes, len(pieces)
    rows = [concatenate(pieces[i::few]) for i in range(few)]
    squares = range(0, lanes, few)

    def within(*order: int) -> list[int]:
        return [q + (l if l < few else lanes + l - few) for q in squares for l in order]

    if few == 2:
        return [shuffle(*rows, within(0, 2)), shuffle(*rows, within(1, 3))]
    result = []
    for order in ((0, 4, 1, 5), (2, 6, 3, 7)):
        top, bottom = (shuffle(rows[i], rows[i + 1], within(*order)) for i in (0, 2))
        result += [shuffle(top, bottom, within(*half)) for half in ((0, 1, 4, 5), (2, 3, 6, 7))]
    return result


def concatenate(parts: list[Vec]) -> Vec:
    """Vectors one behind the other, as one."""
    while len(parts) > 1:
        lanes = 2 * parts[0].scope.lanes
        wide = Scope(parts[0].scope.b, lanes)
        joined = [shuffle(x, y, list(range(lanes))) for x, y in zip(parts[::2], parts[1::2], strict=True)]
        parts = [Vec(wide, v.value, v.dtype) for v in joined]
    return parts[0]
