"""Small matrix products of programs are planned once, and give what unplanned ones give, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_records import row_in_parts
from sample_values import draw
from switched import with_and_without

import jitgrad as torch
from jitgrad import nn
from jitgrad.kernels import gemm, planned
from jitgrad.kernels.abi import DTYPE_NAMES, R_KERNEL

SIDES = (1, 2, 3, 4, 5, 7, 16, 17, 33)
DTYPES = ("float32", "float64")


def is_planned(row, dtype: str) -> bool:
    return int(row.words[R_KERNEL]) == planned.address(DTYPE_NAMES.index(dtype))


def both(function, *arguments):
    """The rows of a function, which gives with and without plans the same."""
    _, program, _ = with_and_without("plans", function, *arguments)
    return program.rows


LINEAR_ARGUMENTS = {
    "rows": lambda rng, m, k, dtype: draw(rng, (m, k), dtype),
    "columns": lambda rng, m, k, dtype: draw(rng, (k, m), dtype).t(),
    "a sequence": lambda rng, m, k, dtype: draw(rng, (2, m, k), dtype),
    "one": lambda rng, m, k, dtype: draw(rng, (k,), dtype),
    "part of a row": lambda rng, m, k, dtype: draw(rng, (m, k + 3), dtype)[:, 1:-2],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", LINEAR_ARGUMENTS)
def test_linear_layers(kind, bias, dtype):
    rng = np.random.default_rng(len(kind))
    for m, n, k in rng.choice(SIDES, (6, 3)).tolist():
        weight = draw(rng, (n, k), dtype).requires_grad_()
        terms = [draw(rng, (n,), dtype).requires_grad_()] if bias else []

        def step(x, g, weight=weight, terms=terms):
            y = nn.functional.linear(x, weight, *terms)
            return y, *torch.autograd.grad(y, [weight, *terms], g)

        x = LINEAR_ARGUMENTS[kind](rng, m, k, dtype)
        rows = both(step, x, draw(rng, (*x.shape[:-1], n), dtype))
        assert is_planned(rows[0], dtype)


@pytest.mark.parametrize("wanted", [("x",), ("weight",), ("bias",), ("x", "bias"), ("weight", "bias")])
def test_layers_of_which_only_some_gradients_are_wanted(wanted):
    rng = np.random.default_rng(5)
    values = {"x": draw(rng, (9, 5), "float32"), "weight": draw(rng, (4, 5), "float32")}
    values["bias"] = draw(rng, (4,), "float32")

    def step(x, weight, bias, g):
        given = {"x": x, "weight": weight, "bias": bias}
        given = {k: v.detach().requires_grad_(k in wanted) for k, v in given.items()}
        y = nn.functional.linear(given["x"], given["weight"], given["bias"])
        return torch.autograd.grad(y, [given[k] for k in wanted], g)

    rows = both(step, *values.values(), draw(rng, (9, 4), "float32"))
    assert is_planned(rows[-1], "float32")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("turned", [(False, False), (True, False), (False, True), (True, True)])
def test_matrix_products_and_their_gradients(turned, dtype):
    rng = np.random.default_rng(7)

    def step(a, b, g):
        a, b = a.detach().requires_grad_(), b.detach().requires_grad_()
        y = (a.t() if turned[0] else a) @ (b.t() if turned[1] else b)
        return y, *torch.autograd.grad(y, [a, b], g)

    for m, n, k in rng.choice(SIDES, (6, 3)).tolist():
        shapes = ((k, m) if turned[0] else (m, k), (n, k) if turned[1] else (k, n), (m, n))
        rows = both(step, *[draw(rng, shape, dtype) for shape in shapes])
        products = [row for row in rows if row.op == "matmul"]
        assert len(products) == 2 and all(is_planned(row, dtype) for row in products)


def test_large_products_are_left_as_they_are():
    rng = np.random.default_rng(0)
    x, w = draw(rng, (40, 300), "float32"), draw(rng, (300, 130), "float32")
    rows = both(lambda x, w: (x @ w,), x, w)
    assert not any(is_planned(row, "float32") for row in rows)


def test_products_over_no_terms_or_no_rows_are_left_as_they_are():
    for m, k in ((0, 3), (3, 0)):
        x, w = torch.zeros(m, k), torch.zeros(4, k)
        rows = both(lambda x, w: (nn.functional.linear(x, w),), x, w)
        assert not any(is_planned(row, "float32") for row in rows)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_plan_takes_the_ways_that_the_multiply_would(dtype):
    """Operands are turned over, copied or multiplied as dot products by the words of the plan."""
    code = DTYPE_NAMES.index(dtype)
    left, right, out = 101, 102, 103

    def plan(m, n, k, a, b, c=(0, 1), bias=0):
        steps = dict(zip("abc", (a, b, c if c[0] else (n, 1)), strict=True))
        words = [m, n, k, left, *steps["a"], right, *steps["b"], out, *steps["c"], bias, 0]
        found = gemm.planned(code, words)
        return found and dict(zip(gemm.PRODUCT.split(), found, strict=True))

    usual = plan(8, 16, 16, (16, 1), (16, 1))
    assert usual is not None and (usual["A"], usual["B"], usual["flags"]) == (left, right, 0)
    copied = plan(40, 16, 8, (8, 1), (1, 8))  # few terms
    assert copied is not None and copied["flags"] == gemm.COPY
    straight = plan(8, 16, 160, (160, 1), (1, 160))  # many terms for so few rows
    assert straight is not None and straight["flags"] == gemm.DOTS
    turned = plan(16, 3, 64, (1, 16), (3, 1))  # three columns leave lanes empty in vectors of any length
    assert turned is not None and (turned["A"], turned["B"], turned["csC"]) == (right, left, 3)
    column = plan(8, 1, 16, (16, 1), (1, 16), bias=104)
    assert column is not None and (column["bias"], column["lone"], column["flags"]) == (0, 104, gemm.DOTS)
    assert plan(8, 200, 16, (16, 1), (200, 1)) is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_any_number_of_threads_shares_a_planned_row(dtype):
    rng = np.random.default_rng(3)
    for m, n, k in ((40, 33, 17), (8, 16, 16), (33, 2, 5), (50, 3, 9), (4, 1, 7)):
        layer = nn.Linear(k, n, dtype=getattr(torch, dtype))

        def step(x, g, layer=layer):
            x = x.detach().requires_grad_()
            y = layer(x)
            return y, *torch.autograd.grad(y, [x, *layer.parameters()], g)

        one = torch.compile(step, fullgraph=True)
        data = draw(rng, (m, k), dtype), draw(rng, (m, n), dtype)
        one(*data)
        rows = [row for row in one.program(*data).rows if is_planned(row, dtype)]
        assert len(rows) == 2
        for row in rows:
            assert len({tuple(row_in_parts(row, parts)) for parts in (1, 2, 3, 5)}) == 1
