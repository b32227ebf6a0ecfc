"""Gradients that are written in parts, or of permuted values: no zeros, no copies more than are needed."""

import itertools

import numpy as np
import pytest
from compile_cases import bits

import jitgrad as torch
from jitgrad.nn import functional as F


def _rows(step, *inputs):
    return [
        row.kernel.split(".")[1 if row.kernel.startswith("program") else 0]
        for row in step.program(*inputs).rows
    ]


@pytest.mark.parametrize(
    ("taken", "cleared"),
    [
        (lambda x: x.split(2, 1), False),
        (lambda x: x.unbind(0), False),
        (lambda x: x.permute(1, 0, 2).unbind(0), False),
        (lambda x: (x[0], x[2]), True),
        (lambda x: (x[:, :3], x[:, 1:]), True),
        (lambda x: (x[0], x[0], x[1]), True),
    ],
    ids=["split", "unbind", "permuted", "a part missing", "overlapping", "twice"],
)
def test_zeros_that_are_overwritten_are_not_written(taken, cleared):
    leaf = torch.randn(3, 6, 4, requires_grad=True)
    x = torch.randn(1)

    def step(x):
        leaf.grad = None
        own = leaf * x
        parts = taken(own)
        total = sum((part * (k - 1) * x).sin().sum() for k, part in enumerate(parts))
        total.backward()
        return leaf.grad, own.detach()

    want = step(x)
    compiled = torch.compile(step, fullgraph=True)
    compiled(x)
    for _ in range(2):
        assert bits(compiled(x)) == bits(want)
    assert ("clear" in _rows(compiled, x)) == cleared


def test_the_gradient_of_a_permuted_value_needs_no_copy():
    leaf = torch.randn(4, 6, requires_grad=True)
    w = torch.randn(6, 6)

    def step(w):
        leaf.grad = None
        q, k, v = F.linear(leaf, w).view(4, 3, 2).permute(1, 0, 2).unbind(0)
        (q * k + v).sum().backward()
        return leaf.grad

    want = step(w).clone()
    compiled = torch.compile(step, fullgraph=True)
    compiled(w)
    assert bits(compiled(w)) == bits(want)
    assert "copy" not in _rows(compiled, w)


def test_np_and_engine_agree_on_permuted_gradients():
    r = np.random.default_rng(0)
    for axes in itertools.permutations(range(3)):
        values = r.standard_normal((2, 3, 4))
        x = torch.tensor(values, requires_grad=True)
        y = (x * 1).permute(*axes)
        g = r.standard_normal(y.shape)
        (y[0] * torch.tensor(g[0])).sum().backward()
        want = np.zeros(y.shape)
        want[0] = g[0]
        assert np.array_equal(x.grad.numpy(), want.transpose(np.argsort(axes)))
