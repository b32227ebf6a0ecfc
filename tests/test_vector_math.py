"""The mathematical functions on staged vectors: errors in ulp, special values, other targets."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import kernel_harness
import numpy as np
import pytest
from kernel_harness import EXTENDED, FLOATS, kernel, specials, worst_ulp
from other_targets import on_other_targets, run_tests

from jitgrad.kernels import vector_math
from jitgrad.kernels.host import host


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, 0) + np.log1p(np.exp(-np.abs(x)))


def _lift(f: Callable[[float], float]) -> Callable[[np.ndarray], np.ndarray]:
    return np.vectorize(f, otypes=[float])


class Case(NamedTuple):
    """One function: its reference and the largest errors allowed, in ulp."""

    name: str
    reference: Callable
    error32: float
    error64: float
    plain: float  # for both, without fused multiply-add
    low: float  # the range that is sampled besides arbitrary bit patterns
    high: float


CASES = [
    Case("sqrt", np.sqrt, 0.5, 0.5, 0.5, 0.0, 10.0),
    Case("rsqrt", lambda x: 1 / np.sqrt(x), 1.5, 1.5, 1.5, 0.0, 10.0),
    Case("exp", np.exp, 1.01, 1.0, 1.2, -80.0, 80.0),
    Case("exp2", np.exp2, 0.9, 0.9, 1.2, -120.0, 120.0),
    Case("expm1", np.expm1, 1.5, 1.95, 2.2, -3.0, 3.0),
    Case("log", np.log, 0.95, 0.9, 1.5, 0.3, 3.0),
    Case("log2", np.log2, 1.15, 1.1, 2.2, 0.3, 3.0),
    Case("log10", np.log10, 1.1, 1.05, 2.2, 0.3, 3.0),
    Case("log1p", np.log1p, 1.6, 1.4, 2.2, -0.8, 3.0),
    Case("sin", np.sin, 1.8, 1.75, 2.1, -1e5, 1e5),
    Case("cos", np.cos, 1.8, 1.75, 2.1, -1e5, 1e5),
    Case("tan", np.tan, 2.0, 2.25, 2.3, -1e5, 1e5),
    Case("arcsin", np.arcsin, 1.75, 1.65, 2.2, -1.0, 1.0),
    Case("arccos", np.arccos, 1.2, 1.2, 2.2, -1.0, 1.0),
    Case("arctan", np.arctan, 1.3, 1.25, 2.2, -5.0, 5.0),
    Case("sinh", np.sinh, 1.5, 1.85, 2.4, -10.0, 10.0),
    Case("cosh", np.cosh, 1.5, 1.5, 2.2, -10.0, 10.0),
    Case("tanh", np.tanh, 1.0 if host().vector_bytes == 64 else 1.1, 1.4, 2.2, -3.0, 3.0),
    Case("sigmoid", _sigmoid, 1.0, 1.0, 2.4, -20.0, 20.0),
    Case("softplus", _softplus, 1.8, 1.7, 2.5, -10.0, 10.0),
]
IDS = [c.name for c in CASES]


def samples(case: Case, dtype: str, count: int) -> np.ndarray:
    """Arbitrary bit patterns, special values, and numbers from the case's range."""
    rng = np.random.default_rng(7)
    integer = np.dtype(dtype.replace("float", "int"))
    info = np.iinfo(integer)
    bits = rng.integers(info.min, info.max, count, dtype=integer).view(dtype)
    return np.concatenate([specials(dtype), bits, rng.uniform(case.low, case.high, count).astype(dtype)])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_ulp_bound(case: Case, dtype: str) -> None:
    if dtype == "float64" and not EXTENDED:
        pytest.skip("NumPy has no wider type than float64 here to compare with")
    x = samples(case, dtype, 20_000)
    got = kernel(getattr(vector_math, case.name), dtype)(x)
    with np.errstate(all="ignore"):
        exact = case.reference(x.astype(np.float64 if dtype == "float32" else np.longdouble))
    bound = case.error32 if dtype == "float32" else case.error64
    assert worst_ulp(got, exact) <= (bound if host().fma else case.plain)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_zeros_keep_their_sign(case: Case, dtype: str) -> None:
    x = np.array([0.0, -0.0], dtype)
    got = kernel(getattr(vector_math, case.name), dtype)(x)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(np.signbit(got), np.signbit(case.reference(x)))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_one_lane_computes_what_many_lanes_do(case: Case, dtype: str) -> None:
    x = samples(case, dtype, 300)
    function = getattr(vector_math, case.name)
    np.testing.assert_array_equal(kernel(function, dtype, lanes=1)(x), kernel(function, dtype)(x))


@pytest.mark.parametrize("lanes", [2, 8, 64])
@pytest.mark.parametrize("name", ["exp", "sin", "log", "floor", "tanh"])
def test_any_number_of_lanes(name: str, lanes: int) -> None:
    x = np.random.default_rng(5).uniform(0, 1e7, 200).astype(np.float32)
    function = getattr(vector_math, name)
    got = kernel(function, "float32", lanes=lanes)(x)
    np.testing.assert_array_equal(got, kernel(function, "float32")(x))


@pytest.mark.parametrize("name", vector_math.__all__)
def test_no_function_calls_a_library(name: str) -> None:
    function = getattr(vector_math, name)
    count = function.__code__.co_argcount
    for dtype in FLOATS:
        text = kernel_harness.assembly(function, *[dtype] * count)
        symbols = set(re.findall(r"\$([A-Za-z_]\w*)|call\w*\s+([A-Za-z_]\w*)", text))
        # two functions and two tables are part of the kernels
        own = ("reduce_huge_angle", "remainder_of_large_quotient", "inverse_pi", "segments_of_tanh")
        assert not [s for pair in symbols for s in pair if s and not s.startswith(own)]


@pytest.mark.parametrize(("name", "error32"), [("erf", 1.2), ("erfc", 4.3)])
def test_error_functions_in_float32(name: str, error32: float) -> None:
    case = Case(name, _lift(getattr(math, name)), error32, 0, error32 + 1, -4.0, 10.0)
    x = samples(case, "float32", 20_000)
    got = kernel(getattr(vector_math, name), "float32")(x)
    with np.errstate(invalid="ignore"):  # some of the bit patterns are signalling nans
        exact = case.reference(x.astype(float))
    assert worst_ulp(got, exact) <= (error32 if host().fma else case.plain)


@pytest.mark.parametrize(("name", "error64"), [("erf", 1.1), ("erfc", 6.0)])
def test_error_functions_in_float64(name: str, error64: float) -> None:
    mpmath = pytest.importorskip("mpmath")
    if not EXTENDED:
        pytest.skip("NumPy has no wider type than float64 here to compare with")
    x = np.random.default_rng(3).uniform(-6, 20, 1500)
    got = kernel(getattr(vector_math, name), "float64")(x)
    exact = np.empty(x.shape, np.longdouble)
    with mpmath.workdps(40):
        for k, v in enumerate(x):
            value = getattr(mpmath, name)(mpmath.mpf(float(v)))
            high = float(value)
            exact[k] = np.longdouble(high) + np.longdouble(float(value - high))
    assert worst_ulp(got, exact) <= (error64 if host().fma else error64 + 1)


def _cdf(x: float) -> float:
    return 0.5 * math.erfc(-x * math.sqrt(0.5))


def _gelu_slope(x: float) -> float:
    return _cdf(x) + (x * math.exp(-0.5 * x * x) / math.sqrt(2 * math.pi) if abs(x) < 40 else 0.0)


@pytest.mark.parametrize(
    ("name", "reference", "bound32", "bound64"),
    [("normal_cdf", _cdf, 2.0**-22.2, 2.0**-51), ("gelu_slope", _gelu_slope, 2.0**-21.9, 2.0**-50)],
)
@pytest.mark.parametrize("dtype", FLOATS)
def test_absolute_error(name: str, reference: Callable, bound32: float, bound64: float, dtype: str) -> None:
    case = Case(name, _lift(reference), 0, 0, 0, -7.0, 7.0)
    x = samples(case, dtype, 20_000)
    got = kernel(getattr(vector_math, name), dtype)(x)
    with np.errstate(invalid="ignore", over="ignore"):  # some of the bit patterns are signalling nans
        exact = case.reference(x.astype(float))
    bound = bound32 if dtype == "float32" else bound64
    np.testing.assert_allclose(got, exact, rtol=0, atol=bound if host().fma else 2 * bound)


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_normal_distribution_ends_at_exactly_zero_and_one(dtype: str) -> None:
    x = np.array([-math.inf, -1e30, -50.0, 0.0, 50.0, 1e30, math.inf], dtype)
    np.testing.assert_array_equal(kernel(vector_math.normal_cdf, dtype)(x), [0, 0, 0, 0.5, 1, 1, 1])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("name", "reference", "error32", "error64"),
    [
        ("decay", np.exp, 1.01, 1.0),
        ("decay_below", lambda x: np.exp(np.minimum(x, 0)), 1.01, 1.0),
        ("expm1_below", lambda x: np.expm1(np.minimum(x, 0)), 1.5, 1.95),
    ],
)
def test_exponentials_below_zero(
    name: str, reference: Callable, error32: float, error64: float, dtype: str
) -> None:
    if dtype == "float64" and not EXTENDED:
        pytest.skip("NumPy has no wider type than float64 here to compare with")
    end = -86.0 if dtype == "float32" else -700.0
    rng = np.random.default_rng(9)
    x = np.concatenate([rng.uniform(end, 0, 20_000), rng.uniform(-3, 0, 20_000), [0.0, math.nan]])
    if name != "decay":
        x = np.concatenate([x, rng.uniform(0, 100, 300), [math.inf]])
    x = x.astype(dtype)
    got = kernel(getattr(vector_math, name), dtype)(x)
    exact = reference(x.astype(np.float64 if dtype == "float32" else np.longdouble))
    bound = error32 if dtype == "float32" else error64
    assert worst_ulp(got, exact) <= (bound if host().fma else 2.2)
    limit = {"decay": 0, "decay_below": 0, "expm1_below": -1}[name]
    far = np.array([2 * end, -1e30, -math.inf], dtype)
    np.testing.assert_array_equal(kernel(getattr(vector_math, name), dtype)(far), limit)


@pytest.mark.parametrize("dtype", FLOATS)
def test_sine_of_huge_angles(dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.concatenate([2.0 ** np.arange(20, info.maxexp - 1), np.pi * 2.0 ** np.arange(20, 120)]).astype(
        dtype
    )
    for name in ("sin", "cos", "tan"):
        got = kernel(getattr(vector_math, name), dtype)(x)
        exact = np.array([getattr(math, name)(v) for v in x.astype(float)])
        np.testing.assert_allclose(got, exact, rtol=4 * info.eps)


@pytest.mark.parametrize("dtype", FLOATS)
def test_results_underflow_gradually(dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.linspace(np.log(info.smallest_subnormal), np.log(info.tiny), 200).astype(dtype)
    got = kernel(vector_math.exp, dtype)(x)
    np.testing.assert_allclose(got, np.exp(x.astype(float)), rtol=0, atol=info.smallest_subnormal)
    assert np.count_nonzero(got) > 190


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "rint", "absolute"])
def test_rounding_is_exact(name: str, dtype: str) -> None:
    limit = 2.0 ** np.finfo(dtype).nmant
    x = np.concatenate(
        [specials(dtype), np.arange(-5, 5, 0.25), [limit - 0.5, 0.5 - limit, limit / 2 + 0.5, limit + 1]]
    ).astype(dtype)
    got, expected = kernel(getattr(vector_math, name), dtype)(x), getattr(np, name)(x)
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(np.where(np.isnan(x), got, expected)))


@pytest.mark.parametrize("dtype", FLOATS)
def test_isnan_finds_nan_only(dtype: str) -> None:
    x = specials(dtype)
    np.testing.assert_array_equal(kernel(vector_math.isnan, dtype, output="bool")(x), np.isnan(x))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_integer_lanes(dtype: str) -> None:
    info, rng = np.iinfo(dtype), np.random.default_rng(4)
    edges = np.array([0, 1, 2, 3, 7, info.max, info.max - 1, info.min, info.min + 1], dtype)
    x, y = (m.ravel() for m in np.meshgrid(edges, edges))
    x = np.concatenate([x, rng.integers(info.min, info.max, 100, dtype=dtype)])
    y = np.concatenate([y, rng.integers(max(info.min, -20), 20, 100, dtype=dtype)])
    exponent = rng.integers(0, 70, x.size).astype(dtype)
    with np.errstate(all="ignore"):
        for name, reference in [
            ("minimum", np.minimum),
            ("maximum", np.maximum),
            ("floor_quotient", np.floor_divide),
        ]:
            np.testing.assert_array_equal(
                kernel(getattr(vector_math, name), dtype, dtype)(x, y), reference(x, y)
            )
        for name in ("fmod", "remainder"):
            got = kernel(getattr(vector_math, name), dtype, dtype)(x, y)
            np.testing.assert_array_equal(got, np.where(y == 0, x, getattr(np, name)(x, y)))
        powers = kernel(vector_math.power, dtype, dtype)(x, exponent)
        np.testing.assert_array_equal(powers, np.power(x, exponent))
        np.testing.assert_array_equal(kernel(lambda v: vector_math.power(v, 5), dtype)(x), x**5)
        np.testing.assert_array_equal(kernel(vector_math.absolute, dtype)(x), np.abs(x))
        np.testing.assert_array_equal(kernel(vector_math.floor, dtype)(x), x)
        assert not kernel(vector_math.isnan, dtype, output="bool")(x).any()


@on_other_targets
def test_on_another_target(target: str) -> None:
    choice = "ulp or in_float or absolute or below or ends or library or exact or integer or huge or gradually or c99"
    run_tests(target, choice, __file__, __file__.replace(".py", "_pairs.py"))
