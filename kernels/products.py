"""Matrix products and the linear layer, on the matrix multiply of `kernels.gemm`.

Rows in several leading dimensions become one dimension where strides allow, so a batch of sequences costs one
matrix multiply. Each product is shared among threads inside the matrix multiply, or batch by batch when there
are enough of them; either way the result does not depend on their number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from llvmlite import ir

from . import abi, few_inputs, gemm, vjps
from .batch import samples_first
from .column_sums import Rows, column_sums, column_sums_by_rows
from .gemm_tiles import ACCUMULATE, WRITE
from .nest import share
from .operands import Arrays, array_kernel
from .product_plans import plan_linear, plan_matmul
from .stage import I64
from .table import LINEAR, MATMUL, array_op


class Matrix(NamedTuple):
    """A matrix in memory: address and strides in elements."""

    address: ir.Value
    rows: ir.Value
    columns: ir.Value

    @property
    def turned(self) -> Matrix:
        """The transposed matrix."""
        return Matrix(self.address, self.columns, self.rows)


class Products:
    """Writes matrix products into a kernel."""

    def __init__(self, arrays: Arrays, dtype: int) -> None:
        self.arrays, self.b, self.dtype = arrays, arrays.b, dtype
        self.item = abi.ITEM_SIZES[dtype]

    def moved(self, matrix: Matrix, elements: ir.Value) -> Matrix:
        """The matrix that begins `elements` further on."""
        b = self.b
        return matrix._replace(address=b.add(matrix.address, b.mul(elements, I64(self.item))))

    def multiply(
        self,
        sizes: tuple[ir.Value, ir.Value, ir.Value],
        matrices: tuple[Matrix, Matrix, Matrix],
        share_of: tuple[ir.Value, ir.Value],
        bias: ir.Value | None = None,
        flags: ir.Value | None = None,
    ) -> None:
        """``c = a @ b``: sizes m, n, k; matrices a, b, c."""
        a, b, c = matrices
        values = {
            **dict(zip("MNK", sizes, strict=True)),
            "A": a.address, "rsA": a.rows, "csA": a.columns,
            "B": b.address, "rsB": b.rows, "csB": b.columns,
            "C": c.address, "rsC": c.rows, "csC": c.columns,
            "bias": bias if bias is not None else I64(0),
            "flags": flags if flags is not None else I64(WRITE),
            "part": share_of[0], "parts": share_of[1],
        }  # fmt: skip
        gemm.call(self.arrays.scope, self.dtype, values)

    def last(self, k: int, back: int) -> ir.Value:
        """Number of the dimension that stands `back` from the end of array `k`."""
        return self.b.sub(self.arrays.dims(k), I64(back))

    def matrix(self, k: int) -> Matrix:
        """The last two dimensions of array `k`."""
        arrays = self.arrays
        strides = [arrays.stride(k, self.last(k, back)) for back in (2, 1)]
        return Matrix(arrays.address(k), *strides)

    def rows(self, k: int) -> tuple[ir.Value, ir.Value, ir.Value]:
        """All dimensions of array `k` but the last as one: whether strides allow it, the stride, the size."""
        b, arrays, one = self.b, self.arrays, self.arrays.scope
        fits, stride, expected, count = (one.variable(I64) for _ in range(4))
        for cell, value in ((fits, 1), (stride, 0), (expected, 0), (count, 1)):
            b.store(I64(value), cell)
        leading = self.last(k, 1)
        with b.if_else(b.icmp_signed("==", leading, I64(1))) as (one_dimension, several):
            with one_dimension:
                b.store(arrays.size(k, 0), count)
                b.store(arrays.stride(k, 0), stride)
            with several:
                self._fold(k, leading, (fits, stride, expected, count))
        empty = b.icmp_signed("==", b.load(count), I64(0))
        fits_bit = b.or_(empty, b.icmp_signed("!=", b.load(fits), I64(0)))
        return fits_bit, b.load(stride), b.load(count)

    def _fold(self, k: int, leading: ir.Value, cells: tuple[ir.Value, ...]) -> None:
        """Fold the first `leading` dimensions of array `k` from the last of them on, see `rows`."""
        b, arrays, one = self.b, self.arrays, self.arrays.scope
        fits, stride, expected, count = cells
        with one.loop(I64(0), leading) as back:
            d = b.sub(b.sub(leading, I64(1)), back)
            size, step = arrays.size(k, d), arrays.stride(k, d)
            with b.if_then(b.icmp_signed("!=", size, I64(1))):
                first = b.icmp_signed("==", b.load(count), I64(1))
                with b.if_else(first) as (begin, go_on):
                    with begin:
                        b.store(step, stride)
                    with go_on:
                        even = b.icmp_signed("==", step, b.load(expected))
                        b.store(b.select(even, b.load(fits), I64(0)), fits)
                b.store(b.mul(step, size), expected)
                b.store(b.mul(b.load(count), size), count)

    def row_matrix(self, k: int, stride: ir.Value) -> Matrix:
        """Array `k` as a matrix whose rows lie `stride` apart."""
        return Matrix(self.arrays.address(k), stride, self.arrays.stride(k, self.last(k, 1)))

    def blocks(self, ks: tuple[int, ...], count: ir.Value, last: int):
        """Offsets of the arrays `ks` at each point of their dimensions but the last `last`."""
        arrays, b = self.arrays, self.b
        dims = b.sub(arrays.dims(ks[0]), I64(last))
        with arrays.scope.loop(I64(0), count) as point:
            yield point, arrays.offset(ks, dims, I64(-1), point)


def _begin(symbol: str, dtype: int):
    module, arrays, part, parts = array_kernel(symbol)
    return module, Products(arrays, dtype), (part, parts)


# the linear layer -----------------------------------------------------------------------------------


def build_linear(symbol: str, dtype: int) -> ir.Module:
    """``y = x @ w.T + bias``; arrays x, w, bias, y."""
    module, p, threads = _begin(symbol, dtype)
    b, arrays = p.b, p.arrays
    features, depth = arrays.size(1, 0), arrays.size(1, 1)
    w = Matrix(arrays.address(1), arrays.stride(1, 0), arrays.stride(1, 1)).turned
    bias = arrays.address(2)
    lone = b.icmp_signed("!=", features, I64(1))
    odd_bias = b.and_(b.and_(arrays.present(2), lone), b.icmp_signed("!=", arrays.stride(2, 0), I64(1)))
    x_fits, x_stride, rows = p.rows(0)
    y_fits, y_stride, _ = p.rows(3)
    with b.if_else(b.and_(b.and_(x_fits, y_fits), b.not_(odd_bias))) as (whole, odd):
        with whole:
            matrices = (p.row_matrix(0, x_stride), w, p.row_matrix(3, y_stride))
            p.multiply((rows, features, depth), matrices, threads, bias)
        with odd, b.if_then(b.icmp_signed("==", threads[0], I64(0))):
            _linear_by_rows(p, (rows, features, depth), w, odd_bias)
    b.ret_void()
    return module


def _linear_by_rows(
    p: Products, sizes: tuple[ir.Value, ir.Value, ir.Value], w: Matrix, odd_bias: ir.Value
) -> None:
    """The rare case: rows that lie anywhere, a bias with gaps."""
    b, arrays, one = p.b, p.arrays, p.arrays.scope
    rows, features, depth = sizes
    bias = b.select(odd_bias, I64(0), arrays.address(2))
    x, y = p.row_matrix(0, I64(0)), p.row_matrix(3, I64(0))
    alone = (I64(0), I64(1))
    for _point, (x_offset, y_offset) in p.blocks((0, 3), rows, 1):
        matrices = (p.moved(x, x_offset), w, p.moved(y, y_offset))
        p.multiply((I64(1), features, depth), matrices, alone, bias)
        with b.if_then(odd_bias), one.loop(I64(0), features) as n:
            place = one.at(arrays.pointer(3, p.dtype), b.add(y_offset, b.mul(n, y.columns)))
            term = one.at(arrays.pointer(2, p.dtype), b.mul(n, arrays.stride(2, 0)))
            one.store(one.load(place, p.dtype) + one.load(term, p.dtype), place)


def build_linear_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = g @ w``, ``gw = g.T @ x``, ``gbias = sum(g)``; arrays x, w, bias, y, g, gx, gw, gbias."""
    module, p, threads = _begin(symbol, dtype)
    b, arrays = p.b, p.arrays
    features, depth = arrays.size(1, 0), arrays.size(1, 1)
    g_fits, g_stride, rows = p.rows(4)
    with b.if_then(arrays.present(5)):
        _input_gradient(p, (rows, depth, features), g_fits, g_stride, threads)
    g, (x_fits, x_stride, _) = p.row_matrix(4, g_stride), p.rows(0)
    both = b.and_(arrays.present(6), arrays.present(7))
    suits = b.and_(b.and_(g_fits, x_fits), few_inputs.suits_bit(b, features, depth, g.columns))
    with b.if_then(b.and_(both, suits)):
        x, results = p.row_matrix(0, x_stride), (arrays.address(6), arrays.address(7))
        given = (g.address, g.rows, *x, *results, rows, features, depth, *threads)
        few_inputs.call(arrays.scope, dtype, given)
        b.ret_void()
    with b.if_then(arrays.present(6)):
        _weight_gradient(p, (features, depth, rows), g_fits, g_stride, threads)
    with b.if_then(arrays.present(7)), b.if_else(g_fits) as (even, odd):
        with even:
            sums = Rows(g.address, g.rows, g.columns, rows, features)
            column_sums(arrays.scope, dtype, arrays.pointer(7, dtype), sums, threads)
        with odd:
            column_sums_by_rows(p, rows, features, threads)
    b.ret_void()
    return module


def _input_gradient(p: Products, sizes, g_fits: ir.Value, g_stride: ir.Value, threads) -> None:
    b, arrays = p.b, p.arrays
    w = Matrix(arrays.address(1), arrays.stride(1, 0), arrays.stride(1, 1))
    rows, depth, features = sizes
    gx = Matrix(arrays.address(5), depth, I64(1))
    with b.if_else(g_fits) as (whole, odd):
        with whole:
            p.multiply(sizes, (p.row_matrix(4, g_stride), w, gx), threads)
        with odd:
            g = p.row_matrix(4, I64(0))
            for point, (offset,) in p.blocks((4,), rows, 1):
                target = p.moved(gx, b.mul(point, depth))
                p.multiply((I64(1), depth, features), (p.moved(g, offset), w, target), threads)


def _weight_gradient(p: Products, sizes, g_fits: ir.Value, g_stride: ir.Value, threads) -> None:
    b, arrays = p.b, p.arrays
    features, depth, rows = sizes
    gw = Matrix(arrays.address(6), depth, I64(1))
    x_fits, x_stride, _ = p.rows(0)
    with b.if_else(b.and_(g_fits, x_fits)) as (whole, odd):
        with whole:
            p.multiply(sizes, (p.row_matrix(4, g_stride).turned, p.row_matrix(0, x_stride), gw), threads)
        with odd:
            g, x = p.row_matrix(4, I64(0)), p.row_matrix(0, I64(0))
            for point, (g_offset, x_offset) in p.blocks((4, 0), rows, 1):
                flags = b.select(b.icmp_signed("==", point, I64(0)), I64(WRITE), I64(ACCUMULATE))
                matrices = (p.moved(g, g_offset).turned, p.moved(x, x_offset), gw)
                p.multiply((features, depth, I64(1)), matrices, threads, flags=flags)


# matrix products ------------------------------------------------------------------------------------


def build_matmul(symbol: str, dtype: int) -> ir.Module:
    """``y = a @ b`` on the last two dimensions; arrays a, b, y, with leading dimensions expanded."""
    module, p, threads = _begin(symbol, dtype)
    arrays = p.arrays
    m, k = (arrays.size(0, p.last(0, back)) for back in (2, 1))
    n = arrays.size(1, p.last(1, 1))
    _batched(p, (0, 1, 2), (m, n, k), (False, False), threads)
    p.b.ret_void()
    return module


def build_matmul_backward(symbol: str, dtype: int) -> ir.Module:
    """``ga = g @ b.T``, ``gb = a.T @ g``; arrays a, b, y, g, ga, gb."""
    module, p, threads = _begin(symbol, dtype)
    arrays = p.arrays
    m, k = (arrays.size(0, p.last(0, back)) for back in (2, 1))
    n = arrays.size(1, p.last(1, 1))
    with p.b.if_then(arrays.present(4)):
        _batched(p, (3, 1, 4), (m, k, n), (False, True), threads)
    with p.b.if_then(arrays.present(5)):
        _batched(p, (0, 3, 5), (k, n, m), (True, False), threads)
    p.b.ret_void()
    return module


def _batched(p: Products, ks: tuple[int, int, int], sizes, turned: tuple[bool, bool], threads) -> None:
    """Array ``ks[2]`` = product of the other two, batch by batch; without batches of its own, their sum."""
    b, arrays, one = p.b, p.arrays, p.arrays.scope
    base = [p.matrix(k) for k in ks]
    base = [x.turned if t else x for x, t in zip(base, (*turned, False), strict=True)]
    single = b.icmp_signed("==", arrays.dims(ks[0]), I64(2))
    fold, folded = _folding(p, ks, sizes, base, turned)
    with b.if_else(b.or_(single, fold)) as (once, many):
        with once:
            plain = (*sizes, *base)
            chosen = [_select(b, fold, x, y) for x, y in zip((*folded[0], *folded[1]), plain, strict=True)]
            p.multiply(tuple(chosen[:3]), tuple(chosen[3:]), threads)  # type: ignore[arg-type]
        with many:
            batch = one.variable(I64)
            own = one.variable(I64)
            b.store(I64(1), batch)
            b.store(I64(1), own)
            with one.loop(I64(0), p.last(ks[0], 2)) as d:
                b.store(b.mul(b.load(batch), arrays.size(ks[0], d)), batch)
            # a result that lacks leading dimensions is written at the first turns and added to at the others
            area = b.mul(sizes[0], sizes[1])
            count = b.load(batch)
            nothing = b.icmp_signed("==", area, I64(0))
            own_count = b.udiv(arrays.numel(ks[2]), b.select(nothing, I64(1), area))
            enough = b.and_(b.icmp_signed("==", own_count, count), b.icmp_signed(">=", count, threads[1]))
            begin, end = share(one, count, *threads, 1)
            begin, end = b.select(enough, begin, I64(0)), b.select(enough, end, count)
            part = b.select(enough, I64(0), threads[0])
            parts = b.select(enough, I64(1), threads[1])
            wanted = b.icmp_signed("!=", arrays.numel(ks[2]), I64(0))
            with b.if_then(b.and_(wanted, b.icmp_signed("==", count, I64(0)))):
                # a sum over no batch: multiply over no terms, which writes zeros
                p.multiply((sizes[0], sizes[1], I64(0)), tuple(base), threads)  # type: ignore[arg-type]
            dims = p.last(ks[0], 2)
            with one.loop(begin, end) as point:
                offsets = arrays.offset(ks, dims, I64(-1), point)
                matrices = [p.moved(x, o) for x, o in zip(base, offsets, strict=True)]
                flags = b.select(b.icmp_signed("<", point, own_count), I64(WRITE), I64(ACCUMULATE))
                p.multiply(sizes, tuple(matrices), (part, parts), flags=flags)  # type: ignore[arg-type]


def _folding(p: Products, ks, sizes, base, turned):
    """Whether batches can be taken as more rows (or, for a sum over batches, as more terms), and how."""
    b, arrays = p.b, p.arrays
    m, n, k = sizes
    if turned[0]:
        # a.T @ g summed over all batches: their rows are terms of one product
        lacking = _without_batch(p, ks[2])
        fits_a, stride_a, rows = p.rows(ks[0])
        fits_g, stride_g, _ = p.rows(ks[1])
        a = base[0]._replace(columns=stride_a)
        g = base[1]._replace(rows=stride_g)
        fold = b.and_(lacking, b.and_(fits_a, fits_g))
        return fold, ((m, n, rows), (a, g, base[2]))
    # one matrix for every batch: the other's rows are rows of one product
    lacking = _without_batch(p, ks[1])
    fits_a, stride_a, rows = p.rows(ks[0])
    fits_y, stride_y, _ = p.rows(ks[2])
    a = base[0]._replace(rows=stride_a)
    y = base[2]._replace(rows=stride_y)
    # the result must have a place of its own for each of those rows
    full = b.icmp_signed("==", arrays.numel(ks[2]), b.mul(rows, n))
    fold = b.and_(b.and_(lacking, full), b.and_(fits_a, fits_y))
    return fold, ((rows, n, k), (a, base[1], y))


def _without_batch(p: Products, k: int) -> ir.Value:
    """Whether array `k` has a stride of 0 along all dimensions but the last two, as a bit."""
    b, arrays, one = p.b, p.arrays, p.arrays.scope
    total = one.variable(I64)
    b.store(I64(0), total)
    with one.loop(I64(0), p.last(k, 2)) as d:
        b.store(b.or_(b.load(total), arrays.stride(k, d)), total)
    return b.icmp_signed("==", b.load(total), I64(0))


def _select(b: ir.IRBuilder, bit: ir.Value, x, y):
    if isinstance(x, Matrix):
        return Matrix(*(b.select(bit, u, v) for u, v in zip(x, y, strict=True)))
    return b.select(bit, x, y)


def reference_linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """NumPy's linear layer."""
    return x @ w.T if bias is None else x @ w.T + bias


array_op(
    "linear",
    ("x", "w", "bias"),
    build_linear,
    backward=build_linear_backward,
    gradients={"x": ("w",), "w": ("x",), "bias": ()},
    vjp={"x": vjps.linear_x, "w": vjps.linear_w, "bias": vjps.linear_bias},
    rule=LINEAR,
    requires=(gemm.provide, few_inputs.provide),
    reference=reference_linear,
    batch=samples_first("x", "y", shared=("w", "bias"), products=True),
    plan=plan_linear,
)
array_op(
    "matmul",
    ("a", "b"),
    build_matmul,
    backward=build_matmul_backward,
    gradients={"a": ("b",), "b": ("a",)},
    vjp={"a": vjps.matmul_a, "b": vjps.matmul_b},
    rule=MATMUL,
    requires=(gemm.provide,),
    reference=np.matmul,
    plan=plan_matmul,
)
