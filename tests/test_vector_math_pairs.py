"""The mathematical functions of two staged vectors: errors in ulp, special values, exact ones, plain numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernel_harness import EXTENDED, FLOATS, kernel, specials, worst_ulp

from jitgrad.kernels import vector_math
from jitgrad.kernels.host import host


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(("name", "bound"), [("power", 1.05), ("arctan2", 1.5)])
def test_ulp_bound_of_two_arguments(name: str, bound: float, dtype: str) -> None:
    if dtype == "float64" and not EXTENDED:
        pytest.skip("NumPy has no wider type than float64 here to compare with")
    rng = np.random.default_rng(11)
    special = [m.ravel() for m in np.meshgrid(specials(dtype), specials(dtype))]
    x = np.concatenate([special[0], rng.uniform(0, 10, 20_000), rng.uniform(0.99, 1.01, 20_000)])
    y = np.concatenate([special[1], rng.uniform(-30, 30, 20_000), rng.uniform(-5e3, 5e3, 20_000)])
    x, y = x.astype(dtype), y.astype(dtype)
    got = kernel(getattr(vector_math, name), dtype, dtype)(x, y)
    wide = np.float64 if dtype == "float32" else np.longdouble
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(wide), y.astype(wide))
    assert worst_ulp(got, exact) <= (bound if host().fma else 2.7)
    zero = got == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(exact[zero]))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("x", "y", "expected"),
    [
        (0.0, 0.0, 1.0),
        (math.nan, 0.0, 1.0),
        (1.0, math.nan, 1.0),
        (-1.0, math.nan, math.nan),
        (-1.0, math.inf, 1.0),
        (-8.0, 1 / 3, math.nan),
        (-2.0, 3.0, -8.0),
        (-2.0, -2.0, 0.25),
        (-0.0, 3.0, -0.0),
        (-0.0, 2.0, 0.0),
        (-0.0, -1.0, -math.inf),
        (0.0, -2.0, math.inf),
        (0.5, math.inf, 0.0),
        (0.5, -math.inf, math.inf),
        (-math.inf, 3.0, -math.inf),
        (-math.inf, 0.5, math.inf),
        (-math.inf, -3.0, -0.0),
        (math.inf, -0.5, 0.0),
    ],
)
def test_power_follows_c99(x: float, y: float, expected: float, dtype: str) -> None:
    got = kernel(vector_math.power, dtype, dtype)(np.array([x], dtype), np.array([y], dtype))[0]
    np.testing.assert_equal(float(got), expected)
    assert math.isnan(expected) or math.copysign(1, got) == math.copysign(1, expected)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 4, 0.5, -1, -2, 2.5, -0.5])
def test_power_with_a_known_exponent(exponent: float, dtype: str) -> None:
    x = np.array([0.3, 2.0, 7.5, 0.0, -0.0, math.inf, -math.inf, -3.0, 1e-20, 1e15], dtype)
    got = kernel(lambda v: vector_math.power(v, exponent), dtype)(x)
    with np.errstate(all="ignore"):
        # an array of exponents: NumPy takes a scalar 1/2 for a square root, which differs at -infinity
        expected = np.power(x.astype(float), np.full(x.shape, exponent)).astype(dtype)
    np.testing.assert_allclose(got, expected, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_plain_numbers_stand_on_either_side(dtype: str) -> None:
    x = np.array([0.25, 1.5, 3.0, -2.0, math.nan], dtype)
    for name in ("power", "arctan2", "copysign", "minimum", "maximum", "floor_quotient", "fmod", "remainder"):
        function = getattr(vector_math, name)
        reference = {"floor_quotient": np.floor_divide}.get(name) or getattr(np, name)
        tolerance = 2 * np.finfo(dtype).eps
        with np.errstate(all="ignore"):
            got = kernel(lambda v, f=function: f(v, 1.5), dtype)(x)
            np.testing.assert_allclose(got, reference(x, np.dtype(dtype).type(1.5)), rtol=tolerance)
            got = kernel(lambda v, f=function: f(1.5, v), dtype)(x)
            np.testing.assert_allclose(got, reference(np.dtype(dtype).type(1.5), x), rtol=tolerance)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["minimum", "maximum", "copysign", "floor_quotient", "fmod", "remainder"])
def test_exact_functions_of_two_arguments(name: str, dtype: str) -> None:
    rng = np.random.default_rng(2)
    special = [m.ravel() for m in np.meshgrid(specials(dtype), specials(dtype))]
    x = np.concatenate([special[0], rng.uniform(-10, 10, 500)]).astype(dtype)
    y = np.concatenate([special[1], rng.choice([0.1, -0.3, 0.7, 2.0], 500)]).astype(dtype)
    reference = {"floor_quotient": np.floor_divide}.get(name) or getattr(np, name)
    with np.errstate(all="ignore"):
        expected = reference(x, y)
    np.testing.assert_array_equal(kernel(getattr(vector_math, name), dtype, dtype)(x, y), expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_remainders_are_exact_whatever_the_quotient(dtype: str) -> None:
    rng = np.random.default_rng(3)
    integer = np.dtype(dtype.replace("float", "uint"))
    x, y = rng.integers(0, np.iinfo(integer).max, (2, 20000), integer, endpoint=True).view(dtype)
    for name in ("fmod", "remainder"):
        with np.errstate(all="ignore"):
            expected = getattr(np, name)(x, y)
        np.testing.assert_array_equal(kernel(getattr(vector_math, name), dtype, dtype)(x, y), expected)
    left = kernel(vector_math.fmod, dtype, dtype)(x, y)
    np.testing.assert_array_equal(np.signbit(left[left == 0]), np.signbit(x[left == 0]))
