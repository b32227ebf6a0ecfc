"""`autograd.grad`, `autograd.backward` and chosen inputs."""

from __future__ import annotations

import numpy as np
import pytest
from sample_values import leaf
from usage import usage

import jitgrad as torch


def test_grad_leaves_grad_alone():
    x = leaf(1.0, 2.0)
    (g,) = torch.autograd.grad((x * x).sum(), x)
    assert g.tolist() == [2.0, 4.0]
    assert x.grad is None


def test_grad_with_respect_to_interior_tensors_and_leaves_together():
    x = leaf(2.0)
    y = x * x
    z = y * y
    w = z + y
    gx, gy, gz = torch.autograd.grad(w, [x, y, z])
    assert (gx.item(), gy.item(), gz.item()) == (36.0, 9.0, 1.0)


def test_grad_walks_only_what_leads_to_the_inputs():
    x, w = leaf(2.0), leaf(3.0)
    y = x * 2
    z = y * w
    (gy,) = torch.autograd.grad(z, y)
    assert gy.item() == 3.0
    y.backward()  # the part of the graph behind y was not walked, and so not freed
    assert x.grad.item() == 2.0
    assert w.grad is None


def test_grad_of_the_output_itself():
    x = leaf(2.0)
    y = x * 3
    gy, gx = torch.autograd.grad(y, [y, x])
    assert (gy.item(), gx.item()) == (1.0, 3.0)


def test_grad_at_a_tensor_whose_own_history_is_freed():
    x = leaf(2.0)
    y = x * x
    y.backward()
    z = y * 3
    (gy,) = torch.autograd.grad(z, y)
    assert gy.item() == 3.0


def test_tensors_marked_by_an_earlier_grad_are_forgotten():
    x, w = leaf(2.0), leaf(3.0)
    y = x * x
    torch.autograd.grad(y * 3, x)  # frees y's history
    (g,) = torch.autograd.grad(y * w, w)
    assert g.item() == 4.0


def test_failed_grad_leaves_no_cotangent_behind():
    x, w = leaf(2.0), leaf(3.0)
    y = x * 2
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(y, w, retain_graph=True)
    y.backward()
    assert x.grad.item() == 2.0


def test_grad_of_a_leaf_root_that_was_not_asked_for():
    x, w = leaf(2.0), leaf(3.0)
    before = usage()
    (g,) = torch.autograd.grad([w, x * 5], [x])
    assert g.item() == 5.0
    del g
    assert usage() == before
    assert w.grad is None


def test_grad_of_an_input_given_twice():
    x = leaf(2.0)
    a, b = torch.autograd.grad(x * x, [x, x])
    assert a.item() == b.item() == 4.0


def test_grad_of_several_outputs_adds():
    x = leaf(1.0, 2.0)
    (g,) = torch.autograd.grad([x * 2, x.sum()], [x], [torch.tensor([1.0, 10.0]), None])
    assert g.tolist() == [3.0, 21.0]


def test_only_inputs_stands_where_it_does_in_pytorch_and_changes_nothing():
    x, unused = leaf(2.0), leaf(1.0)
    found = torch.autograd.grad((x * x).sum(), (x, unused), None, True, False, True, True)
    assert found[0].tolist() == [4] and found[1] is None
    with pytest.warns(FutureWarning, match="only_inputs"):
        torch.autograd.grad((x * x).sum(), x, only_inputs=False)
    assert x.grad is None


def test_grad_of_unused_inputs():
    x, w = leaf(1.0), leaf(2.0)
    y = x * 2
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        torch.autograd.grad(y, [x, w], retain_graph=True)
    assert torch.autograd.grad(y, [x, w], retain_graph=True, allow_unused=True)[1] is None
    _, zero = torch.autograd.grad(y, [x, w], allow_unused=True, materialize_grads=True)
    assert zero.tolist() == [0.0]


@pytest.mark.parametrize("unused", [False, True])
def test_zeros_and_an_error_for_an_unused_input_are_not_asked_for_at_once(unused):
    x, w = leaf(1.0), leaf(2.0)
    with pytest.raises(ValueError, match=r"grad: Expected allow_unused to be True or not passed .*=False"):
        torch.autograd.grad(x * 2, [x, w] if unused else x, allow_unused=False, materialize_grads=True)


INTEGERS = {
    "max": lambda x: x.max(1).indices,
    "min": lambda x: x.min(1).indices,
    "sort": lambda x: x.sort(1).indices,
    "argmax": lambda x: x.argmax(1),
    "long": lambda x: x.long(),
    "max_pool2d": lambda x: torch.nn.functional.max_pool2d(x[None], 2, return_indices=True)[1],
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_are_leaves(name):
    y = INTEGERS[name](torch.tensor([[1.0, 3.0], [4.0, 2.0]], requires_grad=True))
    assert y.is_leaf and y.grad_fn is None and not y.requires_grad


VIEWS = {
    "of a leaf": lambda x: x[0],
    "of a result": lambda x: (x * 1)[0],
    "without history": lambda x: torch.zeros(3)[1:],
    "of all": lambda x: (x * 1).view(4),
    "repeated": lambda x: (x * 1).expand(2, 2, 2),
    "of a detached tensor": lambda x: x.detach().t(),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_are_not_detached_in_place(name):
    x = torch.ones(2, 2, requires_grad=True)
    view = VIEWS[name](x)
    with pytest.raises(RuntimeError, match="detach_: Can't detach views in-place"):
        view.detach_()
    for whole in (x.detach(), x * 1, view.clone()):
        assert whole.detach_() is whole and whole.is_leaf and not whole.requires_grad


def test_failed_grad_leaves_the_graph_usable():
    x, w = leaf(1.0), leaf(2.0)
    y = (x * 2).exp()
    before = usage()
    with pytest.raises(RuntimeError, match="does not require grad"):
        torch.autograd.grad(y, [torch.tensor(1.0)])
    with pytest.raises(RuntimeError, match="appears to not have been used"):
        torch.autograd.grad(y, [w], retain_graph=True)
    assert usage() == before
    y.backward()
    assert x.grad.item() == pytest.approx(2 * np.exp(2.0), rel=1e-6)
    assert w.grad is None


def test_backward_into_chosen_inputs_only():
    x, w = leaf(2.0), leaf(3.0)
    (x * w).backward(inputs=[w])
    assert x.grad is None
    assert w.grad.item() == 2.0
    (x * w).backward(inputs=w)
    assert w.grad.item() == 4.0


def test_backward_of_several_tensors():
    x = leaf(1.0, 2.0)
    a, b = x * 2, (x * x).sum()
    torch.autograd.backward([a, b], [torch.tensor([1.0, 1.0]), None])
    assert x.grad.tolist() == [4.0, 6.0]


def test_backward_of_one_tensor_given_twice():
    x = leaf(1.0)
    y = x * 2
    torch.autograd.backward([y, y], [torch.tensor([1.0]), torch.tensor([10.0])])
    assert x.grad.item() == 22.0


def test_backward_of_a_tensor_and_of_what_it_was_made_from():
    x = leaf(2.0)
    y = x * x
    z = y * 3
    torch.autograd.backward([y, z])
    assert x.grad.item() == 16.0


def test_cotangent_is_cast_to_the_dtype_of_the_root():
    x = leaf(1.0, dtype=torch.float64)
    (x * 2).backward(torch.tensor([1.5], dtype=torch.float64))
    assert x.grad.dtype is torch.float64
    assert x.grad.item() == 3.0


def test_gradients_cross_dtypes():
    x = leaf(1.5)
    y = x.double() * torch.tensor([2.0], dtype=torch.float64)
    assert y.dtype is torch.float64
    y.backward()
    assert x.grad.dtype is torch.float32
    assert x.grad.item() == 2.0


def test_a_graph_marked_by_a_walk_goes_when_a_walk_within_has_used_it():
    w = leaf(1.0, 2.0)
    before = usage()
    others = [(w * 5 * w).sum()]  # on a path from w, but not to the loss

    class Within(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            others.pop().backward()
            return g * 2

    gradients = torch.autograd.grad(Within.apply(w).sum(), w)
    assert gradients[0].tolist() == [2.0, 2.0]
    assert w.grad.tolist() == [10.0, 20.0]
    w.grad = None
    del gradients
    assert usage() == before


@pytest.mark.parametrize("count", (1, 31, 32, 33, 65, 100))
def test_any_number_of_inputs_with_history(count):
    xs = [torch.tensor(float(k), requires_grad=True) for k in range(count)]
    others = [torch.tensor(2.0, requires_grad=True) for _ in xs]
    y = sum((x * x * other for x, other in zip(xs, others, strict=True)), torch.zeros(()))
    for _ in range(2):  # the first walk leaves no marks
        gradients = torch.autograd.grad(y, xs, create_graph=True)
        assert [g.item() for g in gradients] == [4.0 * k for k in range(count)]
    (h,) = torch.autograd.grad(gradients[-1], xs[-1])
    assert h.item() == 4 and all(x.grad is None for x in (*xs, *others))
