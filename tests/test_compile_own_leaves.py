"""Leaves that a compiled function makes itself: what it returns of them asks for gradients, as it does eagerly."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import warnings_of

import jitgrad as torch
from jitgrad import nn

CALLS = 4
WEIGHT = torch.tensor([3.0, -1.0]).requires_grad_()
LEAVES = {
    "a result": lambda x: (x * 2).requires_grad_(),
    "a detached one": lambda x: (x * 2).detach().requires_grad_(),
    "a filled one": lambda x: torch.ones_like(x, requires_grad=True),
    "a parameter": lambda x: nn.Parameter(x * 2),
}
RETURNED = {
    "a loss": lambda leaf, x: (leaf * leaf).sum(),
    "in a dict": lambda leaf, x: {"loss": (leaf * leaf).sum(), "plain": x + 1},
    "beside others": lambda leaf, x: [x, leaf.exp(), leaf.detach() * 2, leaf.sum()],
    "after many operations": lambda leaf, x: torch.softmax(leaf.exp().sin() * x, 0).log().mean(),
    "a view": lambda leaf, x: leaf[1:],
    "written in place": lambda leaf, x: (leaf * x).add_(1).mul_(2),
    "beside a loss of an outer leaf": lambda leaf, x: (leaf.sum(), (WEIGHT * leaf).sum()),
    "beside an outer leaf without its history": lambda leaf, x: (leaf * WEIGHT.detach()).sum(),
}


def asking(value):
    """The values of a result's tensors, and which of them ask for gradients."""
    if isinstance(value, dict):
        value = list(value.values())
    return [
        (x.detach().tolist(), x.requires_grad, x.grad_fn is None)
        for x in (value if isinstance(value, list | tuple) else [value])
    ]


@pytest.mark.parametrize("returned", RETURNED)
@pytest.mark.parametrize("leaf", LEAVES)
def test_what_is_computed_from_a_leaf_of_the_step_asks_for_gradients(leaf, returned):
    def step(x):
        return RETURNED[returned](LEAVES[leaf](x), x)

    compiled = torch.compile(step, fullgraph=True)
    for k in range(CALLS):
        x = torch.tensor([1.0, 0.5 + k])
        assert asking(compiled(x)) == asking(step(x))
    assert len(compiled.programs) == 1


@pytest.mark.parametrize("leaf", LEAVES)
def test_walking_back_to_a_leaf_of_the_step_changes_nothing_that_is_seen(leaf):
    step = torch.compile(lambda x: (LEAVES[leaf](x) ** 2).sum(), fullgraph=True)
    seen = torch.ones(2, requires_grad=True)
    for k in range(CALLS):
        (step(torch.tensor([1.0, float(k)])) + seen.sum()).backward()
        assert seen.grad.tolist() == [k + 1.0] * 2


def test_an_outer_leaf_beside_the_leaf_of_a_step_gets_its_gradient_from_its_own_loss_only():
    compiled = torch.compile(
        lambda x: RETURNED["beside a loss of an outer leaf"](nn.Parameter(x), x), fullgraph=True
    )
    for k in range(CALLS):
        x = torch.tensor([1.0, float(k)])
        own, outer = compiled(x)
        assert torch.autograd.grad(own, WEIGHT, allow_unused=True, retain_graph=True) == (None,)
        np.testing.assert_array_equal(torch.autograd.grad(outer, WEIGHT)[0].numpy(), x.numpy())


def gradient(leaf, x):
    return torch.autograd.grad((leaf**3).sum(), leaf)[0]


def accumulated(leaf, x):
    (leaf**3).sum().backward()
    return leaf.grad


def beside_the_loss(leaf, x):
    loss = (leaf**3).sum()
    return torch.autograd.grad(loss, leaf, retain_graph=True)[0], loss


def of_a_gradient(leaf, x):
    (first,) = torch.autograd.grad((leaf**3).sum(), leaf, create_graph=True)
    return torch.autograd.grad(first.sum(), leaf)[0], first


@pytest.mark.parametrize("take", [gradient, accumulated, beside_the_loss, of_a_gradient])
@pytest.mark.parametrize("leaf", LEAVES)
def test_gradients_of_a_leaf_of_the_step_are_replayed(leaf, take):
    compiled = torch.compile(lambda x: take(LEAVES[leaf](x), x), fullgraph=True)
    for k in range(CALLS):
        x = torch.tensor([1.0, 0.5 + k])
        assert asking(compiled(x))[0] == asking(take(LEAVES[leaf](x), x))[0]
    assert len(compiled.programs) == 1


class Tells(torch.autograd.Function):
    told = []

    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, g):
        Tells.told.append(g.tolist())
        return g


def with_hook(leaf):
    leaf.register_hook(lambda g: Tells.told.append(g.tolist()))
    return leaf


@pytest.mark.parametrize("tell", [with_hook, Tells.apply], ids=["a hook", "a custom function"])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside an outer leaf"])
def test_python_on_the_way_back_to_a_leaf_of_the_step_runs_in_every_walk(tell, beside):
    def step(x):
        loss = 2 * tell((x * 2).requires_grad_()).sum()
        return loss + WEIGHT.sum() if beside else loss

    compiled = torch.compile(step)
    Tells.told = []
    _, said = warnings_of(lambda: [compiled(torch.ones(2)).backward() for _ in range(CALLS)])
    WEIGHT.grad = None
    assert Tells.told == [[2.0, 2.0]] * CALLS
    assert len(said) == 1 and "made and asked for gradients" in said[0]
