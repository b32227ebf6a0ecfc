"""Cross products against NumPy's, their gradients of both orders, broadcasting, layouts, programs and refusals."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad.autograd import gradcheck, gradgradcheck
from jitgrad.store import store

# shapes of the operands, and the dimension
CASES = [
    ((3,), (3,), 0),
    ((5, 3), (5, 3), 1),
    ((3, 4), (3, 4), 0),
    ((2, 3, 4), (2, 3, 4), 1),
    ((2, 3, 4), (1, 3, 1), -2),
    ((1, 3), (6, 3), -1),
    ((0, 3), (0, 3), 1),
    ((3, 0), (3, 0), 0),
]


def pair(a, b, dtype=torch.float64):
    rng = np.random.default_rng(0)
    return [torch.tensor(10 * rng.standard_normal(s), dtype=torch.float64).to(dtype) for s in (a, b)]


@pytest.mark.parametrize(("a", "b", "dim"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int32, torch.int64], ids=str)
def test_values(a, b, dim, dtype):
    x, y = pair(a, b, dtype)
    found = torch.cross(x, y, dim=dim)
    expected = np.cross(*np.broadcast_arrays(x.numpy(), y.numpy()), axis=dim)
    assert found.dtype is dtype
    np.testing.assert_allclose(
        found.numpy(), expected, rtol=1e-5, atol=1e-4 if dtype is torch.float32 else 1e-12
    )


@pytest.mark.parametrize(("a", "b", "dim"), [c for c in CASES if c[0] != (3, 0)])  # whose strides are 0
def test_gradients_of_both_orders(a, b, dim):
    inputs = [x.requires_grad_() for x in pair(a, b)]
    assert gradcheck(lambda x, y: torch.cross(x, y, dim=dim), inputs)
    assert gradgradcheck(lambda x, y: torch.cross(x, y, dim=dim), inputs)


def test_operands_and_cotangents_that_lie_apart():
    x, y = pair((3, 5), (3, 5))
    expected = np.cross(x.numpy(), y.numpy(), axis=0)
    np.testing.assert_allclose(torch.cross(x.t(), y.t(), dim=1).numpy(), expected.T)
    a = x.t().detach().requires_grad_()
    seed = torch.randn(3, 10, dtype=torch.float64)[:, ::2].t()
    (apart,) = torch.autograd.grad(torch.cross(a, y.t(), dim=1), a, seed)
    np.testing.assert_allclose(apart.numpy(), np.cross(y.numpy().T, seed.numpy()))


def test_one_operand_may_ask_for_no_gradient():
    x, y = pair((4, 3), (4, 3))
    for first in (True, False):
        leaf = x.detach().requires_grad_()
        torch.cross(*((leaf, y) if first else (y, leaf)), dim=1).sum().backward()
        other = np.cross(y.numpy(), np.ones((4, 3))) if first else np.cross(np.ones((4, 3)), y.numpy())
        np.testing.assert_allclose(leaf.grad.numpy(), other)


def test_a_product_is_one_row_also_in_a_program():
    x, y = (v.requires_grad_() for v in pair((4, 3), (4, 3)))
    before = store.field("rows")
    z = torch.cross(x, y, dim=1)
    assert store.field("rows") == before + 1 and z.grad_fn.name() == "LinalgCrossBackward0"

    @torch.compile
    def step(a, b):
        return torch.cross(a, b, dim=1)

    x, y = pair((4, 3), (4, 3))
    for _ in range(3):
        assert step(x, y).tolist() == torch.cross(x, y, dim=1).tolist()
    assert len(step.programs[0].rows) == 1


@pytest.mark.parametrize(
    ("a", "b", "error", "said"),
    [
        ((2, 3), (3,), RuntimeError, "same number of dimensions"),
        ((2, 4), (2, 4), RuntimeError, "no dimension of size 3"),
        ((2, 3), (4, 3), RuntimeError, "do not broadcast"),
    ],
)
def test_refusals(a, b, error, said):
    with pytest.raises(error, match=said):
        torch.cross(*pair(a, b))


def test_bools_are_refused_as_pytorch_does():
    x = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(NotImplementedError, match=r"bool.*\.int\(\)"):
        torch.cross(x, x, dim=1)
