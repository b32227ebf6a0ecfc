"""gather, scatter, index_select and their kin: values, gradients, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from index_cases import check_gradients

import jitgrad as torch

RANDOM = np.random.default_rng(3)
A = RANDOM.standard_normal((4, 5, 3))
LINE = torch.tensor([3, 0, 1])  # distinct rows of the first two dimensions
GATHER = {
    0: torch.tensor([[[0, 1, 2]], [[3, 1, 3]]]),
    1: torch.tensor([[[0, 4, 2]], [[4, 1, 0]]]),
    2: torch.tensor([[[0, 1, 2], [2, 2, 0]]]),
}
SCATTER = torch.tensor([[[0, 1, 2]], [[3, 4, 0]], [[1, 1, 1]]])  # along dim 1, no point twice
SOURCE = RANDOM.standard_normal((3, 2, 4))


def loop(a, dim, index, action):
    """Call ``action(place in a, place in index)`` for every point of a gather or scatter."""
    for at in np.ndindex(index.shape):
        place = list(at)
        place[dim] = index[at]
        action(tuple(place), at)


def scattered(a, dim, index, source, add):
    """Scatter, point by point."""
    out = a.copy()

    def put(place, at):
        out[place] = source[at] + (out[place] if add else 0)

    loop(a, dim, index, put)
    return out


@pytest.mark.parametrize("dim", GATHER)
def test_gather(dim):
    index = GATHER[dim].numpy()
    want = np.empty(index.shape)
    loop(A, dim, index, lambda place, at: want.__setitem__(at, A[place]))
    np.testing.assert_array_equal(torch.gather(torch.tensor(A), dim, GATHER[dim]).numpy(), want)
    np.testing.assert_array_equal(torch.tensor(A).gather(dim - 3, GATHER[dim]).numpy(), want)
    check_gradients(lambda x: x.gather(dim, GATHER[dim]), A)


def test_negative_indices_count_from_the_end_where_they_do_in_pytorch():
    x, last = torch.tensor(A), torch.tensor([-1, 0, -3])
    rows = last.numpy()
    np.testing.assert_array_equal(x.take(last).numpy(), A.reshape(-1)[rows])
    np.testing.assert_array_equal(x.index_fill(0, last, 9).numpy()[rows], 9)
    at = last.reshape(3, 1, 1)
    np.testing.assert_array_equal(x.take_along_dim(at, 0).numpy(), np.take_along_axis(A, at.numpy(), 0))
    np.testing.assert_array_equal(x.index_put((last,), torch.zeros(3, 1, 1, dtype=x.dtype)).numpy()[rows], 0)


def test_gather_of_strided_operands():
    a, index = RANDOM.standard_normal((3, 4)), RANDOM.integers(0, 3, (5, 4))
    got = torch.tensor(a).t().gather(1, torch.tensor(index).t())
    np.testing.assert_array_equal(got.numpy(), np.take_along_axis(a.T, index.T, 1))
    check_gradients(lambda x: x.t().gather(1, torch.tensor(index).t()), a)


@pytest.mark.parametrize("add", [False, True])
def test_scatter(add):
    name = "scatter_add" if add else "scatter"
    want = scattered(A, 1, SCATTER.numpy(), SOURCE, add)
    function = getattr(torch, name)
    np.testing.assert_allclose(function(torch.tensor(A), 1, SCATTER, torch.tensor(SOURCE)).numpy(), want)
    x = torch.tensor(A)
    assert getattr(x, name + "_")(1, SCATTER, torch.tensor(SOURCE)) is x
    np.testing.assert_allclose(x.numpy(), want)
    check_gradients(lambda x, v: function(x, 1, SCATTER, v), A, SOURCE)
    check_gradients(lambda x, v: getattr(x * 1, name + "_")(1, SCATTER, v), A, SOURCE)


def test_scatter_of_a_number_and_repeated_indices():
    x = torch.zeros(2, 3).scatter(1, torch.tensor([[2], [0]]), 1.5)
    assert x.tolist() == [[0, 0, 1.5], [1.5, 0, 0]]
    index = torch.tensor([0, 1, 0, 0])
    assert torch.zeros(2).scatter_add(0, index, torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [8.0, 2.0]
    assert torch.zeros(2).scatter(0, index, torch.tensor([1.0, 2.0, 3.0, 4.0])).tolist() == [4.0, 2.0]
    counted = torch.zeros(2, dtype=torch.int64).scatter_(
        0, index, torch.ones(4, dtype=torch.int64), reduce="add"
    )
    assert counted.tolist() == [3, 1]


@pytest.mark.parametrize("dim", [0, 1, -2])
def test_index_operations_along_a_dimension(dim):
    x, axis = torch.tensor(A), dim % 3
    rows = LINE.numpy()
    np.testing.assert_array_equal(torch.index_select(x, dim, LINE).numpy(), np.take(A, rows, axis))
    values = RANDOM.standard_normal(np.take(A, rows, axis).shape)
    place = (*(slice(None),) * axis, rows)
    copied, added, filled = A.copy(), A.copy(), A.copy()
    copied[place] = values
    added[place] += 2 * values
    filled[place] = 9
    v = torch.tensor(values)
    np.testing.assert_array_equal(x.index_copy(dim, LINE, v).numpy(), copied)
    np.testing.assert_allclose(x.index_add(dim, LINE, v, alpha=2).numpy(), added)
    np.testing.assert_array_equal(x.index_fill(dim, LINE, 9).numpy(), filled)
    np.testing.assert_array_equal(x.numpy(), A)
    y = x.clone()
    assert y.index_copy_(dim, LINE, v) is y
    np.testing.assert_array_equal(y.numpy(), copied)
    np.testing.assert_allclose(x.clone().index_add_(dim, LINE, v, alpha=2).numpy(), added)
    np.testing.assert_array_equal(x.clone().index_fill_(dim, LINE, 9).numpy(), filled)
    check_gradients(lambda x: x.index_select(dim, LINE), A)
    check_gradients(lambda x, v: x.index_copy(dim, LINE, v), A, values)
    check_gradients(lambda x, v: x.index_add(dim, LINE, v, alpha=2), A, values)
    check_gradients(lambda x: x.index_fill(dim, LINE, 9), A)
    check_gradients(lambda x, v: (x * 1).index_add_(dim, LINE, v), A, values)


def test_index_put_writes_or_adds():
    rows, columns = torch.tensor([0, 1, 0]), torch.tensor([2, 0, 2])
    values = torch.tensor([1.0, 2.0, 3.0])
    assert torch.zeros(2, 3).index_put((rows, columns), values).tolist() == [[0, 0, 3], [2, 0, 0]]
    x = torch.zeros(2, 3)
    x.index_put_((rows, columns), values, accumulate=True)
    assert x.tolist() == [[0, 0, 4], [2, 0, 0]]
    v = RANDOM.standard_normal((3, 3))
    check_gradients(lambda x, v: x.index_put((rows, columns), v, accumulate=True), A, v)


def test_masked_select_and_masked_scatter():
    mask = torch.tensor(A > 0)
    np.testing.assert_array_equal(torch.masked_select(torch.tensor(A), mask).numpy(), A[A > 0])
    row = torch.tensor([True, False, True])
    np.testing.assert_array_equal(torch.tensor(A).masked_select(row).numpy(), A[..., [0, 2]].reshape(-1))
    source = RANDOM.standard_normal((6, 10))
    want = A.copy()
    want[A > 0] = source.reshape(-1)[: (A > 0).sum()]
    np.testing.assert_array_equal(torch.tensor(A).masked_scatter(mask, torch.tensor(source)).numpy(), want)
    np.testing.assert_array_equal(torch.tensor(A).masked_scatter_(mask, torch.tensor(source)).numpy(), want)
    check_gradients(lambda x: x.masked_select(mask), A)
    check_gradients(lambda x, s: x.masked_scatter(mask, s), A, source)


def test_take_and_take_along_dim():
    index = torch.tensor([[0, -1], [7, 7]])
    np.testing.assert_array_equal(torch.take(torch.tensor(A), index).numpy(), np.take(A, index.numpy()))
    order = np.argsort(A, 1)
    got = torch.take_along_dim(torch.tensor(A), torch.tensor(order), 1)
    np.testing.assert_array_equal(got.numpy(), np.sort(A, 1))
    one = torch.take_along_dim(torch.tensor(A), torch.tensor([[[2]]]), 1)
    np.testing.assert_array_equal(one.numpy(), A[:, 2:3])
    assert torch.take_along_dim(torch.tensor([[1, 2], [3, 4]]), torch.tensor([3, 0])).tolist() == [4, 1]
    check_gradients(lambda x: torch.take(x, index), A)
    check_gradients(lambda x: torch.take_along_dim(x, torch.tensor([[[2]]]), 1), A)


@pytest.mark.parametrize("kind", ["bool", "uint8", "int32", "int64", "float32", "float64"])
def test_nonzero(kind):
    a = (RANDOM.integers(0, 2, (3, 4, 2)) * 3).astype(kind)
    np.testing.assert_array_equal(torch.nonzero(torch.tensor(a)).numpy(), np.argwhere(a))
    np.testing.assert_array_equal(torch.argwhere(torch.tensor(a).transpose(0, 2)).numpy(), np.argwhere(a.T))
    for call in (lambda x: x.nonzero(as_tuple=True), torch.where):
        for got, want in zip(call(torch.tensor(a)), a.nonzero(), strict=True):
            assert got.dtype == torch.int64
            np.testing.assert_array_equal(got.numpy(), want)


def test_nonzero_without_dimensions_or_elements():
    assert tuple(torch.tensor(3.0).nonzero().shape) == (1, 0)
    assert tuple(torch.tensor(0.0).nonzero().shape) == (0, 0)
    assert tuple(torch.zeros(0, 3).nonzero().shape) == (0, 2)
    assert [x.tolist() for x in torch.where(torch.tensor(True))] == [[0]]
    assert [x.tolist() for x in torch.where(torch.zeros(0, 3))] == [[], []]


def test_where_takes_one_argument_or_three():
    x, mask = torch.ones(3), torch.tensor([True, False, True])
    assert x.where(mask, -x).tolist() == [1, -1, 1]
    assert x.where(mask, 2).tolist() == [1, 2, 1]
    for call in (
        lambda: torch.where(mask, x),
        lambda: torch.where(mask, None, x),
        lambda: torch.where(mask, x, None),
        lambda: torch.where(None),
        lambda: torch.where([True, False]),
        lambda: x.where(mask),
        lambda: x.where(mask, None),
        lambda: x.where(None, x),
        lambda: x.where(x, mask, x),
    ):
        with pytest.raises(TypeError, match=r"where\(\)"):
            call()
    with pytest.raises(RuntimeError, match="where: expected condition to be a boolean tensor"):
        x.where(x, x)


def test_one_hot():
    index = torch.tensor([[0, 2], [1, 0]])
    np.testing.assert_array_equal(torch.functions.one_hot(index).numpy(), np.eye(3, dtype=int)[index.numpy()])
    assert tuple(torch.functions.one_hot(index, 5).shape) == (2, 2, 5)


def test_one_hot_of_known_classes_in_a_compiled_step():
    step = torch.compile(lambda y: torch.functions.one_hot(y, 3).float() * 2, fullgraph=True)
    for k in (0, 1, 2, 0, 1):
        y = torch.tensor([k, 2 - k])
        np.testing.assert_array_equal(step(y).numpy(), 2 * np.eye(3)[y.numpy()])
    with pytest.raises(RuntimeError, match="smaller than num_classes"):
        step(torch.tensor([3, 0]))
    with pytest.raises(RuntimeError, match="non-negative"):
        step(torch.tensor([-1, 0]))


def test_the_functional_forms_are_the_same_functions():
    assert torch.nn.functional.one_hot is torch.functions.one_hot
    assert "one_hot" in torch.nn.functional.__all__


def test_slice_scatter_and_select_scatter():
    values = RANDOM.standard_normal((4, 2, 3))
    want = A.copy()
    want[:, 1:5:2] = values
    np.testing.assert_array_equal(
        torch.slice_scatter(torch.tensor(A), torch.tensor(values), 1, 1, 5, 2).numpy(), want
    )
    check_gradients(lambda x, v: torch.slice_scatter(x, v, 1, 1, 5, 2), A, values)
    check_gradients(lambda x, v: torch.select_scatter(x, v, 2, -1), A, values[:, 0].repeat(2, 1)[:, :5])


def test_operands_without_dimensions():
    x, zero = torch.tensor(4.0), torch.tensor(0)
    assert x.gather(0, zero).item() == 4.0
    assert x.index_select(0, zero).item() == 4.0
    assert x.scatter(0, zero, 5.0).item() == 5.0
    assert x.index_fill(0, zero, 6.0).item() == 6.0
    assert x.masked_select(torch.tensor(True)).tolist() == [4.0]


X, I2 = torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.int64)
BAD = {
    "gather out of range": (
        lambda: X.gather(1, I2 + 3),
        RuntimeError,
        "index 3 is out of bounds for dimension 1",
    ),
    "gather below range": (lambda: X.gather(1, I2 - 1), RuntimeError, "index -1 is out of bounds"),
    "gather without dimensions": (
        lambda: X.sum().gather(0, I2[0, 0] - 1),
        RuntimeError,
        "index -1 is out of bounds",
    ),
    "gather dim": (lambda: X.gather(2, I2), IndexError, "Dimension out of range"),
    "gather dims": (lambda: X.gather(0, I2[0]), RuntimeError, "same number of dimensions"),
    "gather size": (
        lambda: X.gather(0, torch.zeros(2, 4, dtype=torch.int64)),
        RuntimeError,
        "Size does not match",
    ),
    "gather float index": (lambda: X.gather(0, X), RuntimeError, "Expected dtype int64 for index"),
    "scatter dtype": (lambda: X.scatter(0, I2, I2), RuntimeError, "self.dtype to be equal to src.dtype"),
    "scatter out of range": (lambda: X.scatter_(0, I2 + 2, 1.0), RuntimeError, "index 2 is out of bounds"),
    "scatter below range": (lambda: X.scatter_(0, I2 - 1, 1.0), RuntimeError, "index -1 is out of bounds"),
    "scatter_add below range": (
        lambda: X.scatter_add(1, I2 - 1, X),
        RuntimeError,
        "index -1 is out of bounds",
    ),
    "index_select below range": (
        lambda: X.index_select(0, I2[0] - 1),
        IndexError,
        "index -1 is out of bounds",
    ),
    "index_select of columns": (
        lambda: X.index_select(1, I2[0] - 1),
        RuntimeError,
        "index -1 is out of bounds",
    ),
    "index_add below range": (
        lambda: X.index_add_(0, I2[:, 0] - 1, X),
        RuntimeError,
        "index -1 is out of bounds",
    ),
    "index_add to a line": (
        lambda: X[0].index_add(0, I2[0] - 1, X[0]),
        IndexError,
        "index -1 is out of bounds",
    ),
    "index_copy below range": (
        lambda: X.index_copy(0, I2[:, 0] - 1, X),
        IndexError,
        "index -1 is out of bounds",
    ),
    "take_along_dim of a line": (lambda: X.take_along_dim(I2 - 1), RuntimeError, "index -1 is out of bounds"),
    "scatter reduce": (lambda: X.scatter(0, I2, X, reduce="mean"), RuntimeError, "reduce .*'mean'"),
    "scatter nothing": (lambda: X.scatter(0, I2), TypeError, "expected one of src and value"),
    "index_select matrix": (lambda: X.index_select(0, I2), IndexError, "supposed to be a vector"),
    "index_select out of range": (
        lambda: X.index_select(0, I2[0] + 5),
        IndexError,
        "index 5 is out of bounds",
    ),
    "index_add shape": (lambda: X.index_add(0, I2[0], X), RuntimeError, "does not fit"),
    "index_add dtype": (lambda: X.index_add(0, I2[0], I2), RuntimeError, "same dtype"),
    "index_put dtype": (lambda: X.index_put((I2[0],), I2), RuntimeError, "dtypes match"),
    "mask dtype": (lambda: X.masked_select(I2), RuntimeError, "expected BoolTensor"),
    "mask shape": (
        lambda: X.masked_select(torch.ones(4, dtype=torch.bool)),
        RuntimeError,
        "do not broadcast",
    ),
    "masked_scatter short": (
        lambda: X.masked_scatter(torch.ones(2, 3, dtype=torch.bool), torch.zeros(4)),
        RuntimeError,
        "at least 6 elements",
    ),
    "one_hot float": (lambda: torch.functions.one_hot(X), RuntimeError, "index tensor of type LongTensor"),
    "one_hot negative": (lambda: torch.functions.one_hot(I2 - 1), RuntimeError, "non-negative"),
    "one_hot negative, known": (lambda: torch.functions.one_hot(I2 - 1, 5), RuntimeError, "non-negative"),
    "one_hot small": (lambda: torch.functions.one_hot(I2 + 3, 2), RuntimeError, "smaller than num_classes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_arguments_are_refused_and_change_nothing(name):
    call, error, message = BAD[name]
    with pytest.raises(error, match=message):
        call()
    assert not X.any()


@pytest.mark.parametrize("bad", [8, -1, (1 << 63) - 1, -(1 << 63)])
@pytest.mark.parametrize("at", [0, 7, 8, 15, 16, 18])
def test_a_bad_index_is_found_wherever_it_stands(at, bad):
    x, index = torch.arange(8.0), torch.arange(19) % 8
    assert x.gather(0, index).tolist() == x.numpy()[index.numpy()].tolist()
    index[at] = bad
    with pytest.raises(RuntimeError, match=f"index {bad} is out of bounds for dimension 0 with size 8"):
        x.gather(0, index)
    with pytest.raises(RuntimeError, match=f"index {bad} is out of bounds"):
        torch.zeros(8).scatter_add(0, index, torch.ones(19))
    if bad == -1:
        assert x[index][at].item() == 7.0
    else:
        with pytest.raises(IndexError, match=f"index {bad} is out of bounds"):
            x[index]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.uint8, torch.bool])
@pytest.mark.parametrize("dim", [0, 1])
def test_single_elements_move_as_in_numpy_however_tensors_lie(dim, dtype):
    x = (torch.arange(30).reshape(5, 6) % 7).to(dtype)
    index = torch.tensor([[0, 4, 2, 2, 1, 3], [1, 1, 0, 3, 4, 2], [4, 0, 0, 1, 2, 2]])
    for given in (x, x.t().contiguous().t()):
        picked = given.gather(dim, index)
        values = given.numpy() if dim == 0 else given.numpy()[:3]
        assert picked.tolist() == np.take_along_axis(values, index.numpy(), dim).tolist()
        put = given.scatter(dim, index, picked)
        assert put.tolist() == given.tolist()
        added = torch.zeros(5, 6, dtype=dtype).scatter_add(dim, index, picked)
        expected = np.zeros((5, 6), np.int64)
        for row, places in enumerate(index.tolist()):
            for column, place in enumerate(places):
                to = (place, column) if dim == 0 else (row, place)
                expected[to] += int(picked[row, column])
        assert added.tolist() == expected.astype(dtype.numpy).tolist()
