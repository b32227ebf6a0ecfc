"""Scaled dot-product attention: ``softmax(scale q k.T + mask) v`` for every head, in one kernel each way.

No matrix of scores is stored. On the way forward the lanes of a vector are queries, so maxima and sums over keys
need no work across lanes; keys are taken in blocks, with the sums rescaled when a later block has a larger maximum
(Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018). What is kept is the result and, for
each query, the logarithm of its sum of exponentials. On the way back the lanes are keys: probabilities are made
again from scores and logarithms, and the inner products of results and cotangents stand in for the sums that the
gradient of softmax needs (Dao et al., "FlashAttention", 2022). A query with no key at all has result and gradients 0.

Threads share heads (forward also blocks of queries), so the result does not depend on their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

from . import abi, attention_vjps
from .attention_parts import (
    A_OPERAND_ROW_DIM,
    A_ROW_DIM,
    BIAS,
    G_BIAS,
    GK,
    GQ,
    GV,
    KEEP,
    LSE,
    Attention,
    G,
    K,
    Q,
    V,
    Y,
    weight_of,
)
from .attention_tiles import Matrix
from .batch import Batch, Strip
from .formula import log
from .nest import share
from .softmax import add, larger
from .stage import I64, Vec
from .table import array_op

MAX_WIDTH = 256  # elements of a head: a tile of each operand lies on the stack
MAX_QUERIES = 4096
KEY_BLOCK = 256  # keys whose scores are on the stack on the way forward
QUERY_BLOCK = 64  # queries whose scores are on the stack on the way back


# forward ----------------------------------------------------------------------------------------------


def build_attention(symbol: str, dtype: int) -> ir.Module:
    """Arrays q, k, v, bias, keep, y, lse; attributes scale, causal, row dimension, and the factor of what is kept."""
    a = Attention(symbol, dtype, (Q, K, V), (Y,))
    b, one, heads = a.b, a.one, a.heads
    blocks = b.sdiv(b.add(heads.queries, I64(a.lanes - 1)), I64(a.lanes))
    begin, end = share(one, b.mul(heads.count(), blocks), a.part, a.parts, 1)
    forward = _Forward(a)
    with one.loop(begin, end) as unit:
        head = b.udiv(unit, blocks)
        forward.block(head, b.mul(b.sub(unit, b.mul(head, blocks)), I64(a.lanes)))
    b.ret_void()
    return a.module


class _Forward:
    def __init__(self, a: Attention) -> None:
        self.a = a
        self.query, self.result = (a.tiles.room(MAX_WIDTH * a.lanes) for _ in range(2))
        self.scores = a.tiles.room(KEY_BLOCK * a.lanes)
        vector = a.wide.type(a.dtype)
        self.top, self.total = (a.one.variable(vector) for _ in range(2))

    def block(self, head: ir.Value, first: ir.Value) -> None:
        """One vector of queries of one head, from query `first` on."""
        a = self.a
        b, s, heads, tiles = a.b, a.wide, a.heads, a.tiles
        kinds = dict.fromkeys((Q, K, V, BIAS, Y), a.dtype) | {KEEP: abi.BOOL}
        m = heads.matrices(kinds, head)
        left = b.sub(heads.queries, first)
        inside = s.tail_mask(left)
        tiles.fetch_columns(m[Q], first, left, heads.inner, self.query, a.scale)
        b.store(a.constant(-math.inf).value, self.top)
        b.store(a.constant(0.0).value, self.total)
        tiles.clear(self.result, heads.values)
        reach = a.smaller(heads.keys, b.add(first, I64(a.lanes)))
        limit = b.select(a.causal, reach, heads.keys)
        with s.loop(I64(0), limit, KEY_BLOCK) as j:
            self._keys(m, first, inside, j, a.smaller(b.sub(limit, j), I64(KEY_BLOCK)))
        total = Vec(s, b.load(self.total), a.dtype)
        nothing = total == 0.0
        share_of = nothing.select(a.constant(0.0), 1.0 / total)
        tiles.put_columns(self.result, m[Y], first, left, heads.values, share_of)
        top = Vec(s, b.load(self.top), a.dtype)
        kept = nothing.select(a.constant(0.0), top + log(total))
        place = b.add(b.mul(head, heads.queries), first)
        s.store(kept, s.at(a.arrays.pointer(LSE, a.dtype), place), inside)

    def _keys(
        self, m: dict[int, Matrix], first: ir.Value, inside: ir.Value, j: ir.Value, n: ir.Value
    ) -> None:
        """Take in `n` keys from key `j` on."""
        a = self.a
        b, s, heads, tiles, dtype = a.b, a.wide, a.heads, a.tiles, a.dtype
        keys = m[K]._replace(pointer=s.at(m[K].pointer, b.mul(j, m[K].rows)))
        tiles.product(n, heads.inner, keys, self.query, self.scores, 0)
        with b.if_then(a.biased):
            self._add_bias(m[BIAS], first, inside, j, n)
        old = Vec(s, b.load(self.top), dtype)
        limit = a.last_key(a.counted(first))

        def seen(r: ir.Value) -> Vec:
            return a.index(b.add(j, r)) <= limit

        def score(r: ir.Value) -> Vec:
            return seen(r).select(s.load(tiles.row(self.scores, r), dtype), a.constant(-math.inf))

        def weight(r: ir.Value) -> Vec:
            place = tiles.row(self.scores, r)
            p = seen(r).select(weight_of(s.load(place, dtype) - shift), a.constant(0.0))
            s.store(a.when(a.dropping, p, lambda x: self._drop(m, first, inside, b.add(j, r), x)), place)
            return p

        top = a.fold(n, old, larger, score)
        shift = (top == -math.inf).select(a.constant(0.0), top)
        total = a.fold(n, a.constant(0.0), add, weight)
        fade = weight_of(old - shift)
        b.store((Vec(s, b.load(self.total), dtype) * fade + total).value, self.total)
        b.store(top.value, self.top)
        with (
            b.if_then(b.icmp_signed("!=", j, I64(0))),
            tiles.each_row(self.result, heads.values) as (_, place),
        ):
            s.store(s.load(place, dtype) * fade, place)
        values = Matrix(s.at(m[V].pointer, b.mul(j, m[V].rows)), m[V].columns, m[V].rows)
        tiles.product(heads.values, n, values, self.scores, self.result, 1)

    def _add_bias(self, bias: Matrix, first: ir.Value, inside: ir.Value, j: ir.Value, n: ir.Value) -> None:
        a = self.a
        b, s = a.b, a.wide
        with a.tiles.each_row(self.scores, n) as (r, place):
            start = b.add(b.mul(first, bias.rows), b.mul(b.add(j, r), bias.columns))
            x = s.gather(s.at(bias.pointer, start), bias.rows, a.dtype, inside)
            s.store(s.load(place, a.dtype) + x, place)

    def _drop(self, m, first: ir.Value, inside: ir.Value, key: ir.Value, p: Vec) -> Vec:
        a = self.a
        b, s, keep = a.b, a.wide, m[KEEP]
        start = b.add(b.mul(first, keep.rows), b.mul(key, keep.columns))
        stays = s.gather(s.at(keep.pointer, start), keep.rows, abi.BOOL, inside)
        return stays.select(p * a.keep_scale, a.constant(0.0))


# backward ---------------------------------------------------------------------------------------------


def build_attention_backward(symbol: str, dtype: int) -> ir.Module:
    """Arrays q, k, v, bias, keep, y, lse, g, -, gq, gk, gv, gbias, -."""
    a = Attention(symbol, dtype, (Q, K, V, GQ, GK, GV), (Y, G))
    begin, end = share(a.one, a.heads.count(), a.part, a.parts, 1)
    backward = _Backward(a)
    with a.one.loop(begin, end) as head:
        backward.head(head)
    a.b.ret_void()
    return a.module


class _Backward:
    def __init__(self, a: Attention) -> None:
        self.a = a
        room = a.tiles.room
        self.keys, self.values, self.g_keys, self.g_values, self.rows = (
            room(MAX_WIDTH * a.lanes) for _ in range(5)
        )
        self.scores, self.weights = (room(QUERY_BLOCK * a.lanes) for _ in range(2))
        self.sums = room(MAX_QUERIES + a.lanes)
        self.wanted = {k: a.arrays.present(k) for k in (GQ, GK, GV, G_BIAS)}

    def head(self, head: ir.Value) -> None:
        """One head."""
        a = self.a
        b, s, heads, tiles = a.b, a.wide, a.heads, a.tiles
        kinds = dict.fromkeys((Q, K, V, BIAS, Y, G, GQ, GK, GV, G_BIAS), a.dtype) | {KEEP: abi.BOOL}
        m = heads.matrices(kinds, head)
        statistics = s.at(a.arrays.pointer(LSE, a.dtype), b.mul(head, heads.queries))
        self._inner_products(m)
        with b.if_then(b.and_(self.wanted[GQ], b.icmp_signed("==", heads.keys, I64(0)))):
            self._clear(m[GQ])
        with s.loop(I64(0), heads.keys, a.lanes) as j:
            left = b.sub(heads.keys, j)
            inside = s.tail_mask(left)
            tiles.fetch_columns(m[K], j, left, heads.inner, self.keys, None)
            tiles.fetch_columns(m[V], j, left, heads.values, self.values, None)
            tiles.clear(self.g_keys, heads.inner)
            tiles.clear(self.g_values, heads.values)
            count = a.smaller(left, I64(a.lanes))
            rows = self._key_rows(m[K], j, count)
            start = b.select(a.causal, a.smaller(j, heads.queries), I64(0))
            with s.loop(start, heads.queries, QUERY_BLOCK) as i:
                n = a.smaller(b.sub(heads.queries, i), I64(QUERY_BLOCK))
                self._queries(m, statistics, (i, n), (j, count), inside, rows)
            with b.if_then(self.wanted[GK]):
                tiles.put_columns(self.g_keys, m[GK], j, left, heads.inner, None)
            with b.if_then(self.wanted[GV]):
                tiles.put_columns(self.g_values, m[GV], j, left, heads.values, None)

    def _inner_products(self, m: dict[int, Matrix]) -> None:
        """For every query the inner product of its result and its cotangent."""
        a = self.a
        b, s, heads, tiles = a.b, a.wide, a.heads, a.tiles
        # these tiles are still free
        tiles_of = {Y: self.keys, G: self.values}
        with s.loop(I64(0), heads.queries, a.lanes) as i:
            left = b.sub(heads.queries, i)
            for k, tile in tiles_of.items():
                tiles.fetch_columns(m[k], i, left, heads.values, tile, None)
            with s.carried(I64(0), heads.values, 1, [a.constant(0.0)]) as (e, (total,), carry):
                y, g = (s.load(tiles.row(tile, e), a.dtype) for tile in tiles_of.values())
                carry.next(total + y * g)
            s.store(carry.final[0], s.at(self.sums, i))

    def _clear(self, matrix: Matrix) -> None:
        heads, one, b = self.a.heads, self.a.one, self.a.b
        with one.loop(I64(0), heads.queries) as i, one.loop(I64(0), heads.inner) as e:
            place = one.at(matrix.pointer, b.add(b.mul(i, matrix.rows), e))
            one.store(one.constant(self.a.dtype, 0.0), place)

    def _key_rows(self, keys: Matrix, j: ir.Value, count: ir.Value) -> Matrix:
        """The keys from `j` on with contiguous rows, for the gradient of the queries: a copy if it must be."""
        a = self.a
        b, s, one, width = a.b, a.wide, a.one, a.heads.inner
        start = s.at(keys.pointer, b.mul(j, keys.rows))
        far = b.icmp_signed("!=", keys.columns, I64(1))
        with (
            b.if_then(b.and_(far, self.wanted[GQ])),
            one.loop(I64(0), count) as r,
            one.loop(I64(0), width) as e,
        ):
            x = one.load(one.at(start, b.add(b.mul(r, keys.rows), b.mul(e, keys.columns))), a.dtype)
            one.store(x, one.at(self.rows, b.add(b.mul(r, I64(MAX_WIDTH)), e)))
        return Matrix(b.select(far, self.rows, start), b.select(far, I64(MAX_WIDTH), keys.rows), I64(1))

    def _queries(self, m, statistics: ir.Value, queries, keys, inside: ir.Value, rows: Matrix) -> None:
        """Take in the queries ``i .. i + n`` for one vector of keys."""
        a = self.a
        b, s, heads, tiles = a.b, a.wide, a.heads, a.tiles
        (i, n), (j, count) = queries, keys
        q, g = (x._replace(pointer=s.at(x.pointer, b.mul(i, x.rows))) for x in (m[Q], m[G]))
        tiles.product(n, heads.inner, q, self.keys, self.scores, 0)
        tiles.product(n, heads.values, g, self.values, self.weights, 0)
        special = b.or_(b.or_(a.biased, a.dropping), self.wanted[G_BIAS])
        with b.if_else(special) as (other, usual):
            for block, write in ((other, True), (usual, False)):
                with block, s.loop(I64(0), n) as r:
                    self._gradient_of_scores(
                        m, s.at(statistics, b.add(i, r)), b.add(i, r), r, j, inside, write
                    )
        with b.if_then(self.wanted[GV]):
            turned = Matrix(g.pointer, g.columns, g.rows)
            tiles.product(heads.values, n, turned, self.weights, self.g_values, 1)
        with b.if_then(self.wanted[GK]):
            turned = Matrix(q.pointer, q.columns, q.rows)
            tiles.product(heads.inner, n, turned, self.scores, self.g_keys, 1)
        with b.if_then(self.wanted[GQ]):
            later = b.zext(b.icmp_signed("!=", j, I64(0)), I64)
            target = m[GQ]._replace(pointer=s.at(m[GQ].pointer, b.mul(i, m[GQ].rows)))
            left = Matrix(self.scores, I64(a.lanes), I64(1))
            tiles.wide_product((n, heads.inner, count), left, rows, target, later)

    def _gradient_of_scores(self, m, statistic, query, r, j, inside, special: bool) -> None:
        """One query: from scores and the cotangents of its weights to its weights and the scores' cotangents.

        Only with `special` there may be a bias or dropout, or the gradient of a bias be wanted.
        """
        a = self.a
        b, s, tiles, dtype = a.b, a.wide, a.tiles, a.dtype
        place, other = tiles.row(self.scores, r), tiles.row(self.weights, r)
        bias, keep = m[BIAS], m[KEEP]

        def biased(x: Vec) -> Vec:
            start = b.add(b.mul(query, bias.rows), b.mul(j, bias.columns))
            return x + s.gather(s.at(bias.pointer, start), bias.columns, dtype, inside)

        def drop(x: Vec) -> Vec:
            start = b.add(b.mul(query, keep.rows), b.mul(j, keep.columns))
            stays = s.gather(s.at(keep.pointer, start), keep.columns, abi.BOOL, inside)
            return stays.select(x * a.keep_scale, a.constant(0.0))

        x, gp = s.load(place, dtype) * a.scale, s.load(other, dtype)
        if special:
            x, gp = a.when(a.biased, x, biased), a.when(a.dropping, gp, drop)
        seen = a.counted(j) <= a.last_key(a.index(query))
        p = seen.select(weight_of(x - a.scalar(statistic)), a.constant(0.0))
        gs = p * (gp - a.scalar(s.at(self.sums, query)))
        s.store(gs * a.scale, place)
        s.store(a.when(a.dropping, p, drop) if special else p, other)
        if special:
            with b.if_then(self.wanted[G_BIAS]):
                target = m[G_BIAS]
                start = b.add(b.mul(query, target.rows), b.mul(j, target.columns))
                s.store(gs, s.at(target.pointer, start), inside)


def _heads_apart(words: Sequence[int], strip: Strip) -> list[int] | None:
    """Samples go one by one unless what lies along dimension 0 is queries and keys."""
    return list(words) if words[A_OPERAND_ROW_DIM] and words[A_ROW_DIM] else None


_READS = ("q", "k", "v", "bias", "keep", "y", "y1")
array_op(
    "attention",
    ("q", "k", "v", "bias", "keep"),
    build_attention,
    backward=build_attention_backward,
    gradients=dict.fromkeys(("q", "k", "v", "bias"), _READS),
    vjp={
        "q": attention_vjps.attention_q,
        "k": attention_vjps.attention_k,
        "v": attention_vjps.attention_v,
        "bias": attention_vjps.attention_bias,
    },
    operand_dtypes={"keep": abi.BOOL},
    outputs=2,
    batch=Batch(dict.fromkeys(("q", "k", "v", "y", "y1"), 0), attributes=_heads_apart),
    grad_name="ScaledDotProductAttention",
)
