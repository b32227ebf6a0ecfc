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
