"""Sorting, ranks and search in lines in order: one compiled call where operands are plain, steps where they are not."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch

DTYPES = ["float32", "float64", "int32", "int64", "uint8", "bool"]


def values(kind, *shape):
    return (
        (np.random.default_rng(len(shape)).permutation(np.prod(shape, dtype=int)) % 7)
        .reshape(shape)
        .astype(kind)
    )


# what a call gives, and what NumPy does: of a float64 array and a dimension
CALLS = {
    "sort": (lambda x, d: x.sort(d)[0], lambda a, d: np.sort(a, d)),
    "sort, indices": (lambda x, d: x.sort(d, stable=True)[1], lambda a, d: np.argsort(a, d, kind="stable")),
    "argsort": (lambda x, d: x.argsort(d), lambda a, d: np.argsort(a, d, kind="stable")),
    "descending": (lambda x, d: x.sort(d, descending=True)[0], lambda a, d: -np.sort(-a, d)),
    "topk": (lambda x, d: x.topk(2, d)[0], lambda a, d: -np.sort(-a, d).take([0, 1], d)),
    "least": (lambda x, d: x.topk(1, d, largest=False)[0], lambda a, d: a.min(d, keepdims=True)),
    "median": (lambda x, d: x.median(d)[0], lambda a, d: np.sort(a, d).take((a.shape[d] - 1) // 2, d)),
    "median, kept": (
        lambda x, d: x.median(d, keepdim=True)[0],
        lambda a, d: np.sort(a, d).take([(a.shape[d] - 1) // 2], d),
    ),
    "kthvalue": (lambda x, d: x.kthvalue(2, d)[0], lambda a, d: np.sort(a, d).take(1, d)),
}
LAYOUTS = {
    "rows": lambda x: x,
    "transposed": lambda x: x.transpose(0, -1),
    "every other": lambda x: x[::2],
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_lines_in_order_are_numpys(name, layout, dim):
    call, expected = CALLS[name]
    x = LAYOUTS[layout](torch.tensor(np.random.default_rng(0).standard_normal((4, 5, 3))))
    np.testing.assert_array_equal(call(x, dim).numpy(), expected(x.numpy(), dim))


@pytest.mark.parametrize("name", [n for n in CALLS if n not in ("sort, indices", "argsort")])
def test_values_hand_their_gradients_to_the_elements(name):
    call, _ = CALLS[name]
    x = torch.tensor(np.random.default_rng(1).standard_normal((3, 4)), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: call(x, 1), x)
    assert torch.autograd.gradgradcheck(lambda x: call(x * x, 0), x)


@pytest.mark.parametrize("name", CALLS)
def test_a_compiled_step_puts_new_values_in_order(name):
    call, _ = CALLS[name]
    step = torch.compile(lambda x: call(x, 1), fullgraph=True)
    for k in range(4):
        x = torch.tensor(np.random.default_rng(k).standard_normal((3, 4)))
        assert step(x).tolist() == call(x, 1).tolist()


@pytest.mark.parametrize("kind", DTYPES[:-1])
@pytest.mark.parametrize("right", [False, True])
def test_places_are_numpys(kind, right):
    line, x = np.sort(values(kind, 9)), values(kind, 2, 3)
    side = "right" if right else "left"
    found = torch.searchsorted(torch.tensor(line), torch.tensor(x), right=right)
    assert found.dtype is torch.int64
    np.testing.assert_array_equal(found.numpy(), np.searchsorted(line, x, side))
    found = torch.bucketize(torch.tensor(x).t(), torch.tensor(line), out_int32=True, right=right)
    assert found.dtype is torch.int32
    np.testing.assert_array_equal(found.numpy(), np.searchsorted(line, x.T, side))


def test_places_in_many_lines():
    lines, x = np.sort(values("float64", 3, 4), 1), values("float64", 3, 5)
    found = torch.searchsorted(torch.tensor(lines), torch.tensor(x))
    np.testing.assert_array_equal(
        found.numpy(), [np.searchsorted(*pair) for pair in zip(lines, x, strict=True)]
    )
    with pytest.raises(RuntimeError, match="must match"):
        torch.searchsorted(torch.tensor(lines), torch.tensor(x[:2]))


def test_nan_belongs_behind_everything():
    line = torch.tensor([0.0, 1.0, float("inf"), float("nan")])
    assert torch.searchsorted(line, line).tolist() == [0, 1, 2, 4]
    assert torch.isin(line, line).tolist() == [True, True, True, False]


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("invert", [False, True])
def test_membership_is_numpys(kind, invert):
    x, known = values(kind, 2, 4), values(kind, 3)
    found = torch.isin(torch.tensor(x), torch.tensor(known), invert=invert)
    np.testing.assert_array_equal(found.numpy(), np.isin(x, known, invert=invert))
    nothing = torch.isin(torch.tensor(x), torch.tensor(known[:0]), invert=invert)
    assert nothing.tolist() == np.full((2, 4), invert).tolist()


@pytest.mark.parametrize("name", ["searchsorted", "isin", "bucketize"])
def test_a_compiled_step_searches_new_values(name):
    line = torch.tensor([0.0, 1.0, 2.0])
    call = {
        "searchsorted": lambda x: torch.searchsorted(line, x),
        "isin": lambda x: torch.isin(x, line),
        "bucketize": lambda x: torch.bucketize(x, line),
    }[name]
    step = torch.compile(call, fullgraph=True)
    for k in range(4):
        x = torch.tensor([k, 0.5, k / 2])
        assert step(x).tolist() == call(x).tolist()


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: x.topk(5), RuntimeError, "k=5, size 4"),
        (lambda x: x.kthvalue(0), RuntimeError, "k=0, size 4"),
        (lambda x: x.kthvalue(5), RuntimeError, "k=5, size 4"),
        (lambda x: x.sort(3), IndexError, "out of range"),
        (lambda x: torch.sort([1.0]), TypeError, "must be Tensor"),
        (lambda x: torch.argsort(1.0), TypeError, "must be Tensor"),
        (lambda x: torch.median([1.0]), TypeError, "must be Tensor"),
        (lambda x: x[:0].median(0), IndexError, "non-zero size"),
    ],
)
def test_refusals(call, error, says):
    with pytest.raises(error, match=says):
        call(torch.zeros(3, 4))
