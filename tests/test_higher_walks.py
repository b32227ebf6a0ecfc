"""Walks with `create_graph`: any order, what they leave in .grad and on the tape, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from custom_functions import Cube

import jitgrad as torch


@pytest.mark.parametrize("order", range(1, 6))
def test_any_order(order):
    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    y = (2 * x).sin()
    for _ in range(order):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
    expected = 2**order * [np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v), np.sin][(order - 1) % 4](1.4)
    np.testing.assert_allclose(y.item(), expected, rtol=1e-12)


def test_backward_with_create_graph_leaves_a_gradient_with_history():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad and x.grad.grad_fn is not None
    (h,) = torch.autograd.grad(x.grad.sum(), x)
    np.testing.assert_array_equal(h.numpy(), [6, 12])


def test_gradients_accumulate_with_history():
    x = torch.tensor(2.0, requires_grad=True)
    (x**2).backward(create_graph=True)
    (x**3).backward(create_graph=True)
    assert x.grad.item() == 4 + 12
    (h,) = torch.autograd.grad(x.grad, x)
    assert h.item() == 2 + 12


def test_retained_gradients_of_intermediates_have_history():
    x = torch.tensor(2.0, requires_grad=True)
    y = x**2
    y.retain_grad()
    (y**2).backward(create_graph=True)
    assert y.grad.item() == 8
    (h,) = torch.autograd.grad(y.grad, x)
    assert h.item() == 2 * 2 * 2


def test_only_the_way_to_the_inputs_is_walked():
    x = torch.tensor(2.0, requires_grad=True)
    w = torch.tensor(3.0, requires_grad=True)

    class Trap(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            return t.clone()

        @staticmethod
        def backward(ctx, g):
            raise AssertionError("walked though nothing asked for it")

    y = x**2 * Trap.apply(w)
    (g,) = torch.autograd.grad(y, x, create_graph=True)
    assert g.item() == 12


def test_intermediate_and_leaf_are_both_captured():
    x = torch.tensor(2.0, requires_grad=True)
    y = x**2
    gy, gx = torch.autograd.grad(y**2, (y, x), create_graph=True)
    assert (gy.item(), gx.item()) == (8, 32)
    (h,) = torch.autograd.grad(gx, x)
    assert h.item() == 48


def test_a_batch_of_cotangents():
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x**2
    (rows,) = torch.autograd.grad(y, x, torch.eye(3), is_grads_batched=True, create_graph=True)
    np.testing.assert_array_equal(rows.detach().numpy(), np.diag([2.0, 4.0, 6.0]))
    (h,) = torch.autograd.grad(rows.sum(), x)
    np.testing.assert_array_equal(h.numpy(), [2, 2, 2])
    with pytest.raises(RuntimeError, match="batch"):
        torch.autograd.grad(y, x, torch.ones(3), is_grads_batched=True)


def test_cotangents_are_differentiated_too():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    v = torch.tensor([3.0, 5.0], requires_grad=True)
    (g,) = torch.autograd.grad(x**2, x, v, create_graph=True)
    (h,) = torch.autograd.grad(g.sum(), v)
    np.testing.assert_array_equal(h.numpy(), [2, 4])


def test_rows_stay_by_default_and_go_when_told():
    x = torch.tensor(2.0, requires_grad=True)
    y = x**3
    torch.autograd.grad(y, x, create_graph=True)
    torch.autograd.grad(y, x, create_graph=True, retain_graph=False)
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x)


def test_rows_that_go_let_the_walk_go_on():
    """Nobody but the row behind it holds the square here."""
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    y = (x**2).exp().sum()
    (g,) = torch.autograd.grad(y, x, create_graph=True, retain_graph=False)
    np.testing.assert_allclose(
        g.detach().numpy(), 2 * x.detach().numpy() * np.exp(x.detach().numpy() ** 2), 1e-6
    )
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x)


def test_a_custom_function_is_differentiated_through_its_backward():
    x = torch.tensor(2.0, requires_grad=True)
    (g,) = torch.autograd.grad(Cube.apply(x), x, create_graph=True)
    (h,) = torch.autograd.grad(g, x, create_graph=True)
    (k,) = torch.autograd.grad(h, x)
    assert (g.item(), h.item(), k.item()) == (12, 12, 6)


def test_stale_values_are_noticed():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    z = y * y
    with torch.no_grad():
        y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        torch.autograd.grad(z.sum(), x, create_graph=True)


def test_unused_inputs_are_an_error_unless_allowed():
    x = torch.tensor(1.0, requires_grad=True)
    w = torch.tensor(1.0, requires_grad=True)
    with pytest.raises(RuntimeError, match="not have been used"):
        torch.autograd.grad(x * 2, (x, w), create_graph=True)
    g, none = torch.autograd.grad(x * 2, (x, w), create_graph=True, allow_unused=True)
    assert g.item() == 2 and none is None


def test_gradients_of_gradients_in_a_compiled_step():
    """A physics-informed network: u'' by create_graph, inside the compiled step, bitwise as in Python."""

    def train(compiled):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)

        def step(x):
            x = x.detach().requires_grad_()
            u = net(x)
            (du,) = torch.autograd.grad(u.sum(), x, create_graph=True)
            (ddu,) = torch.autograd.grad(du.sum(), x, create_graph=True)
            loss = ((ddu + u) ** 2).mean() + (net(torch.zeros(1, 1, dtype=torch.float64)) - 1).pow(2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        run = torch.compile(step, fullgraph=True) if compiled else step
        x = torch.linspace(0, 3, 20, dtype=torch.float64).reshape(-1, 1)
        return [run(x).item() for _ in range(10)]

    assert train(True) == train(False)
