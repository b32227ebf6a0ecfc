"""Convolution layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from . import init
from ._calls import call_with_one
from ._described import described_by_base
from .functional.vision import pad
from .module import Module
from .parameter import Parameter

Ints = int | Sequence[int]
PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _each(value: Ints, spatial: int) -> tuple[int, ...]:
    """One number for each spatial dimension; what is a sequence already stays as it is."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * spatial


class _ConvNd(Module):
    """What the convolutions have in common: options, parameters and the way they begin.

    Weights start uniform between ``-b`` and ``b`` with ``b = 1 / sqrt(in_channels / groups * taps)`` (which is
    `init.kaiming_uniform_` with ``a = sqrt(5)``), and so does the bias.
    """

    _spatial: int
    transposed = False
    _run: Callable[..., Tensor]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints,
        padding: Ints | str,
        dilation: Ints,
        output_padding: Ints,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        name, spatial = type(self).__name__, self._spatial
        if groups <= 0:
            raise ValueError(f"{name}: groups must be a positive integer, got {groups}")
        if in_channels % groups != 0:
            raise ValueError(
                f"{name}: in_channels must be divisible by groups, got {in_channels} and {groups}"
            )
        if out_channels % groups != 0:
            raise ValueError(
                f"{name}: out_channels must be divisible by groups, got {out_channels} and {groups}"
            )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _each(kernel_size, spatial)
        self.stride = _each(stride, spatial)
        self.padding = padding if isinstance(padding, str) else _each(padding, spatial)
        self.dilation = _each(dilation, spatial)
        self.output_padding = _each(output_padding, spatial)
        self.groups = groups
        self.padding_mode = padding_mode
        self._check_padding(name)
        first, second = in_channels, out_channels // groups
        if not self.transposed:
            first, second = out_channels, in_channels // groups
        shape = (first, second, *self.kernel_size)
        self.weight = Parameter(T.empty(shape, device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(T.empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _check_padding(self, name: str) -> None:
        if isinstance(self.padding, str):
            if self.padding not in ("same", "valid"):
                raise ValueError(
                    f"{name}: Invalid padding string {self.padding!r}, should be one of 'same', 'valid'"
                )
            if self.padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError(
                    f"{name}: padding='same' is not supported for strided convolutions, got {self.stride}"
                )
        if self.padding_mode not in PADDING_MODES:
            raise ValueError(
                f"{name}: padding_mode must be one of {PADDING_MODES}, but got "
                f"padding_mode={self.padding_mode!r}"
            )
        if self.transposed and self.padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {name}, got {self.padding_mode!r}')

    def reset_parameters(self) -> None:
        """Draw weight and bias anew."""
        if not self.weight.numel():
            return
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self) -> str:
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        spatial = len(self.kernel_size)
        if self.padding != (0,) * spatial:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * spatial:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * spatial:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Convolution(_ConvNd):
    """What `Conv1d`, `Conv2d` and `Conv3d` have in common.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or tuple of int
    stride, dilation : int or tuple of int, default 1
    padding : int, tuple of int, 'valid' or 'same', default 0
        How much to add around each spatial dimension.
    groups : int, default 1
        Channels and filters in so many groups, each convolved by itself.
    bias : bool, default True
        Whether to add a trained bias.
    padding_mode : {'zeros', 'reflect', 'replicate', 'circular'}
        What to add.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of the parameters; by default the default dtype.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels, or the padding is unknown or has no meaning with the steps.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode,
            device, dtype,
        )  # fmt: skip

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        if self.padding_mode != "zeros":
            input = pad(input, self._border(), self.padding_mode)
            return self._run(input, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)
        return self._run(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def _border(self) -> list[int]:
        """How much to add before and after each spatial dimension, the last one first."""
        if self.padding == "valid":
            return [0, 0] * self._spatial
        if isinstance(self.padding, str):
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            return [n for t in reversed(total) for n in (t // 2, t - t // 2)]
        return [p for p in reversed(self.padding) for _ in range(2)]


class _ConvTransposeNd(_ConvNd):
    """What the transposed convolutions have in common.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or tuple of int
    stride, dilation : int or tuple of int, default 1
    padding, output_padding : int or tuple of int, default 0
    groups : int, default 1
    bias : bool, default True
    padding_mode : {'zeros'}
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of the parameters; by default the default dtype.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels / groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Notes
    -----
    ``forward(input, output_size)`` finds the output padding that leads to a size.

    Raises
    ------
    ValueError
        If ``groups`` does not divide the channels, or the output size is impossible.
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Ints,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Ints = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return self._run(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    def _extra(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that leads to a size."""
        spatial, name = self._spatial, type(self).__name__
        before = input.ndim - spatial
        if len(output_size) == input.ndim:
            output_size = output_size[before:]
        if len(output_size) != spatial:
            raise ValueError(
                f"{name}: for {input.ndim}D input, output_size must have {spatial} or {before + spatial} "
                f"elements (got {len(output_size)})"
            )
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[before:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if any(not low <= n <= high for low, n, high in zip(least, output_size, most, strict=True)):
            raise ValueError(
                f"{name}: requested an output size of {tuple(output_size)}, but valid sizes range from {least} to "
                f"{most} (for an input of {tuple(input.shape[before:])})"
            )
        return tuple(n - low for n, low in zip(output_size, least, strict=True))


@described_by_base
class Conv1d(_Convolution):
    """Convolve over 1 spatial dimension: see `functional.conv1d`."""

    _spatial = 1
    _run = staticmethod(T.conv1d)


@described_by_base
class Conv2d(_Convolution):
    """Convolve over 2 spatial dimensions: see `functional.conv2d`."""

    _spatial = 2
    _run = staticmethod(T.conv2d)


@described_by_base
class Conv3d(_Convolution):
    """Convolve over 3 spatial dimensions: see `functional.conv3d`."""

    _spatial = 3
    _run = staticmethod(T.conv3d)


@described_by_base
class ConvTranspose1d(_ConvTransposeNd):
    """Go back over 1 spatial dimension: see `functional.conv_transpose1d`."""

    _spatial = 1
    _run = staticmethod(T.conv_transpose1d)


@described_by_base
class ConvTranspose2d(_ConvTransposeNd):
    """Go back over 2 spatial dimensions: see `functional.conv_transpose2d`."""

    _spatial = 2
    _run = staticmethod(T.conv_transpose2d)


@described_by_base
class ConvTranspose3d(_ConvTransposeNd):
    """Go back over 3 spatial dimensions: see `functional.conv_transpose3d`."""

    _spatial = 3
    _run = staticmethod(T.conv_transpose3d)
