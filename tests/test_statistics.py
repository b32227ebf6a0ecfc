"""Quantiles, covariances, trapezoids, distances and combinations: NumPy's values, and numerical derivatives."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from sample_values import numbers

import jitgrad as torch

X = numbers(3, 5, 4, seed=1)
WITH_NAN = X.copy()
WITH_NAN[0, 1, 2] = WITH_NAN[2] = np.nan


def same(tensor, expected, tolerance=1e-12):
    np.testing.assert_allclose(tensor.detach().numpy(), expected, tolerance, tolerance)


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "nearest", "midpoint"])
@pytest.mark.parametrize("dim", [None, 0, 1, -1])
@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 1.0, [0.2, 0.9]])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_quantiles(name, q, dim, interpolation):
    for values, keepdim in itertools.product((X, WITH_NAN), (False, True)):
        given = torch.tensor(q, dtype=torch.float64) if isinstance(q, list) else q
        found = getattr(torch, name)(torch.tensor(values), given, dim, keepdim, interpolation=interpolation)
        expected = getattr(np, name)(values, q, dim, keepdims=keepdim, method=interpolation)
        same(found, expected)


def test_gradient_of_a_quantile_goes_to_its_neighbours():
    assert torch.autograd.gradcheck(
        lambda x: (x.quantile(torch.tensor([0.1, 0.55], dtype=x.dtype), 1), torch.nanquantile(x, 0.3)),
        (torch.tensor(X, requires_grad=True),),
    )
    x = torch.tensor([3.0, 1.0, 2.0, 8.0], requires_grad=True)
    torch.quantile(x, 0.75).backward()
    assert x.grad.tolist() == [0.75, 0, 0, 0.25]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: torch.quantile(torch.ones(3), 1.5), r"range \[0, 1\]"),
        (lambda: torch.quantile(torch.ones(3), torch.ones(2, 2)), "scalar or 1D"),
        (lambda: torch.quantile(torch.ones(3), torch.ones(2, dtype=torch.float64)), "same dtype"),
        (lambda: torch.quantile(torch.arange(3), 0.5), "float or double"),
        (lambda: torch.quantile(torch.ones(0), 0.5), "non-empty"),
        (lambda: torch.quantile(torch.ones(3), 0.5, interpolation="best"), "expected interpolation"),
        (lambda: torch.cdist(torch.ones(2, 3), torch.ones(2, 4)), "same number of columns"),
        (lambda: torch.cdist(torch.ones(2, 3), torch.ones(2, 3), -1), "non-negative"),
        (lambda: torch.cov(torch.ones(1, 2, 3)), "two or fewer"),
        (lambda: torch.trapezoid(torch.ones(3), torch.ones(3), dx=1.0), "x or dx"),
        (lambda: torch.block_diag(torch.ones(1, 2, 3)), "two or fewer"),
        (lambda: torch.combinations(torch.ones(2, 2)), "expected a vector"),
        (lambda: torch.matrix_power(torch.ones(2, 3), 2), "square"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(RuntimeError, match=message):
        call()


@pytest.mark.parametrize("correction", [0, 1, 2])
@pytest.mark.parametrize("frequencies", [None, [1, 2, 3, 1, 1]])
@pytest.mark.parametrize("importance", [None, [0.1, 0.5, 0.2, 0.9, 0.4]])
def test_covariances(correction, frequencies, importance):
    for values in (X[0].T, X[0, :, 0]):
        found = torch.cov(
            torch.tensor(values),
            correction=correction,
            fweights=None if frequencies is None else torch.tensor(frequencies),
            aweights=None if importance is None else torch.tensor(importance, dtype=torch.float64),
        )
        same(found, np.cov(values, ddof=correction, fweights=frequencies, aweights=importance))


def test_correlations():
    same(torch.corrcoef(torch.tensor(X[0])), np.corrcoef(X[0]))
    assert torch.corrcoef(torch.tensor(X[0, 0])) == 1
    assert torch.corrcoef(torch.tensor(X[0, :1])).shape == torch.cov(torch.tensor(X[0, :1])).shape == ()
    assert torch.autograd.gradcheck(torch.corrcoef, (torch.tensor(X[0, :3], requires_grad=True),))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_trapezoids(dim):
    y, places = X[0], np.sort(numbers(X[0].shape[dim], seed=2))
    everywhere = numbers(*X[0].shape, seed=3)
    x = torch.tensor(y)
    same(torch.trapezoid(x, dim=dim), np.trapezoid(y, axis=dim))
    same(torch.trapz(x, dx=0.3, dim=dim), np.trapezoid(y, dx=0.3, axis=dim))
    same(torch.trapezoid(x, torch.tensor(places), dim=dim), np.trapezoid(y, places, axis=dim))
    same(torch.trapezoid(x, torch.tensor(everywhere), dim=dim), np.trapezoid(y, everywhere, axis=dim))
    last = torch.cumulative_trapezoid(x, torch.tensor(places), dim=dim).select(dim, -1)
    same(last, np.trapezoid(y, places, axis=dim))


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, math.inf])
def test_distances_of_rows(p):
    a, b = numbers(2, 4, 3, seed=4), numbers(1, 5, 3, seed=5)
    b[0, 1] = a[0, 2]
    difference = np.abs(a[:, :, None] - b[:, None])
    expected = np.linalg.norm(difference, p, -1)
    x, y = torch.tensor(a, requires_grad=True), torch.tensor(b, requires_grad=True)
    found = torch.cdist(x, y, p)
    same(found, expected)
    if p:
        found.sum().backward()
        assert torch.isfinite(x.grad).all() and torch.isfinite(y.grad).all()
    apart = (torch.tensor(a[0], requires_grad=True), torch.tensor(a[1] + 3, requires_grad=True))
    assert p in (0, math.inf) or torch.autograd.gradcheck(lambda u, v: torch.cdist(u, v, p), apart)


def test_blocks_tuples_and_choices():
    a, b = X[0, 0], X[1]
    found = torch.block_diag(torch.tensor(b), torch.tensor(a), torch.tensor(7.0, dtype=torch.float64))
    expected = np.zeros((7, 9))
    expected[:5, :4], expected[5, 4:8], expected[6, 8] = b, a, 7
    same(found, expected)
    pairs = torch.cartesian_prod(torch.tensor(a), torch.tensor(b[0]))
    same(pairs, [*itertools.product(a, b[0])])
    for r, again in itertools.product(range(4), (False, True)):
        choose = itertools.combinations_with_replacement if again else itertools.combinations
        chosen = np.array([*choose(a, r)]).reshape(-1, r) if r else np.zeros(0)
        same(torch.combinations(torch.tensor(a), r, again), chosen)


@pytest.mark.parametrize("n", range(-2, 7))
def test_powers_of_matrices(n):
    x = numbers(2, 3, 3, seed=6)
    same(torch.matrix_power(torch.tensor(x), n), np.linalg.matrix_power(x, n), 1e-10)
    given = (torch.tensor(x, requires_grad=True),)
    assert n == 0 or torch.autograd.gradcheck(lambda m: torch.matrix_power(m, n), given)


@pytest.mark.parametrize("increasing", [False, True])
@pytest.mark.parametrize("count", [None, 0, 1, 5])
def test_powers_of_a_vector(count, increasing):
    same(torch.vander(torch.tensor(X[0, 0]), count, increasing), np.vander(X[0, 0], count, increasing))


def test_coordinates_of_elements():
    places = np.array([[5, 7], [0, 23]])
    for found, expected in zip(
        torch.unravel_index(torch.tensor(places), (2, 3, 4)), np.unravel_index(places, (2, 3, 4)), strict=True
    ):
        assert found.tolist() == expected.tolist()
    with pytest.raises(TypeError, match="int64"):
        torch.unravel_index(torch.ones(1), (2,))


FAR = np.array([-40.0, -10, -5.1, -5, -4.9, -1, 0, 1, 5])


def test_the_normal_distribution():
    x = torch.tensor(FAR)
    expected = [0.5 * math.erfc(-v / math.sqrt(2)) for v in FAR]
    same(torch.special.ndtr(x), expected)
    same(
        torch.special.log_ndtr(x), [-804.6084420137538, *np.log(expected[1:])], 1e-9
    )  # erfc(40) is no number
    same(torch.special.ndtri(torch.special.ndtr(x[5:])), FAR[5:], 1e-8)
    assert torch.autograd.gradcheck(torch.special.log_ndtr, (torch.tensor(FAR, requires_grad=True),))
    assert torch.special.expit is torch.sigmoid and torch.special.gammaln is torch.lgamma


def test_quantiles_in_a_compiled_step():
    step = torch.compile(lambda x: x.quantile(0.3, 1), fullgraph=True)
    for k in range(4):
        x = torch.tensor(X + k)
        assert step(x).tolist() == x.quantile(0.3, 1).tolist()
    assert len(step.programs) == 1


@pytest.mark.parametrize(
    "shapes", [[(2, 3)], [(2, 3), (1, 1)], [(0, 2), (3, 1), (2, 0)], [(2, 0)], [(), (3,), (2, 2)]], ids=str
)
def test_blocks_along_a_diagonal_are_a_new_tensor(shapes):
    blocks = [torch.randn(*shape, dtype=torch.float64) for shape in shapes]
    kept = [b.clone() for b in blocks]
    found = torch.block_diag(*blocks)
    matrices = [np.atleast_2d(b.numpy()) for b in blocks]
    expected = np.zeros(np.sum([m.shape for m in matrices], 0))
    at = np.zeros(2, int)
    for m in matrices:
        expected[at[0] : at[0] + m.shape[0], at[1] : at[1] + m.shape[1]] = m
        at += m.shape
    np.testing.assert_array_equal(found.numpy(), expected)
    found.fill_(7.0)
    assert all(b.equal(k) for b, k in zip(blocks, kept, strict=True))
