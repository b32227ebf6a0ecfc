"""Cumulative sums, products and extremes: values, dtypes, gradients."""

from __future__ import annotations

import numpy as np
import pytest
from index_cases import check_gradients

import jitgrad as torch
from jitgrad.program.show.table import lines_of

A = np.random.default_rng(4).standard_normal((3, 6, 4))
SCANS = {
    "cumsum": np.cumsum,
    "cumprod": np.cumprod,
    "logcumsumexp": lambda a, axis: np.logaddexp.accumulate(a, axis),
}


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
@pytest.mark.parametrize("name", SCANS)
def test_scan(name, dim):
    function = getattr(torch, name)
    np.testing.assert_allclose(function(torch.tensor(A), dim).numpy(), SCANS[name](A, axis=dim), rtol=1e-12)
    swapped = torch.tensor(A).transpose(0, 2)
    np.testing.assert_allclose(function(swapped, dim).numpy(), SCANS[name](A.T, axis=dim), rtol=1e-12)
    check_gradients(lambda x: function(x, dim), A)
    check_gradients(lambda x: function(x.transpose(0, 2), dim), A)


def test_gradient_of_cumprod_with_zeros():
    a = A.copy()
    a[0, 2] = 0
    a[1, :, 1] = 0
    a[2, 3:5, 2] = 0
    check_gradients(lambda x: torch.cumprod(x, 1), a)


def test_logcumsumexp_of_large_and_infinite_values():
    x = torch.tensor([-np.inf, 1000.0, 1000.0, -np.inf, np.inf, 0.0], dtype=torch.float64)
    want = [-np.inf, 1000, 1000 + np.log(2), 1000 + np.log(2), np.inf, np.inf]
    np.testing.assert_allclose(torch.logcumsumexp(x, 0).numpy(), want)
    x = torch.tensor([-np.inf, 0.0, 1.0], dtype=torch.float64, requires_grad=True)
    torch.logcumsumexp(x, 0).backward(torch.ones(3, dtype=torch.float64))
    share = 1 / (1 + np.e)
    np.testing.assert_allclose(x.grad.numpy(), [0, 1 + share, 1 - share])


@pytest.mark.parametrize("kind", ["bool", "uint8", "int32", "int64"])
def test_whole_numbers_are_summed_as_int64(kind):
    a = np.array([[1, 0, 1], [1, 1, 1]]).astype(kind)
    x = torch.tensor(a)
    assert x.cumsum(0).dtype is torch.int64
    np.testing.assert_array_equal(x.cumsum(1).numpy(), np.cumsum(a, 1))
    np.testing.assert_array_equal(x.cumprod(1).numpy(), np.cumprod(a, 1))


def test_dtype_argument():
    x = torch.tensor([1, 2, 3])
    assert x.cumsum(0, dtype=torch.float32).tolist() == [1.0, 3.0, 6.0]
    assert x.cumsum(0, dtype=torch.float32).dtype is torch.float32
    assert torch.tensor([1.5, 2.5]).cumsum(0, dtype=torch.int32).tolist() == [1, 3]


def test_float32_sums_are_accurate():
    n = 100_000
    got = torch.full((n,), 0.1).cumsum(0)[-1].item()
    assert abs(got - n * np.float32(0.1).item()) < 1e-2


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("name", ["cummax", "cummin"])
def test_running_extremes(name, dim):
    result = getattr(torch, name)(torch.tensor(A), dim)
    want = (np.maximum if name == "cummax" else np.minimum).accumulate(A, axis=dim)
    np.testing.assert_array_equal(result.values.numpy(), want)
    np.testing.assert_array_equal(np.take_along_axis(A, result.indices.numpy(), dim), want)
    check_gradients(lambda x: getattr(x, name)(dim)[0], A)


def test_running_extremes_of_equal_values_and_nan():
    values, indices = torch.cummax(torch.tensor([2.0, 2.0, 1.0, 3.0, 3.0]), 0)
    assert values.tolist() == [2, 2, 2, 3, 3]
    assert indices.tolist() == [0, 1, 1, 3, 4]
    values, indices = torch.cummin(torch.tensor([2.0, np.nan, 1.0]), 0)
    assert np.isnan(values.numpy()).tolist() == [False, True, True]
    assert indices.tolist() == [0, 1, 1]
    assert torch.cummax(torch.tensor([1, 3, 2]), 0).values.tolist() == [1, 3, 3]


@pytest.mark.parametrize("dim", [0, 1, 2])
@pytest.mark.parametrize("n", [0, 1, 2])
def test_diff(dim, n):
    np.testing.assert_allclose(torch.diff(torch.tensor(A), n, dim).numpy(), np.diff(A, n, dim))
    check_gradients(lambda x: torch.diff(x, n, dim), A)


def test_diff_with_ends_and_bools():
    x = torch.tensor([1.0, 4.0, 9.0])
    assert torch.diff(x, prepend=torch.tensor([0.0]), append=torch.tensor([10.0])).tolist() == [1, 3, 5, 1]
    assert torch.diff(torch.tensor([True, False, False])).tolist() == [True, False]


def test_empty_and_zero_dim_operands():
    assert torch.zeros(0, 3).cumsum(0).shape == (0, 3)
    assert torch.zeros(2, 0).cumprod(0).shape == (2, 0)
    assert torch.tensor(3.0).cumsum(0).item() == 3.0
    assert torch.tensor(3.0).cummax(0).values.item() == 3.0


def test_in_place_forms():
    x = torch.tensor([1.0, 2.0, 3.0])
    assert x.cumsum_(0) is x
    assert x.tolist() == [1, 3, 6]
    assert x.cumprod_(0).tolist() == [1, 3, 18]


def test_a_dimension_out_of_range_is_refused():
    with pytest.raises(IndexError, match="cumsum: Dimension out of range"):
        torch.zeros(3).cumsum(1)
    with pytest.raises(RuntimeError, match="floating dtype"):
        torch.logcumsumexp(torch.tensor([1, 2]), 0)
    with pytest.raises(RuntimeError, match="at least one-dimensional"):
        torch.diff(torch.tensor(1.0))


@pytest.mark.parametrize("name", ["cummax", "cummin"])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_cumulative_extremes_are_one_row_with_gradients_of_gradients(name, dim):
    def values(x):
        return getattr(torch, name)(x, dim).values

    x = torch.tensor(A, requires_grad=True)
    (line,) = lines_of(torch.compile(values, fullgraph=True).program(x.detach()))
    assert line.kernel == name
    assert torch.autograd.gradgradcheck(lambda x: values(x).sin(), (x,))
    y = values(x)
    y.backward(torch.ones(()).double().expand(*y.shape))
    expected = torch.tensor(A, requires_grad=True)
    values(expected).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), expected.grad.numpy())
