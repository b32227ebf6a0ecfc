"""Pooling over one, two or three spatial dimensions."""

from __future__ import annotations

from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions._spatial import Sizes, over
from jitgrad.functions.pooling import largest, means


def _max_pool(spatial: int):  # the type is that of the function inside
    """Max pooling over so many dimensions."""
    name = f"max_pool{spatial}d"

    @over(spatial, name)
    def function(
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
        input : Tensor, shape (images, channels, {sizes}) or without images
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
        return largest(
            name, spatial, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )

    return function


def _max_pool_with_indices(spatial: int):  # the type is that of the function inside
    """Max pooling that always returns the places, too."""
    name = f"max_pool{spatial}d"

    @over(spatial, f"{name}_with_indices")
    def function(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return a pair: what `max_pool{spatial}d` returns, and the places of these elements in their planes."""
        return largest(name, spatial, input, kernel_size, stride, padding, dilation, ceil_mode, True)

    return function


def _avg_pool(spatial: int):  # the type is that of the function inside
    """Mean pooling over so many dimensions: two or three, as one has no divisor."""
    name = f"avg_pool{spatial}d"

    @over(spatial, name)
    def function(
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
        input : Tensor, shape (images, channels, {sizes}) or without images
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
            name, spatial, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        )

    return function


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


max_pool1d, max_pool1d_with_indices = _max_pool(1), _max_pool_with_indices(1)
max_pool2d, max_pool2d_with_indices, avg_pool2d = _max_pool(2), _max_pool_with_indices(2), _avg_pool(2)
max_pool3d, max_pool3d_with_indices, avg_pool3d = _max_pool(3), _max_pool_with_indices(3), _avg_pool(3)
