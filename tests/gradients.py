"""Gradients against central differences, for any function of tensors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import jitgrad as torch

STEP = 1e-6


def check_gradients(
    function: Callable[..., torch.Tensor],
    *arrays: np.ndarray,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    seed: int = 0,
) -> None:
    """Compare ``backward`` with central differences in float64.

    `function` takes a tensor for each array and returns a tensor. The cotangent is random, so that a gradient
    that is right only for a uniform one does not pass.
    """
    rng = np.random.default_rng(seed)
    values = [np.array(a, dtype=np.float64) for a in arrays]
    tensors = [torch.tensor(v, requires_grad=True) for v in values]
    result = function(*tensors)
    assert result.requires_grad, "the result does not ask for a gradient"
    cotangent = rng.standard_normal(tuple(result.shape))
    result.backward(torch.tensor(cotangent, dtype=result.dtype))

    def weighted(*inputs: np.ndarray) -> float:
        with torch.no_grad():
            return float((function(*(torch.tensor(v) for v in inputs)).detach().numpy() * cotangent).sum())

    for position, value in enumerate(values):
        expected = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            moved = [v.copy() for v in values]
            moved[position][index] = value[index] + STEP
            above = weighted(*moved)
            moved[position][index] = value[index] - STEP
            expected[index] = (above - weighted(*moved)) / (2 * STEP)
        gradient = tensors[position].grad
        actual = np.zeros_like(value) if gradient is None else gradient.numpy()
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=f"argument {position}")


def first_gradients(function, count):
    """A function of operands and a cotangent that gives the gradients for the operands, in one row."""

    def run(*tensors):
        with torch.enable_grad():
            xs = [x if x.requires_grad else x.detach().requires_grad_() for x in tensors[:count]]
            y = function(*xs)
            gradients = torch.autograd.grad(y, xs, tensors[count], create_graph=True, allow_unused=True)
            used = [g.reshape(-1) for g in gradients if g is not None]
            # a part that depends on every operand, so that all are checked
            return torch.cat([*used, *(0 * t.reshape(-1) for t in (*xs, tensors[count]))])

    return run


def check_second(function, *arrays, seed=0, rtol=2e-5, atol=2e-6):
    """Differentiate the first gradient and compare; the cotangent is an operand too."""
    shape = tuple(function(*(torch.tensor(a) for a in arrays)).shape)
    cotangent = np.random.default_rng(seed).standard_normal(shape)
    run = first_gradients(function, len(arrays))
    check_gradients(run, *arrays, cotangent, rtol=rtol, atol=atol)
