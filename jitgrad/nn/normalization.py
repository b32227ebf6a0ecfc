"""Layers that normalise each sample by itself: over its last dimensions, or over groups of its channels."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from . import init
from ._calls import call_with_one
from .functional import group_norm
from .module import Module
from .parameter import Parameter


def make_affine(module: Module, shape: Any, weight: bool, bias: bool, device: Any, dtype: Any) -> None:
    """Give a module a weight and a bias of a shape, not filled yet, or None in their places."""
    for name, wanted in (("weight", weight), ("bias", bias)):
        module.register_parameter(
            name, Parameter(T.empty(shape, device=device, dtype=dtype)) if wanted else None
        )


def reset_affine(module: Module) -> None:
    """Set the weight to ones and the bias to zeros."""
    if module.weight is not None:
        init.ones_(module.weight)
    if getattr(module, "bias", None) is not None:
        init.zeros_(module.bias)


def _sizes(shape: int | Sequence[int]) -> tuple[int, ...]:
    return (shape,) if isinstance(shape, Integral) else tuple(shape)


class LayerNorm(Module):
    """Bring the last dimensions to mean 0 and variance 1, then multiply by a weight and add a bias.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the dimensions that are normalised together: the last ones of the input.
    eps : float, default 1e-5
        Added to the variance, which is the biased one.
    elementwise_affine : bool, default True
        Whether there are a weight, which starts at 1, and a bias, which starts at 0.
    bias : bool, default True
        With False there is no bias.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of the parameters; by default the default dtype.

    Attributes
    ----------
    weight, bias : Parameter, shape normalized_shape, or None
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        make_affine(
            self, self.normalized_shape, elementwise_affine, elementwise_affine and bias, device, dtype
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to ones and the bias to zeros."""
        reset_affine(self)

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return T.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divide the last dimensions by their root mean square, then multiply by a weight.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        Sizes of the dimensions that are normalised together: the last ones of the input.
    eps : float, optional
        Added to the mean square; by default the dtype's distance from 1 to the next number.
    elementwise_affine : bool, default True
        Whether there is a weight; it starts at 1.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of the parameters; by default the default dtype.

    Attributes
    ----------
    weight : Parameter, shape normalized_shape, or None
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _sizes(normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = Parameter(T.empty(self.normalized_shape, device=device, dtype=dtype))
        self.register_parameter("weight", weight if elementwise_affine else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to ones."""
        reset_affine(self)

    __call__ = call_with_one

    def forward(self, x: Tensor) -> Tensor:
        return T.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(Module):
    """Bring groups of channels of every sample to mean 0 and variance 1; then weight and bias by channel.

    Parameters
    ----------
    num_groups : int
        Into how many groups the channels are divided.
    num_channels : int
    eps : float, default 1e-5
        Added to the variance, which is the biased one.
    affine : bool, default True
        Whether there are a weight, which starts at 1, and a bias, which starts at 0.
    device : optional
        Only the CPU.
    dtype : dtype, optional
        Of the parameters; by default the default dtype.
    bias : bool, default True
        With False there is no bias.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_channels,), or None

    Raises
    ------
    ValueError
        If the channels cannot be divided into so many groups.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups <= 0 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        make_affine(self, num_channels, affine, affine and bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to ones and the bias to zeros."""
        reset_affine(self)

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
