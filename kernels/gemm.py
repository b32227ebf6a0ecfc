"""Matrix multiply: one native function a dtype, called by name from other kernels.

    void jg_gemm_f32(M, N, K, A, rsA, csA, B, rsB, csB, C, rsC, csC, bias, flags, part, parts)

(all 64-bit integers) computes ``C[m, n] = sum_k A[m, k] B[k, n]``, plus ``bias[n]`` when `bias` is not 0,
plus the old ``C[m, n]`` with ACCUMULATE in `flags`. Addresses are integers; strides count elements and may be
anything, but C must not overlap the rest. K may be 0. With ``parts > 1`` each call computes its share of C,
and C is bitwise the same for any number of parts. The order of the sums is told in `gemm_tiles` and
`gemm_transposed`; beyond DEPTH terms they are summed in blocks. NaN and infinity propagate: no term is skipped.

The entry looks at the shape once. It may exchange the operands (``C.T = B.T A.T``) so that vectors lie along
the longer or the contiguous side, picks dot products, a copy of B or B as it lies, takes the part's share, and
calls ``run``, which walks blocks of k and of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from llvmlite import ir

from . import abi, compiler
from .gemm_plan import Plan, plan
from .gemm_tiles import ACCUMULATE, DEPTH, FAR, NEAR, build_rows, define, stack_buffer
from .gemm_transposed import build_copy, build_dots
from .stage import I64, VOID, Scope, Vec, new_module

SIGNATURE = "M N K A rsA csA B rsB csB C rsC csC bias flags part parts"
NAMES = {abi.FLOAT32: "jg_gemm_f32", abi.FLOAT64: "jg_gemm_f64"}

COPY_BYTES = 256 << 10  # a block of B copied straight; it lives on the stack
SCRATCH = 32  # rows and columns of the block through which C is stored with other strides

DOT_ROWS = 6  # dot products serve at most this many rows
LARGE_BYTES = 700 << 10  # a block of B that is copied although it lies straight,
COPY_ROWS = 24  # when it serves more rows than this
NEAR_BYTES = 400 << 10  # a transposed A whose strips are copied,
NEAR_COLUMNS = 127  # when they serve more columns than this
FAR_BYTES = 256 << 10  # a C that is fetched ahead

# how `run` goes about it, decided by the entry from the whole shape
DOTS, COPY = 1 << 16, 1 << 17


def provide(dtype: int) -> None:
    """Make the matrix multiply of `dtype` callable from kernels."""
    compiler.symbol(NAMES[dtype], lambda: build(dtype))


def call(s: Scope, dtype: int, arguments: Mapping[str, ir.Value]) -> None:
    """Write a call of the matrix multiply; `arguments` go by the names in `SIGNATURE`."""
    s.call(NAMES[dtype], VOID, [arguments[key] for key in SIGNATURE.split()])


def build(dtype: int) -> ir.Module:
    """The module that holds the matrix multiply of `dtype`, FLOAT32 or FLOAT64."""
    p = plan(dtype)
    module = new_module(NAMES[dtype])
    run = _build_run(module, p)
    blocks = _build_blocks(module, p, run)
    _build_entry(module, p, run, blocks)
    return module


RUN = "M N K A rsA csA B rsB csB C rsC bias flags"


class _Numbers:
    """Shorthands for arithmetic on 64-bit integers."""

    def __init__(self, b: ir.IRBuilder) -> None:
        self.b = b

    def equal(self, x: ir.Value, y: int | ir.Value) -> ir.Value:
        return self.b.icmp_signed("==", x, I64(y) if isinstance(y, int) else y)

    def less(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.icmp_signed("<", x, y)

    def above(self, x: ir.Value, y: int) -> ir.Value:
        return self.b.icmp_signed(">", x, I64(y))

    def smaller(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.select(self.less(x, y), x, y)

    def larger(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.select(self.less(x, y), y, x)

    def all(self, *conditions: ir.Value) -> ir.Value:
        result = conditions[0]
        for c in conditions[1:]:
            result = self.b.and_(result, c)
        return result

    def any(self, *conditions: ir.Value) -> ir.Value:
        result = conditions[0]
        for c in conditions[1:]:
            result = self.b.or_(result, c)
        return result

    def ceil_div(self, x: ir.Value, y: ir.Value | int) -> ir.Value:
        y = I64(y) if isinstance(y, int) else y
        return self.b.udiv(self.b.add(x, self.b.sub(y, I64(1))), y)

    def advance(self, address: ir.Value, count: ir.Value, stride: ir.Value, item: int) -> ir.Value:
        return self.b.add(address, self.b.mul(self.b.mul(count, stride), I64(item)))


# blocks of k and of columns -----------------------------------------------------------------------


def _build_run(module: ir.Module, p: Plan) -> ir.Function:
    """``run(...)``: one thread's product, C's columns contiguous."""
    copy, dots = build_copy(module, p), build_dots(module, p)
    rows = build_rows(module, p, copy)
    b, a = define(module, "run", RUN, "alwaysinline")
    num, item = _Numbers(b), p.item
    with b.if_then(_has(b, a["flags"], DOTS)):
        b.call(dots, [a[key] for key in ["M", "N", "K", "A", "rsA", "B", "csB", "C", "rsC", "bias", "flags"]])
        b.ret_void()
    copies = _has(b, a["flags"], COPY)
    panel = COPY_BYTES // item // DEPTH // (2 * p.lanes) * 2 * p.lanes
    buffer = stack_buffer(b, p, DEPTH * (panel + p.lanes))
    kept = b.and_(a["flags"], I64(~ACCUMULATE))

    def depth(left: ir.Value) -> ir.Value:
        # two blocks left: cut them alike, so that neither is too short to pay for its C
        half = b.and_(b.add(b.lshr(left, I64(1)), I64(p.lanes)), I64(-p.lanes))
        several = b.select(num.less(left, I64(2 * DEPTH)), half, I64(DEPTH))
        return b.select(num.above(left, DEPTH), several, left)

    def width(left: ir.Value) -> ir.Value:
        return b.select(num.all(copies, num.above(left, panel)), I64(panel), left)

    with (
        _blocks_of(b, a["K"], depth) as (k, turns),
        _blocks_of(b, a["N"], width) as (n, columns),
    ):
        block = num.advance(num.advance(a["B"], n, a["csB"], item), k, a["rsB"], item)
        # an odd number of vectors: with an even one the rows would meet in a few sets of the cache
        pitch = b.mul(b.or_(num.ceil_div(columns, p.lanes), I64(1)), I64(p.lanes))
        with b.if_then(copies):
            b.call(copy, [turns, columns, block, a["rsB"], a["csB"], buffer, pitch])
        first = num.equal(k, 0)
        biased = num.all(first, b.icmp_signed("!=", a["bias"], I64(0)))
        part = {
            "N": columns,
            "K": turns,
            "A": num.advance(a["A"], k, a["csA"], item),
            "B": b.select(copies, buffer, block),
            "rsB": b.select(copies, pitch, a["rsB"]),
            "C": num.advance(a["C"], n, I64(1), item),
            "bias": b.select(biased, num.advance(a["bias"], n, I64(1), item), I64(0)),
            "flags": b.select(first, a["flags"], b.or_(kept, I64(ACCUMULATE))),
        }
        names = ["M", "N", "K", "A", "rsA", "csA", "B", "rsB", "C", "rsC", "bias", "flags"]
        b.call(rows, [part.get(key, a[key]) for key in names])
    b.ret_void()
    return b.function


@contextmanager
def _blocks_of(
    b: ir.IRBuilder, total: ir.Value, take: Callable[[ir.Value], ir.Value]
) -> Iterator[tuple[ir.Value, ir.Value]]:
    """Walk ``0 .. total`` in blocks of ``take(what is left)``; yields start and length, once if `total` is 0."""
    before = b.block
    body, after = b.append_basic_block("block"), b.append_basic_block("after")
    b.branch(body)
    b.position_at_end(body)
    start = b.phi(I64)
    start.add_incoming(I64(0), before)
    length = take(b.sub(total, start))
    yield start, length
    following = b.add(start, length)
    start.add_incoming(following, b.block)
    b.cbranch(b.icmp_signed("<", following, total), body, after)
    b.position_at_end(after)


def _has(b: ir.IRBuilder, flags: ir.Value, bit: int) -> ir.Value:
    return b.icmp_signed("!=", b.and_(flags, I64(bit)), I64(0))


# C with strides -----------------------------------------------------------------------------------


def _build_blocks(module: ir.Module, p: Plan, run: ir.Function) -> ir.Function:
    """``blocks(..., csC)``: as ``run``, for any strides of C: by blocks, through memory on the stack."""
    b, a = define(module, "blocks", RUN + " csC")
    s, num, item = Scope(b, 1), _Numbers(b), p.item
    scratch = stack_buffer(b, p, SCRATCH * SCRATCH)
    # rows are cut evenly: a last block of very few rows would be summed in another order
    height = num.ceil_div(a["M"], num.ceil_div(a["M"], SCRATCH))
    count = num.ceil_div(a["M"], height)
    target, source = s.pointer(a["C"], p.dtype), s.pointer(scratch, p.dtype)
    accumulate = _has(b, a["flags"], ACCUMULATE)
    with s.loop(I64(0), count) as i:
        top = b.udiv(b.mul(i, a["M"]), count)
        rows = b.sub(b.udiv(b.mul(b.add(i, I64(1)), a["M"]), count), top)
        with s.loop(I64(0), a["N"], SCRATCH) as n:
            columns = num.smaller(I64(SCRATCH), b.sub(a["N"], n))
            bias = num.advance(a["bias"], n, I64(1), item)
            bias = b.select(num.equal(a["bias"], 0), I64(0), bias)
            part = {
                "M": rows,
                "N": columns,
                "A": num.advance(a["A"], top, a["rsA"], item),
                "B": num.advance(a["B"], n, a["csB"], item),
                "C": scratch,
                "rsC": I64(SCRATCH),
                "bias": bias,
                "flags": b.and_(a["flags"], I64(~ACCUMULATE)),
            }
            b.call(run, [part.get(key, a[key]) for key in RUN.split()])
            with s.loop(I64(0), rows) as r:
                row = s.at(source, b.mul(r, I64(SCRATCH)))
                out = s.at(target, b.mul(b.add(top, r), a["rsC"]))
                with s.loop(I64(0), columns) as c:
                    cell = s.at(out, b.mul(b.add(n, c), a["csC"]))
                    x = s.load(s.at(row, c), p.dtype)
                    with b.if_else(accumulate) as (add, write):
                        with add:
                            s.store(s.load(cell, p.dtype) + x, cell)
                        with write:
                            s.store(x, cell)
    b.ret_void()
    return b.function


# the entry ----------------------------------------------------------------------------------------


def _build_entry(module: ir.Module, p: Plan, run: ir.Function, blocks: ir.Function) -> None:
    b, a = define(module, NAMES[p.dtype], SIGNATURE, inline="")
    s, num = Scope(b, 1), _Numbers(b)
    nothing = num.any(b.icmp_signed("<=", a["M"], I64(0)), b.icmp_signed("<=", a["N"], I64(0)))
    with b.if_then(nothing):
        b.ret_void()
    a, lone_bias = _exchange(b, p, a)
    a["flags"] = b.or_(b.and_(a["flags"], I64(ACCUMULATE)), _manner(b, p, a))
    _take_share(b, p, a)
    with b.if_then(num.any(num.equal(a["M"], 0), num.equal(a["N"], 0))):
        b.ret_void()
    plain = num.equal(a["csC"], 1)
    with b.if_else(plain) as (direct, strided):
        with direct:
            b.call(run, [a[key] for key in RUN.split()])
        with strided:
            b.call(blocks, [a[key] for key in RUN.split()] + [a["csC"]])
    with b.if_then(b.icmp_signed("!=", lone_bias, I64(0))):
        term = s.load(s.pointer(lone_bias, p.dtype), p.dtype)
        _add_to_all(s, p, a, term)
    b.ret_void()


def _exchange(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> tuple[dict[str, ir.Value], ir.Value]:
    """Turn the product over, ``C.T = B.T A.T``, where that side suits vectors better."""
    num = _Numbers(b)
    m, n, k = a["M"], a["N"], a["K"]
    no_bias = num.equal(a["bias"], 0)
    column = num.all(num.equal(n, 1), num.above(m, 1), num.equal(a["rsC"], 1))
    turned = num.all(b.icmp_signed("!=", a["csC"], I64(1)), num.equal(a["rsC"], 1), num.above(n, 1), no_bias)
    # vectors along N would be mostly empty, those along M are full, and k pays for storing them crosswise
    now = b.mul(b.mul(m, num.ceil_div(n, p.lanes)), k)
    then = b.mul(b.mul(n, num.ceil_div(m, p.lanes)), k)
    cost = b.add(then, b.mul(b.mul(m, n), I64(4)))
    narrow = num.all(num.equal(a["rsA"], 1), num.above(n, 1), no_bias, num.less(cost, now))
    over = num.any(column, turned, narrow)
    pairs = (("M", "N"), ("A", "B"), ("rsA", "csB"), ("csA", "rsB"), ("rsC", "csC"))
    result = dict(a)
    for x, y in pairs:
        result[x], result[y] = b.select(over, a[y], a[x]), b.select(over, a[x], a[y])
    lone_bias = b.select(column, a["bias"], I64(0))
    result["bias"] = b.select(column, I64(0), a["bias"])
    # a stride along a side of length one says nothing
    single = num.equal(result["N"], 1)
    result["csC"] = b.select(single, I64(1), result["csC"])
    result["csB"] = b.select(
        num.all(single, b.icmp_signed("!=", result["rsB"], I64(1))), I64(1), result["csB"]
    )
    return result, lone_bias


def _manner(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> ir.Value:
    """Flags for ``run``: dot products, a copy of B, or neither."""
    num = _Numbers(b)
    apart = num.any(b.icmp_signed("!=", a["csB"], I64(1)), num.equal(a["N"], 1))
    dots = num.all(
        num.equal(a["rsB"], 1),
        apart,
        b.icmp_signed("<=", a["M"], I64(DOT_ROWS)),
        num.equal(a["csA"], 1),
    )
    # B as it lies, unless a block of it falls out of the cache before the next rows come
    block = b.mul(num.smaller(a["K"], I64(DEPTH)), a["N"])
    large = num.all(num.above(block, LARGE_BYTES // p.item), num.above(a["M"], COPY_ROWS))
    copies = num.any(b.icmp_signed("!=", a["csB"], I64(1)), large)
    # one column of A is spread over as many pages as k is long
    near = num.all(
        num.equal(a["rsA"], 1),
        num.above(b.mul(a["M"], a["K"]), NEAR_BYTES // p.item),
        num.above(a["N"], NEAR_COLUMNS),
    )
    far = num.all(num.above(a["K"], DEPTH), num.above(b.mul(a["M"], a["N"]), FAR_BYTES // p.item))
    flags: ir.Value = I64(0)
    for condition, flag in ((copies, COPY), (near, NEAR), (far, FAR)):
        flags = b.or_(flags, b.select(condition, I64(flag), I64(0)))
    return b.select(dots, I64(DOTS), flags)


def _take_share(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> None:
    """Narrow the operands to this part's columns (whole vectors) or rows (more than a thin strip)."""
    num, item = _Numbers(b), p.item
    cells = {key: Scope(b, 1).variable(I64) for key in ("M", "N", "A", "B", "C", "bias")}
    for key, cell in cells.items():
        b.store(a[key], cell)
    with b.if_then(num.above(a["parts"], 1)):
        part, parts = a["part"], a["parts"]
        vectors = num.ceil_div(a["N"], p.lanes)
        cuts = num.smaller(parts, b.udiv(a["M"], I64(p.thin + 1)))
        cuts = num.larger(cuts, I64(1))
        by_columns = b.mul(num.ceil_div(vectors, parts), a["M"])
        by_rows = b.mul(num.ceil_div(a["M"], cuts), vectors)
        # as little either way: the larger operand is the one not to be read whole by every part
        wide = b.and_(b.icmp_signed("==", by_columns, by_rows), b.icmp_signed(">=", a["N"], a["M"]))
        with b.if_else(b.or_(num.less(by_columns, by_rows), wide)) as (columns, rows):
            with columns:
                first = _edge(b, vectors, part, parts, p.lanes, a["N"])
                last = _edge(b, vectors, b.add(part, I64(1)), parts, p.lanes, a["N"])
                b.store(b.sub(last, first), cells["N"])
                b.store(num.advance(a["B"], first, a["csB"], item), cells["B"])
                b.store(num.advance(a["C"], first, a["csC"], item), cells["C"])
                moved = num.advance(a["bias"], first, I64(1), item)
                none = num.equal(a["bias"], 0)
                b.store(b.select(none, a["bias"], moved), cells["bias"])
            with rows:
                mine = num.smaller(part, cuts)
                first = b.udiv(b.mul(a["M"], mine), cuts)
                following = num.smaller(b.add(part, I64(1)), cuts)
                last = b.udiv(b.mul(a["M"], following), cuts)
                b.store(b.sub(last, first), cells["M"])
                b.store(num.advance(a["A"], first, a["rsA"], item), cells["A"])
                b.store(num.advance(a["C"], first, a["rsC"], item), cells["C"])
    for key, cell in cells.items():
        a[key] = b.load(cell)


def _edge(
    b: ir.IRBuilder, units: ir.Value, part: ir.Value, parts: ir.Value, grain: int, total: ir.Value
) -> ir.Value:
    edge = b.mul(b.udiv(b.mul(units, part), parts), I64(grain))
    return _Numbers(b).smaller(edge, total)


def _add_to_all(s: Scope, p: Plan, a: dict[str, ir.Value], term: Vec) -> None:
    """Add a number to every element of C."""
    b, target = s.b, s.pointer(a["C"], p.dtype)
    # C that does not lie straight is changed element by element
    whole = b.select(b.icmp_signed("==", a["csC"], I64(1)), b.and_(a["N"], I64(-p.lanes)), I64(0))
    with s.loop(I64(0), a["M"]) as m:
        row = s.at(target, b.mul(m, a["rsC"]))
        for scope, start, stop in ((Scope(b, p.lanes), I64(0), whole), (s, whole, a["N"])):
            with scope.loop(start, stop, scope.lanes) as n:
                place = scope.at(row, b.mul(n, a["csC"]))
                x = scope.load(place, p.dtype)
                scope.store(x + x.like(term), place)
