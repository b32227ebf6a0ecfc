"""`autograd.grad` of one output: one compiled call, and what its walk leaves behind when it stops for Python."""

from __future__ import annotations

import pytest
from sample_values import leaf
from usage import usage

import jitgrad as torch
from jitgrad.autograd import chosen


@pytest.fixture
def without_python(monkeypatch):
    """No walk may be prepared in Python."""

    def refuse(*_args):
        raise AssertionError("the walk was prepared in Python")

    monkeypatch.setattr(chosen, "own_turn", refuse)


def _function(*tensors):
    """A scalar of all tensors, with interior ones on the way."""
    total = sum((x * x).sum() for x in tensors)
    return total * 3


WAYS = {
    "one input": lambda y, xs: torch.autograd.grad(y, xs[0]),
    "a list": lambda y, xs: torch.autograd.grad(y, xs),
    "a generator": lambda y, xs: torch.autograd.grad(y, (x for x in xs)),
    "one output in a list": lambda y, xs: torch.autograd.grad([y], xs),
    "a cotangent": lambda y, xs: torch.autograd.grad(y, xs, torch.tensor(1.0)),
    "a cotangent in a list": lambda y, xs: torch.autograd.grad([y], xs, [torch.tensor(1.0)]),
    "None as cotangent": lambda y, xs: torch.autograd.grad([y], xs, [None]),
    "generators": lambda y, xs: torch.autograd.grad(iter([y]), iter(xs), iter([None])),
    "retained": lambda y, xs: torch.autograd.grad(y, xs, retain_graph=True),
}


@pytest.mark.parametrize("way", WAYS)
def test_gradients_of_one_output_take_one_compiled_call(way, without_python):
    xs = [leaf(1.0, 2.0), leaf(3.0)]
    y = _function(*xs)
    gradients = WAYS[way](y, xs)
    assert [g.tolist() for g in gradients] == [[6.0, 12.0], [18.0]][: len(gradients)]
    assert all(x.grad is None for x in xs)
    assert not any(g.requires_grad for g in gradients)


def test_the_graph_goes_with_the_call_unless_it_is_retained():
    x = leaf(2.0)
    y = (x * x).sum()
    assert torch.autograd.grad(y, x, retain_graph=True)[0].item() == 4.0
    assert torch.autograd.grad(y, x)[0].item() == 4.0
    with pytest.raises(RuntimeError, match="second time"):
        torch.autograd.grad(y, x)


def test_unused_inputs_are_none_zeros_or_an_error(without_python):
    x, w = leaf(2.0), leaf(1.0, 1.0)
    assert torch.autograd.grad((x * x).sum(), [w, x], allow_unused=True)[0] is None
    zeros = torch.autograd.grad((x * x).sum(), [w, x], materialize_grads=True)
    assert [g.tolist() for g in zeros] == [[0.0, 0.0], [4.0]]
    with pytest.raises(RuntimeError, match=r"not have been used.*input 1"):
        torch.autograd.grad((x * x).sum(), [x, w])


def test_more_inputs_than_one_call_takes():
    xs = [leaf(float(k)) for k in range(40)]
    gradients = torch.autograd.grad(_function(*xs), xs)
    assert [g.item() for g in gradients] == [6.0 * k for k in range(40)]


class Stopping(torch.autograd.Function):
    """Twice its operand, with a walk of its own on the way back."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        inner = leaf(5.0)
        with torch.enable_grad():
            (found,) = torch.autograd.grad((inner * inner).sum(), inner)
        return g * (found / 5)


def test_a_walk_that_stops_for_python_goes_on_and_walks_may_nest():
    x = leaf(1.0, 2.0)
    hidden = Stopping.apply(x)
    loss = (hidden * hidden).sum()
    g_hidden, g_x = torch.autograd.grad(loss, [hidden, x])
    assert g_hidden.tolist() == [4.0, 8.0]
    assert g_x.tolist() == [8.0, 16.0]


def test_hooks_change_the_gradients_that_are_given():
    x, w = leaf(1.0), leaf(2.0)
    hidden = x * w
    hidden.register_hook(lambda g: g * 10)
    w.register_hook(lambda g: g + 1)
    assert [g.item() for g in torch.autograd.grad(hidden.sum(), [x, w])] == [20.0, 11.0]


def _raise(_g):
    raise ValueError("in a hook")


def _stale(x):
    y = x * 1
    z = (y * y).sum()
    with torch.no_grad():
        y.add_(1)
    return z


def _hooked(x):
    y = x * 2
    y.register_hook(_raise)
    return y.sum()


@pytest.mark.parametrize(("make", "error"), [(_stale, RuntimeError), (_hooked, ValueError)])
def test_a_walk_that_fails_leaves_no_mark_and_no_cotangent(make, error):
    x = leaf(3.0)
    before = usage()
    y = make(x)
    with pytest.raises(error):
        torch.autograd.grad(y, x)
    del y
    assert usage() == before
    assert torch.autograd.grad((x * x).sum(), x)[0].item() == 6.0
    (x * x).sum().backward()
    assert x.grad.item() == 6.0


def test_nothing_is_left_when_the_gradients_go():
    x = leaf(1.0, 2.0)
    torch.autograd.grad(_function(x), x)
    before = usage()
    gradients = torch.autograd.grad(_function(x), x)
    del gradients
    assert usage() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_within_a_compiled_step(threads):
    weight = leaf(1.0, -2.0, 0.5)

    @torch.compile
    def step(x):
        loss = ((x @ weight) ** 2).mean()
        (g,) = torch.autograd.grad(loss, weight)
        with torch.no_grad():
            weight.sub_(g, alpha=0.1)
        return loss, g

    expected = weight.detach().clone().requires_grad_()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for k in range(5):
            x = torch.arange(12.0).reshape(4, 3) / (10 + k)
            loss, g = step(x)
            wanted = ((x @ expected) ** 2).mean()
            wanted.backward()
            assert torch.equal(g, expected.grad)
            assert loss.item() == wanted.item()
            with torch.no_grad():
                expected.sub_(expected.grad, alpha=0.1)
            expected.grad = None
    finally:
        torch.set_num_threads(before)
