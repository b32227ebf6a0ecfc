"""Invertible functions with the logarithms of their derivatives, for `TransformedDistribution`."""

from __future__ import annotations

import math
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.limits import finfo

from ._joined import CatTransform, CumulativeDistributionTransform, ReshapeTransform, StackTransform
from ._transform import ComposeTransform, IndependentTransform, Transform, identity_transform
from .matrix_transforms import (
    CorrCholeskyTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    StickBreakingTransform,
)
from .utils import sum_last

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "CatTransform",
    "ComposeTransform",
    "CorrCholeskyTransform",
    "CumulativeDistributionTransform",
    "ExpTransform",
    "IndependentTransform",
    "LowerCholeskyTransform",
    "PositiveDefiniteTransform",
    "PowerTransform",
    "ReshapeTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "StackTransform",
    "StickBreakingTransform",
    "TanhTransform",
    "Transform",
    "identity_transform",
]


class AffineTransform(Transform):
    """``loc + scale * x``.

    Parameters
    ----------
    loc, scale : Tensor or float
    event_dim : int, default 0
        How many dimensions belong to one event.
    cache_size : int, default 0
        See `Transform`.
    """

    def __init__(
        self, loc: Tensor | float, scale: Tensor | float, event_dim: int = 0, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.loc, self.scale, self.event_dim = loc, scale, event_dim

    @property
    def sign(self) -> Any:
        """The sign of the scale."""
        if isinstance(self.scale, Tensor):
            return T.sign(self.scale)
        return (self.scale > 0) - (self.scale < 0)

    def _call(self, x: Tensor) -> Tensor:
        return self.loc + self.scale * x

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The logarithm of the scale's absolute value, for every element of an event."""
        if isinstance(self.scale, Tensor):
            found = self.scale.abs().log() + T.zeros_like(x)
        else:
            found = T.full_like(x, math.log(abs(self.scale)))
        return sum_last(found, self.event_dim)


class PowerTransform(Transform):
    """``x ** exponent`` of positive numbers."""

    def __init__(self, exponent: Tensor | float, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.exponent = exponent

    @property
    def sign(self) -> Any:
        """The sign of the exponent."""
        if isinstance(self.exponent, Tensor):
            return T.sign(self.exponent)
        return (self.exponent > 0) - (self.exponent < 0)

    def _call(self, x: Tensor) -> Tensor:
        return x**self.exponent

    def _inverse(self, y: Tensor) -> Tensor:
        return y ** (1 / self.exponent)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """``log |exponent * y / x|``."""
        return (self.exponent * y / x).abs().log()


class _Increasing(Transform):
    """The base of transforms without parameters that increase."""

    sign = 1  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


class ExpTransform(_Increasing):
    """``exp(x)``."""

    def _call(self, x: Tensor) -> Tensor:
        return x.exp()  # type: ignore[attr-defined]

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()  # type: ignore[attr-defined]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The number x itself."""
        return x


class SigmoidTransform(_Increasing):
    """``1 / (1 + exp(-x))``, kept between 0 and 1."""

    def _call(self, x: Tensor) -> Tensor:
        info = finfo(x.dtype)
        return T.sigmoid(x).clamp(info.tiny, 1 - info.eps)

    def _inverse(self, y: Tensor) -> Tensor:
        info = finfo(y.dtype)
        y = y.clamp(info.tiny, 1 - info.eps)  # type: ignore[attr-defined]
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """``log(sigmoid(x) * sigmoid(-x))``."""
        return -T.softplus(-x) - T.softplus(x)


class SoftplusTransform(_Increasing):
    """``log(1 + exp(x))``."""

    def _call(self, x: Tensor) -> Tensor:
        return T.softplus(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The logarithm of the sigmoid."""
        return -T.softplus(-x)


class TanhTransform(_Increasing):
    """``tanh(x)``; the inverse of numbers next to -1 or 1 is only good with ``cache_size=1``."""

    def _call(self, x: Tensor) -> Tensor:
        return T.tanh(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return T.atanh(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """``log(1 - tanh(x) ** 2)``, which does not become log(0) (TensorFlow Probability's formula)."""
        return 2.0 * (math.log(2.0) - x - T.softplus(-2.0 * x))


class AbsTransform(Transform):
    """``|x|``; of two numbers with this value, the inverse takes the positive one."""

    bijective = False

    def _call(self, x: Tensor) -> Tensor:
        return x.abs()  # type: ignore[attr-defined]

    def _inverse(self, y: Tensor) -> Tensor:
        return y


class SoftmaxTransform(Transform):
    """The softmax along the last dimension; the inverse is the logarithm."""

    bijective = False
    event_dim = 1

    def _call(self, x: Tensor) -> Tensor:
        return T.softmax(x, -1)

    def _inverse(self, y: Tensor) -> Tensor:
        return y.log()  # type: ignore[attr-defined]
