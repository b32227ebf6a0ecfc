"""Pooling to a given size, and pooling by p-norms."""

from __future__ import annotations

import math
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions._pooling_windows import Sizes, sizes
from jitgrad.functions.pooling import adaptive_largest, adaptive_means, largest, means


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest element of each of ``output_size`` windows, which divide the input evenly.

    Window ``o`` of ``n`` goes from ``floor(o * size / n)`` to ``ceil((o + 1) * size / n)``.

    Parameters
    ----------
    input : Tensor, shape (images, channels, length) or without images
    output_size : int or sequence of int or None
        Windows along each dimension; None for as many as there are elements.
    return_indices : bool, default False
        Return also where in their planes the elements were found.
    """
    return adaptive_largest("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Return a pair: what `adaptive_max_pool1d` returns, and the places of these elements in their planes."""
    return adaptive_largest("adaptive_max_pool1d", 1, input, output_size, True)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Return the mean of each of ``output_size`` windows; see `adaptive_max_pool1d`."""
    return adaptive_means("adaptive_avg_pool1d", 1, input, output_size)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return the p-norm of every window: ``sum(x ** norm_type) ** (1 / norm_type)``.

    Parameters
    ----------
    input : Tensor, shape (images, channels, length) or without images
    norm_type : float
        The p; not 0.
    kernel_size, stride, ceil_mode
        As for `avg_pool1d`.
    """
    return _norms("lp_pool1d", 1, input, norm_type, kernel_size, stride, ceil_mode)


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest element of each of ``output_size`` windows, which divide the input evenly.

    Window ``o`` of ``n`` goes from ``floor(o * size / n)`` to ``ceil((o + 1) * size / n)``.

    Parameters
    ----------
    input : Tensor, shape (images, channels, height, width) or without images
    output_size : int or sequence of int or None
        Windows along each dimension; None for as many as there are elements.
    return_indices : bool, default False
        Return also where in their planes the elements were found.
    """
    return adaptive_largest("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Return a pair: what `adaptive_max_pool2d` returns, and the places of these elements in their planes."""
    return adaptive_largest("adaptive_max_pool2d", 2, input, output_size, True)


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Return the mean of each of ``output_size`` windows; see `adaptive_max_pool2d`."""
    return adaptive_means("adaptive_avg_pool2d", 2, input, output_size)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return the p-norm of every window: ``sum(x ** norm_type) ** (1 / norm_type)``.

    Parameters
    ----------
    input : Tensor, shape (images, channels, height, width) or without images
    norm_type : float
        The p; not 0.
    kernel_size, stride, ceil_mode
        As for `avg_pool2d`.
    """
    return _norms("lp_pool2d", 2, input, norm_type, kernel_size, stride, ceil_mode)


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Return the largest element of each of ``output_size`` windows, which divide the input evenly.

    Window ``o`` of ``n`` goes from ``floor(o * size / n)`` to ``ceil((o + 1) * size / n)``.

    Parameters
    ----------
    input : Tensor, shape (images, channels, depth, height, width) or without images
    output_size : int or sequence of int or None
        Windows along each dimension; None for as many as there are elements.
    return_indices : bool, default False
        Return also where in their planes the elements were found.
    """
    return adaptive_largest("adaptive_max_pool3d", 3, input, output_size, return_indices)


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """Return a pair: what `adaptive_max_pool3d` returns, and the places of these elements in their planes."""
    return adaptive_largest("adaptive_max_pool3d", 3, input, output_size, True)


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """Return the mean of each of ``output_size`` windows; see `adaptive_max_pool3d`."""
    return adaptive_means("adaptive_avg_pool3d", 3, input, output_size)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
) -> Tensor:
    """Return the p-norm of every window: ``sum(x ** norm_type) ** (1 / norm_type)``.

    Parameters
    ----------
    input : Tensor, shape (images, channels, depth, height, width) or without images
    norm_type : float
        The p; not 0.
    kernel_size, stride, ceil_mode
        As for `avg_pool3d`.
    """
    return _norms("lp_pool3d", 3, input, norm_type, kernel_size, stride, ceil_mode)


def _norms(
    name: str, spatial: int, input: Tensor, norm: float, kernel_size: Sizes, stride: Any, ceil_mode: bool
) -> Tensor:
    require_tensors(name, input)
    if norm == 0:
        raise ZeroDivisionError(f"{name}: norm_type must not be 0")
    if math.isinf(norm):
        sign = math.copysign(1.0, norm)  # the largest element, or the smallest
        return largest(name, spatial, input.abs() * sign, kernel_size, stride, 0, 1, ceil_mode, False) * sign
    count = math.prod(sizes(name, "kernel_size", kernel_size, spatial))
    mean = means(name, spatial, input.pow(norm), kernel_size, stride, 0, ceil_mode, True, None)
    return (mean * count).pow(1.0 / norm)
