"""What distributions do with their parameters: numbers become tensors, probabilities logits and back."""

from __future__ import annotations

from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dtypes import get_default_dtype
from jitgrad.limits import finfo

__all__ = ["broadcast_all", "clamp_probs", "euler_constant", "logits_to_probs", "probs_to_logits"]

euler_constant = 0.5772156649015329  # the mean of the standard Gumbel distribution


def broadcast_all(*values: Tensor | float) -> tuple[Tensor, ...]:
    """Tensors and numbers as tensors of their common shape; numbers take the first tensor's dtype.

    Raises
    ------
    ValueError
        If a value is neither a number nor a tensor.
    """
    for value in values:
        if not isinstance(value, Tensor | int | float):
            raise ValueError(f"broadcast_all: expected numbers or tensors, got {type(value).__name__}")
    kind = next((value.dtype for value in values if isinstance(value, Tensor)), get_default_dtype())
    return T.broadcast_tensors(
        *(value if isinstance(value, Tensor) else T.scalar_tensor(value, dtype=kind) for value in values)
    )


def check_one_given(name: str, probs: Any, logits: Any) -> None:
    """Refuse both of two parameters that say the same, and none of them."""
    if (probs is None) == (logits is None):
        given = "none" if probs is None else "both"
        raise ValueError(f"{name}: expected either parameter probs or logits, got {given}")


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities kept away from 0 and 1 by the machine epsilon, so that their logits are finite."""
    epsilon = finfo(probs.dtype).eps
    return probs.clamp(epsilon, 1 - epsilon)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Logarithms of clamped probabilities; of binary ones the logarithms of their odds."""
    clamped = clamp_probs(probs)
    return clamped.log() - (-clamped).log1p() if is_binary else clamped.log()


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """The softmax along the last dimension; of binary logits the sigmoid."""
    return T.sigmoid(logits) if is_binary else T.softmax(logits, -1)


def sum_last(x: Tensor, count: int) -> Tensor:
    """The sum over the last `count` dimensions."""
    return x.sum(tuple(range(-count, 0))) if count else x
