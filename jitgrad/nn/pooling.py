"""Pooling layers."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions.pooling import Sizes

from . import functional as F
from .module import Module, call_with_one


class _MaxPool(Module):
    """What the max pooling layers have in common; see `functional.max_pool2d` for the parameters."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class _AvgPool(Module):
    """What the mean pooling layers of two and three dimensions have in common."""

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride if stride is not None else kernel_size
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxPool1d(_MaxPool):
    """Return the largest element of every window; see `functional.max_pool1d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or sequence of int
        Of the windows; ``stride`` is ``kernel_size`` by default.
    return_indices : bool, default False
        Return also where in their planes the elements were found, as `MaxUnpool1d` needs it.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Any:
        return F.max_pool1d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool1d(Module):
    """Return the mean of every window; see `functional.avg_pool1d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or sequence of int
        Of the windows; ``stride`` is ``kernel_size`` by default.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.
    """

    def __init__(
        self,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = _single(kernel_size)
        self.stride = _single(stride if stride is not None else kernel_size)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _single(value: Sizes) -> tuple[int, ...]:
    """PyTorch keeps the sizes of this one layer as tuples."""
    return (value,) if isinstance(value, int) else tuple(value)


class MaxPool2d(_MaxPool):
    """Return the largest element of every window; see `functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or sequence of int
        Of the windows; ``stride`` is ``kernel_size`` by default.
    return_indices : bool, default False
        Return also where in their planes the elements were found, as `MaxUnpool2d` needs it.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Any:
        return F.max_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool2d(_AvgPool):
    """Return the mean of every window; see `functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or sequence of int
        Of the windows; ``stride`` is ``kernel_size`` by default.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.
    divisor_override : int, optional
        Divide sums by this instead.
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class MaxPool3d(_MaxPool):
    """Return the largest element of every window; see `functional.max_pool3d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or sequence of int
        Of the windows; ``stride`` is ``kernel_size`` by default.
    return_indices : bool, default False
        Return also where in their planes the elements were found, as `MaxUnpool3d` needs it.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Any:
        return F.max_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )


class AvgPool3d(_AvgPool):
    """Return the mean of every window; see `functional.avg_pool3d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or sequence of int
        Of the windows; ``stride`` is ``kernel_size`` by default.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    count_include_pad : bool, default True
        Whether the zeros of the padding count.
    divisor_override : int, optional
        Divide sums by this instead.
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )
