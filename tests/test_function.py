"""Custom functions: operations whose forward and backward are Python."""

from __future__ import annotations

import numpy as np
import pytest
from custom_functions import Square
from sample_values import leaf

import jitgrad as torch
from jitgrad.autograd import Function


class Split(Function):
    """Two operands, three outputs, one of them a constant."""

    @staticmethod
    def forward(ctx, a, b, scale):
        ctx.scale = scale
        ctx.save_for_backward(a, b)
        total, product, largest = a + b, a * b * scale, (a > b).float()
        ctx.mark_non_differentiable(largest)
        return total, product, largest

    @staticmethod
    def backward(ctx, g_total, g_product, g_largest):
        a, b = ctx.saved_tensors
        return g_total + g_product * b * ctx.scale, g_total + g_product * a * ctx.scale, None


def test_one_operand_one_output():
    x = leaf(1.0, 3.0)
    y = Square.apply(x)
    assert y.tolist() == [1.0, 9.0]
    assert y.requires_grad
    assert type(y.grad_fn).__name__ == "SquareBackward" or "SquareBackward" in y.grad_fn.name()
    (y * torch.tensor([1.0, 10.0])).sum().backward()
    assert x.grad.tolist() == [2.0, 60.0]


def test_several_operands_and_outputs():
    a, b = leaf(1.0, 5.0), leaf(2.0, 3.0)
    total, product, largest = Split.apply(a, b, 10.0)
    assert total.requires_grad
    assert product.requires_grad
    assert not largest.requires_grad
    assert largest.tolist() == [0.0, 1.0]
    (total * torch.tensor([1.0, 2.0]) + product).sum().backward()
    assert a.grad.tolist() == [21.0, 32.0]
    assert b.grad.tolist() == [11.0, 52.0]


def test_outputs_that_are_not_used_have_zero_cotangents():
    a, b = leaf(1.0, 5.0), leaf(2.0, 3.0)
    product = Split.apply(a, b, 1.0)[1]
    product.sum().backward()
    assert a.grad.tolist() == [2.0, 3.0]


def test_outputs_that_are_not_used_come_as_none_when_asked():
    seen = []

    class Two(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x + 1, x * 2

        @staticmethod
        def backward(ctx, g, h):
            seen.append((g, h))
            return h * 2

    x = leaf(1.0)
    Two.apply(x)[1].backward()
    assert seen[0][0] is None
    assert seen[0][1].item() == 1.0
    assert x.grad.item() == 2.0


def test_needs_input_grad_follows_the_arguments():
    seen = []

    class Look(Function):
        @staticmethod
        def forward(ctx, a, number, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            seen.append(ctx.needs_input_grad)
            return g, None, None

    Look.apply(leaf(1.0), 3, torch.tensor([2.0])).backward()
    assert seen == [(True, False, False)]


def test_none_is_no_gradient():
    class Cut(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return None, g

    a, b = leaf(1.0), leaf(2.0)
    Cut.apply(a * 2, b).backward()
    assert a.grad is None
    assert b.grad.item() == 1.0


def test_nothing_is_recorded_inside_forward_or_without_gradients():
    modes = []

    class Look(Function):
        @staticmethod
        def forward(ctx, x):
            modes.append(torch.is_grad_enabled())
            return x * 2

        @staticmethod
        def backward(ctx, g):
            modes.append(torch.is_grad_enabled())
            return g * 2

    x = leaf(1.0)
    Look.apply(x).backward()
    assert modes == [False, False]
    assert torch.is_grad_enabled()
    assert not Look.apply(x.detach()).requires_grad
    with torch.no_grad():
        assert not Look.apply(x).requires_grad


def test_functions_in_the_middle_of_a_graph_and_repeatedly():
    x = leaf(0.5, 1.5)
    y = Square.apply(Square.apply(x.sin()) + x)
    y.sum().backward()
    v = np.array([0.5, 1.5])
    inner = np.sin(v) ** 2 + v
    np.testing.assert_allclose(x.grad.numpy(), 2 * inner * (2 * np.sin(v) * np.cos(v) + 1), rtol=1e-5)


def test_retained_graph_runs_backward_again():
    x = leaf(3.0)
    y = Square.apply(x)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 12.0
    with pytest.raises(RuntimeError, match="a second time"):
        y.backward()


def test_nested_backward_inside_backward():
    class Checkpoint(Function):
        """Compute again in backward what forward did not keep."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return (x.sin() * x).exp()

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            again = x.detach().requires_grad_()
            with torch.enable_grad():
                y = (again.sin() * again).exp()
            y.backward(g)
            return again.grad

    x = leaf(0.3, 0.7)
    outer = Checkpoint.apply(x * 2) * 3
    outer.sum().backward()
    plain = leaf(0.3, 0.7)
    ((plain * 2).sin() * (plain * 2)).exp().mul(3).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), plain.grad.numpy(), rtol=1e-6)


def test_nested_backward_into_a_leaf_that_the_outer_walk_uses_too():
    w = leaf(2.0)

    class Inner(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * w

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                (x.detach() * w).backward(g)
            return g * w.detach()

    x = leaf(5.0)
    (Inner.apply(x) + w * 100).backward()
    assert x.grad.item() == 2.0
    assert w.grad.item() == 105.0


def test_nested_grad_inside_grad():
    class Inner(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.exp()

        @staticmethod
        def backward(ctx, g):
            again = ctx.saved_tensors[0].detach().requires_grad_()
            with torch.enable_grad():
                y = again.exp()
            return torch.autograd.grad(y, again, g)[0]

    x = leaf(0.5)
    h = x * 2
    (gx, gh) = torch.autograd.grad(Inner.apply(h) * h, [x, h])
    expected = np.exp(1.0) * 1.0 + np.exp(1.0)
    assert gh.item() == pytest.approx(expected, rel=1e-6)
    assert gx.item() == pytest.approx(2 * expected, rel=1e-6)


def test_nested_backward_is_in_grad_when_it_returns():
    w, seen = leaf(2.0), []

    class Inner(Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            with torch.enable_grad():
                (w * 7).backward()
            seen.append(w.grad.item())
            return g

    (Inner.apply(w * 1) + w * 100).backward()
    assert seen == [7.0]
    assert w.grad.item() == 108.0


def test_backward_nested_in_grad_stays_out_of_it():
    w = leaf(2.0)

    class Inner(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 3

        @staticmethod
        def backward(ctx, g):
            with torch.enable_grad():
                (w * 7).backward()
            return g * 3

    (g,) = torch.autograd.grad(Inner.apply(w * w) + w * 100, w)
    assert g.item() == 112.0
    assert w.grad.item() == 7.0


def test_mark_dirty_of_a_leaf_is_refused():
    class Zero(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g

    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        Zero.apply(leaf(1.0))


def test_mark_dirty_changes_an_argument_in_place():
    class Double(Function):
        @staticmethod
        def forward(ctx, x):
            x.mul_(2)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 2

    x = leaf(1.0, 2.0)
    h = x * 3
    y = Double.apply(h)
    assert y is h
    assert h.tolist() == [6.0, 12.0]
    h.sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_argument_returned_unchanged_is_a_new_value_in_the_graph():
    class Same(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 10

    x = leaf(1.0)
    y = Same.apply(x)
    assert y is not x
    y.backward()
    assert x.grad.item() == 10.0


def test_setup_context_apart_from_forward():
    class Cube(Function):
        @staticmethod
        def forward(x):
            return x**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x * x * g

    x = leaf(2.0)
    Cube.apply(x).backward()
    assert x.grad.item() == 12.0
