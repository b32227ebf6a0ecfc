"""Tensors made with strides, and tensors shown as instances of subclasses."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch

FORMS = {
    "row-major": ((2, 3), (3, 1)),
    "column-major": ((2, 3), (1, 2)),
    "gaps": ((2, 3), (7, 2)),
    "no dimensions": ((), ()),
    "nothing": ((0, 3), (7, 1)),
    "size one": ((1, 2), (9, 1)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_empty_strided(form, dtype):
    size, stride = FORMS[form]
    kind = getattr(torch, dtype)
    base = torch.ones(1, dtype=kind)
    for x in (torch.empty_strided(size, stride, dtype=kind), base.new_empty_strided(size, stride)):
        assert (tuple(x.shape), x.stride(), x.dtype) == (size, stride, kind)
        assert x.is_leaf and x.storage_offset() == 0
        x.copy_(torch.arange(x.numel()).reshape(size))
        np.testing.assert_array_equal(x.numpy(), np.arange(x.numel()).reshape(size))


def test_empty_strided_takes_options():
    x = torch.empty_strided([2, 2], [1, 2], dtype=torch.float64, requires_grad=True, device="cpu")
    with torch.no_grad():
        x.fill_(3.0)
    (x * x).sum().backward()
    assert x.grad.tolist() == [[6.0, 6.0], [6.0, 6.0]]
    assert (
        torch.ones(1).new_empty_strided((2,), (1,), dtype=torch.int64, requires_grad=False).dtype
        is torch.int64
    )


def test_elements_that_share_memory_are_not_written_to():
    x = torch.empty_strided((2, 3), (0, 1))
    assert tuple(x.shape) == (2, 3) and torch.equal(x[0], x[1]) | x[0].isnan().any()
    with pytest.raises(RuntimeError, match="more than one element"):
        x.add_(1.0)


@pytest.mark.parametrize(
    ("size", "stride", "words"),
    [
        ((2, 3), (1,), r"sizes \(2\) must match dimensionality of strides \(1\)"),
        ((2, -3), (1, 1), "negative dimension -3"),
        ((2, 3), (-1, 1), r"Negative strides are not supported, got strides: \[-1, 1\]"),
        ((1,) * 9, (1,) * 9, "at most 8 dimensions"),
    ],
)
@pytest.mark.parametrize("make", [torch.empty_strided, torch.ones(1).new_empty_strided])
def test_wrong_strides_are_refused(make, size, stride, words):
    with pytest.raises(RuntimeError, match=words):
        make(size, stride)


@pytest.mark.parametrize("wrong", [3, (1.5, 2), "ab", None])
@pytest.mark.parametrize("make", [torch.empty_strided, torch.ones(1).new_empty_strided])
def test_sizes_and_strides_are_ints(make, wrong):
    with pytest.raises(TypeError, match=r"empty_strided\(\): argument 'size' must be tuple of ints"):
        make(wrong, (1, 1))
    with pytest.raises(TypeError, match=r"empty_strided\(\): argument 'stride' must be tuple of ints"):
        make((1, 1), wrong)


def test_compiled_steps_make_strided_tensors():
    @torch.compile(fullgraph=True)
    def step(x):
        y = x.new_empty_strided((2, 3), (1, 2))
        y.copy_(x)
        return (y * y).sum() + torch.empty_strided((3,), (2,)).zero_().sum()

    for k in range(4):
        assert step(torch.full((2, 3), float(k))).item() == 6 * k * k
    assert len(step.programs) == 1


# subclasses -----------------------------------------------------------------------------------------


class Named(torch.Tensor):
    """A tensor that can say more."""

    def doubled(self):
        return self * 2


@pytest.mark.parametrize("form", ["leaf", "result", "transposed", "constant"])
def test_as_subclass_shows_the_same_memory(form):
    x = torch.randn(3, 4, requires_grad=form != "constant")
    y = {"result": lambda: x * 1.0, "transposed": lambda: x.t()}.get(form, lambda: x)()
    shown = y.as_subclass(Named)
    assert type(shown) is Named and shown.stride() == y.stride() and shown.data_ptr() == y.data_ptr()
    assert shown.requires_grad is y.requires_grad
    if form != "constant":
        (shown.doubled() * shown).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), 4 * x.detach().numpy(), rtol=1e-6)
    with torch.no_grad():
        y[0, 0] = 7.0
        assert shown[0, 0].item() == 7.0


def test_as_subclass_goes_back_and_to_parameters():
    x = torch.ones(2)
    assert type(x.as_subclass(Named).as_subclass(torch.Tensor)) is torch.Tensor
    assert type(x.as_subclass(torch.nn.Parameter)) is torch.nn.Parameter


@pytest.mark.parametrize("cls", [int, 3, "Tensor"])
def test_as_subclass_needs_a_class_of_tensors(cls):
    with pytest.raises(TypeError, match=r"as_subclass: .* does not inherit from Tensor"):
        torch.ones(2).as_subclass(cls)


def test_compiled_steps_show_tensors_as_subclasses():
    w = torch.ones(3, requires_grad=True)

    @torch.compile(fullgraph=True)
    def step(x):
        w.grad = None
        loss = (x * w.as_subclass(Named).doubled()).sum()
        loss.backward()
        return loss

    for k in range(4):
        assert step(torch.full((3,), float(k))).item() == 6 * k
        assert w.grad.tolist() == [2.0 * k] * 3
    assert len(step.programs) == 1


class Tagged(torch.nn.Parameter):
    """A parameter whose ``__new__`` takes more than its ``__init__`` knows."""

    def __new__(cls, data, tag, requires_grad=True):
        made = torch.Tensor._make_subclass(cls, data, requires_grad)
        made.tag = tag
        return made


class TaggedTensor(torch.Tensor):
    """The same, below `Tensor`, whose ``__init__`` makes tensors."""

    __new__ = Tagged.__new__


@pytest.mark.parametrize("cls", [Tagged, TaggedTensor])
@pytest.mark.parametrize("requires_grad", [True, False])
def test_subclasses_make_their_tensors_in_new(cls, requires_grad):
    data = torch.arange(3.0)
    made = cls(data * 1.0 if requires_grad else data, tag="mine", requires_grad=requires_grad)
    assert type(made) is cls and made.tag == "mine" and made.is_leaf
    assert made.requires_grad is requires_grad and made.tolist() == [0, 1, 2]
    if requires_grad:
        (made * made).sum().backward()
        assert made.grad.tolist() == [0, 2, 4]
    else:
        data[0] = 5.0
        assert made[0].item() == 5.0


def test_tensor_takes_no_options():
    with pytest.raises(TypeError, match="unexpected keyword argument 'tag'"):
        torch.Tensor(2, tag=1)
