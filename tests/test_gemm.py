"""The matrix multiply against NumPy in float64: shapes, strides, shares of threads, edges of memory, targets."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
from functools import cache

import numpy as np
import pytest
from other_targets import on_other_targets, run_tests

from jitgrad.kernels import abi, compiler, gemm, gemm_held

DTYPES = {"float32": abi.FLOAT32, "float64": abi.FLOAT64}
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 11, 13, 15, 16, 17, 31, 33, 47, 64, 70)
_CALL = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 16)


@cache
def native(dtype: str):
    code = DTYPES[dtype]
    return _CALL(compiler.native(gemm.NAMES[code], lambda: gemm.build(code)))


def steps(x: np.ndarray) -> list[int]:
    return [s // x.itemsize for s in x.strides]


def multiply(a, b, c, bias=None, *, flags: int = 0, parts: int = 1) -> None:
    """C = A B through the native function, the last part first."""
    function = native(c.dtype.name)
    operands = [v for x in (a, b, c) for v in (x.ctypes.data, *steps(x))]
    bias = 0 if bias is None else bias.ctypes.data
    for part in reversed(range(parts)):
        function(c.shape[0], c.shape[1], a.shape[1], *operands, bias, flags, part, parts)


def check(a, b, c, bias=None, *, accumulate: bool = False, parts: int = 1) -> None:
    """Multiply into `c` and compare: the error of each sum is bounded by the sum of its terms' sizes."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    added = [x.astype(np.float64) for x in (bias, c if accumulate else None) if x is not None]
    expected = sum(added, a64 @ b64)
    size = sum(map(np.abs, added), np.abs(a64) @ np.abs(b64))
    multiply(a, b, c, bias, flags=gemm.ACCUMULATE if accumulate else 0, parts=parts)
    bound = (a.shape[1] + 4) * np.finfo(c.dtype).eps * size
    assert (np.abs(c - expected) <= bound).all(), (a.shape, b.shape, a.strides, b.strides, c.strides)


# matrices of a given shape that lie in memory in different ways
LAYOUTS = {
    "rows": lambda r, m, n, t: r.standard_normal((m, n)).astype(t),
    "columns": lambda r, m, n, t: r.standard_normal((n, m)).astype(t).T,
    "within a larger one": lambda r, m, n, t: r.standard_normal((m + 2, n + 3)).astype(t)[1:-1, 2:-1],
    "steps": lambda r, m, n, t: r.standard_normal((2 * m, 3 * n)).astype(t)[::2, ::3],
    "backwards": lambda r, m, n, t: r.standard_normal((m, n)).astype(t)[::-1, ::-1],
    "one row repeated": lambda r, m, n, t: np.broadcast_to(r.standard_normal(n).astype(t), (m, n)),
    "one column repeated": lambda r, m, n, t: np.broadcast_to(r.standard_normal((m, 1)).astype(t), (m, n)),
}
OUTPUTS = ("rows", "columns", "within a larger one", "steps", "backwards")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
def test_products_of_all_layouts_and_ragged_sizes(left, right, dtype):
    r = np.random.default_rng(len(left) * 100 + len(right))
    for turn, (m, n, k) in enumerate(r.choice(SIZES, (8, 3))):
        a, b = LAYOUTS[left](r, m, k, dtype), LAYOUTS[right](r, k, n, dtype)
        c = LAYOUTS[OUTPUTS[turn % len(OUTPUTS)]](r, m, n, dtype)
        bias = r.standard_normal(n).astype(dtype) if turn % 3 == 0 else None
        check(a, b, c, bias, accumulate=turn % 4 == 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", range(1, 34))
def test_every_number_of_rows(m, dtype):
    r = np.random.default_rng(m)
    for n, k in ((1, 9), (10, 32), (32, 10), (50, 5)):
        for left, right in itertools.product(("rows", "columns"), repeat=2):
            check(LAYOUTS[left](r, m, k, dtype), LAYOUTS[right](r, k, n, dtype), np.empty((m, n), dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_few_columns_of_many_rows_lie_side_by_side(n, dtype):
    """Gradients of weights of few inputs: computed as rows, which then alternate in memory."""
    r = np.random.default_rng(n)
    for m, k in itertools.product((*range(2, 36), 63, 64, 65, 100), (1, 8, 300)):
        a, b = LAYOUTS["columns"](r, m, k, dtype), LAYOUTS["rows"](r, k, n, dtype)
        around = r.standard_normal(m * n + 200).astype(dtype)
        before = around.copy()
        check(a, b, around[100:-100].reshape(m, n), accumulate=(m + k) % 2 == 0, parts=1 + m % 3)
        np.testing.assert_array_equal(around[:100], before[:100])
        np.testing.assert_array_equal(around[-100:], before[-100:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("right", ["columns", "rows", "within a larger one"])
@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_few_columns_go_in_groups(n, right, dtype):
    """Layers with few outputs: dot products in groups, with bias and sums, on rows without gaps and with some."""
    r = np.random.default_rng(n)
    for m, k in itertools.product(
        (6, 7, 8, 9, 11, 13, 15, 17, 21, 27, 40, 61), (7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 33, 256, 513)
    ):
        a, b = LAYOUTS["within a larger one"](r, m, k, dtype), LAYOUTS[right](r, k, n, dtype)
        bias = r.standard_normal(n).astype(dtype) if (m + k) % 4 < 2 else None
        for gap in (0, 3):
            around = r.standard_normal((m + 2) * (n + gap) + gap).astype(dtype)
            before, inside = around.copy(), np.zeros(len(around), bool)
            places = np.arange((m + 2) * (n + gap)).reshape(m + 2, n + gap)[1:-1, :n]
            inside[places] = True
            c = np.lib.stride_tricks.as_strided(
                around[n + gap :], (m, n), ((n + gap) * around.itemsize, around.itemsize)
            )
            check(a, b, c, bias, accumulate=m % 2 == 0, parts=1 + k % 3)
            np.testing.assert_array_equal(around[~inside], before[~inside])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [63, 64, 65, 200, 511, 1024, 1025])
def test_rows_of_many_terms_are_multiplied_with_columns_as_they_lie(k, dtype):
    """Dot products, side by side: with bias and sums, on a C with gaps that stay as they are."""
    r = np.random.default_rng(k)
    for m, n in itertools.product((7, 8, 10, 15, 17, 63, 65), (1, 2, 3, 4, 5, 7, 16, 33)):
        a, b = LAYOUTS["within a larger one"](r, m, k, dtype), LAYOUTS["columns"](r, k, n, dtype)
        bias = r.standard_normal(n).astype(dtype) if m % 2 else None
        around = r.standard_normal((m + 2, n + 3)).astype(dtype)
        before = around.copy()
        check(a, b, around[1:-1, 2:-1], bias, accumulate=n % 2 == 0, parts=1 + m % 3)
        around[1:-1, 2:-1] = before[1:-1, 2:-1]
        np.testing.assert_array_equal(around, before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("right", ["columns", "rows"])
def test_rows_come_to_the_same_in_strips_as_together(right, dtype):
    """Programs cut a batch into strips of more than FEW rows."""
    r = np.random.default_rng(1)
    most = 4 * gemm.FEW
    for n, k in itertools.product((1, 2, 3, 4, 7, 16, 40), (1, 5, 16, 40, 90, 200, 400, 1100)):
        a, b = LAYOUTS["rows"](r, most, k, dtype), LAYOUTS[right](r, k, n, dtype)
        together, in_strips = np.empty((2, most, n), dtype)
        multiply(a, b, together)
        for first, last in itertools.pairwise((0, gemm.FEW + 1, 2 * gemm.FEW + 2, most)):
            multiply(a[first:last], b, in_strips[first:last])
        assert (together == in_strips).all(), (n, k)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("right", ["columns", "rows"])
def test_groups_of_few_columns_keep_nan_and_infinity(right, dtype):
    r = np.random.default_rng(0)
    a, b = LAYOUTS["rows"](r, 20, 11, dtype), LAYOUTS[right](r, 11, 3, dtype)
    a[3, 10], a[5, 0] = np.nan, np.inf
    c = np.empty((20, 3), dtype)
    multiply(a, b, c)
    assert np.isnan(c[3]).all() and (c[5] == np.inf * np.sign(b[0])).all()
    assert np.isfinite(np.delete(c, (3, 5), axis=0)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("left", ["rows", "steps", "one row repeated"])
@pytest.mark.parametrize("k", range(gemm_held.TERMS + 1))
def test_products_of_few_terms_are_those_of_more_terms_that_are_zero(k, left, dtype):
    """B is held in registers then, and not beside it; with bias and sums, on a C with gaps that stay as they are."""
    r = np.random.default_rng(k)
    more = gemm_held.TERMS + 1
    for m, n in itertools.product((5, 15, 16, 17, 39), (7, 16, 31, 32, 33, 100)):
        a, b = LAYOUTS[left](r, m, k, dtype), r.standard_normal((k, n)).astype(dtype)
        wide, high = np.zeros((m, more), dtype), np.zeros((more, n), dtype)
        wide[:, :k], high[:k] = a, b
        bias = r.standard_normal(n).astype(dtype) if m % 2 else None
        around = r.standard_normal((m + 2, n + 3)).astype(dtype)
        expected = around.copy()
        accumulate = n % 2 == 0
        check(a, b, around[1:-1, 2:-1], bias, accumulate=accumulate, parts=1 + m % 3)
        check(wide, high, expected[1:-1, 2:-1], bias, accumulate=accumulate)
        np.testing.assert_array_equal(around, expected)


# shapes that take each way through blocks of k, copies of B, copies of A, and fetching C ahead
LARGE = {
    "k in two blocks": (20, 40, 300, "rows", "rows"),
    "k in three blocks, copied": (20, 40, 700, "rows", "steps"),
    "long dot products": (3, 40, 700, "rows", "columns"),
    "dot products of many rows, k in two blocks": (70, 41, 1100, "rows", "columns"),
    "dot products of many rows, k in three blocks": (130, 35, 2100, "rows", "columns"),
    "columns in blocks": (30, 300, 40, "rows", "columns"),
    "a straight B that is large": (40, 1100, 270, "rows", "rows"),
    "a transposed A that is large": (400, 140, 270, "columns", "rows"),
    "a C that is large": (270, 280, 290, "rows", "rows"),
    "few columns, long sums": (40, 4, 1500, "columns", "rows"),
    "few columns, long rows": (40, 4, 1500, "rows", "rows"),
    "few columns, both long": (40, 3, 1500, "rows", "columns"),
    "one column": (300, 1, 40, "rows", "columns"),
    "one row": (1, 300, 40, "rows", "rows"),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LARGE)
def test_large_shapes_by_any_number_of_threads(name, dtype):
    m, n, k, left, right = LARGE[name]
    r = np.random.default_rng(m)
    a, b = LAYOUTS[left](r, m, k, dtype), LAYOUTS[right](r, k, n, dtype)
    before, bias = r.standard_normal((m, n)).astype(dtype), r.standard_normal(n).astype(dtype)
    results = []
    for parts in (1, 2, 3, 5):
        c = before.copy()
        check(a, b, c, bias, accumulate=True, parts=parts)
        results.append(c.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_result_does_not_depend_on_the_number_of_threads(dtype):
    r = np.random.default_rng(5)
    for turn in range(100):
        m, n, k = r.choice(SIZES, 3)
        left, right = r.choice(list(LAYOUTS), 2)
        a, b = LAYOUTS[left](r, m, k, dtype), LAYOUTS[right](r, k, n, dtype)
        output = OUTPUTS[turn % len(OUTPUTS)]
        results = []
        for parts in (1, 2, 3, 4, 5):
            c = LAYOUTS[output](np.random.default_rng(turn), m, n, dtype)
            multiply(a, b, c, flags=gemm.ACCUMULATE * (turn % 2), parts=parts)
            results.append(c.tobytes())
        assert len(set(results)) == 1, (m, n, k, left, right, output)


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_the_output_is_written(dtype):
    r = np.random.default_rng(6)
    for m, n, k in r.choice(SIZES, (60, 3)):
        a, b = LAYOUTS["rows"](r, m, k, dtype), LAYOUTS["columns"](r, k, n, dtype)
        for step in (1, 2):
            around = np.full((2 * m + 2, step * n + 2), 7, dtype)
            c = around[1 : 2 * m + 1 : 2, 1 : step * n + 1 : step]
            multiply(a, b, c, parts=2)
            c[...] = 7
            assert (around == 7).all(), (m, n, k, step)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_product_over_no_terms(dtype):
    a, b, bias = np.empty((5, 0), dtype), np.empty((0, 20), dtype), np.arange(20, dtype=dtype)
    c = np.full((5, 20), 3, dtype)
    multiply(a, b, c, bias, flags=gemm.ACCUMULATE)
    np.testing.assert_array_equal(c, np.broadcast_to(bias + 3, (5, 20)))
    multiply(a, b, c)
    assert not c.any()
    multiply(a, b.T[:1].T, c[:, :1], bias)
    np.testing.assert_array_equal(c[:, 0], np.zeros(5))


@pytest.mark.parametrize("shape", [(0, 20), (5, 0)])
def test_an_empty_output_is_left_alone(shape):
    c = np.full((5, 20), 3, np.float32)
    multiply(
        np.ones((shape[0], 4), np.float32), np.ones((4, shape[1]), np.float32), c[: shape[0], : shape[1]]
    )
    assert (c == 3).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("right", ["rows", "columns", "steps"])
@pytest.mark.parametrize(("m", "n", "k"), [(1, 40, 30), (3, 5, 17), (20, 35, 30), (40, 1, 9)])
def test_nan_and_infinity_reach_what_they_belong_to_and_nothing_else(m, n, k, right, dtype):
    a = np.ones((m, k), dtype)
    b = LAYOUTS[right](np.random.default_rng(0), k, n, dtype)
    a[0, k // 2] = np.nan
    a[-1, 0] = np.inf if m > 1 else np.nan
    b[0, -1] = 0  # infinity times zero
    c = np.empty((m, n), dtype)
    multiply(a, b, c)
    assert np.isnan(c[0]).all()
    assert np.isfinite(c[1:-1]).all()
    assert np.isnan(c[-1, -1])
    assert not np.isfinite(c[-1]).any()


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mprotect") if os.name == "posix" else True, reason="POSIX"
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("side", ["before", "after"])
def test_nothing_is_read_outside_the_operands(side, dtype):
    r = np.random.default_rng(7)
    fences = [Fence(side) for _ in range(4)]
    for turn, (m, n, k) in enumerate(r.choice(SIZES[:-3], (120, 3))):
        fenced = []
        for fence, (rows, columns), turned in zip(
            fences, [(m, k), (k, n), (m, n), (1, n)], [turn & 1, turn & 2, 0, 0], strict=True
        ):
            x = fence.array((columns, rows) if turned else (rows, columns), dtype)
            x[...] = r.standard_normal(x.shape)
            fenced.append(x.T if turned else x)
        check(fenced[0], fenced[1], fenced[2], fenced[3][0], accumulate=turn % 3 == 0)


class Fence:
    """Memory with a page beside it that may not be touched."""

    def __init__(self, side: str) -> None:
        page, self.size, self.side = mmap.PAGESIZE, 64 * 1024, side
        self.memory = mmap.mmap(-1, self.size + 2 * page)
        start = np.frombuffer(self.memory, np.uint8).ctypes.data
        for place in (start, start + page + self.size):
            library = ctypes.CDLL(None, use_errno=True)
            assert library.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(page), 0) == 0

    def array(self, shape, dtype) -> np.ndarray:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        start = mmap.PAGESIZE + (0 if self.side == "before" else self.size - size)
        return np.frombuffer(self.memory, dtype, int(np.prod(shape)), start).reshape(shape)


@pytest.mark.parametrize(("m", "n"), [(20, 35), (40, 1), (1, 40)])
def test_a_bias_for_any_strides_of_c_in_two_parts(m, n):
    r = np.random.default_rng(8)
    a, b, bias = r.standard_normal((m, 300)), r.standard_normal((300, n)), r.standard_normal(n)
    for c in (np.empty((m, n)), np.empty((n, m)).T, np.empty((m, 2 * n))[:, ::2]):
        multiply(a, b, c, bias, parts=2)
        np.testing.assert_allclose(c, a @ b + bias, rtol=1e-12, atol=1e-12)


@on_other_targets
def test_on_another_target(target):
    run_tests(target, "layouts or every_number or threads or outside or many_terms or strips", __file__)
