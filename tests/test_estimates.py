"""Quotients and roots by estimates: their errors, and where the estimates are nothing to go by."""

from __future__ import annotations

import math

import numpy as np
import pytest
from kernel_harness import kernel, worst_ulp

from jitgrad.kernels import vector_math

ERRORS = {"inverse": {"float32": 1.0, "float64": 0.5}, "root": {"float32": 0.6, "float64": 0.5}}
EXACT = {"inverse": lambda x: 1 / x, "root": np.sqrt}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ERRORS)
def test_ulp_bound(name: str, dtype: str) -> None:
    wide = np.float64 if dtype == "float32" else np.longdouble
    if np.finfo(wide).nmant <= np.finfo(dtype).nmant:
        pytest.skip("NumPy has no wider type than float64 here to compare with")
    rng = np.random.default_rng(5)
    x = np.exp2(rng.uniform(-120, 120, 100_000)).astype(dtype)
    got = kernel(getattr(vector_math, name), dtype)(x)
    assert worst_ulp(got, EXACT[name](x.astype(wide))) <= ERRORS[name][dtype] + 0.01


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_roots_of_numbers_at_the_ends(dtype: str) -> None:
    info = np.finfo(dtype)
    x = np.array([0, info.tiny, info.max, -1, -info.tiny, math.nan], dtype)
    with np.errstate(invalid="ignore"):
        expected = np.sqrt(x)
    np.testing.assert_allclose(kernel(vector_math.root, dtype)(x), expected, rtol=2 * info.eps, atol=0)
    # in float32 infinity counts as the largest number
    assert kernel(vector_math.root, dtype)(np.full(16, math.inf, dtype)).min() >= np.sqrt(info.max) * 0.999


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16, 32])
def test_estimates_are_the_same_in_any_number_of_lanes(lanes: int) -> None:
    x = np.random.default_rng(6).uniform(-4, 4, 96).astype(np.float32)
    for function in (vector_math.normal_cdf, lambda v: v * vector_math.inverse(v * v + 1)):
        np.testing.assert_array_equal(
            kernel(function, "float32", lanes=lanes)(x), kernel(function, "float32")(x)
        )
