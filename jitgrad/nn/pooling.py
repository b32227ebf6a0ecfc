"""Pooling layers."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions._spatial import Sizes

from . import functional as F
from ._calls import call_with_one
from ._described import described_by_base
from .module import Module


class _MaxPool(Module):
    """What the max pooling layers have in common.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or sequence of int
        Of the windows; ``stride`` is ``kernel_size`` by default.
    return_indices : bool, default False
        Return also where in their planes the elements were found, as `MaxUnpool{spatial}d` needs it.
    ceil_mode : bool, default False
        Whether a last window may stick out at the end.
    """

    _spatial: int
    _run: Callable[..., Any]

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

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Any:
        return self._run(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
            self.ceil_mode,
            self.return_indices,
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class _AvgPool(Module):
    """What the mean pooling layers of two and three dimensions have in common.

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

    _spatial: int
    _run: Callable[..., Tensor]

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

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return self._run(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


@described_by_base
class MaxPool1d(_MaxPool):
    """Return the largest element of every window; see `functional.max_pool1d`."""

    _spatial = 1
    _run = staticmethod(F.max_pool1d)


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
    return (value,) if isinstance(value, Integral) else tuple(value)


@described_by_base
class MaxPool2d(_MaxPool):
    """Return the largest element of every window; see `functional.max_pool2d`."""

    _spatial = 2
    _run = staticmethod(F.max_pool2d)


@described_by_base
class AvgPool2d(_AvgPool):
    """Return the mean of every window; see `functional.avg_pool2d`."""

    _spatial = 2
    _run = staticmethod(F.avg_pool2d)


@described_by_base
class MaxPool3d(_MaxPool):
    """Return the largest element of every window; see `functional.max_pool3d`."""

    _spatial = 3
    _run = staticmethod(F.max_pool3d)


@described_by_base
class AvgPool3d(_AvgPool):
    """Return the mean of every window; see `functional.avg_pool3d`."""

    _spatial = 3
    _run = staticmethod(F.avg_pool3d)
