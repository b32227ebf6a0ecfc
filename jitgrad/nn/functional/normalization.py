"""Normalisation by a layer's, a batch's, a group's or an instance's statistics."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Bring the last dimensions to mean 0 and variance 1, then multiply by ``weight`` and add ``bias``.

    Parameters
    ----------
    input : Tensor, shape (..., *normalized_shape)
    normalized_shape : sequence of int
        Sizes of the dimensions that are normalised together.
    weight, bias : Tensor, shape normalized_shape, optional
    eps : float, default 1e-5
        Added to the variance, which is the biased one.

    Raises
    ------
    RuntimeError
        If the shapes or dtypes do not fit together.
    """
    return T.layer_norm(input, normalized_shape, weight, bias, eps)


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide the last dimensions by their root mean square, then multiply by ``weight``.

    Parameters
    ----------
    input : Tensor, shape (..., *normalized_shape)
    normalized_shape : sequence of int
        Sizes of the dimensions that are normalised together.
    weight : Tensor, shape normalized_shape, optional
    eps : float, optional
        Added to the mean square; by default the dtype's distance from 1 to the next number.

    Raises
    ------
    RuntimeError
        If the shapes or dtypes do not fit together.
    """
    return T.rms_norm(input, normalized_shape, weight, eps)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Bring every channel to mean 0 and variance 1, then multiply by ``weight`` and add ``bias``.

    The formula is that of Ioffe and Szegedy, *Batch Normalization* (2015).

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
    running_mean, running_var : Tensor, shape (C,), optional
        The statistics to use, or when training to move, in place, towards the batch's by ``momentum``. The
        running variance is the unbiased one, the batch is divided by the biased one.
    weight, bias : Tensor, shape (C,), optional
    training : bool, default False
        Whether to use the batch's own statistics.
    momentum : float, default 0.1
    eps : float, default 1e-5
        Added to the variance.

    Raises
    ------
    ValueError
        If there is only one value per channel when training.
    RuntimeError
        If the shapes or dtypes do not fit together, or statistics are needed that are not given.
    """
    if training:
        require_tensors("batch_norm", input)
        refuse_single_values("batch_norm", input)
    return T.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


def refuse_single_values(name: str, input: Tensor) -> None:
    """ValueError when a channel has one value only, so that its variance says nothing."""
    shape = input.shape
    if len(shape) > 1 and shape[0] * math.prod(shape[2:]) == 1:
        raise ValueError(
            f"{name}: Expected more than 1 value per channel when training, got input size {tuple(shape)}; "
            "use a larger batch, or call eval() first"
        )


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Bring groups of channels of every sample to mean 0 and variance 1; then weight and bias by channel.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
    num_groups : int
        Into how many groups the channels are divided.
    weight, bias : Tensor, shape (C,), optional
    eps : float, default 1e-5
        Added to the variance, which is the biased one.

    Raises
    ------
    RuntimeError
        If the channels cannot be divided so, or the shapes or dtypes do not fit together.
    ValueError
        If a group has one value only.
    """
    require_tensors("group_norm", input)
    shape = input.shape
    if len(shape) < 2:
        raise RuntimeError(
            f"group_norm: Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    if isinstance(num_groups, int) and num_groups > 0 and math.prod(shape) == num_groups:
        raise ValueError(
            f"group_norm: Expected more than 1 value per channel when training, got input size {tuple(shape)} "
            f"for {num_groups} groups"
        )
    return T.group_norm(input, num_groups, weight, bias, eps)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Bring every channel of every sample to mean 0 and variance 1; then weight and bias by channel.

    The formula is that of Ulyanov, Vedaldi and Lempitsky, *Instance Normalization* (2016).

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
    running_mean, running_var : Tensor, shape (C,), optional
        The statistics to use, or with ``use_input_stats`` to move, in place, towards the batch's by ``momentum``.
    weight, bias : Tensor, shape (C,), optional
    use_input_stats : bool, default True
        Whether to use the samples' own statistics.
    momentum : float, default 0.1
    eps : float, default 1e-5
        Added to the variance, which is the biased one.

    Raises
    ------
    ValueError
        If a channel of a sample has one value only.
    RuntimeError
        If the shapes or dtypes do not fit together, or statistics are needed that are not given.
    """
    require_tensors("instance_norm", input)
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(
            "instance_norm: Expected more than 1 spatial element when training, "
            f"got input size {tuple(input.shape)}"
        )
    return T.instance_norm(
        input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, False
    )
