"""Losses between a prediction and a target of the same shape."""

from __future__ import annotations

import math
from numbers import Real

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.functions._call import require_tensors
from jitgrad.functions._checks import within

from ...user_frames import warn
from ._reduction import check_reduction, chosen_reduction, in_dtype_of, reduced, reduced_with_weight

_check_variances = within(
    0.0, math.inf, ValueError, "gaussian_nll_loss: var has negative entries", nan_as=0.0
)


def _fitted(input: Tensor, target: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Input and target as the loss takes them.

    Warns when they broadcast; refuses weights that are not one for each element. A number as a tensor then stands for
    a tensor of the other's shape, so that its dtype counts, which it does not in arithmetic.
    """
    if input.shape != target.shape:
        warn(
            f"Using a target size ({target.shape}) that is different to the input size "
            f"({input.shape}). This will likely lead to incorrect results due to broadcasting. "
            "Please ensure they have the same size.",
            UserWarning,
        )
    if weight is not None and weight.shape != input.shape:
        raise ValueError(
            f"Weights and input must have the same size, got {tuple(weight.shape)} and {tuple(input.shape)}"
        )
    if input.dtype != target.dtype and input.shape != target.shape:
        input, target = T.broadcast_tensors(input, target)
    return input, target


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return ``(input - target) ** 2``, reduced.

    Parameters
    ----------
    input, target : Tensor, same shape
        Different shapes broadcast, with a warning.
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    reduction : {'mean', 'sum', 'none'}
    weight : Tensor, same shape as ``input``, optional
        A weight for each element; the mean becomes a weighted one.

    Returns
    -------
    Tensor
        Of the wider dtype of the two, also where one of them has no dimensions.

    Raises
    ------
    ValueError
        If the reduction is unknown or the weights have another shape than the input.
    """
    if reduction == "mean" and weight is None and size_average is None and reduce is None:
        loss = T.fused_mse_loss(input, target)
        if loss is not None:
            return loss
    require_tensors("mse_loss", input, target, optional=weight)
    reduction = chosen_reduction(size_average, reduce, reduction)
    input, target = _fitted(input, target, weight)
    return reduced_with_weight(T.squared_error(input, target), weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Return ``|input - target|``, reduced; see `mse_loss` for the parameters."""
    require_tensors("l1_loss", input, target, optional=weight)
    reduction = chosen_reduction(size_average, reduce, reduction)
    input, target = _fitted(input, target, weight)
    return reduced_with_weight(T.absolute_error(input, target), weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Return ``d ** 2 / (2 * beta)`` where ``d = |input - target| < beta``, else ``d - beta / 2``.

    Parameters
    ----------
    input, target, size_average, reduce, reduction
        As for `mse_loss`.
    beta : float, default 1.0
        Where the parabola ends; 0 gives `l1_loss`.

    Raises
    ------
    RuntimeError
        If ``beta`` is negative.
    ValueError
        If the reduction is unknown.
    """
    require_tensors("smooth_l1_loss", input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    input, target = _fitted(input, target)
    if beta == 0:
        return reduced(T.absolute_error(input, target), reduction)
    return reduced(T.smooth_l1(input, target, beta), reduction)


def huber_loss(
    input: Tensor,
    target: Tensor,
    reduction: str = "mean",
    delta: float = 1.0,
    weight: Tensor | None = None,
) -> Tensor:
    """Return ``d ** 2 / 2`` where ``d = |input - target| <= delta``, else ``delta * (d - delta / 2)``.

    Parameters
    ----------
    input, target, reduction
        As for `mse_loss`.
    weight : Tensor, same shape as ``input``, optional
        A factor for each element; unlike in `mse_loss` the mean does not divide by their sum.
    delta : float, default 1.0
        Where the parabola ends.

    Returns
    -------
    Tensor
        Of the input's dtype, unless that has integers; wider weights count.

    Raises
    ------
    RuntimeError
        If ``delta`` is not positive.
    ValueError
        If the reduction is unknown or the weights have another shape than the input.
    """
    require_tensors("huber_loss", input, target, optional=weight)
    check_reduction(reduction)
    if not delta > 0:
        raise RuntimeError(f"huber_loss: delta must be positive, got {delta}")
    input, target = _fitted(input, target, weight)
    loss = in_dtype_of(input, T.huber(input, target, delta))
    # PyTorch's mean is the plain one here, and the weighted one in mse_loss and l1_loss
    return reduced(loss if weight is None else loss * weight, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the negative log likelihood of counts under a Poisson distribution.

    Parameters
    ----------
    input : Tensor
        The expected count, or with ``log_input`` its logarithm.
    target : Tensor
        The observed counts.
    log_input : bool, default True
    full : bool, default False
        Add Stirling's approximation of ``log(target!)`` where the target is above 1.
    eps : float, default 1e-8
        Keeps the logarithm finite when ``log_input`` is False.
    size_average, reduce, reduction
        As for `mse_loss`.

    Raises
    ------
    ValueError
        If the reduction is unknown.
    """
    require_tensors("poisson_nll_loss", input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if log_input:
        loss = T.exp(input) - target * input
    else:
        loss = input - target * T.log(input + eps)
    if full:
        stirling = target * T.log(target) - target + 0.5 * T.log(2 * math.pi * target)
        loss = loss + T.where(target > 1, stirling, T.zeros_like(stirling))
    return reduced(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """Return ``(log(var) + (input - target) ** 2 / var) / 2``: a normal distribution's likelihood.

    Parameters
    ----------
    input : Tensor, shape (N, ...)
        The expected values.
    target : Tensor, same shape or one that broadcasts
    var : Tensor or float
        The variances: of the input's shape, or without its last dimension, or with 1 there.
    full : bool, default False
        Add the constant ``log(2 * pi) / 2``.
    eps : float, default 1e-6
        Variances below this count as this; their gradient does not see it.
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ValueError
        If the reduction is unknown, or a variance is negative or of the wrong shape.
    """
    require_tensors("gaussian_nll_loss", input, target)
    check_reduction(reduction)
    if not isinstance(var, Tensor):
        if not isinstance(var, Real):
            raise TypeError(
                f"gaussian_nll_loss(): argument 'var' must be Tensor or float, not {type(var).__name__}"
            )
        if var < 0:
            raise ValueError(f"gaussian_nll_loss: var must not be negative, got {var}")
        var = T.full_like(input, var)
    else:
        var = _fitted_variance(input, var)
        _check_variances(var)
    var = var.clone()
    with no_grad():
        var.clamp_(min=eps)
    loss = 0.5 * (T.log(var) + T.squared_error(input, target) / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return reduced(loss, reduction)


def _fitted_variance(input: Tensor, var: Tensor) -> Tensor:
    """Return ``var`` with as many dimensions as the input, or refuse it."""
    if var.shape == input.shape:
        return var
    if var.shape == input.shape[:-1]:
        return var.unsqueeze(-1)
    if var.ndim == input.ndim and var.shape[:-1] == input.shape[:-1] and var.shape[-1] == 1:
        return var
    raise ValueError(
        f"gaussian_nll_loss: var is of incorrect size {tuple(var.shape)} for an input of {tuple(input.shape)}"
    )
