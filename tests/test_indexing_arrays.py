"""Arrays of indices in square brackets: single ones, tensors that are written at, lists of lists."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch

SHORT_WAYS = {
    "a mask of rows": (lambda x: x[torch.tensor([True, False, True])], lambda x: x[np.array([0, 2])]),
    "a mask of none": (lambda x: x[torch.zeros(3, dtype=torch.bool)], lambda x: x[np.array([], int)]),
    "columns": (lambda x: x[:, torch.tensor([1, 1, 0])], lambda x: x[:, np.array([1, 1, 0])]),
    "columns from the end": (
        lambda x: x[:, :, torch.tensor([[-1], [0]])],
        lambda x: x[:, :, np.array([[-1], [0]])],
    ),
    "columns of some rows": (lambda x: x[1:, torch.tensor([0])], lambda x: x[1:, np.array([0])]),
    "beside an array": (
        lambda x: x[np.array([0, 1]), torch.tensor([1, 0])],
        lambda x: x[np.array([0, 1]), np.array([1, 0])],
    ),
}


@pytest.mark.parametrize("name", SHORT_WAYS)
def test_single_indices_and_masks_read_what_numpys_do(name):
    read, expected = SHORT_WAYS[name]
    values = np.arange(24.0).reshape(3, 2, 4)
    x = torch.tensor(values, requires_grad=True)
    made = read(x)
    np.testing.assert_array_equal(made.detach().numpy(), expected(values))
    made.sum().backward()
    counts = np.zeros_like(values)
    np.add.at(counts.reshape(-1), expected(np.arange(24).reshape(3, 2, 4)), 1)
    np.testing.assert_array_equal(x.grad.numpy(), counts)
    assert made.grad_fn.name() == "IndexBackward0"


TENSORS_OF_INDICES = {
    "one": lambda i: i,
    "one of two dimensions": lambda i: i.reshape(2, 2),
    "one with gaps": lambda i: i.repeat(2)[::2],
    "two": lambda i: (i, i),
    "two that broadcast": lambda i: (i.reshape(4, 1), i),
}


@pytest.mark.parametrize("value", [lambda x: 3, lambda x: x.new_tensor(2.0), lambda x: x[0, 0] + 1,
                                   lambda x: x[-1:, :1], lambda x: x.double()[0, 1]])  # fmt: skip
@pytest.mark.parametrize("name", TENSORS_OF_INDICES)
def test_writes_at_index_tensors_are_those_of_numpy(name: str, value) -> None:
    x = torch.arange(20.0).reshape(5, 4)
    index = TENSORS_OF_INDICES[name](torch.tensor([3, -1, 0, 1]))
    expected, written = x.numpy().copy(), value(x)
    where = tuple(i.numpy() for i in index) if isinstance(index, tuple) else index.numpy()
    expected[where] = written.numpy() if isinstance(written, torch.Tensor) else written

    def step(x):
        y = x + 0
        y[index] = value(y)
        return y

    compiled = torch.compile(step, fullgraph=True)
    for found in (step(x), compiled(x), compiled(x)):
        np.testing.assert_array_equal(found.numpy(), expected)
    version = x._version
    x[index] = value(x)
    np.testing.assert_array_equal(x.numpy(), expected)
    assert x._version == version + 1


@pytest.mark.parametrize(
    ("index", "value"),
    [
        ((slice(1, None), torch.tensor([0, 9])), torch.ones(2)),
        ((torch.tensor([0, 5]), torch.tensor([[0], [1]])), torch.ones(())),
        ((torch.tensor([[0], [5]]).t(), 0), 1.0),
    ],
)
def test_a_write_out_of_range_changes_nothing_and_is_not_counted(index, value) -> None:
    x = torch.arange(8.0).reshape(2, 4)
    version, before = x._version, x.clone()
    with pytest.raises(IndexError, match="out of bounds"):
        x[index] = value
    assert torch.equal(x, before)
    assert x._version == version


def test_a_list_reads_as_the_tensor_of_its_numbers() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    assert torch.equal(x[[2, 0]], x[torch.tensor([2, 0])])
    assert torch.equal(x[[True, False, True]], x[torch.tensor([0, 2])])
    assert x[[]].shape == (0, 4)


# lists that cannot be one array of indices
UNEVEN = {
    "tensors that broadcast": lambda: [torch.tensor([0, 2]), torch.tensor([1])],
    "a column and a row": lambda: [torch.tensor([[0], [2]]), torch.tensor([1, 3])],
    "arrays": lambda: [np.array([[0], [2]]), np.array([1, 3])],
    "lists": lambda: [[0, 2], [1]],
    "a tensor and a number": lambda: [torch.tensor([0, 2]), 1],
    "a mask and a tensor": lambda: [torch.tensor([True, False, True]), torch.tensor([0, 1])],
    "a slice": lambda: [slice(0, 2), 1],
    "an ellipsis": lambda: [..., torch.tensor([0, 1])],
    "None": lambda: [None, 1],
}


@pytest.mark.parametrize("name", UNEVEN)
def test_a_list_that_is_no_array_is_read_as_a_tuple_with_a_warning(name) -> None:
    x = torch.arange(24.0).reshape(3, 4, 2).requires_grad_()
    index = UNEVEN[name]()
    with pytest.warns(UserWarning, match=r"is read as a tuple; write x\[tuple"):
        made = x[index]
    expected = x[tuple(index)]
    np.testing.assert_array_equal(made.detach().numpy(), expected.detach().numpy())
    made.sum().backward()
    written = torch.zeros(3, 4, 2)
    with pytest.warns(UserWarning, match=r"is read as a tuple; write x\[tuple"):
        written[index] = 1.0
    np.testing.assert_array_equal(written.numpy(), x.grad.numpy())


@pytest.mark.filterwarnings("ignore:index. a list")
def test_such_a_list_is_replayed() -> None:
    @torch.compile(fullgraph=True)
    def picked(x, rows, columns):
        return x[[rows, columns]] * 2

    x = torch.arange(12.0).reshape(3, 4)
    for k in range(4):
        rows, columns = torch.tensor([[k % 3], [0]]), torch.tensor([1, k])
        assert torch.equal(picked(x, rows, columns), x[rows, columns] * 2)


def test_a_list_whose_items_do_not_broadcast_is_refused() -> None:
    with pytest.warns(UserWarning, match="tuple"), pytest.raises(IndexError, match="could not be broadcast"):
        torch.zeros(3, 4)[[torch.tensor([0, 1]), torch.tensor([0, 1, 2])]]
