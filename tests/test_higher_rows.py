"""What a walk with `create_graph` records: no rows that change nothing, and none twice."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.store import store


def two_readers(x):
    y = x.exp()
    return y.sin() + y.cos()


# shapes of the operands, what is done with them, and how many rows the walk back records
WALKS = {
    # the product, the transposed cotangent and its product, the sum for the bias: what needs no gradient has no row
    "layer": ([(5, 8), (4, 8), (4,)], torch.linear, 4),
    "product": ([(5, 8), (8, 3)], torch.matmul, 3),
    "product of batches": ([(2, 5, 8), (2, 8, 3)], torch.matmul, 4),
    "broadcast matrix": ([(2, 5, 8), (8, 3)], torch.matmul, 4),
    "tanh": ([(5,)], torch.tanh, 3),
    "row by a matrix": ([(5, 3), (3,)], torch.mul, 3),
    "column by a matrix": ([(5, 3), (5, 1)], torch.mul, 3),
    # with dimensions of one where they were folded, divided, and spread
    "mean": ([(5, 3)], torch.mean, 3),
    # five for sine and cosine, the sum of what they hand back, and one for exp
    "two readers": ([(5,)], two_readers, 7),
}


@pytest.mark.parametrize("name", WALKS)
def test_a_walk_records_only_what_computes(name):
    shapes, function, expected = WALKS[name]
    inputs = [torch.randn(*shape, requires_grad=True) for shape in shapes]
    y = function(*inputs)
    seed = torch.ones_like(y).requires_grad_()
    before = store.field("rows")
    gradients = torch.autograd.grad(y, inputs, seed, create_graph=True)
    assert store.field("rows") - before == expected
    for x, g in zip(inputs, gradients, strict=True):
        assert g.shape == x.shape


def test_a_tensor_that_is_asked_for_on_the_way_takes_no_sums_of_its_own():
    x = torch.randn(5, requires_grad=True)
    y = x.exp()
    z = y.sin() + y.cos() + y * y
    counts = [store.field("rows")]
    for asked in ((y,), (y, x)):
        g = torch.autograd.grad(z.sum(), asked, create_graph=True)[0]
        counts.append(store.field("rows"))
    assert counts[2] - counts[1] == counts[1] - counts[0] + 1  # the slope of exp
    np.testing.assert_allclose(g.detach().numpy(), (y.cos() - y.sin() + 2 * y).detach().numpy(), rtol=1e-5)


VIEWS = {
    "expanded scalar": lambda x: x[0, 0, 0].expand(3, 4),
    "expanded dimension": lambda x: x.narrow(1, 0, 1).expand(2, 5, 4),
    "dimension of one that is expanded away": lambda x: x.sum(1, keepdim=True).expand(2, 3, 4),
    "dimension of one left out": lambda x: x.sum(1, keepdim=True)[:, 0],
    "permuted": lambda x: x.permute(2, 0, 1),
    "added dimension": lambda x: x.transpose(0, 2)[:, None],
    "part": lambda x: x[:, 1:, ::2],
    "diagonal": lambda x: x.diagonal(0, 1, 2),
    "shared elements": lambda x: x.unfold(1, 2, 1),
    "nothing of it": lambda x: x[:, 3:],
}


@pytest.mark.parametrize("name", VIEWS)
def test_the_walk_with_history_takes_views_back_as_the_other_does(name):
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    y = VIEWS[name](x)
    seed = torch.randn(*y.shape, dtype=torch.float64)
    expected = torch.autograd.grad(y, x, seed, retain_graph=True, allow_unused=True, materialize_grads=True)
    for _ in range(2):  # the second finds what the first has worked out
        found = torch.autograd.grad(y, x, seed, create_graph=True)
        np.testing.assert_allclose(found[0].numpy(), expected[0].numpy(), rtol=1e-12, atol=1e-14)


def test_rows_of_second_gradients_go_with_the_tensors():
    x, w = (torch.randn(*shape, requires_grad=True) for shape in ((5, 8), (4, 8)))
    gc.collect()
    before = store.field("live_rows")
    for _ in range(3):
        g = torch.autograd.grad(torch.linear(x, w).tanh().sum(), (x, w), create_graph=True)
        sum((d * d).sum() for d in g).backward()
        del g
    assert store.field("live_rows") == before


def test_a_compiled_step_with_second_derivatives_is_cut_in_strips():
    sizes = ((2, 8), (8, 8), (8, 1))
    first, second, third = (torch.nn.Linear(*size) for size in sizes)

    @torch.compile
    def step(x, t):
        x, t = x.clone().requires_grad_(), t.clone().requires_grad_()
        u = third(second(first(torch.cat([x, t], 1)).tanh()).tanh())
        (slope,) = torch.autograd.grad(u, x, torch.ones_like(u), create_graph=True)
        (bend,) = torch.autograd.grad(slope, x, torch.ones_like(u), create_graph=True)
        loss = (bend**2).mean()
        loss.backward()
        return loss

    x, t = torch.randn(64, 1), torch.randn(64, 1)
    for _ in range(3):
        step(x, t)
    assert len(step.programs[0].rows) <= 70  # 114 if some row keeps its samples together
