"""Distances, cross products, traces and diagonals, and what a tensor tells of itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch

RNG = np.random.default_rng(21)
SQUARE, TALL, WIDE = (RNG.standard_normal(s) for s in ((3, 3), (7, 3), (2, 5)))


@pytest.mark.parametrize("values", [SQUARE, TALL, WIDE, np.zeros((0, 3)), np.zeros((1, 1))], ids=np.shape)
def test_trace(values):
    for x in (torch.tensor(values), torch.tensor(values.T.copy()).t()):
        np.testing.assert_allclose(x.trace().numpy(), np.trace(values), rtol=1e-15)
    if values.size:
        check_gradients(torch.trace, values)


def test_trace_of_integers_is_wide():
    x = torch.tensor([[200, 1], [1, 200]], dtype=torch.uint8)
    assert x.trace().dtype is torch.int64
    assert x.trace().item() == 400


@pytest.mark.parametrize("p", [0, 1, 2, 3, 1.5, math.inf, -math.inf])
def test_dist(p):
    other = WIDE[:1] + 0.5
    expected = np.linalg.norm((WIDE - other).ravel(), p)
    assert torch.dist(torch.tensor(WIDE), torch.tensor(other), p).item() == pytest.approx(expected, rel=1e-14)
    if p:
        check_gradients(lambda a, b: torch.dist(a, b, p), WIDE, other)


def test_dist_of_a_tensor_to_itself():
    x = torch.tensor(WIDE, requires_grad=True)
    x.dist(x.detach()).backward()
    assert not x.grad.any()


@pytest.mark.parametrize(
    ("shape", "other", "dim"),
    [((3,), (3,), 0), ((4, 3), (4, 3), -1), ((3, 4), (3, 1), 0), ((1, 3), (2, 3), 1), ((2, 3, 4), (1, 3, 4), 1),
     ((0, 3), (0, 3), 1)],
)  # fmt: skip
def test_cross(shape, other, dim):
    a, b = RNG.standard_normal(shape), RNG.standard_normal(other)
    expected = np.moveaxis(np.cross(np.moveaxis(a, dim, -1), np.moveaxis(b, dim, -1)), -1, dim)
    found = torch.cross(torch.tensor(a), torch.tensor(b), dim=dim)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-13, atol=1e-15)
    strided = torch.tensor(a.T.copy()).permute(*reversed(range(a.ndim)))
    np.testing.assert_array_equal(strided.cross(torch.tensor(b), dim).numpy(), found.numpy())
    if a.size:
        check_gradients(lambda x, y: torch.cross(x, y, dim), a, b)


def test_cross_takes_the_first_dimension_of_size_three_and_that_of_linalg_the_last():
    a, b = RNG.standard_normal((3, 3)), RNG.standard_normal((3, 3))
    found = torch.cross(torch.tensor(a), torch.tensor(b))
    np.testing.assert_allclose(found.numpy(), np.cross(a.T, b.T).T, rtol=1e-14)
    whole = torch.cross(torch.tensor([[0, 1, 2]]), torch.tensor([[2, 1, 0]]))
    assert whole.tolist() == [[-2, 4, -2]]
    rows = torch.linalg.cross(torch.tensor(a), torch.tensor(b))  # along the last one, as in PyTorch
    np.testing.assert_allclose(rows.numpy(), np.cross(a, b), rtol=1e-14)


def test_second_derivatives():
    x, y = (torch.tensor(RNG.uniform(0.5, 1, (2, 3)), requires_grad=True) for _ in range(2))
    assert torch.autograd.gradgradcheck(lambda a, b: torch.cross(a, b, 1) * torch.dist(a, -b), (x, y))


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("values", [SQUARE, TALL, WIDE, np.zeros((0, 0)), np.zeros((8, 3))], ids=np.shape)
def test_fill_diagonal(values, wrap):
    expected = values.copy()
    np.fill_diagonal(expected, 5.0, wrap=wrap)
    for x in (torch.tensor(values), torch.tensor(values.T.copy()).t()):
        assert x.fill_diagonal_(5.0, wrap) is x
        np.testing.assert_array_equal(x.numpy(), expected)


def test_fill_diagonal_of_more_dimensions_and_other_dtypes():
    expected = np.zeros((3, 3, 3))
    np.fill_diagonal(expected, 2)
    x = torch.zeros(3, 3, 3, dtype=torch.int64)
    assert x.fill_diagonal_(2.9).tolist() == expected.tolist()
    assert torch.zeros(2, 2, dtype=torch.bool).fill_diagonal_(2).tolist() == [[True, False], [False, True]]
    assert torch.zeros(2, 2).fill_diagonal_(torch.tensor(2.0)).tolist() == [[2, 0], [0, 2]]


def test_fill_diagonal_stops_gradients_where_it_writes():
    x = torch.ones(2, 2, requires_grad=True)
    (x * 2).fill_diagonal_(3).sum().backward()
    assert x.grad.tolist() == [[0, 2], [2, 0]]


def test_a_tensor_tells_of_itself():
    x = torch.zeros(2, 3)
    assert x.ndimension() == 2
    assert x.is_cpu
    assert x.get_device() == torch.get_device(x) == -1
    assert x.is_same_size(torch.ones(2, 3, dtype=torch.int64))
    assert not torch.is_same_size(x, x.t())
    signed = [torch.is_signed(x.to(d)) for d in (torch.float64, torch.int32, torch.uint8, torch.bool)]
    assert signed == [True, True, False, False]
    assert torch.is_nonzero(torch.tensor([[0.5]]))
    assert not torch.tensor(0).is_nonzero()


def test_storage_offset_counts_elements():
    x = torch.zeros(3, 4)
    assert [v.storage_offset() for v in (x, x[1], x[1:, 2:].t(), x[2, 3])] == [0, 4, 6, 11]
    shared = torch.from_numpy(np.zeros(6))
    assert shared[2:].storage_offset() == 2
    assert torch.zeros(0).storage_offset() == 0


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: torch.trace(torch.ones(2)), RuntimeError, "expected a matrix"),
        (lambda: torch.trace(torch.ones(2, 2).bool()), NotImplementedError, "bool"),
        (lambda: torch.dist(torch.tensor([1]), torch.tensor([1])), RuntimeError, "floating point"),
        (lambda: torch.dist(torch.ones(2), 1.0), TypeError, "must be Tensor"),
        (lambda: torch.dist(torch.ones(2), torch.ones(3)), RuntimeError, "must match|broadcast"),
        (lambda: torch.cross(torch.ones(2, 2), torch.ones(2, 2)), RuntimeError, "no dimension of size 3"),
        (lambda: torch.cross(torch.ones(3), torch.ones(1, 3)), RuntimeError, "same number of dimensions"),
        (lambda: torch.cross(torch.ones(3, 2), torch.ones(3, 2), 1), RuntimeError, "must have length 3"),
        (lambda: torch.cross(torch.ones(2, 3), torch.ones(4, 3), 1), RuntimeError, "do not broadcast"),
        (lambda: torch.cross(torch.ones(3), torch.ones(3).double()), RuntimeError, "float64"),
        (lambda: torch.cross(torch.ones(3), torch.ones(3), 1), IndexError, "cross"),
        (lambda: torch.zeros(2).fill_diagonal_(1), RuntimeError, "larger than 1"),
        (lambda: torch.zeros(2, 2, 3).fill_diagonal_(1), RuntimeError, "equal length"),
        (lambda: torch.is_nonzero(torch.ones(2)), RuntimeError, "ambiguous"),
        (lambda: torch.is_same_size(torch.ones(2), 2), TypeError, "must be Tensor"),
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call()
