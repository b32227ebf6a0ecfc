"""scatter_reduce against loops, and its gradients against central differences."""

from __future__ import annotations

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch
from jitgrad.program.show.table import lines_of

FOLDS = {"sum": np.sum, "prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}
# shapes of input, index and source, and the dimension
SHAPES = {
    "line": ((5,), (8,), (8,), 0),
    "rows": ((4, 3), (6, 3), (6, 3), 0),
    "columns": ((4, 3), (4, 5), (4, 5), -1),
    "smaller index": ((4, 5, 3), (2, 6, 2), (3, 7, 3), 1),
    "no dimensions": ((), (), (), 0),
    "nothing": ((3, 2), (0, 2), (0, 2), 0),
}


def by_loops(x, dim, index, src, reduce, include_self):
    """Collect what goes to every place, then fold it."""
    if x.ndim == 0:
        return np.asarray(FOLDS[reduce]([x, src] if include_self else [src]))
    heaps = {}
    for at in np.ndindex(index.shape):
        place = list(at)
        place[dim] = index[at]
        heaps.setdefault(tuple(place), []).append(src[at])
    result = x.copy()
    for place, values in heaps.items():
        total = FOLDS[reduce]([x[place], *values] if include_self else values)
        result[place] = np.floor(total) if x.dtype.kind == "i" else total
    return result


def arrays(name, seed=0):
    rng = np.random.default_rng(seed)
    shape, index, source, dim = SHAPES[name]
    places = shape[dim] if shape else 1
    return rng.standard_normal(shape), rng.integers(0, places, index), rng.standard_normal(source), dim


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", FOLDS)
@pytest.mark.parametrize("name", SHAPES)
def test_equals_the_loops_and_has_their_gradients(name, reduce, include_self):
    x, index, src, dim = arrays(name)
    at = torch.tensor(index)

    def function(a, b):
        return torch.scatter_reduce(a, dim, at, b, reduce, include_self=include_self)

    expected = by_loops(x, dim, index, src, reduce, include_self)
    np.testing.assert_allclose(function(torch.tensor(x), torch.tensor(src)).numpy(), expected, rtol=1e-13)
    strided = torch.tensor(x.T.copy()).permute(*reversed(range(x.ndim)))
    assert strided.scatter_reduce_(dim, at, torch.tensor(src), reduce, include_self=include_self) is strided
    np.testing.assert_allclose(strided.numpy(), expected, rtol=1e-13)
    check_gradients(function, x, src)


@pytest.mark.parametrize("reduce", FOLDS)
def test_second_derivatives(reduce):
    x, index, src, dim = arrays("rows", 3)
    at = torch.tensor(index)
    tensors = [torch.tensor(v, requires_grad=True) for v in (x, src)]
    assert torch.autograd.gradgradcheck(lambda a, b: (a * a).scatter_reduce(dim, at, b * b, reduce), tensors)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("reduce", FOLDS)
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32])
def test_other_dtypes(dtype, reduce, include_self):
    _, index, _, dim = arrays("rows")
    rng = np.random.default_rng(4)
    x, src = rng.integers(-5, 6, (4, 3)), rng.integers(-5, 6, (6, 3))
    tensors = [torch.tensor(v, dtype=dtype) for v in (x, src)]
    found = tensors[0].scatter_reduce(dim, torch.tensor(index), tensors[1], reduce, include_self=include_self)
    kind = float if dtype.is_floating_point else np.int64
    expected = by_loops(x.astype(kind), dim, index, src.astype(kind), reduce, include_self)
    assert found.dtype is dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_truth_values():
    x, src = torch.tensor([True, False]), torch.tensor([False, True])
    at = torch.tensor([0, 1])
    assert x.scatter_reduce(0, at, src, "sum").tolist() == [True, True]
    assert x.scatter_reduce(0, at, src, "prod").tolist() == [False, False]
    assert x.scatter_reduce(0, at, src, "amin", include_self=False).tolist() == [False, True]


@pytest.mark.parametrize("reduce", FOLDS)
def test_negative_indices_are_refused_as_in_scatter(reduce):
    x, src = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 0.5])
    with pytest.raises(RuntimeError, match="index -1 is out of bounds"):
        x.scatter_reduce(0, torch.tensor([-1, 0]), src, reduce)


@pytest.mark.parametrize("reduce", ["amax", "amin"])
def test_equal_extremes_share_the_gradient(reduce):
    x = torch.tensor([2.0, 7.0], requires_grad=True)
    src = torch.tensor([2.0, 2.0, 2.0], requires_grad=True)
    x.scatter_reduce(0, torch.tensor([0, 0, 0]), src, reduce)[0].backward()
    assert x.grad.tolist() == [0.25, 0.0]
    assert src.grad.tolist() == [0.25] * 3


def test_product_of_zeros_has_a_gradient():
    x, src = torch.ones(1, requires_grad=True), torch.tensor([0.0, 3.0], requires_grad=True)
    x.scatter_reduce(0, torch.tensor([0, 0]), src, "prod").sum().backward()
    assert (x.grad.tolist(), src.grad.tolist()) == ([0.0], [3.0, 0.0])


@pytest.mark.parametrize("reduce", FOLDS)
def test_nan_and_infinity(reduce):
    nan, inf = np.nan, np.inf
    x = torch.tensor([nan, inf, nan, 1.0])
    src = torch.tensor([-7.0, nan, 5.0])
    found = x.scatter_reduce(0, torch.tensor([0, 3, 1]), src, reduce, include_self=False)
    np.testing.assert_array_equal(found.numpy(), np.array([-7, 5, nan, nan], np.float32))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x, i: x.scatter_reduce(0, i, x, "max"), RuntimeError, "must be either sum, prod"),
        (lambda x, i: x.scatter_reduce(0, i, x.double(), "sum"), RuntimeError, "float64"),
        (lambda x, i: x.scatter_reduce(0, i.float(), x, "sum"), RuntimeError, "int64 for index"),
        (lambda x, i: x.scatter_reduce(0, i + 1, x, "sum"), RuntimeError, "out of bounds"),
        (lambda x, i: x.scatter_reduce(0, i - 4, x, "amax"), RuntimeError, "out of bounds"),
        (lambda x, i: x.scatter_reduce(1, i, x, "sum"), IndexError, "scatter_reduce"),
        (lambda x, i: x.scatter_reduce(0, i, x[:2], "sum"), RuntimeError, "Size does not match"),
        (lambda x, i: x.scatter_reduce(0, i, 1.0, "sum"), TypeError, "must be Tensor"),
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call(torch.ones(3), torch.tensor([0, 1, 2]))


@pytest.mark.parametrize("reduce", ["amax", "amin"])
@pytest.mark.parametrize("include_self", [True, False])
def test_extremes_are_one_row(reduce, include_self):
    def extremes(x, index, source):
        return x.scatter_reduce(0, index, source, reduce, include_self=include_self)

    operands = torch.randn(4, 3), torch.tensor([[0, 1, 1], [0, 2, 3]]), torch.randn(2, 3)
    (line,) = lines_of(torch.compile(extremes, fullgraph=True).program(*operands))
    assert line.kernel == "scatter_extreme"


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_extremes_of_more_sources_than_a_byte_counts(dtype):
    index, source = torch.zeros(600, dtype=torch.int64), torch.full((600,), 7).to(getattr(torch, dtype))
    x = torch.tensor([9, 3]).to(source.dtype)
    assert x.scatter_reduce(0, index, source, "amax").tolist() == [9, 3]
    assert x.scatter_reduce(0, index, source, "amax", include_self=False).tolist() == [7, 3]
    assert x.scatter_reduce(0, index, source, "amin").tolist() == [7, 3]


def test_replays_refuse_indices_of_extremes_out_of_range():
    index = torch.tensor([0, 1])
    step = torch.compile(lambda x: x.scatter_reduce(0, index, torch.ones(2), "amax"), fullgraph=True)
    for _ in range(3):
        assert step(torch.zeros(2)).tolist() == [1, 1]
    index[1] = 2
    with pytest.raises(RuntimeError, match="index 2 is out of bounds for dimension 0 with size 2"):
        step(torch.zeros(2))
