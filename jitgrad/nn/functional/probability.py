"""Losses between probabilities: binary cross-entropy and the Kullback-Leibler divergence."""

from __future__ import annotations

import math

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions._checks import within

from ...user_frames import warn
from ._reduction import REDUCTIONS, check_reduction, chosen_reduction, in_dtype_of, legacy_reduction, reduced

_check_probabilities = within(
    0.0,
    1.0,
    RuntimeError,
    "binary_cross_entropy: all elements of input should be between 0 and 1; "
    "for logits there is binary_cross_entropy_with_logits",
    nan_as=math.inf,
)


def _check_sizes(name: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ValueError(
            f"{name}: target size {tuple(target.shape)} must be the same as input size {tuple(input.shape)}; "
            "reshape one of them"
        )


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``-(y * log(p) + (1 - y) * log(1 - p))``, each logarithm being at least -100.

    Parameters
    ----------
    input : Tensor
        Probabilities ``p``, from 0 to 1. For logits see `binary_cross_entropy_with_logits`.
    target : Tensor, same shape
        ``y``, from 0 to 1.
    weight : Tensor, optional
        Factors that broadcast with the target.
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ValueError
        If the shapes differ or the reduction is unknown.
    RuntimeError
        If a probability is not between 0 and 1.
    """
    require_tensors("binary_cross_entropy", input, target, optional=weight)
    reduction = chosen_reduction(size_average, reduce, reduction)
    _check_sizes("binary_cross_entropy", input, target)
    _check_probabilities(input)
    loss = T.bce(input, target)
    return reduced(loss if weight is None else in_dtype_of(loss, loss * weight), reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return `binary_cross_entropy` of ``sigmoid(input)``, computed so that it never overflows.

    Parameters
    ----------
    input : Tensor
        Logits.
    target : Tensor, same shape
        Probabilities, from 0 to 1.
    weight : Tensor, optional
        Factors that broadcast with the loss.
    size_average, reduce, reduction
        As for `binary_cross_entropy`.
    pos_weight : Tensor, optional
        Factors of the positive term ``y * log(p)``, broadcasting with the target.

    Returns
    -------
    Tensor
        Of the target's dtype, as in PyTorch, unless that has integers.

    Raises
    ------
    ValueError
        If the shapes differ or the reduction is unknown.
    """
    require_tensors("binary_cross_entropy_with_logits", input, target, optional=weight)
    reduction = chosen_reduction(size_average, reduce, reduction)
    _check_sizes("binary_cross_entropy_with_logits", input, target)
    if pos_weight is None:
        loss = T.bce_with_logits(input, target)
    else:
        # -log(p) = -logsigmoid(x) and -log(1 - p) = x - logsigmoid(x)
        factor = (pos_weight - 1) * target + 1
        loss = (1 - target) * input - factor * T.logsigmoid(input)
    return reduced(in_dtype_of(target, loss if weight is None else loss * weight), reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Return ``target * (log(target) - input)``, reduced.

    Parameters
    ----------
    input : Tensor
        Logarithms of probabilities.
    target : Tensor
        Probabilities, or with ``log_target`` their logarithms; 0 contributes 0.
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    reduction : {'mean', 'sum', 'none', 'batchmean'}
        ``'batchmean'``, the sum over the first dimension's size, is the divergence itself;
        ``'mean'`` divides by the number of elements, with a warning.
    log_target : bool, default False

    Raises
    ------
    ValueError
        If the reduction is unknown.
    """
    require_tensors("kl_div", input, target)
    if size_average is not None or reduce is not None:
        reduction = legacy_reduction(size_average, reduce)
    elif reduction != "batchmean":
        check_reduction(reduction)
        if reduction == "mean":
            warn(
                "kl_div: reduction 'mean' divides the total loss by both the batch size and the "
                "support size; 'batchmean' divides by the batch size only, which is the "
                "mathematical definition",
                UserWarning,
            )
    if log_target:
        loss = T.exp(target) * (target - input)
    else:
        loss = T.kl_div_pointwise(input, target)
    if reduction in REDUCTIONS:
        return reduced(loss, reduction)
    return loss.sum() / (input.shape[0] if input.ndim else 1)
