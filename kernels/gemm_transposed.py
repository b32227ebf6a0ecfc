"""Matrix multiply when the second operand lies transposed in memory: copying it straight, and dot products.

In ``x @ W.T`` the columns of B are the rows of W, so a vector of columns is not contiguous. For more than a
few rows of x it pays to copy B into row-major order first, by transposing blocks in registers (`build_copy`).
For a few rows it does not; then vectors run along k, and a dot product ends with a sum over lanes
(`build_dots`).
"""

from __future__ import annotations

from llvmlite import ir

from .gemm_plan import Plan
from .gemm_tiles import ACCUMULATE, broadcast, define, multiply_add
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


# dot products -------------------------------------------------------------------------------------


def build_dots(module: ir.Module, p: Plan) -> ir.Function:
    """``dots(M, N, K, A, rsA, B, csB, C, rsC, bias, flags)``: rows of A with columns of B, both contiguous.

    Each element sums k modulo the lane count, in increasing k; then the lanes are folded by halves, and
    the bias and (with ACCUMULATE) the old value are added. Without masks the k left over come last.
    """
    b, a = define(module, "dots", "M N K A rsA B csB C rsC bias flags")
    one = Scope(b, 1)
    a_pointer, b_pointer, c_pointer = (one.pointer(a[key], p.dtype) for key in "ABC")
    column: ir.Value = I64(0)
    for count in sorted({p.lanes, min(4, p.lanes), 1}, reverse=True):
        with one.loop(column, b.sub(a["N"], I64(count - 1)), count) as n:
            columns = one.at(b_pointer, b.mul(n, a["csB"]))
            with one.loop(I64(0), a["M"]) as m:
                row = one.at(a_pointer, b.mul(m, a["rsA"]))
                out = one.at(one.at(c_pointer, b.mul(m, a["rsC"])), n)
                _dot_tile(Scope(b, p.lanes), p, a, count, row, columns, (n, out))
        column = n
    b.ret_void()
    return b.function


def _dot_tile(
    s: Scope,
    p: Plan,
    a: dict[str, ir.Value],
    count: int,
    row: ir.Value,
    columns: ir.Value,
    result: tuple[ir.Value, ir.Value],
) -> None:
    """`count` dot products of one row, stored side by side."""
    b, depth = s.b, a["K"]
    # columns reached from one address, as in `gemm_tiles`, keep the addresses few
    places = [columns]
    for _ in range(count - 1):
        places.append(s.at(places[-1], a["csB"]))
    zero = Vec(s, ir.Constant(s.type(p.dtype), None), p.dtype)
    whole = b.and_(depth, I64(-p.lanes))

    def turn(k: ir.Value, mask: ir.Value | None, sums: list[Vec]) -> list[Vec]:
        x = s.load(s.at(row, k), p.dtype, mask)
        return [
            multiply_add(s.load(s.at(q, k), p.dtype, mask), x, total)
            for q, total in zip(places, sums, strict=True)
        ]

    with s.carried(I64(0), whole, p.lanes, [zero] * count) as (k, sums, carry):
        carry.next(*turn(k, None, sums))
    sums = carry.final
    if p.masked:
        with s.carried(whole, depth, p.lanes, sums) as (k, last, carry):
            carry.next(*turn(k, s.tail_mask(b.sub(depth, k)), last))
        sums = carry.final
    totals = fold(sums)
    if not p.masked:
        totals = _leftover(p, totals, places, row, (whole, depth))
    _finish(p, a, totals, result)


def _leftover(
    p: Plan, totals: Vec, places: list[ir.Value], row: ir.Value, bounds: tuple[ir.Value, ir.Value]
) -> Vec:
    s = totals.scope
    one = s.scalar
    with s.carried(*bounds, 1, [totals]) as (k, (total,), carry):
        cells = [one.load(one.at(q, k), p.dtype) for q in places]
        x = broadcast(s, one.load(one.at(row, k), p.dtype).value, p.dtype)
        if s.lanes == 1:
            y = cells[0]
        else:
            vector = ir.Constant(s.type(p.dtype), ir.Undefined)
            for j, cell in enumerate(cells):
                vector = s.b.insert_element(vector, cell.value, I32(j))
            y = Vec(s, vector, p.dtype)
        carry.next(multiply_add(y, x, total))
    return carry.final[0]


def _finish(p: Plan, a: dict[str, ir.Value], totals: Vec, result: tuple[ir.Value, ir.Value]) -> None:
    s, (n, out) = totals.scope, result
    b = s.b
    cell = s.variable(totals.value.type)
    b.store(totals.value, cell)
    with b.if_then(b.icmp_signed("!=", a["bias"], I64(0))):
        bias = s.load(s.at(s.pointer(a["bias"], p.dtype), n), p.dtype)
        b.store((Vec(s, b.load(cell), p.dtype) + bias).value, cell)
    with b.if_then(b.icmp_signed("!=", b.and_(a["flags"], I64(ACCUMULATE)), I64(0))):
        b.store((Vec(s, b.load(cell), p.dtype) + s.load(out, p.dtype)).value, cell)
    s.store(Vec(s, b.load(cell), p.dtype), out)


def fold(sums: list[Vec]) -> Vec:
    """Sum the lanes of each vector; lane j of the result (`len(sums)` lanes) is the sum of vector j."""
    lanes, count = sums[0].scope.lanes, len(sums)
    vector, owners = fold_within(sums, lanes)
    b = vector.scope.b
    if count == 1:
        return Vec(vector.scope.scalar, b.extract_element(vector.value, I32(0)), vector.dtype)
    picked = shuffle(vector, vector, [owners.index(j) for j in range(count)])
    return Vec(Scope(b, count), picked.value, vector.dtype)


def fold_within(sums: list[Vec], span: int) -> tuple[Vec, list[int]]:
    """Sum each `span` neighbouring lanes of at most so many vectors; the sums, and of which vector each lane is.

    Every sum adds lanes half a span apart, then a quarter, and so on, whatever the number of vectors.
    """
    vectors = [(v, [j] * v.scope.lanes) for j, v in enumerate(sums)]  # with the owner of each lane
    while span > 1:
        half = span // 2
        if len(vectors) > 1:
            middle = len(vectors) // 2
            pairs = zip(vectors[:middle], vectors[middle:], strict=True)
        else:
            pairs = [(vectors[0], vectors[0])]
        vectors = [_fold_pair(x, y, half) for x, y in pairs]
        span = half
    return vectors[0]


def _fold_pair(x: tuple[Vec, list[int]], y: tuple[Vec, list[int]], half: int) -> tuple[Vec, list[int]]:
    """Halve the lanes of each sum in two vectors and put them into one, x's sums before y's."""
    (x, x_owners), (y, y_owners) = x, y
    lanes = len(x_owners)
    first = [l if not l & half else lanes + l for l in range(lanes)]
    second = [l ^ half if not l & half else lanes + (l ^ half) for l in range(lanes)]
    owners = [(x_owners + y_owners)[l] for l in first]
    return shuffle(x, y, first) + shuffle(x, y, second), owners
