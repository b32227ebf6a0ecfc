"""Names of PyTorch's earlier years and rarer writes: put, index_reduce, renorm, range, new, frombuffer and others."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.autograd import gradcheck

X = np.array([[1.0, -2.0, 3.0, 0.5], [4.0, 5.0, -6.0, 1.5], [0.25, 8.0, 9.0, -1.0]])
SOURCE = np.array([[2.0, 0.5, -1.0, 3.0], [1.5, -2.0, 4.0, 0.75]])


def put(x, accumulate=False):
    made = x.copy().reshape(-1)
    for k, value in zip((1, -1, 6), (7.0, 8.0, 9.0), strict=True):
        made[k] = made[k] + value if accumulate else value
    return made.reshape(x.shape)


def reduced(x, fold, include):
    made = x.copy()
    for place, rows in ((2, SOURCE[:1]), (0, SOURCE[1:])):
        made[place] = fold(np.concatenate([x[place : place + 1], rows] if include else [rows]), axis=0)
    return made


def renormed(x, p, most):
    lengths = (np.abs(x) ** p).sum(1, keepdims=True) ** (1 / p)
    return np.where(lengths > most, x * most / (lengths + 1e-7), x)


def on_diagonal(x):
    made = x.copy()
    made[[0, 1, 2], [1, 2, 3]] = [7.0, 8.0, 9.0]
    return made


PLACES = torch.tensor([1, -1, 6])
VALUES = torch.tensor([7.0, 8.0, 9.0], dtype=torch.float64)
FOLDS = {"prod": np.prod, "mean": np.mean, "amax": np.max, "amin": np.min}
CASES = {
    "put": (lambda x: x.put(PLACES, VALUES), put),
    "put, adding": (lambda x: torch.put(x, PLACES, VALUES, accumulate=True), lambda x: put(x, True)),
    "renorm, 2": (lambda x: torch.renorm(x, 2, 0, 8.0), lambda x: renormed(x, 2, 8.0)),
    "renorm, 1": (lambda x: x.renorm(1, -2, 9.0), lambda x: renormed(x, 1, 9.0)),
    "diagonal_scatter": (lambda x: torch.diagonal_scatter(x, VALUES, 1), on_diagonal),
    "hardshrink": (lambda x: torch.hardshrink(x, 1.2), lambda x: np.where(np.abs(x) > 1.2, x, 0)),
    "fill": (lambda x: torch.fill(x, 3.0) + x, lambda x: 3.0 + x),
} | {
    f"index_reduce, {name}, {include}": (
        lambda x, n=name, i=include: x.index_reduce(
            0, torch.tensor([2, 0]), torch.from_numpy(SOURCE), n, include_self=i
        ),
        lambda x, f=fold, i=include: reduced(x, f, i),
    )
    for name, fold in FOLDS.items()
    for include in (True, False)
}


def strided(values):
    return torch.from_numpy(np.ascontiguousarray(values.T)).t()


@pytest.mark.parametrize(
    "layout", [lambda v: torch.from_numpy(v.copy()), strided], ids=["contiguous", "strided"]
)
@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_numpy_and_gradients_are_right(name, layout):
    ours, numpys = CASES[name]
    x = layout(X)
    np.testing.assert_allclose(ours(x).numpy(), numpys(X), rtol=1e-12)
    np.testing.assert_array_equal(x.numpy(), X)
    assert gradcheck(ours, (x.requires_grad_(),))


@pytest.mark.parametrize("name", CASES)
def test_in_a_compiled_step_they_are_the_same_bit_for_bit(name):
    ours = CASES[name][0]

    def step(x):
        x = x.clone().requires_grad_()
        y = ours(x)
        return y.detach(), *torch.autograd.grad((y * y).sum(), x)

    compiled = torch.compile(step, fullgraph=True)
    for k in range(4):
        x = torch.from_numpy(X + k)
        for got, expected in zip(compiled(x), step(x), strict=True):
            assert torch.equal(got, expected)


IN_PLACE = {
    "put_": lambda x: x.put_(torch.tensor([0, 5]), torch.tensor([7.0, 8.0])),
    "index_reduce_": lambda x: x.index_reduce_(1, torch.tensor([0, 0]), torch.ones(3, 2) * 2, "prod"),
    "renorm_": lambda x: x.renorm_(2, 1, 1.0),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_they_write_into_views(name):
    whole = torch.from_numpy(np.concatenate([X, X]).astype(np.float32))
    view, copied = whole[:3], whole[:3].clone()
    assert IN_PLACE[name](view) is view
    assert not torch.equal(whole[:3], copied) and torch.equal(whole[3:], copied)
    assert torch.equal(IN_PLACE[name](copied), whole[:3])


def test_nothing_is_written_into_nothing():
    empty = torch.zeros(0, 3)
    assert empty.renorm(2, 0, 1.0).shape == (0, 3)
    assert empty.put(torch.zeros(0, dtype=torch.long), torch.zeros(0)).shape == (0, 3)


ERRORS = {
    "another dtype": (lambda x: x.put(torch.tensor([1]), torch.tensor([1])), RuntimeError, "same dtype"),
    "other numbers": (lambda x: x.put(torch.tensor([1, 2]), torch.ones(1)), IndexError, "number of elements"),
    "out of range": (lambda x: x.put(torch.tensor([12]), torch.ones(1)), IndexError, "out of"),
    "a sum": (lambda x: x.index_reduce(0, torch.tensor([0]), x[:1], "sum"), RuntimeError, "prod, mean, amax"),
    "two places": (
        lambda x: x.index_reduce(0, torch.tensor([0, 1]), x[:1], "mean"),
        RuntimeError,
        "one index",
    ),
    "other sizes": (lambda x: x.index_reduce(0, torch.tensor([0]), x[:1, :2], "mean"), IndexError, "differ"),
    "no power": (lambda x: x.renorm(0, 0, 1.0), RuntimeError, "p > 0"),
    "a vector": (lambda x: x[0].renorm(2, 0, 1.0), RuntimeError, "at least 2"),
    "a long diagonal": (lambda x: x.diagonal_scatter(torch.ones(9)), RuntimeError, "equal to the diagonal"),
    "two dimensions": (lambda x: torch.dsplit(x, 2), RuntimeError, "at least 3"),
    "no bytes": (lambda x: torch.frombuffer(bytearray(), dtype=torch.uint8), ValueError, "expected bytes"),
    "few bytes": (
        lambda x: torch.frombuffer(bytearray(3), dtype=torch.uint8, count=9),
        ValueError,
        "frombuffer",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_is_refused(name):
    call, kind, words = ERRORS[name]
    with pytest.raises(kind, match=words):
        call(torch.from_numpy(X.astype(np.float32)))


def test_range_has_its_end():
    with pytest.warns(UserWarning, match="arange"):
        assert torch.range(1, 3).tolist() == [1.0, 2.0, 3.0]
    with pytest.warns(UserWarning, match="arange"):
        assert torch.range(3, 0, -1, dtype=torch.int64).tolist() == [3, 2, 1, 0]
    with pytest.warns(UserWarning, match="arange"):
        assert torch.range(0, 1, 0.25).tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_new_takes_the_dtype():
    x = torch.zeros(1, dtype=torch.float64)
    assert x.new([1, 2]).dtype is torch.float64 and x.new(2, 3).shape == (2, 3) and x.new().shape == (0,)
    assert x.long().new([3]).tolist() == [3]


def test_a_buffer_and_its_tensor_share_memory():
    memory = bytearray(np.arange(4, dtype=np.float32).tobytes())
    x = torch.frombuffer(memory, dtype=torch.float32, count=2, offset=4)
    x[0] = 9.0
    assert np.frombuffer(memory, np.float32).tolist() == [0, 9, 2, 3]


def test_dsplit_and_functions_of_methods():
    x = torch.ones(1, 2, 4, requires_grad=True)
    assert [tuple(y.shape) for y in x.dsplit([1, 3])] == [(1, 2, 1), (1, 2, 2), (1, 2, 1)]
    assert not torch.detach(x * 2).requires_grad and torch.ger(x[0, 0], x[0, 1]).shape == (4, 4)


@pytest.mark.parametrize(
    ("shrink", "expected"),
    [("hardshrink", [-2, 0, 0, 0, 3, np.nan]), ("softshrink", [-1.5, 0, 0, 0, 2.5, np.nan])],
)
def test_shrinking_stops_at_its_bounds(shrink, expected):
    function = getattr(torch.nn.functional, shrink)
    x = torch.tensor([-2.0, -0.5, 0.0, 0.5, 3.0, float("nan")], requires_grad=True)
    made = function(x, 0.5)
    np.testing.assert_array_equal(made.detach().numpy(), np.array(expected, np.float32))
    made.backward(torch.ones_like(made))
    assert x.grad.tolist() == [1, 0, 0, 0, 1, 1]
