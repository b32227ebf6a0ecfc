"""Euclidean distances of the rows of matrices: values, gradients, rows that are equal, stacks, compiled steps."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import Scene, assert_same

import jitgrad as torch

RANDOM = np.random.default_rng(9)
SHAPES = {
    "points": ((7, 3), (5, 3)),
    "wide rows": ((3, 70), (4, 70)),
    "more rows than wait at once": ((2, 5), (300, 5)),
    "stacks": ((2, 3, 4, 6), (2, 3, 5, 6)),
    "stacks that broadcast": ((3, 1, 4, 2), (2, 5, 2)),
    "no rows": ((0, 3), (4, 3)),
    "no others": ((4, 3), (0, 3)),
    "no columns": ((2, 0), (3, 0)),
    "no matrices": ((0, 2, 3), (0, 4, 3)),
}


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(a[..., :, None, :] - b[..., None, :, :]).sum(-1))


def slopes(a: np.ndarray, b: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Gradient for the rows of `a`, with the dimensions in front broadcast."""
    y = distances(a, b)
    share = np.divide(g, y, out=np.zeros_like(y), where=y != 0)
    return (share[..., None] * (a[..., :, None, :] - b[..., None, :, :])).sum(-2)


def summed(x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Summed over what has been broadcast."""
    x = x.sum(tuple(range(x.ndim - len(shape))))
    return x.sum(tuple(d for d, n in enumerate(shape) if n == 1 and x.shape[d] != 1), keepdims=True)


@pytest.mark.parametrize("crosswise", [False, True], ids=["", "crosswise"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", SHAPES)
def test_values_and_gradients(name, dtype, crosswise) -> None:
    a, b = (RANDOM.standard_normal(shape) for shape in SHAPES[name])
    if a.ndim == 2 and a.size and b.size:
        b[0] = a[0]  # equal rows hand back nothing
    tolerance = {"rtol": 2e-5, "atol": 2e-5} if dtype is torch.float32 else {"rtol": 1e-12, "atol": 1e-12}
    turned = (lambda x: x.mT.contiguous().mT) if crosswise else (lambda x: x)
    x, z = (turned(torch.tensor(v, dtype=dtype)).requires_grad_() for v in (a, b))
    y = torch.cdist(x, z)
    np.testing.assert_allclose(y.detach().numpy(), distances(a, b), **tolerance)
    g = RANDOM.standard_normal(y.shape)
    y.backward(turned(torch.tensor(g, dtype=dtype)))
    for leaf, own, other, seed in ((x, a, b, g), (z, b, a, np.swapaxes(g, -1, -2))):
        np.testing.assert_allclose(
            leaf.grad.numpy(), summed(slopes(own, other, seed), own.shape), **tolerance
        )


def test_second_derivatives_and_the_gradient_of_one_side() -> None:
    x, z = (torch.tensor(RANDOM.standard_normal((4, 3))).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(torch.cdist, (x, z))
    assert torch.autograd.gradgradcheck(torch.cdist, (x, z))
    (both, _) = torch.autograd.grad(torch.cdist(x, z).sum(), (x, z))
    (alone,) = torch.autograd.grad(torch.cdist(x, z.detach()).sum(), x)
    assert torch.equal(both, alone)


def test_a_compiled_step_has_the_same_bits() -> None:
    weights = RANDOM.standard_normal((40, 6))

    def build():
        leaf = torch.tensor(weights, dtype=torch.float32, requires_grad=True)

        def step(x):
            leaf.grad = None
            y = torch.cdist(x, leaf)
            y.square().mean().backward()
            return y.detach()

        return Scene(
            step, lambda k: (torch.tensor(np.cos(k + np.arange(60.0).reshape(10, 6))).float(),), leaf
        )

    assert_same(build, "cccc")


def test_stacks_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(
        RuntimeError, match=r"cdist: the dimensions \(2,\) and \(3,\) in front do not broadcast"
    ):
        torch.cdist(torch.ones(2, 4, 3), torch.ones(3, 4, 3))
