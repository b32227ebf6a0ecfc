"""Pooling over one, two or three spatial dimensions."""

from __future__ import annotations

from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions.pooling import Sizes, largest, means


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
