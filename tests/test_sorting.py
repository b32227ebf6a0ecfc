"""sort, topk, medians, unique values and search: values, order of equals, nan, gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
from index_cases import check_gradients

import jitgrad as torch

RANDOM = np.random.default_rng(5)
A = RANDOM.standard_normal((3, 7, 4))
KINDS = ["bool", "uint8", "int32", "int64", "float32", "float64"]


def numbers(kind, n):
    """Numbers of a dtype with many equal ones and both signs."""
    if kind == "bool":
        return RANDOM.integers(0, 2, n).astype(bool)
    low, high = (0, 256) if kind == "uint8" else (-(10**6), 10**6)
    a = RANDOM.integers(low, high, n)
    a[::3] = a[0] if n else 0
    return a.astype(kind) / (7 if kind.startswith("float") else 1)


@pytest.mark.parametrize("n", [0, 1, 2, 39, 40, 41, 700])
@pytest.mark.parametrize("kind", KINDS)
def test_sort_is_stable_and_right_for_every_dtype(kind, n):
    a = numbers(kind, n).astype(kind)
    values, indices = torch.sort(torch.tensor(a), stable=True)
    np.testing.assert_array_equal(values.numpy(), np.sort(a))
    np.testing.assert_array_equal(indices.numpy(), np.argsort(a, kind="stable"))
    values, indices = torch.sort(torch.tensor(a), descending=True)
    np.testing.assert_array_equal(values.numpy(), np.sort(a)[::-1])
    order = n - 1 - np.argsort(a[::-1], kind="stable")[::-1]
    np.testing.assert_array_equal(indices.numpy(), order)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_sort_along_a_dimension(dim):
    x = torch.tensor(A)
    result = x.sort(dim)
    np.testing.assert_array_equal(result.values.numpy(), np.sort(A, dim))
    np.testing.assert_array_equal(x.argsort(dim).numpy(), np.argsort(A, dim))
    np.testing.assert_array_equal(x.transpose(0, 2).sort(dim).values.numpy(), np.sort(A.T, dim))
    check_gradients(lambda x: torch.sort(x, dim, descending=True)[0], A)
    np.testing.assert_array_equal(torch.msort(x).numpy(), np.sort(A, 0))


def test_nan_is_the_greatest_and_zeros_are_equal():
    a = np.array([1, np.nan, -np.inf, np.inf, -0.0, 0.0, np.nan], np.float32)
    assert torch.tensor(a).argsort().tolist() == [2, 4, 5, 0, 3, 1, 6]
    assert torch.tensor(a).argsort(descending=True).tolist() == [1, 6, 3, 0, 4, 5, 2]
    assert torch.tensor(a).topk(3).indices.tolist() == [1, 6, 3]


def test_extreme_integers():
    a = np.array([0, np.iinfo(np.int64).max, np.iinfo(np.int64).min, -1] * 20)
    np.testing.assert_array_equal(torch.tensor(a).sort().values.numpy(), np.sort(a))
    np.testing.assert_array_equal(torch.tensor(a).sort(descending=True).values.numpy(), np.sort(a)[::-1])


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_topk(dim, largest):
    a = RANDOM.permutation(80 * 3 * 2).reshape(80, 3, 2).astype(float) if dim == 0 else A
    for k in (0, 1, 2) if dim else (1, 5, 64, 65, 80):
        result = torch.topk(torch.tensor(a), k, dim, largest=largest)
        order = np.sort(a, dim) if not largest else np.flip(np.sort(a, dim), dim)
        np.testing.assert_array_equal(result.values.numpy(), np.take(order, range(k), dim))
        np.testing.assert_array_equal(
            np.take_along_axis(a, result.indices.numpy(), dim), result.values.numpy()
        )
    check_gradients(lambda x: x.topk(2, dim, largest)[0], A)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_kthvalue_and_median(dim):
    x, ordered = torch.tensor(A), np.sort(A, dim)
    values, indices = torch.kthvalue(x, 2, dim)
    np.testing.assert_array_equal(values.numpy(), np.take(ordered, 1, dim))
    values, indices = torch.median(x, dim, keepdim=True)
    middle = (A.shape[dim] - 1) // 2
    np.testing.assert_array_equal(values.numpy(), np.take(ordered, [middle], dim))
    np.testing.assert_array_equal(np.take_along_axis(A, indices.numpy(), dim), values.numpy())
    check_gradients(lambda x: x.median(dim)[0], A)
    check_gradients(lambda x: x.median(), A)
    check_gradients(lambda x: x.kthvalue(3, dim)[0], A)


LINES = {
    "random": lambda n: RANDOM.standard_normal(n),
    "few values": lambda n: RANDOM.integers(0, 4, n),
    "one value": lambda n: np.ones(n),
    "rising": lambda n: np.arange(n),
    "falling": lambda n: np.arange(n)[::-1],
    "a pipe organ": lambda n: np.minimum(np.arange(n), n - np.arange(n)),
}


@pytest.mark.parametrize("kind", ["float32", "int64", "uint8"])
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("n", [40, 41, 53, 256, 2000])
def test_the_element_of_a_rank_is_the_one_that_a_stable_sort_puts_there(n, line, kind):
    a = np.abs(LINES[line](n)).astype(kind)
    order = np.argsort(a, kind="stable")
    for k in {1, 2, n // 3, (n + 1) // 2, n}:
        assert torch.from_numpy(a).kthvalue(k).indices.item() == order[k - 1]
    assert torch.from_numpy(a).median(0).indices.item() == order[(n - 1) // 2]


@pytest.mark.parametrize("function", [torch.median, torch.nanmedian])
def test_the_median_of_nothing_is_nan_and_the_least_integer(function):
    x = torch.zeros(0, 3, requires_grad=True)
    y = function(x)
    assert np.isnan(y.item())
    y.backward()
    assert x.grad.shape == (0, 3)
    for kind in (torch.uint8, torch.int32, torch.int64):
        least = function(torch.zeros(0, dtype=kind))
        assert (least.dtype, least.item()) == (kind, torch.iinfo(kind).min)


def test_medians_with_nan():
    x = torch.tensor([[3.0, np.nan, 1.0, 2.0], [np.nan] * 4, [4.0, 1.0, 3.0, 2.0]])
    np.testing.assert_array_equal(x.median(1).values.numpy(), [np.nan, np.nan, 2])
    assert x.median(1).indices.tolist() == [1, 0, 3]
    np.testing.assert_array_equal(x.nanmedian(1).values.numpy(), [2, np.nan, 2])
    assert np.isnan(x.median().item())
    assert x.nanmedian().item() == 2.0


def test_mode():
    values, indices = torch.mode(torch.tensor([[1, 2, 2, 1], [3, 3, 1, 0]]))
    assert values.tolist() == [1, 3]
    assert indices.tolist() == [3, 1]
    assert torch.mode(torch.tensor([[1.0, 2.0], [1.0, 3.0]]), 0, keepdim=True).values.tolist() == [[1.0, 2.0]]


def _mode(line: np.ndarray) -> tuple[float, int]:
    """The least of the most frequent values, and where it occurs last."""
    line = line.astype(float)
    best = max(line, key=lambda v: (np.count_nonzero(line == v), -v))
    return best, np.flatnonzero(line == best)[-1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
@pytest.mark.parametrize("shape", [(6,), (5, 7), (3, 60), (2, 3, 4)])
def test_modes_along_every_dimension(shape, dtype):
    values = np.random.default_rng(3).integers(0, 4, shape).astype(dtype)
    for dim in range(len(shape)):
        expected = np.apply_along_axis(_mode, dim, values)
        found, indices = torch.from_numpy(values).mode(dim)
        np.testing.assert_array_equal(found.numpy(), np.take(expected, 0, dim))
        np.testing.assert_array_equal(indices.numpy(), np.take(expected, 1, dim))


def test_modes_of_views_have_gradients_in_compiled_steps_too():
    x = torch.tensor([[1.0, 2.0, 1.0], [2.0, 2.0, 3.0]], dtype=torch.float64, requires_grad=True)

    def step(x):
        (g,) = torch.autograd.grad((x.t().mode(0).values * torch.tensor([2.0, 3.0])).sum(), x)
        return g

    compiled = torch.compile(step, fullgraph=True)
    for _ in range(3):
        assert compiled(x).tolist() == step(x).tolist() == [[0, 0, 2], [0, 3, 0]]


def test_modes_with_nan():
    x = torch.tensor([[np.nan, 1.0, np.nan, 2.0, 2.0], [np.nan, np.nan, 4.0, 1.0, np.nan]])
    values, indices = x.mode(1)
    assert (values.tolist(), indices.tolist()) == ([2, 1], [4, 3])
    assert np.isnan(torch.tensor([np.nan]).mode().values.item())


def test_modes_of_nothing_are_refused():
    with pytest.raises(IndexError, match=r"mode.*non-zero size"):
        torch.zeros(3, 0).mode(1)
    assert torch.zeros(0, 3).mode(1).values.shape == (0,)


def test_unique():
    x = torch.tensor([[3, 1], [1, 2]])
    values, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 2, 3], [[2, 0], [0, 1]], [2, 1, 1])
    rows, inverse = torch.tensor([[1, 2], [0, 1], [1, 2]]).unique(dim=0, return_inverse=True)
    assert (rows.tolist(), inverse.tolist()) == ([[0, 1], [1, 2]], [1, 0, 1])
    assert len(torch.unique(torch.tensor([np.nan, np.nan]))) == 2


def test_unique_consecutive():
    values, inverse, counts = torch.unique_consecutive(
        torch.tensor([1, 1, 2, 2, 1]), return_inverse=True, return_counts=True
    )
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 2, 1], [0, 0, 1, 1, 2], [2, 2, 1])
    assert torch.tensor([[1, 1, 2], [3, 3, 4]]).unique_consecutive(dim=1).tolist() == [[1, 2], [3, 4]]
    assert torch.tensor([], dtype=torch.int64).unique_consecutive().tolist() == []


def test_searchsorted_and_bucketize():
    edges = torch.tensor([1, 3, 5, 7])
    values = torch.tensor([[3, 6], [0, 9]])
    assert torch.searchsorted(edges, values).tolist() == [[1, 3], [0, 4]]
    assert torch.searchsorted(edges, values, right=True).tolist() == [[2, 3], [0, 4]]
    assert torch.searchsorted(edges, 3, side="right").item() == 2
    rows = torch.tensor([[1, 3, 5], [2, 4, 6]])
    assert torch.searchsorted(rows, values).tolist() == [[1, 3], [0, 3]]
    assert torch.searchsorted(torch.tensor([5, 1, 3]), 4, sorter=torch.tensor([1, 2, 0])).item() == 2
    found = torch.bucketize(torch.tensor([2.5, 3.0]), torch.tensor([1.0, 3.0]), out_int32=True)
    assert found.tolist() == [1, 1]
    assert found.dtype is torch.int32


@pytest.mark.parametrize(
    ("elements", "others"),
    [
        (torch.tensor([[1, 2], [7, -1]]), torch.tensor([[2, 2], [5, -1]])),
        (torch.tensor([1.5, float("nan"), 9.0]), torch.tensor([float("nan"), 1.5])),
        (torch.tensor([1, 2, 3], dtype=torch.uint8), torch.tensor([2.0, 300.0])),
        (torch.tensor([1, 2]), torch.zeros(0)),
        (torch.zeros(0, 2), torch.tensor([1])),
        (torch.tensor([1, 2]), 2),
        (2, torch.tensor([1, 2])),
    ],
)
def test_isin(elements, others):
    a, b = (x.numpy() if isinstance(x, torch.Tensor) else x for x in (elements, others))
    for invert in (False, True):
        found = torch.isin(elements, others, invert=invert)
        assert found.dtype is torch.bool
        np.testing.assert_array_equal(found.numpy(), np.isin(a, b, invert=invert))
    with pytest.raises(TypeError, match="isin"):
        torch.isin(1, 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 3), (0.25, 0.75)])
def test_histc_counts_every_element_of_its_range_once(low, high, dtype):
    values = np.random.default_rng(4).standard_normal((40, 5)).astype(dtype)
    values[0, :3] = np.nan, low, high
    counts = torch.histc(torch.from_numpy(values).t(), 8, low, high)
    assert counts.dtype == torch.from_numpy(values).dtype
    np.testing.assert_array_equal(counts.numpy(), np.histogram(values, 8, (low, high))[0])
    assert torch.histc(torch.zeros(0), 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_histc_in_a_compiled_step_finds_the_range_of_each_call(dtype):
    compiled = torch.compile(lambda x: (torch.histc(x, 7), torch.histc(x, 5, -1, 2)), fullgraph=True)
    for scale in (1.0, 3.0, 0.0):
        values = (np.random.default_rng(2).standard_normal((6, 50)) * scale).astype(dtype)
        x = torch.from_numpy(values)
        for made, eager in zip(compiled(x), (torch.histc(x, 7), torch.histc(x, 5, -1, 2)), strict=True):
            assert made.dtype is x.dtype
            np.testing.assert_array_equal(made.numpy(), eager.numpy())
        low, high = (values.min(), values.max()) if scale else (-1, 1)
        expected = np.histogram(values.astype(float), 7, (float(low), float(high)))[0]
        np.testing.assert_array_equal(torch.histc(x, 7).numpy(), expected)


def test_histc_skips_nan_in_a_given_range_and_refuses_a_range_of_nan():
    x = torch.tensor([0.5, float("nan"), float("inf"), 1.0])
    assert torch.histc(x, 2, 0, 1).tolist() == [0, 2]
    with pytest.raises(RuntimeError, match="histc: the range of the elements is not finite"):
        torch.histc(x, 2)
    with pytest.raises(RuntimeError, match="not finite"):
        torch.histc(x, 2, 0, float("inf"))


def test_bincount_and_histc():
    x = torch.tensor([1, 1, 3])
    assert torch.bincount(x).tolist() == [0, 2, 0, 1]
    assert x.bincount(minlength=5).tolist() == [0, 2, 0, 1, 0]
    assert torch.bincount(x, torch.tensor([0.5, 1.0, 2.0])).tolist() == [0.0, 1.5, 0.0, 2.0]
    assert torch.bincount(torch.tensor([], dtype=torch.int64)).tolist() == []
    assert torch.histc(torch.tensor([1.0, 2.0, 1.0]), bins=4, min=0, max=3).tolist() == [0, 2, 1, 0]
    assert torch.histc(torch.tensor([1.0, 1.0]), bins=2).tolist() == [0, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bins", [5, np.array([-1.0, 0.0, 0.5, 2.0])], ids=["parts", "edges"])
def test_histogram_is_numpys(bins, dtype):
    rng = np.random.default_rng(5)
    values, weight = rng.standard_normal((2, 6, 7)).astype(dtype)
    x, w = (torch.from_numpy(a.T.copy()).t() for a in (values, weight))
    edges = bins if isinstance(bins, int) else bins.astype(dtype)
    given = bins if isinstance(bins, int) else torch.from_numpy(edges)
    ranges = [None, (-1.0, 0.5)] if isinstance(bins, int) else [None]
    for limits in ranges:
        for density in (False, True):
            want, at = np.histogram(values, edges, limits, density)
            made = torch.histogram(x, given, range=limits, density=density)
            np.testing.assert_allclose(made.hist.numpy(), want, rtol=1e-5)
            np.testing.assert_allclose(made.bin_edges.numpy(), at, rtol=1e-5)
            assert made.hist.dtype is made.bin_edges.dtype is x.dtype
        want, _ = np.histogram(values, edges, limits, weights=weight)
        np.testing.assert_allclose(x.histogram(given, range=limits, weight=w)[0].numpy(), want, 1e-4, 1e-5)


def test_histograms_of_no_and_of_equal_numbers():
    counts, edges = torch.histogram(torch.ones(3, requires_grad=True), 2)
    assert (counts.tolist(), edges.tolist()) == ([0, 3], [0.5, 1.0, 1.5]) and not counts.requires_grad
    counts, edges = torch.histogram(torch.zeros(0), 2)
    assert (counts.tolist(), edges.tolist()) == ([0, 0], [0, 0.5, 1.0])
    assert torch.histogram(torch.tensor([5.0]), 2, range=(0, 2), density=True).hist.isnan().all()


def test_operands_without_dimensions():
    x = torch.tensor(2.0)
    assert x.sort().values.item() == 2.0
    assert x.topk(1).indices.item() == 0
    assert x.median().item() == 2.0
    assert x.kthvalue(1).values.item() == 2.0


X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
BAD = {
    "sort dim": (lambda: X.sort(2), IndexError, "sort: Dimension out of range"),
    "topk k": (lambda: X.topk(3), RuntimeError, "topk: selected index k out of range"),
    "kthvalue 0": (lambda: X.kthvalue(0), RuntimeError, "selected number k out of range"),
    "kthvalue 3": (lambda: X.kthvalue(3), RuntimeError, "selected number k out of range"),
    "median of nothing": (lambda: torch.zeros(2, 0).median(1), IndexError, "non-zero size"),
    "searchsorted side": (lambda: torch.searchsorted(X[0], X, side="top"), RuntimeError, "'left' or 'right'"),
    "searchsorted opposites": (
        lambda: torch.searchsorted(X[0], X, side="left", right=True),
        RuntimeError,
        "set to opposites",
    ),
    "searchsorted shapes": (lambda: torch.searchsorted(X, torch.zeros(3, 2)), RuntimeError, "must match"),
    "bucketize matrix": (lambda: torch.bucketize(X, X), RuntimeError, "must be 1 dimension"),
    "bincount float": (lambda: torch.bincount(X[0]), RuntimeError, "non-negative integral"),
    "bincount negative": (lambda: torch.bincount(torch.tensor([-1])), RuntimeError, "non-negative"),
    "histogram dtype": (lambda: torch.histogram(torch.arange(3), 2), RuntimeError, "floating dtype"),
    "histogram bins": (lambda: torch.histogram(X, 0), RuntimeError, "bins must be > 0"),
    "histogram range": (lambda: torch.histogram(X, 2, range=(2.0, 1.0)), RuntimeError, "larger than min"),
    "histogram nan": (lambda: torch.histogram(X * float("nan"), 2), RuntimeError, "not finite"),
    "histogram order": (lambda: torch.histogram(X, torch.tensor([1.0, 0.0])), RuntimeError, "to ascend"),
    "histogram edges": (lambda: torch.histogram(X, torch.tensor([1, 2])), RuntimeError, "dtype float32"),
    "histogram both": (
        lambda: torch.histogram(X, torch.tensor([1.0, 2.0]), range=(0, 1)),
        TypeError,
        "edges already",
    ),
    "histogram weight": (lambda: torch.histogram(X, 2, weight=torch.ones(1, 9)), RuntimeError, "a weight"),
    "histc bins": (lambda: torch.histc(X, 0), RuntimeError, "bins must be > 0"),
    "histc range": (lambda: torch.histc(X, 3, 2, 1), RuntimeError, "max must be larger than min"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("function", [torch.median, torch.nanmedian])
@pytest.mark.parametrize(
    ("values", "gradient"),
    [
        ([0.0, 0.0, 0.0, 1.0], [1 / 3, 1 / 3, 1 / 3, 0]),
        ([[1.0, 3.0], [2.0, 2.0], [5.0, -1.0]], [[0, 0], [0.5, 0.5], [0, 0]]),
        ([4.0], [1.0]),
        ([math.inf, math.inf, 1.0], [0.5, 0.5, 0]),
    ],
)
def test_equal_elements_share_the_gradient_of_a_median_of_all(function, values, gradient):
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    found = function(x)
    found.backward()
    assert found.item() == function(x.detach()).item()
    np.testing.assert_allclose(x.grad.numpy(), gradient)


def test_a_nan_beside_the_median_gets_no_gradient():
    x = torch.tensor([0.0, math.nan, 0.0, 2.0], requires_grad=True)
    found = torch.nanmedian(x)
    found.backward()
    assert found.item() == 0.0 and x.grad.tolist() == [0.5, 0.0, 0.5, 0.0]
    x.grad = None
    x.median().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_the_shares_of_a_median_are_the_same_in_a_compiled_step():
    def step(x):
        x = x.clone().requires_grad_()
        y = (x * 2).relu().median()
        return y.detach(), torch.autograd.grad(y * y + y, x)[0]

    compiled = torch.compile(step, fullgraph=True)
    for k in range(4):
        x = torch.tensor([-1.0, -2.0, 3.0, -0.5, 1.0]) + k
        for got, expected in zip(compiled(x), step(x), strict=True):
            assert torch.equal(got, expected)
