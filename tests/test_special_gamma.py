"""lgamma, digamma and erfinv: accuracy against many digits, poles, derivatives of higher order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradients import check_gradients
from kernel_harness import kernel, worst_ulp

import jitgrad as torch
from jitgrad.kernels import formula, special_gamma, vector_math

INF, NAN = math.inf, math.nan
EXTENDED = np.finfo(np.longdouble).nmant >= 63
FLOATS = ("float32", "float64")


def _exact(function, x):
    """Values of an mpmath function, to as many places as NumPy has."""
    result = np.empty(x.shape, np.longdouble)
    for k, v in enumerate(x):
        value = function(v)
        high = float(value)
        result[k] = np.longdouble(high) + np.longdouble(float(value - high))
    return result


# name: (where the staged function is, mpmath's, the ranges, bound in ulp for float32 and float64)
RANGES = [(0, 1), (0.9, 1.1), (1.4, 1.5), (1.9, 2.1), (1, 9), (8, 50)]
CASES = {
    "lgamma": (vector_math.lgamma, lambda m, v: m.loggamma(m.mpf(v)), RANGES, 0.51, 4.5),
    "digamma": (vector_math.digamma, lambda m, v: m.psi(0, m.mpf(v)), RANGES, 0.51, 4.5),
    "trigamma": (special_gamma.trigamma, lambda m, v: m.psi(1, m.mpf(v)), [(0.01, 3), (3, 40), (-5, 0)], 7, 6),
    "erfinv": (special_gamma.erfinv, lambda m, v: m.erfinv(m.mpf(v)), [(-0.99, 0.99), (0.4, 0.6), (0.9, 0.9999)],
               4.5, 6),
}  # fmt: skip


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", CASES)
def test_accurate_to_the_last_places(name, dtype):
    mpmath = pytest.importorskip("mpmath")
    if not EXTENDED:
        pytest.skip("NumPy has no wider type than float64 here to compare with")
    function, reference, ranges, *bounds = CASES[name]
    rng = np.random.default_rng(17)
    x = np.concatenate([rng.uniform(*ends, 120) for ends in ranges]).astype(dtype)
    x = x[x != np.rint(x)] if name == "trigamma" else x
    with mpmath.workdps(40):
        exact = _exact(lambda v: reference(mpmath, float(v)), x)
    got = kernel(function, dtype)(x)
    bound = bounds[dtype == "float64"]
    assert worst_ulp(got, exact.astype(np.float64) if dtype == "float32" else exact) <= bound


@pytest.mark.parametrize("dtype", FLOATS)
def test_below_zero(dtype):
    x = np.random.default_rng(5).uniform(-9, 0, 300).astype(dtype)
    x = x[np.abs(x - np.rint(x)) > 1e-3]
    expected = np.array([math.lgamma(v) for v in x.astype(float)])
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(torch.lgamma(torch.tensor(x)).numpy(), expected, rtol=4 * eps, atol=12 * eps)
    # what the reflection and the recurrence say of each other
    y = torch.tensor(x.astype(float))
    left = torch.digamma(y + 1).numpy()
    np.testing.assert_allclose(left - torch.digamma(y).numpy(), 1 / y.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("name", "x", "expected"),
    [
        ("lgamma", [0, -0.0, -1, -2, INF, -INF, NAN, 1, 2, -1e30], [INF] * 6 + [NAN, 0, 0, INF]),
        ("digamma", [0, -0.0, -1, -2, INF, -INF, NAN, -1e30], [-INF, INF, NAN, NAN, INF, NAN, NAN, NAN]),
        ("erfinv", [0, 1, -1, 1.5, -2, NAN, INF], [0, INF, -INF, NAN, NAN, NAN, NAN]),
    ],
)
def test_poles_and_ends(name, x, expected, dtype):
    found = getattr(torch, name)(torch.tensor(np.array(x, dtype)))
    np.testing.assert_array_equal(found.numpy(), np.array(expected, dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_one_lane_computes_what_many_lanes_do(dtype):
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-20, 20, 300), 10.0 ** rng.uniform(-30, 30, 100), [0, 1, 2, INF, NAN]])
    x = x.astype(dtype)
    for name in ("lgamma", "digamma"):
        function = getattr(vector_math, name)
        np.testing.assert_array_equal(kernel(function, dtype, lanes=1)(x), kernel(function, dtype)(x))


def test_references_of_formulas():
    x = np.array([0.3, 1.0, 4.5, 20.0, -0.7])
    for name in ("lgamma", "digamma"):
        found = getattr(torch, name)(torch.tensor(x)).numpy()
        np.testing.assert_allclose(getattr(formula, name)(x), found, rtol=1e-10, atol=1e-12)


def test_erfinv_undoes_erf():
    x = torch.linspace(-4.0, 4.0, 101, dtype=torch.float64)
    np.testing.assert_allclose(torch.erfinv(torch.erf(x)).numpy(), x.numpy(), rtol=0, atol=2e-9)


X = np.array([[0.3, 0.8, 1.46], [2.5, 9.0, -0.6]])


@pytest.mark.parametrize("name", ["lgamma", "digamma", "erfinv"])
def test_derivatives_of_the_first_and_higher_orders(name):
    values = X / 10 if name == "erfinv" else X
    function = getattr(torch, name)
    check_gradients(function, values)
    x = torch.tensor(values, requires_grad=True)
    assert torch.autograd.gradgradcheck(function, [x])

    def slope(a):
        with torch.enable_grad():
            a = a if a.requires_grad else a.detach().requires_grad_()
            return torch.autograd.grad(function(a).sum(), a, create_graph=True)[0]

    assert torch.autograd.gradgradcheck(slope, [x])


def test_derivatives_are_finite_beside_the_poles_of_others():
    x = torch.tensor([1.0, 2.0, 30.0], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(torch.digamma(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    np.testing.assert_allclose(first.detach().numpy()[0], np.pi**2 / 6, rtol=1e-14)
    np.testing.assert_allclose(second.numpy()[0], -2 * 1.2020569031595942, rtol=1e-13)


@pytest.mark.parametrize("name", ["lgamma", "digamma", "erfinv"])
def test_integers_and_writes_in_place(name):
    function = getattr(torch, name)
    whole = torch.tensor([0, 1])
    assert function(whole).dtype is torch.float32
    x = torch.tensor([0.25, 0.5])
    expected = function(x).tolist()
    assert getattr(x, name + "_")() is x
    assert x.tolist() == expected
    with pytest.raises(RuntimeError, match="can't be cast"):
        getattr(whole, name + "_")()
