"""Custom functions and checkpoints in compiled functions whose results are walked back from outside."""

import logging

import pytest
from compile_cases import bits
from custom_functions import Cube, Exp

import jitgrad as torch
from jitgrad import nn
from jitgrad.utils.checkpoint import checkpoint

F = nn.functional


class SavesAside(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.slopes = [2 * x, {"more": x + 1}]
        return x * x

    @staticmethod
    def backward(ctx, g):
        return g * ctx.slopes[0] + 0 * ctx.slopes[1]["more"]


def again(x):
    return checkpoint(lambda z: F.dropout(z.tanh() * z, 0.3), x, use_reentrant=False)


def twice(x):
    return Cube.apply(Exp.apply(x) + again(x))


BENDS = {
    "saved input": Cube.apply,
    "saved output": Exp.apply,
    "attributes": SavesAside.apply,
    "checkpoint": again,
    "several": twice,
}


def gradients(bend, compiled):
    """Of a few calls, of which every other one is followed by one that is dropped, or walked back first."""
    torch.manual_seed(4)
    w = nn.Parameter(torch.randn(3))

    def function(x):
        return bend(x * w) * w

    called = torch.compile(function, fullgraph=True) if compiled else function
    found = []
    for k in range(7):
        w.grad = None
        x = torch.randn(4, 3, requires_grad=True)
        result, other = called(x), called(x * 2)
        if k % 3 == 1:
            other.sum().backward()
        del other
        result.square().sum().backward()
        found.append(bits((result, x.grad, w.grad)))
    return found, called


@pytest.mark.parametrize("name", BENDS)
def test_what_contexts_keep_is_the_programs(name):
    expected, _ = gradients(BENDS[name], False)
    found, compiled = gradients(BENDS[name], True)
    assert found == expected
    assert 1 <= len(compiled.programs) <= 2


def test_tensors_that_are_kept_beside_the_graph_are_those_of_their_call():
    kept = []
    logger = logging.Logger("kept")  # what loggers have is not looked at
    logger.keep = kept.append

    class Keeps(Cube):
        @staticmethod
        def forward(ctx, x):
            logger.keep(x)
            return Cube.forward(ctx, x)

    w = nn.Parameter(torch.ones(2))
    function = torch.compile(lambda x: Keeps.apply(x * w))
    with pytest.warns(RuntimeWarning, match="keeps tensors that were computed in the step"):
        for k in range(6):
            w.grad = None
            function(torch.full((2,), float(k))).sum().backward()
            assert w.grad.tolist() == [3 * k**3] * 2
    assert [x.tolist() for x in kept] == [[k, k] for k in range(6)]


def test_a_reentrant_checkpoint_runs_eagerly():
    """It walks back by itself, into `.grad`, which nothing but a walk that fills `.grad` may do."""
    w = nn.Parameter(torch.ones(2))
    function = torch.compile(lambda x: checkpoint(lambda z: z * w, x, use_reentrant=True).sum())
    x = torch.tensor([2.0, 3.0], requires_grad=True)
    with pytest.warns(RuntimeWarning, match="has a reentrant checkpoint"):
        for k in range(3):
            w.grad = x.grad = None
            function(x + k).backward()
            assert w.grad.tolist() == [2 + k, 3 + k] and x.grad.tolist() == [1, 1]


def test_random_numbers_drawn_before_a_checkpoint_is_walked_back():
    """The walk computes with those of its call and leaves the state of the generator as it finds it."""

    def run(called):
        torch.manual_seed(6)
        found = []
        for _ in range(5):
            x = torch.randn(6, requires_grad=True)
            called(x).mul(torch.rand(6)).sum().backward()
            found.append(bits((x.grad, torch.rand(3))))
        return found

    def function(x):
        return checkpoint(lambda z: z * torch.rand(6), x.exp(), use_reentrant=False)

    assert run(torch.compile(function, fullgraph=True)) == run(function)
