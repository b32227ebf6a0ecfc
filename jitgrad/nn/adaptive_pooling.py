"""Layers that pool to a given size or by p-norms, and those that undo max pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.functions._spatial import Sizes, sizes

from . import functional as F
from ._calls import call_with_one
from .module import Module


class _AdaptiveMaxPool(Module):
    """What the adaptive max pooling layers have in common."""

    _run: Callable[..., Any]

    def __init__(self, output_size: Any, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Any:
        return self._run(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _AdaptiveAvgPool(Module):
    """What the adaptive mean pooling layers have in common."""

    _run: Callable[..., Tensor]

    def __init__(self, output_size: Any) -> None:
        super().__init__()
        self.output_size = output_size

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return self._run(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class _LPPool(Module):
    """What the power mean layers have in common."""

    _run: Callable[..., Tensor]

    def __init__(
        self, norm_type: float, kernel_size: Sizes, stride: Sizes | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return self._run(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Return the largest element of each of ``output_size`` windows; see `functional.adaptive_max_pool1d`."""

    _run = staticmethod(F.adaptive_max_pool1d)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Return the mean of each of ``output_size`` windows; see `functional.adaptive_avg_pool1d`."""

    _run = staticmethod(F.adaptive_avg_pool1d)


class LPPool1d(_LPPool):
    """Return the p-norm of every window; see `functional.lp_pool1d`."""

    _run = staticmethod(F.lp_pool1d)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Return the largest element of each of ``output_size`` windows; see `functional.adaptive_max_pool2d`."""

    _run = staticmethod(F.adaptive_max_pool2d)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Return the mean of each of ``output_size`` windows; see `functional.adaptive_avg_pool2d`."""

    _run = staticmethod(F.adaptive_avg_pool2d)


class LPPool2d(_LPPool):
    """Return the p-norm of every window; see `functional.lp_pool2d`."""

    _run = staticmethod(F.lp_pool2d)


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Return the largest element of each of ``output_size`` windows; see `functional.adaptive_max_pool3d`."""

    _run = staticmethod(F.adaptive_max_pool3d)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Return the mean of each of ``output_size`` windows; see `functional.adaptive_avg_pool3d`."""

    _run = staticmethod(F.adaptive_avg_pool3d)


class LPPool3d(_LPPool):
    """Return the p-norm of every window; see `functional.lp_pool3d`."""

    _run = staticmethod(F.lp_pool3d)


class _MaxUnpool(Module):
    """What the layers that undo max pooling have in common."""

    _spatial: int
    _run: Callable[..., Tensor]

    def __init__(self, kernel_size: Sizes, stride: Sizes | None = None, padding: Sizes = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = sizes(name, "kernel_size", kernel_size, self._spatial)
        step = stride if stride is not None else kernel_size
        self.stride = sizes(name, "stride", step, self._spatial)
        self.padding = sizes(name, "padding", padding, self._spatial)

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        return self._run(input, indices, self.kernel_size, self.stride, self.padding, output_size)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Put elements back where `MaxPool1d` found them, among zeros; see `functional.max_unpool1d`."""

    _spatial = 1
    _run = staticmethod(F.max_unpool1d)


class MaxUnpool2d(_MaxUnpool):
    """Put elements back where `MaxPool2d` found them, among zeros; see `functional.max_unpool2d`."""

    _spatial = 2
    _run = staticmethod(F.max_unpool2d)


class MaxUnpool3d(_MaxUnpool):
    """Put elements back where `MaxPool3d` found them, among zeros; see `functional.max_unpool3d`."""

    _spatial = 3
    _run = staticmethod(F.max_unpool3d)
