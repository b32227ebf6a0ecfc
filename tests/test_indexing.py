"""Square brackets: what is read, what is a view, what a write changes, and the gradients of both."""

from __future__ import annotations

import numpy as np
import pytest
from index_cases import check_gradients, is_basic, read, write

import jitgrad as torch

A = np.random.default_rng(0).standard_normal((4, 5, 3))
MASK = A > 0.3
INDICES = {
    "int": 2,
    "negative int": -1,
    "numpy int": np.int64(1),
    "slice": slice(1, 3),
    "slice with step": slice(None, None, 2),
    "slice past the end": slice(2, 99),
    "empty slice": slice(3, 1),
    "ellipsis": ...,
    "none": None,
    "nothing": (),
    "int, int": (1, -2),
    "all ints": (1, 2, 0),
    "slice, int": (slice(1, 4, 2), 3),
    "ellipsis, int": (..., 1),
    "int, ellipsis, slice": (0, ..., slice(0, 2)),
    "none between": (0, None, slice(1, 3), None),
    "list": [0, 2, 2],
    "list in a tuple": ([3, -2],),
    "range": range(1, 3),
    "integer array": np.array([[1, 0], [3, 3]]),
    "int32 array": np.array([1, 0], np.int32),
    "empty list": [],
    "two arrays": ([0, 1], [4, 2]),
    "broadcast arrays": (np.array([[0], [1]]), np.array([2, 3, 4])),
    "array in the middle": (slice(None), [1, 1, 0]),
    "arrays apart": ([1, 2], slice(None), [0, 2]),
    "array then none": ([1, 2], None),
    "int then array": (1, slice(None), [0, 2]),
    "array then int": ([1, 2], 0),
    "slices and array": (slice(1, 3), [0, 4], slice(None, None, 2)),
    "mask": MASK,
    "mask of leading dims": MASK[..., 0],
    "mask of the last": (..., MASK[0, 0]),
    "mask and int": (MASK[:, 0, 0], 1),
    "mask and array": (MASK[:, 0, 0], slice(None), [0] * int(MASK[:, 0, 0].sum())),
    "empty mask": np.zeros((4, 5), bool),
    "true": True,
    "false": False,
    "true and array": (True, [1, 2]),
}
# these name no element twice
WRITABLE = {
    name: index
    for name, index in INDICES.items()
    if name not in ("list", "integer array", "array in the middle", "false", "empty list")
}


@pytest.mark.parametrize("name", INDICES)
def test_reads_what_numpy_reads(name):
    got = torch.tensor(A)[INDICES[name]]
    want = read(A, INDICES[name])
    assert tuple(got.shape) == want.shape
    np.testing.assert_array_equal(got.numpy(), want)


@pytest.mark.parametrize("name", [n for n in INDICES if is_basic(INDICES[n])])
def test_basic_indexing_is_a_view(name):
    x = torch.tensor(A)
    part = x[INDICES[name]]
    part.zero_()
    np.testing.assert_array_equal(x.numpy(), write(A, INDICES[name], 0.0))


@pytest.mark.parametrize("name", [n for n in INDICES if not is_basic(INDICES[n])])
def test_advanced_indexing_is_a_copy(name):
    index = INDICES[name]
    if name in ("numpy int",):
        return
    x = torch.tensor(A)
    x[index].zero_()
    np.testing.assert_array_equal(x.numpy(), A)


@pytest.mark.parametrize("kind", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_reads_and_writes_every_dtype(kind):
    a = (np.arange(24).reshape(4, 6) % 5).astype(kind)
    x = torch.tensor(a)
    np.testing.assert_array_equal(x[[1, -1], 2:5].numpy(), a[[1, -1], 2:5])
    x[[0, 1], 3] = 1
    x[2, ::2] = torch.tensor(a)[0, ::2]
    a[[0, 1], 3] = 1
    a[2, ::2] = (np.arange(24).reshape(4, 6) % 5).astype(kind)[0, ::2]
    np.testing.assert_array_equal(x.numpy(), a)


@pytest.mark.parametrize("name", WRITABLE)
def test_writes_numbers_and_arrays(name):
    index = WRITABLE[name]
    x = torch.tensor(A)
    x[index] = 2.5
    np.testing.assert_array_equal(x.numpy(), write(A, index, 2.5))
    values = np.random.default_rng(1).standard_normal(read(A, index).shape)
    x = torch.tensor(A)
    x[index] = torch.tensor(values)
    np.testing.assert_array_equal(x.numpy(), write(A, index, values))


@pytest.mark.parametrize("name", INDICES)
def test_gradient_of_a_read(name):
    check_gradients(lambda x: x[INDICES[name]], A)


def _written(x, value, index):
    y = x * 1
    y[index] = value
    return y


@pytest.mark.parametrize("name", WRITABLE)
def test_gradient_of_a_write(name):
    index = WRITABLE[name]
    values = np.random.default_rng(2).standard_normal(read(A, index).shape)
    check_gradients(lambda x, v: _written(x, v, index), A, values)


@pytest.mark.parametrize(
    "name", ["int", "slice", "list in a tuple", "slices and array", "mask", "none between"]
)
def test_gradient_of_a_write_that_broadcasts(name):
    index = INDICES[name]
    check_gradients(lambda x, v: _written(x, v, index), A, 0.5)
    check_gradients(lambda v: _written(torch.zeros(4, 5, 3, dtype=torch.float64), v, index), 0.5)


def test_a_write_into_a_plain_tensor_gives_it_a_history():
    x = torch.zeros(3)
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    x[1:] = w * w
    assert x.requires_grad
    x.backward(torch.tensor([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(w.grad.numpy(), [20.0, 400.0])


def test_gradient_reaches_a_noncontiguous_operand():
    index = (slice(None), [2, 0, 2])
    check_gradients(lambda x: x.transpose(0, 1)[index], A)
    check_gradients(lambda x: x.transpose(0, 2)[1:, ::2], A)


def test_writes_under_no_grad_into_a_leaf():
    x = torch.zeros(3, requires_grad=True)
    with torch.no_grad():
        x[0] = 5.0
        x[[1]] = 2.0
    assert x.is_leaf
    np.testing.assert_array_equal(x.detach().numpy(), [5.0, 2.0, 0.0])


def test_repeated_indices_accumulate_in_the_gradient():
    x = torch.zeros(3, requires_grad=True)
    x[[1, 1, -2, 0]].backward(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [4.0, 6.0, 0.0])


def test_tensor_and_zero_dim_indices():
    x = torch.arange(10)
    i = torch.tensor(3)
    assert x[i].item() == 3
    assert x[i:].tolist() == [3, 4, 5, 6, 7, 8, 9]
    x[i] = 77
    assert x[torch.tensor([3, -1])].tolist() == [77, 9]
    assert x[torch.tensor([3, 1], dtype=torch.int32)].tolist() == [77, 1]
    assert x[[torch.tensor(3), torch.tensor(1)]].tolist() == [77, 1]


def test_uint8_tensors_are_masks_with_a_warning():
    x = torch.arange(3)
    with pytest.warns(UserWarning, match=r"torch\.bool"):
        assert x[torch.tensor([1, 0, 1], dtype=torch.uint8)].tolist() == [0, 2]


def test_overlapping_write_reads_the_old_values():
    x = torch.arange(6)
    x[1:] = x[:-1]
    assert x.tolist() == [0, 0, 1, 2, 3, 4]


def test_values_are_converted_to_the_dtype_written_to():
    x = torch.zeros(3, dtype=torch.int64)
    x[0], x[1], x[2] = 1.7, True, torch.tensor(3.9)
    assert x.tolist() == [1, 1, 3]
    mask = torch.zeros(2, dtype=torch.bool)
    mask[0] = 7
    assert mask.tolist() == [True, False]
    y = torch.zeros(2)
    y[:] = np.array([1.0, 2.0])
    y[1] = np.float64(4)
    assert y.tolist() == [1.0, 4.0]


def test_leading_ones_of_a_value_are_dropped():
    x = torch.zeros(2, 3)
    x[0] = torch.ones(1, 1, 3)
    x[[1]] = torch.ones(1, 1, 1, 3)
    assert x.tolist() == [[1.0] * 3] * 2


BAD_READS = {
    "int out of range": (7, IndexError, "index 7 is out of bounds for dimension 0 with size 4"),
    "negative out of range": (-5, IndexError, "index -5 is out of bounds"),
    "second int out of range": ((0, 9), IndexError, "index 9 is out of bounds for dimension 1 with size 5"),
    "array out of range": ([0, 4], IndexError, "index 4 is out of bounds for dimension 0 with size 4"),
    "array far out of range": ([0, -(2**62)], IndexError, "is out of bounds for dimension 0"),
    "too many": ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
    "float": (0.5, IndexError, "only integers, slices"),
    "string": ("a", TypeError, "only integers, slices"),
    "float array": (np.array([0.5]), IndexError, "integer or bool"),
    "negative step": (slice(None, None, -1), ValueError, "step must be positive"),
    "mask of another shape": (np.ones((4, 4), bool), IndexError, "The shape of the mask"),
    "arrays that do not broadcast": (([0, 1], [0, 1, 2]), IndexError, "could not be broadcast"),
}


@pytest.mark.parametrize("name", BAD_READS)
def test_bad_indices_are_refused(name):
    index, error, message = BAD_READS[name]
    x = torch.tensor(A)
    with pytest.raises(error, match=message):
        x[index]
    with pytest.raises(error, match=message):
        x[index] = 1.0
    np.testing.assert_array_equal(x.numpy(), A)


def test_what_equals_a_number_is_not_taken_for_it():
    """Views that plain indices take are kept ready, by their numbers."""
    x = torch.arange(6.0).reshape(2, 3)
    assert x[1, 0:2].tolist() == [3, 4]
    with pytest.raises((IndexError, TypeError)):
        x[1.0, 0:2]
    with pytest.raises((IndexError, TypeError)):
        x[1, 0.0:2]
    assert tuple(x[True, 0:2].shape) == (1, 2, 3)
    assert x[np.int64(1), 0:2].tolist() == [3, 4]
    x[1, 0:2] = 7
    x[..., 2] = True
    x[None, 0, 0] = 9
    assert x.tolist() == [[9, 1, 1], [7, 7, 1]]


def test_a_view_of_everything_is_named_an_alias():
    x = torch.zeros(2, 3, requires_grad=True)
    for _ in range(2):  # the second time from the views that are kept ready
        assert x[...].grad_fn.name() == x[:, :].grad_fn.name() == "AliasBackward0"
        assert x[:, 1:].grad_fn.name() == "SliceBackward0"


def test_float_tensor_as_index_is_refused():
    with pytest.raises(IndexError, match="must be long, int, byte or bool"):
        torch.zeros(3)[torch.tensor([1.0])]


@pytest.mark.parametrize("index", [0, slice(0, 2), [0, 1]])
def test_values_that_do_not_fit_are_refused(index):
    x = torch.zeros(3, 4)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        x[index] = torch.ones(3)
    with pytest.raises(TypeError, match="can't assign"):
        x[index] = "text"
    assert not x.any()


def test_recorded_write_into_a_leaf_is_refused():
    x = torch.zeros(3, requires_grad=True)
    for index in (0, [0, 1], slice(1, 2)):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            x[index] = 1.0
    assert x.detach().tolist() == [0.0, 0.0, 0.0]


def test_zero_dim_tensors():
    x = torch.tensor(3.0)
    assert x[None].tolist() == [3.0]
    assert x[...].item() == 3.0
    assert x[()].item() == 3.0
    with pytest.raises(IndexError, match="0-dim tensor"):
        x[0]
    x[...] = 4.0
    assert x.item() == 4.0
