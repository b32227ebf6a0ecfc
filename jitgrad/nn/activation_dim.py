"""Activations that treat one dimension unlike the others: softmax and its kin, GLU, PReLU."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from . import functional as F
from ._calls import call_with_one
from .module import Module
from .parameter import Parameter


class _AlongDim(Module):
    """The base of activations that normalise along one dimension.

    Parameters
    ----------
    dim : int
        Leaving it out is deprecated.
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """Return ``exp(x)`` divided by its sum along ``dim``."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)


class Softmax2d(Module):
    """Return the softmax over the channels of images at every place.

    The input has the shape (N, C, H, W) or (C, H, W).

    Raises
    ------
    ValueError
        If the input has neither three nor four dimensions.
    """

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(
                f"Softmax2d: expected input of shape (N, C, H, W) or (C, H, W), got {tuple(input.shape)}"
            )
        return F.softmax(input, -3)


class LogSoftmax(_AlongDim):
    """Return ``log(softmax(x))``, computed so that it never overflows."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


class Softmin(_AlongDim):
    """Return ``softmax(-x)``."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.softmin(input, self.dim)


class GLU(Module):
    """Return ``a * sigmoid(b)``, where ``a`` and ``b`` are the two halves of the input.

    Parameters
    ----------
    dim : int, default -1
        The dimension to halve.
    """

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class PReLU(Module):
    """Return ``x`` where it is positive and ``weight * x`` elsewhere, the slopes being trained.

    Parameters
    ----------
    num_parameters : int, default 1
        1, or the number of channels (dimension 1 of the input).
    init : float, default 0.25
        The slopes to begin with.
    device : optional
        Only the CPU.
    dtype : dtype, optional

    Attributes
    ----------
    weight : Parameter, shape (num_parameters,)
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(T.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the slopes to their first value."""
        self.weight.data.fill_(self.init)

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
