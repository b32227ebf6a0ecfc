"""Making tensors: shapes, dtypes and values against NumPy's, and what is refused."""

import copy

import numpy as np
import pytest

import jitgrad as torch


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        (1.5, torch.float32, 1.5),
        (3, torch.int64, 3),
        (True, torch.bool, True),
        ([1.0, 2.0], torch.float32, [1.0, 2.0]),
        ([1, 2], torch.int64, [1, 2]),
        ([1, 2.5], torch.float32, [1.0, 2.5]),
        ([True, False], torch.bool, [True, False]),
        ([[1, 2], [3, 4]], torch.int64, [[1, 2], [3, 4]]),
        ((1, (2))[:1], torch.int64, [1]),
        (range(3), torch.int64, [0, 1, 2]),
        ([], torch.float32, []),
        (np.arange(3.0), torch.float64, [0.0, 1.0, 2.0]),
        (np.arange(3, dtype=np.int32), torch.int32, [0, 1, 2]),
        (np.float32(2), torch.float32, 2.0),
        ([np.float64(1), np.float64(2)], torch.float64, [1.0, 2.0]),
        ([torch.tensor(1.0), torch.tensor(2.0)], torch.float32, [1.0, 2.0]),
        ([torch.tensor([1.0]), torch.tensor([[2.0]])], torch.float32, [1.0, 2.0]),
        ([2.0, torch.tensor([1.0])], torch.float32, [2.0, 1.0]),
        ([[torch.tensor(True), 2], [3, 4]], torch.int64, [[1, 2], [3, 4]]),
        ([torch.tensor(1.0, dtype=torch.float64), 2.0], torch.float64, [1.0, 2.0]),
        ([torch.tensor(1, dtype=torch.int32)], torch.int32, [1]),
        ([np.float32(1), 2.0], torch.float32, [1.0, 2.0]),
        ([1.0, np.float64(2)], torch.float64, [1.0, 2.0]),
        ([np.int64(1), 2.5], torch.float32, [1.0, 2.5]),
        ([np.ones(2, np.float32), [3.0, 4.0]], torch.float32, [[1.0, 1.0], [3.0, 4.0]]),
    ],
)
def test_tensor_infers_shape_and_dtype(data, dtype, expected):
    made = torch.tensor(data)
    assert made.dtype is dtype
    assert made.tolist() == expected


def test_tensor_converts_to_the_dtype_asked_for():
    assert torch.tensor([1.7, 2.2], dtype=torch.int64).tolist() == [1, 2]
    assert torch.tensor([1, 0], dtype=torch.bool).tolist() == [True, False]
    assert torch.tensor(3, dtype=torch.float64).dtype is torch.float64


def test_tensor_copies_and_from_numpy_shares():
    values = np.arange(4.0)
    copied, shared = torch.tensor(values), torch.from_numpy(values)
    values[0] = 9
    assert copied[0].item() == 0
    assert shared[0].item() == 9
    shared += 1
    assert values.tolist() == [10, 2, 3, 4]


def test_from_numpy_keeps_strides_and_the_array_alive():
    def lend():
        return torch.from_numpy(np.arange(6.0).reshape(2, 3).T)

    lent = lend()
    assert lent.stride() == (1, 3)
    assert lent.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_many_lent_arrays_are_given_back():
    from jitgrad.store import store

    for _ in range(500):
        torch.from_numpy(np.zeros(3))
    assert len(store.externals) < 300


def test_as_tensor_shares_where_it_can():
    values = np.zeros(2, np.float32)
    shared = torch.as_tensor(values)
    values[1] = 5
    assert shared.tolist() == [0, 5]
    assert torch.as_tensor(shared) is shared
    assert torch.as_tensor([1, 2]).dtype is torch.int64
    assert torch.as_tensor(values, dtype=torch.float64).dtype is torch.float64


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: torch.zeros(2, 3), np.zeros((2, 3), np.float32)),
        (lambda: torch.zeros((2, 3), dtype=torch.int64), np.zeros((2, 3), np.int64)),
        (lambda: torch.zeros(()), np.zeros((), np.float32)),
        (lambda: torch.zeros(0, 4), np.zeros((0, 4), np.float32)),
        (lambda: torch.ones([2], dtype=torch.bool), np.ones(2, bool)),
        (lambda: torch.full((2, 2), 7), np.full((2, 2), 7, np.int64)),
        (lambda: torch.full((2,), 0.5), np.full(2, 0.5, np.float32)),
        (lambda: torch.full((2,), True), np.full(2, True)),
        (lambda: torch.full((2,), 7, dtype=torch.float64), np.full(2, 7.0)),
        (lambda: torch.eye(2, 3), np.eye(2, 3, dtype=np.float32)),
        (lambda: torch.arange(5), np.arange(5)),
        (lambda: torch.arange(1, 2, 0.25), np.arange(1, 2, 0.25, dtype=np.float32)),
        (lambda: torch.arange(5, 0, -2), np.arange(5, 0, -2)),
        (lambda: torch.arange(3, dtype=torch.float32), np.arange(3, dtype=np.float32)),
        (lambda: torch.arange(start=1, end=4), np.arange(1, 4)),
        (lambda: torch.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype=np.float32)),
        (lambda: torch.linspace(3, -3, 4, dtype=torch.float64), np.linspace(3, -3, 4)),
        (lambda: torch.linspace(2, 3, 1), np.full(1, 2, np.float32)),
        (lambda: torch.scalar_tensor(4), np.float32(4)),
        (lambda: torch.zeros_like(torch.tensor([1, 2])), np.zeros(2, np.int64)),
        (lambda: torch.ones_like(torch.zeros(2, 1)), np.ones((2, 1), np.float32)),
        (lambda: torch.full_like(torch.zeros(2), 3), np.full(2, 3, np.float32)),
        (lambda: torch.zeros_like(torch.zeros(2), dtype=torch.bool), np.zeros(2, bool)),
        (lambda: torch.tensor([1.0]).double().new_zeros(2), np.zeros(2)),
        (lambda: torch.tensor([1]).new_ones((2, 2)), np.ones((2, 2), np.int64)),
        (lambda: torch.tensor([1]).new_full((2,), 5), np.full(2, 5)),
        (lambda: torch.tensor([1.0]).new_tensor([1, 2]), np.array([1, 2], np.float32)),
    ],
)
def test_filled_tensors_and_ranges(make, expected):
    made = make()
    assert made.dtype.numpy == expected.dtype
    np.testing.assert_array_equal(made.numpy(), expected)


def test_empty_has_a_shape_and_no_promise_of_values():
    assert torch.empty(3, 2).shape == (3, 2)
    assert torch.empty_like(torch.zeros(2, dtype=torch.int32)).dtype is torch.int32
    assert torch.tensor([1.0]).new_empty(4).shape == (4,)


@pytest.mark.parametrize("make", [torch.zeros, torch.ones, torch.empty])
def test_new_tensors_can_ask_for_gradients(make):
    made = make(2, requires_grad=True)
    assert made.requires_grad
    assert made.is_leaf


def test_dtypes_that_are_not_there_can_be_named_and_compared_with():
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.half}
    assert repr(known["float16"]) == "torch.float16" and copy.deepcopy(known) == known
    assert torch.ones(1).dtype not in (torch.float16, torch.bfloat16)
    for use in (torch.ones(1).to, lambda d: torch.zeros(1, dtype=d), torch.ones(1).type):
        with pytest.raises(TypeError, match="bfloat16"):
            use(torch.bfloat16)


class Marked(torch.Tensor):
    pass


# what is copied, and the copy's values
COPIED = {
    "a leaf": (lambda x: x, [1.0, 2.0]),
    "a result": (lambda x: x * 2, [2.0, 4.0]),
    "a view": (lambda x: x[1:], [2.0]),
    "a parameter": (torch.nn.Parameter, [1.0, 2.0]),
    "one of a class of its own": (lambda x: (x * 3).as_subclass(Marked), [3.0, 6.0]),
}


@pytest.mark.parametrize("name", COPIED)
def test_a_shallow_copy_is_a_leaf_on_the_same_memory(name):
    make, values = COPIED[name]
    leaf = torch.tensor([1.0, 2.0], requires_grad=True)
    source = make(leaf)
    source.mark = "kept"
    copied = copy.copy(source)
    assert copied is not source and type(copied) is type(source)
    assert copied.is_leaf and copied.requires_grad and copied.data_ptr() == source.data_ptr()
    assert copied.tolist() == values and copied.mark == "kept"
    copied.sum().backward()
    assert copied.grad.tolist() == [1.0] * len(values) and leaf.grad is None
    assert not copy.copy(torch.ones(1)).requires_grad


def test_the_default_dtype_decides_for_floats():
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.zeros(1).dtype is torch.float64
        assert torch.tensor(1.5).dtype is torch.float64
        assert torch.tensor([1.5]).dtype is torch.float64
        assert (torch.tensor([1]) / 2).dtype is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: torch.tensor([[1, 2], [3]]), ValueError, "expected sequence of length 2"),
        (lambda: torch.tensor(["a"]), ValueError, "too many dimensions 'str'"),
        (lambda: torch.tensor([2**63]), ValueError, "Overflow when unpacking"),
        (lambda: torch.tensor([torch.ones(2), torch.ones(2)]), ValueError, "only one element tensors"),
        (lambda: torch.tensor([1, 300], dtype=torch.uint8), RuntimeError, "uint8 without overflow"),
        (lambda: torch.tensor([1.0, np.nan], dtype=torch.int64), RuntimeError, "int64 without overflow"),
        (lambda: torch.tensor([None]), RuntimeError, "Could not infer dtype of NoneType"),
        (lambda: torch.tensor([1], requires_grad=True), RuntimeError, "floating point"),
        (lambda: torch.tensor([1.0], device="cuda"), RuntimeError, "not available"),
        (lambda: torch.zeros(2, device="cuda:0"), RuntimeError, "not available"),
        (lambda: torch.zeros(-1), RuntimeError, "negative dimension"),
        (lambda: torch.zeros(1.5), TypeError, "ints"),
        (lambda: torch.zeros(*[1] * 9), RuntimeError, "at most 8"),
        (lambda: torch.zeros(2, dtype="float8"), TypeError, "expected a dtype"),
        (lambda: torch.arange(0, 3, 0), RuntimeError, "step must be nonzero"),
        (lambda: torch.arange(0, 3, -1), RuntimeError, "inconsistent with step sign"),
        (lambda: torch.linspace(0, 1, -1), RuntimeError, "non-negative"),
        (lambda: torch.eye(-1), RuntimeError, "greater or equal to 0"),
        (lambda: torch.from_numpy([1]), TypeError, "expected np.ndarray"),
        (lambda: torch.from_numpy(np.arange(3)[::-1]), ValueError, "negative"),
        (lambda: torch.from_numpy(np.array(["a"])), TypeError, "can't convert"),
        (lambda: torch.zeros_like([1]), TypeError, "must be Tensor"),
    ],
)
def test_bad_arguments_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_read_only_array_is_lent_with_a_warning():
    values = np.arange(3.0)
    values.flags.writeable = False
    with pytest.warns(UserWarning, match="not writable"):
        assert torch.from_numpy(values).tolist() == [0, 1, 2]


def test_pythons_types_are_the_widest_dtypes_as_in_numpy():
    assert torch.zeros(1, dtype=float).dtype is torch.ones(1).to(float).dtype is torch.float64
    assert torch.zeros(1, dtype=int).dtype is torch.int64 and torch.zeros(1, dtype=bool).dtype is torch.bool
    assert torch.nn.Linear(1, 1).to(float).weight.dtype is torch.float64


def test_logspace_names_itself_when_it_refuses():
    with pytest.raises(RuntimeError, match="logspace: number of steps"):
        torch.logspace(0, 1, -1)
    np.testing.assert_allclose(
        torch.logspace(0, 2, 5, 2.0, dtype=torch.float64), np.logspace(0, 2, 5, base=2.0)
    )
