"""Activations that draw numbers: leaky ReLU of random slopes, and samples of categories."""

from __future__ import annotations

import math

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dtypes import float64
from jitgrad.functions._call import require_tensors
from jitgrad.functions._random import check_floating

from ...user_frames import warn
from .activation import overwrite

# The smallest numbers that are drawn except for 0, which would make a sample infinite: half an eps
_LEAST_FLOAT32, _LEAST_FLOAT64 = 2.0**-24, 2.0**-53


def rrelu(
    input: Tensor,
    lower: float = 1.0 / 8,
    upper: float = 1.0 / 3,
    training: bool = False,
    inplace: bool = False,
) -> Tensor:
    """Return ``x`` where it is positive and ``a * x`` elsewhere (Xu et al., 2015).

    Parameters
    ----------
    input : Tensor
    lower, upper : float, default 1/8 and 1/3
        While training every element has a slope of its own, drawn uniformly from this range; otherwise
        ``a`` is the mean of the two.
    training : bool, default False
    inplace : bool, default False
        Write the result into the input.

    Raises
    ------
    RuntimeError
        If a bound is not finite or the lower one is above the upper one.
    NotImplementedError
        If the input is not floating.
    """
    return (
        rrelu_(input, lower, upper, training) if inplace else _rrelu("rrelu", input, lower, upper, training)
    )


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """Apply `rrelu` in place."""
    _check_slopes("rrelu_", input, lower, upper)
    return overwrite(input, rrelu, lower, upper, training)


def _rrelu(name: str, input: Tensor, lower: float, upper: float, training: bool) -> Tensor:
    _check_slopes(name, input, lower, upper)
    if not training:
        return T.leaky_relu(input, (lower + upper) / 2)
    return T.prelu(input, input.new_empty(input.shape).uniform_(lower, upper))


def _check_slopes(name: str, input: Tensor, lower: float, upper: float) -> None:
    require_tensors(name, input)
    for which, bound in (("upper", upper), ("lower", lower)):
        if not math.isfinite(bound):
            raise RuntimeError(f"{name}: {which} bound must be finite, got {bound}")
    if lower > upper:
        raise RuntimeError(
            f"{name}: lower bound should be less than or equal to the upper bound, got {lower} and {upper}"
        )
    if not input.is_floating_point():
        raise NotImplementedError(
            f"{name}: expected a floating-point input, got {input.dtype}; convert it with .float()"
        )


def gumbel_softmax(
    logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1
) -> Tensor:
    """Draw from categories so that the sample can be differentiated (Jang et al. and Maddison et al., 2016).

    The sample is ``softmax((logits + g) / tau)`` with ``g = -log(e)``, ``e`` being exponentially distributed.

    Parameters
    ----------
    logits : Tensor, shape (..., C)
        Logarithms of weights of the categories.
    tau : float, default 1
        The temperature: the lower, the nearer samples are to a single category.
    hard : bool, default False
        Return ones and zeros, with the gradient of the soft sample.
    eps : float
        Has no effect; deprecated.
    dim : int, default -1
        The dimension of the categories.

    Raises
    ------
    RuntimeError
        If the logits are not floating.
    IndexError
        If there is no dimension ``dim``, or no category to choose.
    """
    require_tensors("gumbel_softmax", logits)
    check_floating("gumbel_softmax", logits)
    if eps != 1e-10:
        warn("`eps` parameter is deprecated and has no effect.")
    size = logits.size(dim) if logits.ndim else 1
    if hard and not size:
        raise IndexError(f"gumbel_softmax: expected dimension {dim} to have a category to choose, got none")
    least = _LEAST_FLOAT64 if logits.dtype == float64 else _LEAST_FLOAT32
    noise = -logits.new_empty(logits.shape).exponential_().clamp(min=least).log()
    soft = T.softmax((logits + noise) / tau, dim)
    if not hard:
        return soft
    value = soft.detach()
    chosen = T.zeros_like(value).scatter_(dim, value.argmax(dim, keepdim=True), 1.0)
    return chosen - value + soft
