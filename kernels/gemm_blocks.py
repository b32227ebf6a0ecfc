"""The matrix multiply in blocks of k and of columns, and into a C whose columns lie apart.

A product of at most DEPTH terms and ONE_BLOCK_COLUMNS columns is one block, which needs none of the walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from llvmlite import ir

from .gemm_dots import ROWS, build_dots
from .gemm_dots import TERMS as DOT_TERMS
from .gemm_group_terms import columns_at_once
from .gemm_groups import build_groups
from .gemm_held import TERMS, build_held
from .gemm_plan import Plan
from .gemm_tiles import ACCUMULATE, DEPTH, build_rows, define, stack_buffer, when
from .gemm_transposed import build_copy, shuffle
from .host import host
from .stage import I64, Scope, Vec

RUN = "M N K A rsA csA B rsB csB C rsC bias flags"

COPY_BYTES = 256 << 10  # a block of B copied straight; it lives on the stack
SCRATCH = 32  # rows and columns of the block through which C is stored with other strides
ALTERNATING = (2, 4)  # so many rows of a C stored crosswise are put in turns by shuffles
ONE_BLOCK_COLUMNS = 127  # a product of at most DEPTH terms and so many columns is one block

# how `run` goes about it, decided by the entry from the whole shape; GROUPS comes with DOTS
DOTS, COPY, GROUPS = 1 << 16, 1 << 17, 1 << 20


class Numbers:
    """Shorthands for arithmetic on 64-bit integers."""

    def __init__(self, b: ir.IRBuilder) -> None:
        self.b = b

    def equal(self, x: ir.Value, y: int | ir.Value) -> ir.Value:
        """Whether ``x == y``, as a bit."""
        return self.b.icmp_signed("==", x, I64(y) if isinstance(y, int) else y)

    def less(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """Whether ``x < y``, as a bit."""
        return self.b.icmp_signed("<", x, y)

    def above(self, x: ir.Value, y: int) -> ir.Value:
        """Whether ``x > y``, as a bit."""
        return self.b.icmp_signed(">", x, I64(y))

    def smaller(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The smaller of two numbers."""
        return self.b.select(self.less(x, y), x, y)

    def larger(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The larger of two numbers."""
        return self.b.select(self.less(x, y), y, x)

    def all(self, *conditions: ir.Value) -> ir.Value:
        """Whether all bits are set."""
        result = conditions[0]
        for c in conditions[1:]:
            result = self.b.and_(result, c)
        return result

    def any(self, *conditions: ir.Value) -> ir.Value:
        """Whether any bit is set."""
        result = conditions[0]
        for c in conditions[1:]:
            result = self.b.or_(result, c)
        return result

    def has(self, flags: ir.Value, bit: int) -> ir.Value:
        """Whether a flag is set, as a bit."""
        return self.b.icmp_signed("!=", self.b.and_(flags, I64(bit)), I64(0))

    def ceil_div(self, x: ir.Value, y: ir.Value | int) -> ir.Value:
        """``x / y`` rounded up."""
        y = I64(y) if isinstance(y, int) else y
        return self.b.udiv(self.b.add(x, self.b.sub(y, I64(1))), y)

    def advance(self, address: ir.Value, count: ir.Value, stride: ir.Value, item: int) -> ir.Value:
        """The address `count` strides further on."""
        return self.b.add(address, self.b.mul(self.b.mul(count, stride), I64(item)))


# blocks of k and of columns -----------------------------------------------------------------------


class Pieces(NamedTuple):
    """The functions that products are made of."""

    copy: ir.Function
    dots: ir.Function
    groups: ir.Function | None  # where vectors are long enough
    held: ir.Function | None  # where ragged columns are masked
    rows: ir.Function


def build_pieces(module: ir.Module, p: Plan) -> Pieces:
    """Write them."""
    copy = build_copy(module, p)
    groups = build_groups(module, p) if columns_at_once(p) > 1 else None
    held = build_held(module, p) if p.masked else None
    return Pieces(copy, build_dots(module, p), groups, held, build_rows(module, p, copy))


def call_dots(b: ir.IRBuilder, p: Plan, pieces: Pieces, a: dict[str, ir.Value]) -> None:
    """A product by dot products."""
    if pieces.groups is None:
        _call_dots_alone(b, p, pieces.dots, a)
        return
    with b.if_else(Numbers(b).has(a["flags"], GROUPS)) as (few, many):
        with few:
            _call_groups(b, p, pieces.groups, a)
        with many:
            _call_dots_alone(b, p, pieces.dots, a)


def _call_dots_alone(b: ir.IRBuilder, p: Plan, dots: ir.Function, a: dict[str, ir.Value]) -> None:
    """A product as it lies, in blocks of k and of rows."""
    num = Numbers(b)
    one_block = num.all(num.less(a["K"], I64(DOT_TERMS + 1)), num.less(a["M"], I64(ROWS + 1)))
    with b.if_else(one_block) as (whole, several):
        with whole:
            _call(b, dots, a)
        with (
            several,
            _blocks_of(b, a["K"], lambda left: _depth(b, p, left, DOT_TERMS)) as (k, terms),
            _blocks_of(b, a["M"], lambda left: num.smaller(left, I64(ROWS))) as (m, rows),
        ):
            block = _terms(b, p, a, k, terms) | {"M": rows}
            block["A"] = num.advance(block["A"], m, a["rsA"], p.item)
            block["C"] = num.advance(a["C"], m, a["rsC"], p.item)
            _call(b, dots, block)


def _call_groups(b: ir.IRBuilder, p: Plan, groups: ir.Function, a: dict[str, ir.Value]) -> None:
    """A product with a few columns, in blocks of k."""
    with _blocks_of(b, a["K"], lambda left: Numbers(b).smaller(left, I64(DEPTH))) as (k, terms):
        _call(b, groups, _terms(b, p, a, k, terms))


def _call(b: ir.IRBuilder, piece: ir.Function, values: dict[str, ir.Value]) -> None:
    b.call(piece, [values[argument.name] for argument in piece.args])


def _terms(
    b: ir.IRBuilder, p: Plan, a: dict[str, ir.Value], k: ir.Value, terms: ir.Value
) -> dict[str, ir.Value]:
    """The product over a block of terms from `k` on: the bias comes with the first, and all others are added to C."""
    num = Numbers(b)
    begun = num.above(k, 0)
    return a | {
        "K": terms,
        "A": num.advance(a["A"], k, a["csA"], p.item),
        "B": num.advance(a["B"], k, a["rsB"], p.item),
        "bias": b.select(begun, I64(0), a["bias"]),
        "flags": b.or_(a["flags"], b.select(begun, I64(ACCUMULATE), I64(0))),
    }


def _depth(b: ir.IRBuilder, p: Plan, left: ir.Value, most: int) -> ir.Value:
    """How many of the terms left to take: two blocks of them are cut alike, so that neither is too short."""
    num = Numbers(b)
    half = b.and_(b.add(b.lshr(left, I64(1)), I64(p.lanes)), I64(-p.lanes))
    several = b.select(num.less(left, I64(2 * most)), half, I64(most))
    return b.select(num.above(left, most), several, left)


def call_block(b: ir.IRBuilder, p: Plan, pieces: Pieces, a: dict[str, ir.Value], buffer: ir.Value) -> None:
    """One block of a product, with B copied to memory at the address `buffer` if `flags` ask for that."""
    num = Numbers(b)
    copies = num.has(a["flags"], COPY)
    # an odd number of vectors: with an even one the rows would meet in a few sets of the cache
    pitch = b.mul(b.or_(num.ceil_div(a["N"], p.lanes), I64(1)), I64(p.lanes))
    with b.if_then(copies):
        b.call(pieces.copy, [a["K"], a["N"], a["B"], a["rsB"], a["csB"], buffer, pitch])
    part = {**a, "B": b.select(copies, buffer, a["B"]), "rsB": b.select(copies, pitch, a["rsB"])}
    if pieces.held is None:
        _call(b, pieces.rows, part)
        return
    # a single tile is done sooner, and strips of very few rows run several chains an element
    few = num.all(num.less(a["K"], I64(TERMS + 1)), num.above(a["M"], p.largest))
    with b.if_else(few) as (short, long):
        with short:
            _call(b, pieces.held, part)
        with long:
            _call(b, pieces.rows, part)


def build_run(module: ir.Module, p: Plan, pieces: Pieces) -> ir.Function:
    """``run(...)``: one thread's product, C's columns contiguous."""
    b, a = define(module, "run", RUN, "alwaysinline")
    num, item = Numbers(b), p.item
    with b.if_then(num.has(a["flags"], DOTS)):
        call_dots(b, p, pieces, a)
        b.ret_void()
    copies = num.has(a["flags"], COPY)
    panel = COPY_BYTES // item // DEPTH // (2 * p.lanes) * 2 * p.lanes
    buffer = stack_buffer(b, p, DEPTH * (panel + p.lanes))

    with b.if_then(is_one_block(b, a)):
        call_block(b, p, pieces, a | {"flags": b.and_(a["flags"], I64(ACCUMULATE | COPY))}, buffer)
        b.ret_void()

    def width(left: ir.Value) -> ir.Value:
        return b.select(num.all(copies, num.above(left, panel)), I64(panel), left)

    with (
        _blocks_of(b, a["K"], lambda left: _depth(b, p, left, DEPTH)) as (k, turns),
        _blocks_of(b, a["N"], width) as (n, columns),
    ):
        block = _terms(b, p, a, k, turns)
        moved = num.advance(block["bias"], n, I64(1), item)
        block |= {
            "N": columns,
            "B": num.advance(block["B"], n, a["csB"], item),
            "C": num.advance(a["C"], n, I64(1), item),
            "bias": b.select(num.equal(block["bias"], 0), I64(0), moved),
        }
        call_block(b, p, pieces, block, buffer)
    b.ret_void()
    return b.function


def is_one_block(b: ir.IRBuilder, a: dict[str, ir.Value]) -> ir.Value:
    """Whether a product is neither cut into blocks nor fetched or copied for the cache's sake, as a bit."""
    return b.and_(
        b.icmp_signed("<=", a["K"], I64(DEPTH)), b.icmp_signed("<=", a["N"], I64(ONE_BLOCK_COLUMNS))
    )


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


# C with strides -----------------------------------------------------------------------------------


def build_blocks(module: ir.Module, p: Plan, run: ir.Function) -> ir.Function:
    """``blocks(..., csC)``: as ``run``, for any strides of C: by blocks, through memory on the stack."""
    b, a = define(module, "blocks", RUN + " csC")
    s, num, item = Scope(b, 1), Numbers(b), p.item
    scratch = stack_buffer(b, p, SCRATCH * SCRATCH)
    target, source = s.pointer(a["C"], p.dtype), s.pointer(scratch, p.dtype)
    with (
        _blocks_of(b, a["M"], lambda left: _even_part(b, left)) as (top, rows),
        _blocks_of(b, a["N"], lambda left: num.smaller(I64(SCRATCH), left)) as (n, columns),
    ):
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
        out = s.at(target, b.add(b.mul(top, a["rsC"]), b.mul(n, a["csC"])))
        _store_block(b, p, a, source, out, (rows, columns))
    b.ret_void()
    return b.function


def _store_block(
    b: ir.IRBuilder,
    p: Plan,
    a: dict[str, ir.Value],
    source: ir.Value,
    out: ir.Value,
    sizes: tuple[ir.Value, ir.Value],
) -> None:
    """Store a block of C that has been computed on the stack, or with ACCUMULATE add it."""
    s, num, (rows, columns) = Scope(b, 1), Numbers(b), sizes
    accumulate = num.has(a["flags"], ACCUMULATE)
    # its rows are all there are, and their elements alternate in memory
    alternating = num.all(num.equal(a["rsC"], 1), num.equal(a["csC"], a["M"]))
    switch = b.switch(b.select(alternating, a["M"], I64(0)), b.append_basic_block("apart"))
    stored = b.append_basic_block("stored")
    for count in ALTERNATING if p.masked else ():
        case = b.append_basic_block(f"alternating{count}")
        switch.add_case(I64(count), case)
        b.position_at_end(case)
        with b.if_else(accumulate) as branches:
            for branch, adds in zip(branches, (True, False), strict=True):
                with branch:
                    _alternate_rows(Scope(b, p.lanes), p, source, out, (count, columns), adds)
        b.branch(stored)
    b.position_at_end(switch.default)
    # vectors where the machine stores lanes apart in one instruction
    wide = Scope(b, p.lanes if host().vector_bytes == 64 else 1)
    with s.loop(I64(0), rows) as r:
        row, place = s.at(source, b.mul(r, I64(SCRATCH))), s.at(out, b.mul(r, a["rsC"]))
        with b.if_else(accumulate) as branches:
            for branch, adds in zip(branches, (True, False), strict=True):
                with branch:
                    _spread_row(wide, p, row, place, a["csC"], columns, adds)
    b.branch(stored)
    b.position_at_end(stored)


def _even_part(b: ir.IRBuilder, left: ir.Value) -> ir.Value:
    """How many of the rows left to take: all, or alike, as a last block of very few would be summed otherwise."""
    num = Numbers(b)
    several = num.above(left, SCRATCH)
    return when(b, several, lambda: num.ceil_div(left, num.ceil_div(left, SCRATCH)), left)


def _alternate_rows(
    s: Scope, p: Plan, source: ir.Value, out: ir.Value, sizes: tuple[int, ir.Value], adds: bool
) -> None:
    """Store columns one after another, or add them: rows of the block alternate in memory without a gap."""
    b, (rows, columns) = s.b, sizes
    with s.loop(I64(0), columns, s.lanes) as n:
        left = b.mul(b.sub(columns, n), I64(rows))
        vectors = [s.load(s.at(source, b.add(n, I64(r * SCRATCH))), p.dtype) for r in range(rows)]
        for k, x in enumerate(alternated(vectors)):
            place = s.at(out, b.add(b.mul(n, I64(rows)), I64(k * s.lanes)))
            mask = s.tail_mask(b.sub(left, I64(k * s.lanes)))
            s.store(s.load(place, p.dtype, mask) + x if adds else x, place, mask)


def alternated(vectors: list[Vec]) -> list[Vec]:
    """Lanes of vectors, a power of two of them, in turns: the first of each, the second of each, and so on."""
    lanes = vectors[0].scope.lanes
    if len(vectors) == 1 or lanes == 1:
        return vectors
    turns = [k // 2 + k % 2 * lanes for k in range(2 * lanes)]
    pairs = zip(alternated(vectors[::2]), alternated(vectors[1::2]), strict=True)
    return [shuffle(x, y, half) for x, y in pairs for half in (turns[:lanes], turns[lanes:])]


def _spread_row(
    s: Scope, p: Plan, row: ir.Value, out: ir.Value, stride: ir.Value, columns: ir.Value, adds: bool
) -> None:
    """Store numbers that lie side by side, or add them, where they belong, `stride` apart."""
    with s.loop(I64(0), columns, s.lanes) as c:
        mask = s.tail_mask(s.b.sub(columns, c)) if s.lanes > 1 else None
        x, cell = s.load(s.at(row, c), p.dtype), s.at(out, s.b.mul(c, stride))
        if mask is None:
            s.store(s.load(cell, p.dtype) + x if adds else x, cell)
        else:
            s.scatter(s.gather(cell, stride, p.dtype, mask) + x if adds else x, cell, stride, mask)
