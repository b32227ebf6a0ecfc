"""Pooling to a given size, and pooling by p-norms."""

from __future__ import annotations

import math
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions._call import require_tensors
from jitgrad.functions._spatial import Sizes, over, sizes
from jitgrad.functions.pooling import adaptive_largest, adaptive_means, largest, means


def _adaptive_max_pool(spatial: int):  # the type is that of the function inside
    """Max pooling over so many dimensions, to a given size."""
    name = f"adaptive_max_pool{spatial}d"

    @over(spatial, name)
    def function(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
        """Return the largest element of each of ``output_size`` windows, which divide the input evenly.

        Window ``o`` of ``n`` goes from ``floor(o * size / n)`` to ``ceil((o + 1) * size / n)``.

        Parameters
        ----------
        input : Tensor, shape (images, channels, {sizes}) or without images
        output_size : int or sequence of int or None
            Windows along each dimension; None for as many as there are elements.
        return_indices : bool, default False
            Return also where in their planes the elements were found.
        """
        return adaptive_largest(name, spatial, input, output_size, return_indices)

    return function


def _adaptive_max_pool_with_indices(spatial: int):  # the type is that of the function inside
    """Max pooling to a given size that always returns the places, too."""
    name = f"adaptive_max_pool{spatial}d"

    @over(spatial, f"{name}_with_indices")
    def function(input: Tensor, output_size: Any, return_indices: bool = False) -> tuple[Tensor, Tensor]:
        """Return a pair: the result of `adaptive_max_pool{spatial}d`, and the places of its elements in the planes."""
        return adaptive_largest(name, spatial, input, output_size, True)

    return function


def _adaptive_avg_pool(spatial: int):  # the type is that of the function inside
    """Mean pooling over so many dimensions, to a given size."""
    name = f"adaptive_avg_pool{spatial}d"

    @over(spatial, name)
    def function(input: Tensor, output_size: Any) -> Tensor:
        """Return the mean of each of ``output_size`` windows; see `adaptive_max_pool{spatial}d`."""
        return adaptive_means(name, spatial, input, output_size)

    return function


def _lp_pool(spatial: int):  # the type is that of the function inside
    """Pooling by p-norms over so many dimensions."""
    name = f"lp_pool{spatial}d"

    @over(spatial, name)
    def function(
        input: Tensor,
        norm_type: float,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        ceil_mode: bool = False,
    ) -> Tensor:
        """Return the p-norm of every window: ``sum(x ** norm_type) ** (1 / norm_type)``.

        Parameters
        ----------
        input : Tensor, shape (images, channels, {sizes}) or without images
        norm_type : float
            The p; not 0.
        kernel_size, stride, ceil_mode
            As for `avg_pool{spatial}d`.
        """
        return _norms(name, spatial, input, norm_type, kernel_size, stride, ceil_mode)

    return function


adaptive_max_pool1d, adaptive_max_pool1d_with_indices = (
    _adaptive_max_pool(1),
    _adaptive_max_pool_with_indices(1),
)
adaptive_max_pool2d, adaptive_max_pool2d_with_indices = (
    _adaptive_max_pool(2),
    _adaptive_max_pool_with_indices(2),
)
adaptive_max_pool3d, adaptive_max_pool3d_with_indices = (
    _adaptive_max_pool(3),
    _adaptive_max_pool_with_indices(3),
)
adaptive_avg_pool1d, lp_pool1d = _adaptive_avg_pool(1), _lp_pool(1)
adaptive_avg_pool2d, lp_pool2d = _adaptive_avg_pool(2), _lp_pool(2)
adaptive_avg_pool3d, lp_pool3d = _adaptive_avg_pool(3), _lp_pool(3)


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
