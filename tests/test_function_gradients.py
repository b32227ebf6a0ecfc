"""What the backward of a custom function may return, and what becomes of it."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from custom_functions import function
from sample_values import leaf

import jitgrad as torch
from jitgrad.autograd import Function, gradcheck, gradgradcheck
from jitgrad.autograd.function import once_differentiable
from jitgrad.autograd.graph import drop_freed_nodes, saved_tensors_hooks
from jitgrad.store import store


@pytest.mark.parametrize(
    ("shape", "gradient"), [((2,), (3, 2)), ((2, 1), (2, 5)), ((), (4,)), ((1, 2), (3, 4, 2))]
)
def test_gradients_that_are_broadcast_are_summed(shape, gradient):
    x = torch.ones(shape, requires_grad=True)
    function(lambda ctx, x: x * 2, lambda ctx, g: torch.ones(gradient)).apply(x).sum().backward()
    assert x.grad.shape == x.shape
    assert x.grad.sum().item() == np.prod(gradient)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda g: (g, g), "different than None at position 2"),
        (lambda g: (g, None, None, g), r"incorrect number of gradients \(expected 2, got 4\)"),
        (lambda g: [g], "expected Variable or None .got list."),
        (lambda g: ("text", None), "expected Variable or None .got str."),
        (lambda g: (g.reshape(2, 1), None), r"got \[2, 1\] but expected shape compatible with \[2\]"),
    ],
)
def test_what_backward_may_not_return(returned, message):
    x = leaf(1.0, 2.0)
    made = function(lambda ctx, x, number: x * 2, lambda ctx, g: returned(g))
    y = made.apply(x, 3)
    with pytest.raises(RuntimeError, match=message if "list" not in message else "incorrect number|got list"):
        y.sum().backward()
    assert x.grad is None


def test_gradients_of_arguments_that_need_none_are_not_looked_at():
    made = function(lambda ctx, x, y, k: x * 2, lambda ctx, g: (g * 2, torch.ones(7), torch.ones(3)))
    x = leaf(1.0)
    made.apply(x, torch.ones(2), torch.ones(2, dtype=torch.int64)).backward()
    assert x.grad.item() == 2.0


def test_integers_among_arguments_and_results():
    def forward(ctx, x, index):
        ctx.save_for_backward(index)
        ctx.size = x.shape[0]
        return x[index], index + 1

    def backward(ctx, g, none):
        (index,) = ctx.saved_tensors
        return torch.zeros(ctx.size).index_add(0, index, g), None

    x = leaf(1.0, 2.0, 3.0)
    y, moved = function(forward, backward).apply(x, torch.tensor([2, 0, 2]))
    assert not moved.requires_grad
    y.backward(torch.tensor([1.0, 10.0, 100.0]))
    assert x.grad.tolist() == [10.0, 0.0, 101.0]


def test_second_gradients_of_several_arguments_and_results():
    class Both(Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b, a.exp()

        @staticmethod
        def backward(ctx, g, h):
            a, b = ctx.saved_tensors
            return g * b + h * a.exp(), g * a

    a, b = leaf(0.3, 0.5, dtype=torch.float64), leaf(1.0, 2.0, dtype=torch.float64)
    assert gradgradcheck(Both.apply, (a, b))


def test_once_differentiable_refuses_a_second_walk():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @once_differentiable
        def backward(ctx, g):
            assert not torch.is_grad_enabled()
            return 3 * g * ctx.saved_tensors[0] ** 2

    x = leaf(2.0)
    Once.apply(x).backward()
    assert x.grad.item() == 12.0
    (g,) = torch.autograd.grad(Once.apply(x * 1) ** 2, x, create_graph=True)
    assert g.item() == 2 * 8 * 12.0
    with pytest.raises(RuntimeError, match="trying to differentiate twice"):
        g.backward()


class Powers(Function):
    """The third power and, among other results, its derivative, which backward takes from there."""

    @staticmethod
    def forward(ctx, x):
        cube, slope = x**3, 3 * x**2
        ctx.save_for_backward(x, slope)
        return cube, x * 5, slope

    @staticmethod
    def backward(ctx, of_cube, of_multiple, of_slope):
        x, slope = ctx.saved_tensors
        return of_cube * slope + 5 * of_multiple + of_slope * 6 * x


@pytest.mark.parametrize("kept", [0, 1, 2, None], ids=["cube", "multiple", "slope", "all"])
@pytest.mark.parametrize("hooked", [False, True])
def test_saved_results_that_nobody_holds_have_gradients(kept, hooked):
    def function(x):
        with saved_tensors_hooks(torch.clone, torch.clone) if hooked else contextlib.nullcontext():
            results = Powers.apply(x)
        return results if kept is None else results[kept]

    assert gradcheck(function, (leaf(0.3, -0.5, dtype=torch.float64),))
    assert kept == 1 or gradgradcheck(function, (leaf(0.3, -0.5, dtype=torch.float64),))
    x = leaf(2.0)
    if kept == 0:
        (g,) = torch.autograd.grad(function(x), x, create_graph=True)
        (second,) = torch.autograd.grad(g, x, create_graph=True)
        assert (g.item(), second.item()) == (12.0, 12.0)


def test_a_row_that_has_saved_its_results_goes_with_the_last_of_them():
    x = leaf(2.0)
    drop_freed_nodes()
    before = store.field("live_rows"), store.field("bytes")
    results = Powers.apply(x)
    first = results[0]
    del results
    assert store.field("live_rows") > before[0]
    del first
    drop_freed_nodes()
    assert (store.field("live_rows"), store.field("bytes")) == before


def test_a_saved_result_may_be_written_when_backward_has_passed():
    x = leaf(2.0)
    cube, _, slope = Powers.apply(x)
    with torch.no_grad():
        slope.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        cube.backward()
    cube, _, slope = Powers.apply(x)
    cube.backward()
    with torch.no_grad():
        slope.add_(1)
    assert x.grad.item() == 12
