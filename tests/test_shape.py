"""Views and moved elements: values and gradients against NumPy's, memory that is shared, refusals."""

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch

X = np.random.default_rng(3).standard_normal((3, 4, 5))

# function on a tensor -> the same on an array
CASES = {
    "reshape": (lambda x: x.reshape(6, 10), lambda x: x.reshape(6, 10)),
    "reshape tuple": (lambda x: x.reshape((5, -1)), lambda x: x.reshape(5, -1)),
    "reshape to a line": (lambda x: torch.reshape(x, (-1,)), lambda x: x.reshape(-1)),
    "reshape of a transpose": (
        lambda x: x.transpose(0, 1).reshape(2, 30),
        lambda x: x.swapaxes(0, 1).reshape(2, 30),
    ),
    "view": (lambda x: x.view(12, 5), lambda x: x.reshape(12, 5)),
    "view of a transpose": (
        lambda x: x.transpose(0, 1).view(4, 3, 5, 1),
        lambda x: x.swapaxes(0, 1)[..., None],
    ),
    "flatten": (lambda x: x.flatten(), lambda x: x.reshape(-1)),
    "flatten from": (lambda x: x.flatten(1), lambda x: x.reshape(3, 20)),
    "flatten to": (lambda x: torch.flatten(x, 0, 1), lambda x: x.reshape(12, 5)),
    "unflatten": (lambda x: x.unflatten(1, (2, -1)), lambda x: x.reshape(3, 2, 2, 5)),
    "ravel": (lambda x: x.mT.ravel(), lambda x: x.swapaxes(1, 2).reshape(-1)),
    "squeeze": (lambda x: x[:, :1, None].squeeze(), lambda x: x[:, 0]),
    "squeeze dim": (lambda x: x[:, :1, None].squeeze(1), lambda x: x[:, :1]),
    "squeeze dims": (lambda x: x[:1, :, None].squeeze((0, 2)), lambda x: x[0]),
    "squeeze nothing": (lambda x: x.squeeze(1), lambda x: x),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda x: x[:, None]),
    "unsqueeze at the end": (lambda x: x.unsqueeze(-1), lambda x: x[..., None]),
    "transpose": (lambda x: x.transpose(0, -1), lambda x: x.swapaxes(0, 2)),
    "permute": (lambda x: x.permute(2, 0, 1), lambda x: x.transpose(2, 0, 1)),
    "permute tuple": (lambda x: torch.permute(x, (-1, 1, 0)), lambda x: x.transpose(2, 1, 0)),
    "t": (lambda x: x[0].t(), lambda x: x[0].T),
    "T": (lambda x: x[0].T, lambda x: x[0].T),
    "mT": (lambda x: x.mT, lambda x: x.swapaxes(1, 2)),
    "mH": (lambda x: x.mH, lambda x: x.swapaxes(1, 2)),
    "H": (lambda x: x[0].H, lambda x: x[0].T),
    "movedim": (lambda x: x.movedim(0, 2), lambda x: np.moveaxis(x, 0, 2)),
    "movedim several": (lambda x: x.movedim((0, 2), (1, 0)), lambda x: np.moveaxis(x, (0, 2), (1, 0))),
    "expand": (lambda x: x[:, :1].expand(3, 6, 5), lambda x: np.broadcast_to(x[:, :1], (3, 6, 5))),
    "expand in front": (lambda x: x.expand(2, -1, 4, -1), lambda x: np.broadcast_to(x, (2, 3, 4, 5))),
    "expand_as": (lambda x: x[0, 0].expand_as(x), lambda x: np.broadcast_to(x[0, 0], x.shape)),
    "broadcast_to": (
        lambda x: torch.broadcast_to(x[0], (2, 4, 5)),
        lambda x: np.broadcast_to(x[0], (2, 4, 5)),
    ),
    "repeat": (lambda x: x.repeat(2, 1, 3), lambda x: np.tile(x, (2, 1, 3))),
    "repeat in front": (lambda x: x.repeat(2, 1, 1, 1), lambda x: np.tile(x, (2, 1, 1, 1))),
    "tile": (lambda x: x.tile((2, 2)), lambda x: np.tile(x, (2, 2))),
    "repeat_interleave": (lambda x: x.repeat_interleave(2, 1), lambda x: np.repeat(x, 2, 1)),
    "repeat_interleave flat": (lambda x: x.repeat_interleave(3), lambda x: np.repeat(x, 3)),
    "repeat_interleave counts": (
        lambda x: x.repeat_interleave(torch.tensor([2, 0, 1]), 0),
        lambda x: np.repeat(x, [2, 0, 1], 0),
    ),
    "cat": (lambda x: torch.cat([x, x[:1] * 2, x[1:]]), lambda x: np.concatenate([x, x[:1] * 2, x[1:]])),
    "cat last": (lambda x: torch.cat((x, x * 3), -1), lambda x: np.concatenate([x, x * 3], 2)),
    "cat strided": (
        lambda x: torch.cat([x.mT, x[:, ::2].mT], 2),
        lambda x: np.concatenate([x, x[:, ::2]], 1).swapaxes(1, 2),
    ),
    "cat with an empty vector": (lambda x: torch.cat([torch.zeros(0, dtype=x.dtype), x]), lambda x: x),
    "stack": (lambda x: torch.stack([x, 2 * x]), lambda x: np.stack([x, 2 * x])),
    "stack inside": (lambda x: torch.stack([x, 2 * x], 1), lambda x: np.stack([x, 2 * x], 1)),
    "stack at the end": (lambda x: torch.stack([x, 2 * x], -1), lambda x: np.stack([x, 2 * x], -1)),
    "stack of numbers": (
        lambda x: torch.stack([x[0, 0, 0], x[1, 1, 1]]),
        lambda x: np.stack([x[0, 0, 0], x[1, 1, 1]]),
    ),
    "hstack": (lambda x: torch.hstack([x, x]), lambda x: np.hstack([x, x])),
    "vstack": (lambda x: torch.vstack([x[0, 0], x[0, 1]]), lambda x: np.vstack([x[0, 0], x[0, 1]])),
    "split": (lambda x: x.split(3, 1)[1], lambda x: x[:, 3:]),
    "split sizes": (lambda x: torch.split(x, [1, 3, 1], 2)[1], lambda x: x[..., 1:4]),
    "chunk": (lambda x: x.chunk(2, 2)[1], lambda x: x[..., 3:]),
    "unbind": (lambda x: x.unbind(1)[2], lambda x: x[:, 2]),
    "tensor_split": (lambda x: x.tensor_split(3, 2)[1], lambda x: x[..., 2:4]),
    "tensor_split at a tensor": (lambda x: x.tensor_split(torch.tensor([1, 3]), 2)[1], lambda x: x[..., 1:3]),
    "flip": (lambda x: x.flip(0, -1), lambda x: x[::-1, :, ::-1]),
    "flip of a transpose": (lambda x: torch.flip(x.mT, (1,)), lambda x: x.swapaxes(1, 2)[:, ::-1]),
    "roll": (lambda x: x.roll(2, 1), lambda x: np.roll(x, 2, 1)),
    "roll flat": (lambda x: x.roll(-7), lambda x: np.roll(x, -7)),
    "roll two": (lambda x: torch.roll(x, (1, -1), (0, 2)), lambda x: np.roll(x, (1, -1), (0, 2))),
    "rot90": (lambda x: x.rot90(), np.rot90),
    "rot90 back": (lambda x: x.rot90(-1, (1, 2)), lambda x: np.rot90(x, -1, (1, 2))),
    "narrow": (lambda x: x.narrow(1, 1, 2), lambda x: x[:, 1:3]),
    "select": (lambda x: x.select(2, -1), lambda x: x[..., -1]),
    "diagonal": (lambda x: x.diagonal(1, 1, 2), lambda x: x.diagonal(1, 1, 2)),
    "diagonal below": (lambda x: torch.diagonal(x, -1), lambda x: x.diagonal(-1)),
    "diag of a matrix": (lambda x: x[0].diag(1), lambda x: np.diag(x[0], 1)),
    "diag of a vector": (lambda x: x[0, 0].diag(-2), lambda x: np.diag(x[0, 0], -2)),
    "tril": (lambda x: x.tril(), np.tril),
    "triu": (lambda x: x.triu(1), lambda x: np.triu(x, 1)),
    "unfold": (lambda x: x.unfold(1, 2, 2), lambda x: x.reshape(3, 2, 2, 5).swapaxes(2, 3)),
    "unfold overlapping": (
        lambda x: x.unfold(2, 3, 1),
        lambda x: np.lib.stride_tricks.sliding_window_view(x, 3, 2),
    ),
    "as_strided": (
        lambda x: x.as_strided((2, 3, 2), (20, 1, 5), 7),
        lambda x: np.lib.stride_tricks.as_strided(x.ravel()[7:], (2, 3, 2), (160, 8, 40)),
    ),
    "as_strided overlapping": (
        lambda x: torch.as_strided(x, (4, 3), (1, 1)),
        lambda x: np.lib.stride_tricks.sliding_window_view(x.ravel()[:6], 3),
    ),
    "as_strided of what lies across": (
        lambda x: (x.permute(2, 0, 1) * 2).as_strided((2, 3), (3, 4), 1),
        lambda x: np.lib.stride_tricks.as_strided(x.ravel()[1:] * 2, (2, 3), (24, 32)),
    ),
    "as_strided of a part": (lambda x: x[1:].as_strided((2,), (1,)), lambda x: x[1, 0, :2]),
    "meshgrid": (
        lambda x: torch.meshgrid(x[0, 0], x[0, :, 0], indexing="ij")[1],
        lambda x: np.meshgrid(x[0, 0], x[0, :, 0], indexing="ij")[1],
    ),
    "contiguous": (lambda x: x.mT.contiguous(), lambda x: x.swapaxes(1, 2)),
    "clone": (lambda x: x.clone(), lambda x: x),
}


@pytest.mark.parametrize("name", CASES)
def test_values_agree_with_numpy(name):
    function, reference = CASES[name]
    made = function(torch.tensor(X))
    expected = reference(X)
    assert tuple(made.shape) == expected.shape
    np.testing.assert_array_equal(made.numpy(), expected)


@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_differences(name):
    function, _reference = CASES[name]
    check_gradients(lambda x: function(x) * 1.5, X[:, :, :], rtol=1e-6)


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int32, torch.int64, torch.float32], ids=repr
)
def test_every_dtype_moves(dtype):
    x = torch.tensor([[1, 0, 3], [0, 5, 6]], dtype=dtype)
    values = x.numpy()
    np.testing.assert_array_equal(torch.cat([x, x], 1).numpy(), np.concatenate([values, values], 1))
    np.testing.assert_array_equal(x.flip(1).numpy(), values[:, ::-1])
    np.testing.assert_array_equal(x.t().contiguous().numpy(), values.T)
    np.testing.assert_array_equal(x.tril().numpy(), np.tril(values))
    np.testing.assert_array_equal(x.repeat(2, 2).numpy(), np.tile(values, (2, 2)))
    np.testing.assert_array_equal(x[1].diag(1).numpy(), np.diag(values[1], 1))
    made = (x.roll(1), x.tril(), x.triu(), x.diag(), x[0].diag(), x.diagflat(-1), x.diag_embed(1))
    assert all(y.dtype is dtype for y in made)


VIEWS = ["reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "permute", "t", "mT",
         "movedim", "split", "chunk", "unbind", "narrow", "select", "diagonal", "unfold",
         "tensor_split", "expand", "as_strided"]  # fmt: skip


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_memory(name):
    x = torch.tensor(X)
    made = CASES[name][0](x)
    x.zero_()
    assert made.abs().sum().item() == 0


COPIES = ["repeat", "cat", "stack", "flip", "roll", "tril", "clone", "contiguous", "reshape of a transpose"]


@pytest.mark.parametrize("name", COPIES)
def test_copies_do_not_share_memory(name):
    x = torch.tensor(X)
    made = CASES[name][0](x)
    before = made.tolist()
    x.zero_()
    assert made.tolist() == before


def test_contiguous_returns_the_tensor_itself_when_it_is():
    x = torch.tensor(X)
    assert x.contiguous() is x


def test_many_tensors_are_joined_in_rounds():
    parts = [torch.full((2,), float(k), requires_grad=True) for k in range(1203)]
    joined = torch.cat(parts)
    assert joined.tolist() == [float(k) for k in range(1203) for _ in range(2)]
    joined.backward(torch.arange(2406, dtype=torch.float32))
    assert parts[1000].grad.tolist() == [2000, 2001]


def test_cat_promotes_dtypes():
    made = torch.cat([torch.tensor([1]), torch.tensor([2.5])])
    assert made.dtype is torch.float32
    assert made.tolist() == [1, 2.5]


def test_gradient_of_an_overlapping_use_of_views_adds_up():
    x = torch.arange(6, dtype=torch.float64).reshape(2, 3).requires_grad_()
    y = x.t()[0] * x[:, 0] + x.flatten()[:2]
    y.backward(torch.tensor([1.0, 10.0], dtype=torch.float64))
    assert x.grad.tolist() == [[1, 10, 0], [60, 0, 0]]


def test_shape_functions_on_a_tensor_without_dimensions():
    x = torch.tensor(3.0)
    assert x.reshape(1, 1).tolist() == [[3]]
    assert x.flatten().tolist() == [3]
    assert x.unsqueeze(0).tolist() == [3]
    assert x.squeeze().item() == 3
    assert x.expand(2).tolist() == [3, 3]
    assert x.repeat(2).tolist() == [3, 3]
    assert torch.atleast_2d(x).shape == (1, 1)


def test_empty_tensors_keep_their_shapes():
    x = torch.zeros(0, 3)
    assert x.t().shape == (3, 0)
    assert x.reshape(3, 0).shape == (3, 0)
    assert torch.cat([x, torch.ones(2, 3)]).shape == (2, 3)
    assert x.flip(0).shape == (0, 3)
    assert [tuple(p.shape) for p in x.split(2)] == [(0, 3)]


def test_broadcast_tensors_and_shapes():
    a, b = torch.broadcast_tensors(torch.zeros(3, 1), torch.zeros(4))
    assert a.shape == b.shape == (3, 4)
    assert torch.broadcast_shapes((2, 1), (1, 5), (1,)) == (2, 5)


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (lambda x: x.squeeze_(dim=1), (2, 3)),
        (lambda x: x.unsqueeze_(dim=0), (1, 2, 1, 3)),
        (lambda x: x.transpose_(dim0=0, dim1=-1), (3, 1, 2)),
        (lambda x: x.swapdims_(dim0=0, dim1=1), (1, 2, 3)),
        (lambda x: x.swapaxes_(axis0=1, axis1=2), (2, 3, 1)),
    ],
)
def test_a_tensor_becomes_a_view_of_itself_by_arguments_with_names(call, shape):
    x = torch.arange(6.0).reshape(2, 1, 3).clone()
    assert call(x) is x
    assert x.shape == shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: x.reshape(4, 4), RuntimeError, "is invalid for input of size 6"),
        (lambda x: x.reshape(-1, -1), RuntimeError, "only one dimension can be inferred"),
        (lambda x: x.reshape(-2, 3), RuntimeError, "invalid shape dimension"),
        (lambda x: x.t().view(6), RuntimeError, "Use .reshape"),
        (lambda x: x.unsqueeze(4), IndexError, "Dimension out of range"),
        (lambda x: x.squeeze(2), IndexError, "Dimension out of range"),
        (lambda x: x.transpose(0, 2), IndexError, "Dimension out of range"),
        (lambda x: x.permute(0, 0), RuntimeError, "duplicate dims"),
        (lambda x: x.permute(0), RuntimeError, "number of dimensions"),
        (lambda x: x[None].t(), RuntimeError, "<= 2 dimensions"),
        (lambda x: x[0].mT, RuntimeError, "matrices"),
        (lambda x: x[None].H, RuntimeError, "H: .* Got 3-D tensor"),
        (lambda x: x.expand(2, 4), RuntimeError, "must match the existing size"),
        (lambda x: x.expand(3), RuntimeError, "must be greater or equal"),
        (lambda x: x.repeat(2), RuntimeError, "can not be smaller"),
        (lambda x: x.as_strided((7,), (1,)), RuntimeError, "out of bounds"),
        (lambda x: x.as_strided((2,), (-1,), 3), RuntimeError, "Negative strides"),
        (lambda x: x.as_strided((2,), (1, 1)), RuntimeError, "mismatch in length"),
        (lambda x: x[:, ::2].as_strided((2,), (1,)), RuntimeError, "without gaps"),
        (lambda x: torch.cat([]), ValueError, "non-empty"),
        (lambda x: torch.cat([x, x[:, :2]]), RuntimeError, "Sizes of tensors must match"),
        (lambda x: torch.cat([x, x[0]]), RuntimeError, "same number of dimensions"),
        (lambda x: torch.cat([x.sum()]), RuntimeError, "zero-dimensional"),
        (lambda x: torch.cat([x, 1]), TypeError, "expected Tensor"),
        (lambda x: torch.stack([x, x[0]]), RuntimeError, "equal size"),
        (lambda x: x.split([1, 1], 1), RuntimeError, "sum exactly"),
        (lambda x: x.chunk(0), RuntimeError, "greater than 0"),
        (lambda x: x.narrow(1, 2, 2), RuntimeError, "exceeds"),
        (lambda x: x.select(1, 3), IndexError, "out of bounds"),
        (lambda x: x.sum().tensor_split(2), RuntimeError, "at least a 1-dimensional"),
        (
            lambda x: x.tensor_split(torch.tensor([[1, 2]])),
            RuntimeError,
            "at most one dimension, got int64 and 2",
        ),
        (
            lambda x: x.tensor_split(torch.tensor([1, 2], dtype=torch.int32)),
            RuntimeError,
            "int64 .* got int32",
        ),
        (lambda x: x.tensor_split(torch.tensor(2.0)), RuntimeError, "int64 .* got float32"),
        (
            lambda x: x.tensor_split(2.0),
            TypeError,
            "indices_or_sections' must be an int or integers, not 2.0",
        ),
        (lambda x: x.tensor_split([1.0]), TypeError, "indices_or_sections' must be an int or integers"),
        (lambda x: x.sum().unbind(), IndexError, "0-dim"),
        (lambda x: x.flatten(1, 0), RuntimeError, "start_dim"),
        (lambda x: x.unflatten(1, (2, 2)), RuntimeError, "multiply"),
        (lambda x: x.flip(0, 0), RuntimeError, "multiple times"),
        (lambda x: x.roll((1, 2), 0), RuntimeError, "must align"),
        (lambda x: x[0].rot90(), RuntimeError, "dims >= 2, but got total dims = 1"),
        (lambda x: x.rot90(1.5), TypeError, "'k' must be int, not float"),
        (lambda x: x[0].tril(), RuntimeError, "at least 2"),
        (lambda x: x.unfold(1, 4, 1), RuntimeError, "maximum size"),
        (lambda x: x[None, None, None].diag(), RuntimeError, "matrix or a vector"),
        (lambda x: torch.tril_indices(-1, 3), RuntimeError, "non-negative, got -1 and 3"),
        (lambda x: torch.triu_indices(3, -1), RuntimeError, "non-negative, got 3 and -1"),
        (torch.meshgrid, RuntimeError, "0D or 1D"),
    ],
)
def test_bad_arguments_are_refused_and_change_nothing(call, error, message):
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with pytest.raises(error, match=message):
        call(x)
    assert x.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("source", [0, 1, -1])
@pytest.mark.parametrize("destination", [0, 2, -2])
def test_a_dimension_moves_to_a_place_given_either_way(source, destination):
    a = np.arange(24).reshape(2, 3, 4)
    expected = np.moveaxis(a, source, destination)
    for named in ((source, destination), ([source], (destination,))):
        np.testing.assert_array_equal(torch.tensor(a).movedim(*named).numpy(), expected)
    assert torch.tensor(1.0).movedim(0, -1).item() == 1.0


@pytest.mark.parametrize("turns", [1, 3])
def test_a_quarter_turn_moves_elements_once(turns):
    """The exchange of the dimensions is a view of what has been reversed."""
    turned = torch.rot90(torch.arange(12).reshape(3, 4), turns)
    assert turned.stride() == (1, 4)
    np.testing.assert_array_equal(turned.numpy(), np.rot90(np.arange(12).reshape(3, 4), turns))


OWN = {
    "pixel_shuffle": lambda x: torch.pixel_shuffle(x.reshape(3, 1, 4, 5), 1),
    "pixel_unshuffle": lambda x: torch.pixel_unshuffle(x.reshape(3, 1, 4, 5), 1),
    "channel_shuffle into as many groups": lambda x: torch.channel_shuffle(x, 4),
    "channel_shuffle into one group": lambda x: torch.channel_shuffle(x, 1),
    "repeat_interleave once": lambda x: x.repeat_interleave(1, 0),
    "repeat_interleave of one row": lambda x: x[:1].repeat_interleave(3, 0),
    "the first power": lambda x: torch.matrix_power(x[:, :3, :3].contiguous(), 1),
    "the power 0": lambda x: torch.matrix_power(x[:, :3, :3], 0),
    "a chain of one matrix": lambda x: torch.chain_matmul(x[0]),
    "no differences": lambda x: torch.diff(x, n=0),
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_results_that_are_no_views_can_be_written_to(name):
    x = torch.tensor(X)
    made = OWN[name](x)
    assert made.is_contiguous()
    made.fill_(9.0)
    np.testing.assert_array_equal(x.numpy(), X)


@pytest.mark.parametrize("times", [(2, 1, 3, 2, 2), (2, 2, 2, 1, 0), (2, 1, 1, 1, 1, 1, 2, 3)])
def test_many_dimensions_are_repeated(times):
    values = np.arange(12.0).reshape(1, 2, 1, 3, 2)
    x = torch.tensor(values, requires_grad=True)
    made = x.repeat(times)
    np.testing.assert_array_equal(made.detach().numpy(), np.tile(values, times))
    made.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.full_like(values, np.prod(times)))
