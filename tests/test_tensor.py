"""Tensors: attributes, conversions, copies, and how they are printed."""

import copy
import pickle
import sys
from operator import add

import numpy as np
import pytest

import jitgrad as torch


def test_attributes():
    x = torch.zeros(2, 3, dtype=torch.float64)
    assert x.shape == (2, 3)
    assert repr(x.shape) == "torch.Size([2, 3])"
    assert repr((1,) + x.shape[:1] * 2 + (4,)) == "torch.Size([1, 2, 2, 4])"
    assert (x.size(), x.size(1), x.size(-1)) == ((2, 3), 3, 3)
    assert (x.dim(), x.ndim, x.numel(), len(x)) == (2, 2, 6, 2)
    assert (x.stride(), x.stride(0)) == ((3, 1), 3)
    assert x.t().stride() == (1, 3)
    assert x.is_contiguous()
    assert not x.t().is_contiguous()
    assert (x.element_size(), x.nbytes) == (8, 48)
    assert str(x.device) == "cpu"
    assert not x.is_cuda
    assert x.is_floating_point()
    assert not x.long().is_floating_point()
    assert isinstance(x, torch.Tensor)
    assert x.is_leaf
    assert not x.requires_grad


def test_numbers_from_tensors():
    assert torch.tensor(2.5).item() == 2.5
    assert torch.tensor([[3]]).item() == 3
    assert torch.tensor(True).item() is True
    assert float(torch.tensor(2)) == 2.0
    assert int(torch.tensor(2.7)) == 2
    assert [10, 20, 30][torch.tensor(1)] == 20
    assert f"{torch.tensor(3.14159):.2f}" == "3.14"
    assert bool(torch.tensor([0.0])) is False
    assert 2.0 in torch.tensor([1.0, 2.0])
    assert 5 not in torch.tensor([1.0, 2.0])
    assert [row.tolist() for row in torch.tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: torch.zeros(2).item(), RuntimeError),
        (lambda: bool(torch.zeros(2)), RuntimeError),
        (lambda: len(torch.tensor(1.0)), TypeError),
        (lambda: list(torch.tensor(1.0)), TypeError),
        (lambda: torch.zeros(2, requires_grad=True).numpy(), RuntimeError),
        (lambda: [1, 2][torch.tensor(1.0)], TypeError),
        (lambda: torch.zeros(2).no_such_method, AttributeError),
        (lambda: torch.zeros(2, dtype=torch.int64).requires_grad_(), RuntimeError),
    ],
)
def test_what_a_tensor_cannot_do(call, error):
    with pytest.raises(error):
        call()


def test_numpy_shares_memory():
    x = torch.zeros(2, 2)
    array = x.numpy()
    x[0, 1] = 5
    assert array[0, 1] == 5
    array[1, 1] = 7
    assert x[1, 1].item() == 7
    assert x.t().numpy().strides == (4, 8)
    del x
    assert array.tolist() == [[0, 5], [0, 7]]
    assert np.asarray(torch.tensor([1, 2])).dtype == np.int64
    assert (np.ones(2) + torch.ones(2).numpy()).tolist() == [2, 2]


CONVERSIONS = {
    "float": torch.float32,
    "double": torch.float64,
    "int": torch.int32,
    "long": torch.int64,
    "bool": torch.bool,
    "byte": torch.uint8,
}


@pytest.mark.parametrize("source", list(CONVERSIONS.values()), ids=repr)
@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions(name, source):
    x = torch.tensor([0, 1, 2], dtype=source)
    made = getattr(x, name)()
    assert made.dtype is CONVERSIONS[name]
    np.testing.assert_array_equal(made.numpy(), x.numpy().astype(made.dtype.numpy))
    assert x.to(CONVERSIONS[name]).tolist() == made.tolist()


def test_to_accepts_what_pytorch_accepts():
    x = torch.tensor([1.5])
    assert x.to(torch.float32) is x
    assert x.to("cpu") is x
    assert x.cpu() is x
    assert x.to(torch.float32, copy=True) is not x
    assert x.to("cpu", torch.float64).dtype is torch.float64
    assert x.to(device="cpu", dtype=torch.int64).tolist() == [1]
    assert x.to(torch.tensor([1])).dtype is torch.int64
    assert x.type_as(torch.tensor(1)).dtype is torch.int64
    assert x.type() == "torch.FloatTensor"
    with pytest.raises(RuntimeError, match="not available"):
        x.to("cuda")


def test_gradient_passes_through_conversions():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x.double() * torch.tensor([3.0, 4.0], dtype=torch.float64)).backward(torch.ones(2, dtype=torch.float64))
    assert x.grad.dtype is torch.float32
    assert x.grad.tolist() == [3, 4]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_values_dtype_and_requires_grad(protocol):
    x = torch.tensor([[1.5, 2.5]], dtype=torch.float64, requires_grad=True)
    back = pickle.loads(pickle.dumps(x, protocol))
    assert back.tolist() == x.tolist()
    assert back.dtype is torch.float64
    assert back.requires_grad
    assert back.is_leaf


def test_copies():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward()
    deep = copy.deepcopy(x)
    assert deep.grad.tolist() == [2, 2]
    with torch.no_grad():
        deep.add_(1)
    assert x.tolist() == [1, 2]
    with pytest.raises(RuntimeError, match="graph leaves"):
        copy.deepcopy(x * 2)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: torch.tensor(1.0), "tensor(1.)"),
        (lambda: torch.tensor(3), "tensor(3)"),
        (lambda: torch.tensor(True), "tensor(True)"),
        (lambda: torch.tensor([]), "tensor([])"),
        (lambda: torch.zeros(0, 2), "tensor([], size=(0, 2))"),
        (lambda: torch.tensor([], dtype=torch.int64), "tensor([], dtype=torch.int64)"),
        (lambda: torch.tensor([1.0, 2.5]), "tensor([1.0000, 2.5000])"),
        (lambda: torch.tensor([1.0, -20.0]), "tensor([  1., -20.])"),
        (lambda: torch.tensor([1e-5, 1.0]), "tensor([1.0000e-05, 1.0000e+00])"),
        (lambda: torch.tensor([1e9, 1.0]), "tensor([1.0000e+09, 1.0000e+00])"),
        (lambda: torch.tensor([1.0, float("nan"), float("inf")]), "tensor([1., nan, inf])"),
        (lambda: torch.tensor([[1, 2], [30, 4]]), "tensor([[ 1,  2],\n        [30,  4]])"),
        (lambda: torch.tensor([True, False]), "tensor([ True, False])"),
        (lambda: torch.tensor([1], dtype=torch.int32), "tensor([1], dtype=torch.int32)"),
        (lambda: torch.tensor([1.0], dtype=torch.float64), "tensor([1.], dtype=torch.float64)"),
        (lambda: torch.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: torch.ones(1, requires_grad=True) + 1, "tensor([2.], grad_fn=<AddBackward0>)"),
        (lambda: torch.ones(1, 1, requires_grad=True).t(), "tensor([[1.]], grad_fn=<TBackward0>)"),
        (lambda: torch.arange(2000), "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
        (lambda: torch.zeros(1, 1, 1, 2), "tensor([[[[0., 0.]]]])"),
    ],
)
def test_repr_is_pytorchs(make, text):
    assert repr(make()) == text


def test_long_lines_wrap_and_summaries_cut_every_dimension():
    lines = repr(torch.arange(40)).split("\n")
    assert lines[0] == "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,"
    assert lines[1].startswith("        18, 19")
    text = repr(torch.zeros(40, 40))
    assert text.split("\n")[0] == "tensor([[0., 0., 0.,  ..., 0., 0., 0.],"
    assert text.split("\n")[3] == "        ...,"


def test_print_options_change_the_text_and_can_be_reset():
    x = torch.tensor([1.23456789, 2.0])
    try:
        torch.set_printoptions(precision=2)
        assert repr(x) == "tensor([1.23, 2.00])"
        torch.set_printoptions(sci_mode=True)
        assert repr(x) == "tensor([1.23e+00, 2.00e+00])"
        torch.set_printoptions(edgeitems=1, threshold=3)
        assert repr(torch.arange(5)) == "tensor([0,  ..., 4])"
    finally:
        torch.set_printoptions(profile="default")
    assert repr(x) == "tensor([1.2346, 2.0000])"
    with pytest.raises(ValueError, match="profile"):
        torch.set_printoptions(profile="huge")


def test_the_end_of_a_tensor_runs_no_code_of_python():
    """In a function of Python's Ctrl-C could be raised and, as it ends a tensor, be lost."""
    x, called = torch.ones(3) * 2, []
    sys.setprofile(
        lambda frame, event, value: called.append(frame.f_code.co_name) if event == "call" else None
    )
    try:
        del x
    finally:
        sys.setprofile(None)
    assert not called


def test_sizes_join_tuples_and_extend_lists():
    size, sizes = torch.Size([2, 3]), [1]
    for joined, expected in ((add(size, (4,)), (2, 3, 4)), (add((4,), size), (4, 2, 3))):
        assert joined == expected and type(joined) is torch.Size
    sizes += size
    assert sizes == [1, 2, 3]
    for pair in ((size, [4]), ([4], size)):
        with pytest.raises(TypeError):
            add(*pair)


@pytest.mark.parametrize(
    ("layout", "order", "back"),
    [("channels_last", (0, 2, 3, 1), (0, 3, 1, 2)), ("channels_last_3d", (0, 2, 3, 4, 1), (0, 4, 1, 2, 3))],
)
def test_is_contiguous_tells_whether_channels_lie_last(layout, order, back):
    layout = getattr(torch, layout)
    plain = torch.ones(2, 3, 4, 5, 6)[..., 0].contiguous() if len(order) == 4 else torch.ones(2, 3, 4, 5, 6)
    last = plain.permute(*order).contiguous().permute(*back) * 2
    assert (plain.is_contiguous(), plain.is_contiguous(memory_format=layout)) == (True, False)
    assert (last.is_contiguous(), last.is_contiguous(memory_format=layout)) == (False, True)
    assert plain.is_contiguous(memory_format=torch.contiguous_format)
    assert plain[:, :1].contiguous().is_contiguous(memory_format=layout)
    assert not plain[0].is_contiguous(memory_format=layout)
