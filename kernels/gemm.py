"""Matrix multiply: one native function a dtype, called by name from other kernels.

    void jg_gemm_f32(M, N, K, A, rsA, csA, B, rsB, csB, C, rsC, csC, bias, flags, part, parts)

(all 64-bit integers) computes ``C[m, n] = sum_k A[m, k] B[k, n]``, plus ``bias[n]`` when `bias` is not 0,
plus the old ``C[m, n]`` with ACCUMULATE in `flags`. Addresses are integers; strides count elements and may be
anything, but C must not overlap the rest. K may be 0. With ``parts > 1`` each call computes its share of C,
and C is bitwise the same for any number of parts; callers that cut products themselves say PIECE. The order of
the sums is told in `gemm_tiles`, `gemm_dots` and `gemm_groups`; many terms are summed in blocks. NaN and infinity
propagate: no term is skipped.

The entry looks at the shape once. It may exchange the operands (``C.T = B.T A.T``) so that vectors lie along
the longer or the contiguous side, picks dot products (of few rows or many terms, or with few columns), a copy of B
or B as it lies, takes the part's share, and calls ``run``, which walks blocks of k and of columns.

A program knows its shapes: ``jg_plan_f32(words)`` does the looking, with the answer in the words of a PRODUCT, and
``jg_planned_f32(record, words, part, parts)`` computes a planned product, with the same result.
"""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from llvmlite import ir

from . import abi, compiler
from .gemm_blocks import (
    COPY,
    DOTS,
    GROUPS,
    ONE_BLOCK_COLUMNS,
    RUN,
    Numbers,
    Pieces,
    build_blocks,
    build_pieces,
    build_run,
    call_block,
    call_dots,
    is_one_block,
)
from .gemm_group_terms import columns_at_once
from .gemm_groups import GROUP_TERMS
from .gemm_plan import Plan, plan
from .gemm_tiles import ACCUMULATE, DEPTH, FAR, NEAR, define, stack_buffer, when
from .host import host
from .stage import I64, VOID, WORDS, Scope, Vec, new_module

SIGNATURE = "M N K A rsA csA B rsB csB C rsC csC bias flags part parts"
PRODUCT = "M N K A rsA csA B rsB csB C rsC csC bias flags lone"  # words of a product that has been planned
OPERANDS = ("A", "B", "C", "bias", "lone")
PLANNERS = {abi.FLOAT32: "jg_plan_f32", abi.FLOAT64: "jg_plan_f64"}
PLANNED = {abi.FLOAT32: "jg_planned_f32", abi.FLOAT64: "jg_planned_f64"}
NAMES = {abi.FLOAT32: "jg_gemm_f32", abi.FLOAT64: "jg_gemm_f64"}

# in `flags`: a caller has cut the product into pieces, so a piece's rows and columns must not decide on its sums
PIECE = 1 << 21
# in `flags`: the result's rows belong to threads, so where sharing by columns is as much work, share by rows
BY_ROWS = 1 << 22

CROSSWISE = 2  # multiply-adds of vectors in the time that it takes to store a number crosswise
DOT_ROWS = 6  # at most so many rows are always dot products,
FEW, MANY = 16, 64  # more than FEW go as MANY would: strips of a batch, which have more, as the batch
COPIED = 4  # copying an element of B takes as long as so many multiply-adds of a lane
SUMMED = 3  # the sum over a vector's lanes takes as long as so many halves of a multiply-add of vectors,
GROUPED = {False: 3, True: 2.5}  # and so does a multiply-add of groups, by `Host.half_units`
LARGE_BYTES = 700 << 10  # a block of B that is copied although it lies straight,
COPY_ROWS = 24  # when it serves more rows than this
NEAR_BYTES = 400 << 10  # a transposed A whose strips are copied,
NEAR_COLUMNS = ONE_BLOCK_COLUMNS  # when they serve more columns than this
FAR_BYTES = 256 << 10  # a C that is fetched ahead


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
    pieces = build_pieces(module, p)
    run = build_run(module, p, pieces)
    blocks = build_blocks(module, p, run)
    _build_entry(module, p, run, blocks)
    _build_planner(module, p)
    _build_planned(module, p, pieces, blocks)
    return module


def provide_planned(dtype: int) -> None:
    """Make products that have been planned callable from kernels."""
    provide(dtype)
    compiler.beside(PLANNED[dtype])


def planned(dtype: int, words: Sequence[int]) -> list[int] | None:
    """The words of a PRODUCT planned, given all but the last; None when it is empty, or too large to gain by it.

    Of more than one block only dot products are planned.

    Operands may be any numbers, 0 for no bias: they are put elsewhere, not looked at.
    """
    provide(dtype)
    found = array("q", [*words, 0])
    entry = ctypes.CFUNCTYPE(None, ctypes.c_int64)(compiler.beside(PLANNERS[dtype]))
    entry(found.buffer_info()[0])
    product = dict(zip(PRODUCT.split(), found, strict=True))
    one_block = product["K"] <= DEPTH and product["N"] <= ONE_BLOCK_COLUMNS
    empty = 0 in (product["M"], product["N"], product["K"])
    return found.tolist() if (one_block or product["flags"] & DOTS) and not empty else None


# the entry ----------------------------------------------------------------------------------------


def _build_entry(module: ir.Module, p: Plan, run: ir.Function, blocks: ir.Function) -> None:
    b, a = define(module, NAMES[p.dtype], SIGNATURE, inline="")
    s, num = Scope(b, 1), Numbers(b)
    nothing = num.any(b.icmp_signed("<=", a["M"], I64(0)), b.icmp_signed("<=", a["N"], I64(0)))
    with b.if_then(nothing):
        b.ret_void()
    lone_bias = _side_by_side(b, p, a)
    a["flags"] = _manner(b, p, a)
    _take_share(b, p, a)
    with b.if_then(num.any(num.equal(a["M"], 0), num.equal(a["N"], 0))):
        b.ret_void()
    plain = num.equal(a["csC"], 1)
    with b.if_else(plain) as (direct, strided):
        with direct:
            b.call(run, [a[key] for key in RUN.split()])
        with strided:
            b.call(blocks, [a[key] for key in RUN.split()] + [a["csC"]])
    _add_lone_bias(s, p, a, lone_bias)
    b.ret_void()


def _side_by_side(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> ir.Value:
    """Turn the product over where that suits vectors better; returns the address of a bias to add at the end."""
    num = Numbers(b)
    a["lone bias"] = I64(0)
    sides = ("M", "N", "A", "rsA", "csA", "B", "rsB", "csB", "rsC", "csC", "bias", "lone bias")
    # whether `_exchange` could have a reason: the usual product has none and skips its many instructions
    ragged = b.icmp_signed("!=", b.and_(a["N"], I64(p.lanes - 1)), I64(0))
    narrow = num.all(num.equal(a["rsA"], 1), ragged)
    asked = num.any(num.equal(a["N"], 1), narrow, b.icmp_signed("!=", a["csC"], I64(1)))
    with _changing(b, a, sides) as put, b.if_then(asked):
        put(_exchange(b, p, a))
    return a["lone bias"]


@contextmanager
def _changing(
    b: ir.IRBuilder, a: dict[str, ir.Value], keys: Iterable[str]
) -> Iterator[Callable[[Mapping[str, ir.Value]], None]]:
    """Values that the code within may put others in place of; afterwards `a` has what they are then."""
    cells = {key: Scope(b, 1).variable(I64) for key in keys}

    def put(values: Mapping[str, ir.Value]) -> None:
        for key, value in values.items():
            b.store(value, cells[key])

    put({key: a[key] for key in cells})
    yield put
    for key, cell in cells.items():
        a[key] = b.load(cell)


def _exchange(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> dict[str, ir.Value]:
    """The product or the same turned over, ``C.T = B.T A.T``."""
    num = Numbers(b)
    m, n, k = a["M"], a["N"], a["K"]
    no_bias = num.equal(a["bias"], 0)
    column = num.all(num.equal(n, 1), num.above(m, 1), num.equal(a["rsC"], 1))
    turned = num.all(b.icmp_signed("!=", a["csC"], I64(1)), num.equal(a["rsC"], 1), num.above(n, 1), no_bias)
    # vectors along N would be mostly empty, those along M are full, and k pays for storing them crosswise
    now = b.mul(b.mul(m, num.ceil_div(n, p.lanes)), k)
    then = b.mul(b.mul(n, num.ceil_div(m, p.lanes)), k)
    cost = b.add(then, b.mul(b.mul(m, n), I64(CROSSWISE)))
    alone = b.not_(num.has(a["flags"], PIECE))
    narrow = num.all(num.equal(a["rsA"], 1), num.above(n, 1), no_bias, num.less(cost, now), alone)
    over = num.any(column, turned, narrow)
    pairs = (("M", "N"), ("A", "B"), ("rsA", "csB"), ("csA", "rsB"), ("rsC", "csC"))
    result = {}
    for x, y in pairs:
        result[x], result[y] = b.select(over, a[y], a[x]), b.select(over, a[x], a[y])
    result["lone bias"] = b.select(column, a["bias"], I64(0))
    result["bias"] = b.select(column, I64(0), a["bias"])
    # a stride along a side of length one says nothing
    single = num.equal(result["N"], 1)
    result["csC"] = b.select(single, I64(1), result["csC"])
    result["csB"] = b.select(
        num.all(single, b.icmp_signed("!=", result["rsB"], I64(1))), I64(1), result["csB"]
    )
    return result


def _manner(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> ir.Value:
    """Flags for ``run``: dot products, a copy of B, or neither, and what the caller's say of C."""
    num = Numbers(b)
    apart = b.icmp_signed("!=", a["csB"], I64(1))
    dots = _dots(b, p, a, apart)
    copied = b.select(apart, I64(COPY), I64(0))
    several = b.not_(is_one_block(b, a))
    others = when(b, several, lambda: b.or_(copied, _for_the_cache(b, p, a)), copied)
    caller = b.and_(a["flags"], I64(ACCUMULATE | BY_ROWS))
    return b.or_(caller, b.select(num.equal(dots, 0), others, dots))


def _dots(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value], apart: ir.Value) -> ir.Value:
    """Flags for dot products, of few columns in groups; 0 for neither."""
    num = Numbers(b)
    rows = num.equal(a["csA"], 1)
    columns = num.all(num.equal(a["rsB"], 1), num.any(apart, num.equal(a["N"], 1)))
    thin = b.icmp_signed("<=", a["M"], I64(DOT_ROWS))
    free = num.all(rows, b.not_(num.any(thin, num.has(a["flags"], PIECE))))
    few_columns = num.all(
        free,
        num.any(columns, num.equal(a["csB"], 1)),
        num.above(a["N"], 1),
        b.icmp_signed("<=", a["N"], I64(columns_at_once(p))),
        num.above(a["K"], GROUP_TERMS - 1),
    )
    always = num.all(rows, columns, thin)
    as_they_lie = when(b, num.all(free, columns), lambda: _dots_pay(b, p, a, few_columns), always)
    return b.select(as_they_lie, I64(DOTS), b.select(few_columns, I64(DOTS | GROUPS), I64(0)))


def _dots_pay(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value], grouped: ir.Value) -> ir.Value:
    """Whether dot products of contiguous rows and columns take less time than the other way.

    That is vectors of columns after B has been copied, or groups where `grouped` is set. Counted are multiply-adds of
    lanes. Strips of a batch have other numbers of rows than the batch, yet must come to the same: so all numbers above
    FEW count as MANY.
    """
    num, n, k = Numbers(b), a["N"], a["K"]
    m = b.select(num.above(a["M"], FEW), I64(MANY), a["M"])
    summed = b.mul(b.mul(m, n), b.add(k, I64(p.lanes * SUMMED // 2)))
    vectors = b.mul(num.ceil_div(n, p.lanes), I64(p.lanes))
    copied = b.mul(k, b.add(b.mul(m, vectors), b.mul(n, I64(COPIED))))
    groups = b.mul(b.mul(m, k), I64(int(columns_at_once(p) * GROUPED[host().half_units] / 2)))
    return num.less(summed, b.select(grouped, groups, copied))


def _for_the_cache(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> ir.Value:
    """Flags for ``run``: what of a product of several blocks is copied or fetched ahead."""
    num = Numbers(b)
    # B as it lies, unless a block of it falls out of the cache before the next rows come
    block = b.mul(num.smaller(a["K"], I64(DEPTH)), a["N"])
    large = num.all(num.above(block, LARGE_BYTES // p.item), num.above(a["M"], COPY_ROWS))
    # one column of A is spread over as many pages as k is long
    near = num.all(
        num.equal(a["rsA"], 1),
        num.above(b.mul(a["M"], a["K"]), NEAR_BYTES // p.item),
        num.above(a["N"], NEAR_COLUMNS),
    )
    far = num.all(num.above(a["K"], DEPTH), num.above(b.mul(a["M"], a["N"]), FAR_BYTES // p.item))
    flags: ir.Value = I64(0)
    for condition, flag in ((large, COPY), (near, NEAR), (far, FAR)):
        flags = b.or_(flags, b.select(condition, I64(flag), I64(0)))
    return flags


def _take_share(b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value]) -> None:
    """Narrow the operands to this part's columns (whole vectors) or rows (more than a thin strip)."""
    num, item = Numbers(b), p.item
    sides = ("M", "N", "A", "B", "C", "bias")
    with _changing(b, a, sides) as put, b.if_then(num.above(a["parts"], 1)):
        part, parts = a["part"], a["parts"]
        vectors = num.ceil_div(a["N"], p.lanes)
        cuts = num.smaller(parts, b.udiv(a["M"], I64(p.thin + 1)))
        cuts = num.larger(cuts, I64(1))
        by_columns = b.mul(num.ceil_div(vectors, parts), a["M"])
        by_rows = b.mul(num.ceil_div(a["M"], cuts), vectors)
        # as little either way: the larger operand is the one not to be read whole by every part
        larger = b.icmp_signed(">=", a["N"], a["M"])
        wide = num.all(num.equal(by_columns, by_rows), larger, b.not_(num.has(a["flags"], BY_ROWS)))
        with b.if_else(b.or_(num.less(by_columns, by_rows), wide)) as (columns, rows):
            with columns:
                first = _edge(b, vectors, part, parts, p.lanes, a["N"])
                last = _edge(b, vectors, b.add(part, I64(1)), parts, p.lanes, a["N"])
                moved = num.advance(a["bias"], first, I64(1), item)
                none = num.equal(a["bias"], 0)
                put(
                    {
                        "N": b.sub(last, first),
                        "B": num.advance(a["B"], first, a["csB"], item),
                        "C": num.advance(a["C"], first, a["csC"], item),
                        "bias": b.select(none, a["bias"], moved),
                    }
                )
            with rows:
                mine = num.smaller(part, cuts)
                first = b.udiv(b.mul(a["M"], mine), cuts)
                following = num.smaller(b.add(part, I64(1)), cuts)
                last = b.udiv(b.mul(a["M"], following), cuts)
                put(
                    {
                        "M": b.sub(last, first),
                        "A": num.advance(a["A"], first, a["rsA"], item),
                        "C": num.advance(a["C"], first, a["rsC"], item),
                    }
                )


def _edge(
    b: ir.IRBuilder, units: ir.Value, part: ir.Value, parts: ir.Value, grain: int, total: ir.Value
) -> ir.Value:
    edge = b.mul(b.udiv(b.mul(units, part), parts), I64(grain))
    return Numbers(b).smaller(edge, total)


def _add_lone_bias(s: Scope, p: Plan, a: dict[str, ir.Value], address: ir.Value) -> None:
    """Add the number at an address, if that is not 0, to every element of C."""
    with s.b.if_then(s.b.icmp_signed("!=", address, I64(0))):
        _add_to_all(s, p, a, s.load(s.pointer(address, p.dtype), p.dtype))


def _add_to_all(s: Scope, p: Plan, a: dict[str, ir.Value], term: Vec) -> None:
    b, target = s.b, s.pointer(a["C"], p.dtype)
    # C that does not lie straight is changed element by element, and so are ragged ends without masks
    straight = a["N"] if p.masked else b.and_(a["N"], I64(-p.lanes))
    wide = b.select(b.icmp_signed("==", a["csC"], I64(1)), straight, I64(0))
    with s.loop(I64(0), a["M"]) as m:
        row = s.at(target, b.mul(m, a["rsC"]))
        for scope, start, stop in ((Scope(b, p.lanes), I64(0), wide), (s, wide, a["N"])):
            with scope.loop(start, stop, scope.lanes) as n:
                place = scope.at(row, b.mul(n, a["csC"]))
                masked = p.masked and scope is not s
                mask = scope.tail_mask(b.sub(stop, n)) if masked else None
                x = scope.load(place, p.dtype, mask)
                scope.store(x + x.like(term), place, mask)


# products of programs -----------------------------------------------------------------------------


def _build_planner(module: ir.Module, p: Plan) -> None:
    b, given = define(module, PLANNERS[p.dtype], "words", inline="")
    s, words = Scope(b, 1), b.inttoptr(given["words"], WORDS)
    keys = PRODUCT.split()
    a = {key: s.word(words, k) for k, key in enumerate(keys)}
    a["lone"] = _side_by_side(b, p, a)
    a["flags"] = _manner(b, p, a)
    for k, key in enumerate(keys):
        b.store(a[key], s.at(words, k))
    b.ret_void()


def _build_planned(module: ir.Module, p: Plan, pieces: Pieces, blocks: ir.Function) -> None:
    b, a = define(module, PLANNED[p.dtype], "record words part parts", inline="")
    s, num = Scope(b, 1), Numbers(b)
    record, words = b.inttoptr(a["record"], WORDS), b.inttoptr(a["words"], WORDS)
    a |= {key: s.word(words, k) for k, key in enumerate(PRODUCT.split())}
    a |= {key: s.word(record, a[key]) for key in OPERANDS}
    _take_share(b, p, a)
    with b.if_then(num.any(num.equal(a["M"], 0), num.equal(a["N"], 0))):
        b.ret_void()
    buffer = stack_buffer(b, p, DEPTH * (ONE_BLOCK_COLUMNS + 1 + p.lanes))
    with b.if_else(num.equal(a["csC"], 1)) as (direct, strided):
        with direct, b.if_else(num.has(a["flags"], DOTS)) as (dots, block):
            with dots:
                call_dots(b, p, pieces, a)
            with block:
                call_block(b, p, pieces, a, buffer)
        with strided:
            b.call(blocks, [a[key] for key in RUN.split()] + [a["csC"]])
    _add_lone_bias(s, p, a, a["lone"])
    b.ret_void()
