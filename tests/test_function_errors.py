"""Custom functions that fail, and the lifetime of their contexts."""

from __future__ import annotations

import numpy as np
import pytest
from custom_functions import Square
from sample_values import leaf
from usage import usage

import jitgrad as torch
from jitgrad.autograd import Function


def returning(*gradients):
    """A function of two operands whose backward returns what is given."""

    class Fixed(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return gradients if len(gradients) != 1 else gradients[0]

    return Fixed


@pytest.mark.parametrize(
    ("gradients", "error", "message"),
    [
        ((torch.ones(2),), RuntimeError, r"incorrect number of gradients \(expected 2, got 1\)"),
        ((torch.ones(2),) * 3, RuntimeError, r"incorrect number of gradients \(expected 2, got 3\)"),
        (
            (torch.ones(3), None),
            RuntimeError,
            r"invalid gradient at index 0 - got \[3\] but expected .*\[2\]",
        ),
        ((None, torch.ones(2, 3)), RuntimeError, r"invalid gradient at index 1 - got \[2, 3\]"),
        ((1.0, None), RuntimeError, r"expected Variable or None \(got float\)"),
    ],
)
def test_wrong_gradients_are_refused_and_leave_no_trace(gradients, error, message):
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    y = returning(*gradients).apply(a, b) * 2 + a * 3
    before = usage()
    for _ in range(2):
        with pytest.raises(error, match=message):
            y.sum().backward(retain_graph=True)
    assert usage() == before
    assert a.grad is None
    assert b.grad is None


def test_gradients_beyond_the_arguments_may_be_none():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    returning(torch.ones(2), torch.ones(2), None).apply(a, b).sum().backward()
    assert a.grad.tolist() == [1.0, 1.0]


def test_gradients_are_cast_to_the_dtype_of_the_argument():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    returning(torch.ones(2, dtype=torch.float64), None).apply(a, b).sum().backward()
    assert a.grad.dtype is torch.float32


def test_exception_in_backward_passes_through_and_the_graph_survives():
    class Bad(Function):
        broken = True

        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            if Bad.broken:
                raise ZeroDivisionError("on purpose")
            return g * 2

    x, w = leaf(1.0), leaf(5.0)
    y = Bad.apply(x) * 3 + w.exp()
    before = usage()
    with pytest.raises(ZeroDivisionError, match="on purpose"):
        y.backward(retain_graph=True)
    assert usage() == before
    assert x.grad is None
    assert w.grad is None
    Bad.broken = False
    y.backward()
    assert x.grad.item() == 6.0
    assert w.grad.item() == pytest.approx(np.exp(5.0), rel=1e-6)


def test_exception_in_forward_records_nothing():
    class Bad(Function):
        @staticmethod
        def forward(ctx, x):
            raise ZeroDivisionError("on purpose")

    x = leaf(1.0)
    before = usage()
    with pytest.raises(ZeroDivisionError):
        Bad.apply(x)
    assert usage() == before
    assert torch.is_grad_enabled()


def test_missing_forward_and_backward_are_named():
    class Half(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

    with pytest.raises(NotImplementedError, match="must implement the forward function"):
        Function.apply(leaf(1.0))
    y = Half.apply(leaf(1.0))
    with pytest.raises(NotImplementedError, match="must implement either the backward"):
        y.backward()


def test_saved_tensor_changed_in_place_is_stale():
    x = leaf(1.0, 2.0)
    h = x * 2
    y = Square.apply(h)
    h.add_(1)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*SquareBackward"):
        y.sum().backward()


def test_gradient_that_is_the_cotangent_itself_is_not_shared():
    class Pass(Function):
        @staticmethod
        def forward(ctx, a, b):
            return a + b

        @staticmethod
        def backward(ctx, g):
            return g, g

    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    seed = torch.ones(2)
    Pass.apply(a, b).backward(seed)
    a.grad.mul_(7)
    assert b.grad.tolist() == [1.0, 1.0]
    assert seed.tolist() == [1.0, 1.0]


def test_contexts_are_freed_with_their_rows():
    x = leaf(1.0, 2.0)
    before = usage()
    ys = [Square.apply(x) for _ in range(50)]
    assert usage().nodes == before.nodes + 50
    ys[0].sum().backward()
    del ys
    x.grad = None
    assert usage() == before
    for _ in range(1000):
        Square.apply(x)
    assert usage() == before


def test_name_of_a_freed_custom_function_is_not_another_operation():
    y = Square.apply(leaf(1.0))
    y.backward()
    assert "Add" not in repr(y)


HUGE = 2**44  # elements, of which a sum takes more memory than any machine has; repeated, they take none


def ones_of(count):
    """A function of so many operands that gives each of them the gradient that it gets."""

    class Ones(Function):
        @staticmethod
        def forward(ctx, *operands):
            return torch.ones(1).expand(HUGE)

        @staticmethod
        def backward(ctx, g):
            return (g,) * count

    return Ones


@pytest.mark.parametrize(("operands", "roots"), [(2, 1), (1, 2)], ids=["operands", "roots"])
def test_a_sum_of_gradients_for_which_there_is_no_memory_is_an_error(operands, roots):
    x = torch.zeros(1).expand(HUGE).requires_grad_()
    y, g = ones_of(operands).apply(*[x] * operands), torch.ones(1).expand(HUGE)
    with pytest.raises(RuntimeError, match="out of memory"):
        torch.autograd.grad([y] * roots, x, [g] * roots, retain_graph=True)
    z = ones_of(1).apply(x)  # nothing is left of the walk that failed
    assert torch.autograd.grad(z, x, g)[0][:2].tolist() == [1.0, 1.0]
