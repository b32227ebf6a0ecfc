"""Orthonormal and triangular factors: every form, gradients, very small and large numbers, no reflection."""

from __future__ import annotations

import numpy as np
import pytest
from linalg_cases import TOLERANCES, close

import jitgrad as torch
from jitgrad import linalg
from jitgrad.autograd import gradcheck, gradgradcheck

QR_SHAPES = [(2, 5, 3), (4, 4), (3, 5), (20, 7), (7, 20), (33, 33), (2, 1), (1, 2), (0, 3), (3, 0), (0, 3, 2)]


@pytest.mark.parametrize("shape", QR_SHAPES)
@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_orthonormal_factors_of_every_form(shape, mode):
    a = np.random.default_rng(6).standard_normal(shape)
    found = linalg.qr(torch.tensor(a), mode)
    close(tuple(found), tuple(np.linalg.qr(a, mode)), 1e-11)
    empty, r = linalg.qr(torch.tensor(a), "r")
    assert empty.shape == (0,)
    close(r, np.linalg.qr(a, "r"), 1e-11)


@pytest.mark.parametrize("shape", QR_SHAPES[:3])
def test_gradients_of_both_orthonormal_and_triangular_factors(shape):
    x = torch.tensor(np.random.default_rng(7).standard_normal(shape), requires_grad=True)
    for function in (lambda x: tuple(linalg.qr(x)), lambda x: linalg.qr(x).R, lambda x: linalg.qr(x).Q):
        assert gradcheck(function, (x,)) and gradgradcheck(function, (x,))


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e25])
@pytest.mark.parametrize("dtype", TOLERANCES, ids=lambda d: d.name)
def test_orthonormal_factors_of_very_small_and_large_numbers(scale, dtype):
    scale = scale if dtype is torch.float32 else scale**7
    a = np.random.default_rng(6).standard_normal((5, 3))
    q, r = linalg.qr(torch.tensor(a * scale, dtype=dtype))
    close((q, r / scale), tuple(np.linalg.qr(a)), TOLERANCES[dtype])


def test_a_column_that_is_nearly_along_its_axis_is_reflected_exactly():
    a = np.array([[1.0, 2.0], [1e-9, 3.0], [-1e-9, 4.0]])
    q, r = linalg.qr(torch.tensor(a))
    np.testing.assert_allclose((q @ r).numpy(), a, rtol=1e-6)
    np.testing.assert_allclose((q.mT @ q).numpy(), np.eye(2), atol=1e-15)


def test_columns_that_need_no_reflection_are_left_alone():
    a = np.triu(np.arange(1.0, 10).reshape(3, 3)) * [[1], [-1], [1]]
    q, r = linalg.qr(torch.tensor(a))
    np.testing.assert_array_equal(q.numpy(), np.eye(3))
    np.testing.assert_array_equal(r.numpy(), a)
    q, r = linalg.qr(torch.zeros(3, 2))
    np.testing.assert_array_equal(q.numpy(), np.eye(3, 2))


@pytest.mark.parametrize("shape", [(70, 37), (41, 41), (2, 36, 35)])
@pytest.mark.parametrize("name", ["qr", "lu_factor"])
@pytest.mark.parametrize("turned", [False, True], ids=["in rows", "in columns"])
def test_gradients_of_larger_factors_are_those_of_their_formulas(name, shape, turned):
    rng = np.random.default_rng(9)
    x = torch.tensor(rng.standard_normal(shape), requires_grad=True)
    factors = [f for f in getattr(linalg, name)(x) if f.requires_grad]
    given = [torch.tensor(rng.standard_normal(f.mT.shape if turned else f.shape)) for f in factors]
    given = [g.mT if turned else g for g in given]
    (found,) = torch.autograd.grad(factors, x, given, retain_graph=True)
    (expected,) = torch.autograd.grad(factors, x, given, create_graph=True)  # records the formulas on tensors
    np.testing.assert_allclose(found.numpy(), expected.detach().numpy(), rtol=1e-6, atol=1e-8)
