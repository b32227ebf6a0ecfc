"""Pooling over one, two or three spatial dimensions."""

from __future__ import annotations

import math
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions.pooling import Sizes, adaptive_largest, adaptive_means, largest, means, sizes


def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of every window; of equal ones the first, and nan if there is one.

    Parameters
    ----------
    input : Tensor, shape (images, channels, length) or without images
    kernel_size : int or sequence of int
        Size of the windows.
    stride : int or sequence of int, optional
        How far apart they are; by default ``kernel_size``.
    padding : int or sequence of int, default 0
        Elements of ``-inf`` put around the input, at most half a window.
    dilation : int or sequence of int, default 1
        How far apart the elements of a window are.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    return_indices : bool, default False
        Return also where in their planes the elements were found.

    Raises
    ------
    RuntimeError
        If a size is out of range, or the input is smaller than a window.
    """
    return largest("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return a pair: what `max_pool1d` returns, and the places of these elements in their planes."""
    return largest("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of every window.

    Parameters
    ----------
    input : Tensor, shape (images, channels, length) or without images
    kernel_size : int or sequence of int
        Size of the windows.
    stride : int or sequence of int, optional
        How far apart they are; by default ``kernel_size``.
    padding : int or sequence of int, default 0
        Zeros put around the input, at most half a window.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    count_include_pad : bool, default True
        Whether these zeros count.

    Raises
    ------
    RuntimeError
        If a size is out of range, or the input is smaller than a window.
    """
    return means("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


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


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of every window; of equal ones the first, and nan if there is one.

    Parameters
    ----------
    input : Tensor, shape (images, channels, height, width) or without images
    kernel_size : int or sequence of int
        Size of the windows.
    stride : int or sequence of int, optional
        How far apart they are; by default ``kernel_size``.
    padding : int or sequence of int, default 0
        Elements of ``-inf`` put around the input, at most half a window.
    dilation : int or sequence of int, default 1
        How far apart the elements of a window are.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    return_indices : bool, default False
        Return also where in their planes the elements were found.

    Raises
    ------
    RuntimeError
        If a size is out of range, or the input is smaller than a window.
    """
    return largest("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return a pair: what `max_pool2d` returns, and the places of these elements in their planes."""
    return largest("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of every window.

    Parameters
    ----------
    input : Tensor, shape (images, channels, height, width) or without images
    kernel_size : int or sequence of int
        Size of the windows.
    stride : int or sequence of int, optional
        How far apart they are; by default ``kernel_size``.
    padding : int or sequence of int, default 0
        Zeros put around the input, at most half a window.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    count_include_pad : bool, default True
        Whether these zeros count.
    divisor_override : int, optional
        Divide sums by this instead.

    Raises
    ------
    RuntimeError
        If a size is out of range, or the input is smaller than a window.
    """
    return means(
        "avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


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


def max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest element of every window; of equal ones the first, and nan if there is one.

    Parameters
    ----------
    input : Tensor, shape (images, channels, depth, height, width) or without images
    kernel_size : int or sequence of int
        Size of the windows.
    stride : int or sequence of int, optional
        How far apart they are; by default ``kernel_size``.
    padding : int or sequence of int, default 0
        Elements of ``-inf`` put around the input, at most half a window.
    dilation : int or sequence of int, default 1
        How far apart the elements of a window are.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    return_indices : bool, default False
        Return also where in their planes the elements were found.

    Raises
    ------
    RuntimeError
        If a size is out of range, or the input is smaller than a window.
    """
    return largest("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return a pair: what `max_pool3d` returns, and the places of these elements in their planes."""
    return largest("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def avg_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Return the mean of every window.

    Parameters
    ----------
    input : Tensor, shape (images, channels, depth, height, width) or without images
    kernel_size : int or sequence of int
        Size of the windows.
    stride : int or sequence of int, optional
        How far apart they are; by default ``kernel_size``.
    padding : int or sequence of int, default 0
        Zeros put around the input, at most half a window.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    count_include_pad : bool, default True
        Whether these zeros count.
    divisor_override : int, optional
        Divide sums by this instead.

    Raises
    ------
    RuntimeError
        If a size is out of range, or the input is smaller than a window.
    """
    return means(
        "avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )


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
