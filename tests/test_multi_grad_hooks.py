"""Hooks on several tensors at once: once a walk, with the gradients that came or with the first."""

from __future__ import annotations

import pytest
from sample_values import leaf

import jitgrad as torch
from jitgrad.autograd.graph import register_multi_grad_hook


def values(gradients):
    return [None if g is None else g.tolist() for g in gradients]


def walk_plainly(y, *chosen):
    y.backward()


def walk_and_record(y, *chosen):
    y.backward(create_graph=True)


def walk_to_chosen(y, *chosen):
    torch.autograd.grad(y, chosen, allow_unused=True)


WALKS = [walk_plainly, walk_and_record, walk_to_chosen]


@pytest.mark.parametrize("walk", WALKS)
def test_all_gradients_come_at_once_with_none_for_what_a_walk_does_not_reach(walk):
    a, b, log = leaf(2.0), leaf(3.0), []
    h = a * b
    register_multi_grad_hook([a, h, b], lambda gs: log.append(values(gs)))
    walk((h * h).sum(), a, h, b)
    walk((a * 4).sum(), a, h, b)
    assert log == [[[36.0], [12.0], [24.0]], [[4.0], None, None]]


@pytest.mark.parametrize("walk", WALKS)
def test_any_means_the_first_gradient_of_each_walk(walk):
    a, log = leaf(2.0), []
    h = a * 3
    register_multi_grad_hook((a, h), lambda g: log.append(g.tolist()), mode="any")
    walk((h * 5).sum(), a, h)
    walk((a * 7).sum(), a, h)
    assert log == [[5.0], [7.0]]


def test_removed_hooks_are_not_called_and_a_context_removes_them():
    a, log = leaf(1.0), []
    handle = register_multi_grad_hook([a], lambda gs: log.append("first"))
    with register_multi_grad_hook([a], lambda gs: log.append("second")):
        (a * 2).sum().backward()
    handle.remove()
    handle.remove()
    (a * 2).sum().backward()
    assert log == ["first", "second"]


def test_gradients_are_in_place_when_the_hook_is_called_and_have_no_history():
    a, seen = leaf(1.0), []

    def look(gradients):
        seen.append((a.grad.item(), gradients[0].requires_grad, torch.is_grad_enabled()))

    register_multi_grad_hook([a], look)
    (a * 2).sum().backward()
    assert seen == [(2.0, False, False)]


def test_a_walk_within_a_custom_function_has_hooks_of_its_own():
    a, inner, log = leaf(1.0), leaf(5.0), []

    class Walks(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            with torch.enable_grad():
                (inner * 2).sum().backward()
            return g

    h = a * 3
    register_multi_grad_hook([h, a], lambda gs: log.append(("outer", values(gs))))
    register_multi_grad_hook([inner, h], lambda gs: log.append(("inner", values(gs))))
    Walks.apply(h * 1).sum().backward()
    assert log == [("inner", [[2.0], None]), ("outer", [[1.0], [3.0]]), ("inner", [None, [1.0]])]


def test_a_walk_that_fails_calls_no_hook_of_several_tensors():
    a, log = leaf(1.0), []
    h = a.exp()
    y = h * 2
    register_multi_grad_hook([y, h, a], lambda gs: log.append(gs))
    h.mul_(3)
    with pytest.raises(RuntimeError, match="modified by an inplace"):
        y.sum().backward()
    assert log == [] and a.grad is None


def test_what_does_not_fit_is_refused_before_any_hook_is_registered():
    a, log = leaf(1.0), []
    with pytest.raises(RuntimeError, match="register_multi_grad_hook: expected tensors that require"):
        register_multi_grad_hook([a, torch.ones(1)], log.append)
    with pytest.raises(ValueError, match="register_multi_grad_hook: mode must be 'all' or 'any', got 'some'"):
        register_multi_grad_hook([a], log.append, mode="some")
    (a * 2).sum().backward()
    assert log == []


@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")  # a program that runs Python may be refused
@pytest.mark.parametrize("mode", ["all", "any"])
def test_compiled_steps_call_it_in_every_run(mode):
    a, log = leaf(2.0), []
    take = (lambda gs: log.append(values(gs)[0])) if mode == "all" else (lambda g: log.append(g.tolist()))
    register_multi_grad_hook([a], take, mode=mode)

    @torch.compile
    def step(x):
        a.grad = None
        (a * x).sum().backward()

    for k in range(4):
        step(torch.tensor([float(k)]))
    assert log == [[float(k)] for k in range(4)]
