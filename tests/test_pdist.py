"""Distances of all pairs of rows against loops in NumPy, their gradients, and rows that are equal."""

from __future__ import annotations

import math

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from gradients import check_gradients

import jitgrad as torch
from jitgrad.nn import functional as F
from jitgrad.store import store

X = np.random.default_rng(6).standard_normal((5, 3))
ORDERS = (0, 0.5, 1, 1.5, 2, 3, math.inf)


def norm(d, p):
    d = np.abs(d)
    if p == 0:
        return np.count_nonzero(d)
    return d.max(initial=0) if p == math.inf else (d**p).sum() ** (1 / p)


def distances(x, p):
    return np.array([norm(x[i] - x[j], p) for i in range(len(x)) for j in range(i + 1, len(x))])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("p", ORDERS)
def test_every_pair_of_rows_once(p, dtype):
    x = X.copy()
    x[3, 1] = x[0, 1]
    tolerance = 2e-6 if dtype is torch.float32 else 1e-12
    for given in (torch.tensor(x, dtype=dtype), torch.tensor(x.T.copy(), dtype=dtype).t()):
        found = F.pdist(given, p)
        assert found.dtype is dtype
        np.testing.assert_allclose(found.numpy(), distances(x, p), rtol=tolerance, atol=tolerance)


def test_euclidean_by_default():
    assert F.pdist(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist() == [5.0]


@pytest.mark.parametrize("p", ORDERS)
def test_gradient_is_the_slope(p):
    check_gradients(lambda x: F.pdist(x, p), X)


@pytest.mark.parametrize("p", ORDERS)
def test_equal_rows_and_elements_have_finite_gradients(p):
    x = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 3.0]], requires_grad=True)
    y = F.pdist(x, p)
    y.sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), [0, 1, 1] if p == 0 else [0, 2, 2], rtol=1e-6)
    slope = 0.0 if p == 0 else 1.0
    np.testing.assert_allclose(x.grad.numpy(), [[0, -slope], [0, -slope], [0, 2 * slope]], rtol=1e-6)


@pytest.mark.parametrize("p", ORDERS)
@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (3, 0), (0, 0)])
def test_no_pairs_and_no_elements(shape, p):
    x = torch.zeros(shape, requires_grad=True)
    y = F.pdist(x, p)
    assert y.tolist() == [0.0] * (shape[0] * (shape[0] - 1) // 2)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros(shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("p", ORDERS)
def test_compiled_step_has_the_same_bits(p, dtype):
    def build():
        leaf = torch.tensor(X, dtype=dtype, requires_grad=True)

        def step(g):
            leaf.grad = None
            y = F.pdist(leaf, p)
            (y * g).sum().backward()
            return y.detach()

        g = torch.tensor(np.cos(np.arange(10.0)), dtype=dtype)
        return Scene(step, lambda k: (g,), leaf)

    assert_same(build, "cccc")


BAD = {
    "one dimension": ("2D", lambda: F.pdist(torch.ones(3))),
    "three dimensions": (r"\(2, 2, 2\)", lambda: F.pdist(torch.ones(2, 2, 2))),
    "whole numbers": (r"\.float\(\)", lambda: F.pdist(torch.ones(3, 2).long())),
    "negative order": ("-1", lambda: F.pdist(torch.ones(3, 2), -1)),
    "no order": ("nan", lambda: F.pdist(torch.ones(3, 2), math.nan)),
}


@pytest.mark.parametrize("label", BAD)
def test_bad_arguments_are_refused(label):
    message, action = BAD[label]
    with pytest.raises(RuntimeError, match=message):
        action()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(0, 3), (1, 3), (2, 0), (2, 1), (7, 5), (9, 70), (3, 129)], ids=str)
def test_euclidean_distances_of_any_number_of_columns(shape, dtype):
    x = np.random.default_rng(1).standard_normal(shape)
    for given in (torch.tensor(x, dtype=dtype), torch.tensor(x.T.copy(), dtype=dtype).t()):
        given = given.detach().requires_grad_()
        y = F.pdist(given)
        np.testing.assert_allclose(
            y.detach().numpy(), distances(x, 2), rtol=2e-6 if dtype is torch.float32 else 1e-13
        )
        seed = torch.randn(len(y), dtype=dtype)
        (g,) = torch.autograd.grad(y, given, seed, retain_graph=True)
        (h,) = torch.autograd.grad(y, given, seed, create_graph=True)
        np.testing.assert_allclose(g.numpy(), h.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_cotangents_that_lie_apart_are_read_where_they_are():
    x = torch.tensor(X, requires_grad=True)
    seed = torch.randn(20, dtype=torch.float64)
    (apart,) = torch.autograd.grad(F.pdist(x), x, seed[::2])
    (dense,) = torch.autograd.grad(F.pdist(x), x, seed[::2].clone())
    assert apart.tolist() == dense.tolist()


def test_second_gradients_of_euclidean_distances():
    x = torch.tensor(X, requires_grad=True)
    assert torch.autograd.gradgradcheck(F.pdist, (x,))


def test_euclidean_distances_are_one_row_and_take_no_memory_for_differences():
    x = torch.randn(40, 30, requires_grad=True)
    before = store.field("rows")
    y = F.pdist(x)
    assert store.field("rows") == before + 1
    assert y.grad_fn.name() == "PdistBackward0"
