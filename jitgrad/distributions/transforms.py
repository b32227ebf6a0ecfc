"""Invertible functions with the logarithms of their derivatives, for `TransformedDistribution`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.limits import finfo

from .constraints import independent, real
from .utils import sum_last

__all__ = [
    "AbsTransform",
    "AffineTransform",
    "ComposeTransform",
    "ExpTransform",
    "IndependentTransform",
    "PowerTransform",
    "SigmoidTransform",
    "SoftmaxTransform",
    "SoftplusTransform",
    "TanhTransform",
    "Transform",
    "identity_transform",
]


class Transform:
    """The base of functions from x to y.

    A subclass has ``_call`` and ``_inverse``, and ``log_abs_det_jacobian``.

    Parameters
    ----------
    cache_size : int, default 0
        With 1 the inverse of the last result is the very x that it was made of, whatever rounding did to y.

    Raises
    ------
    ValueError
        If ``cache_size`` is neither 0 nor 1.
    """

    domain: Any = real
    codomain: Any = real
    bijective = True
    event_dim = 0  # dimensions of what one value of the derivative's determinant belongs to

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise ValueError(f"{type(self).__name__}: expected cache_size 0 or 1, got {cache_size}")
        self._cache_size = cache_size
        self._last: tuple[Any, Any] = (None, None)

    def with_cache(self, cache_size: int = 1) -> Transform:
        """Return the same transform with another cache."""
        from copy import copy

        changed = copy(self)
        Transform.__init__(changed, cache_size)
        return changed

    @property
    def inv(self) -> Transform:
        """The inverse transform."""
        return _Inverse(self)

    @property
    def sign(self) -> Any:
        """1 where the function increases, -1 where it decreases.

        Raises
        ------
        NotImplementedError
            If it does neither.
        """
        raise NotImplementedError(f"{type(self).__name__} has no sign: it does not only increase or decrease")

    def __call__(self, x: Tensor) -> Tensor:
        """The function's value."""
        if self._last[0] is x:
            return self._last[1]
        y = self._call(x)
        if self._cache_size:
            self._last = x, y
        return y

    def _inv_call(self, y: Tensor) -> Tensor:
        if self._last[1] is y:
            return self._last[0]
        x = self._inverse(y)
        if self._cache_size:
            self._last = x, y
        return x

    def _call(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no _call")

    def _inverse(self, y: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The logarithm of the absolute value of the derivative at x, or of its determinant; ``y`` is the value."""
        raise NotImplementedError(f"{type(self).__name__} has no log_abs_det_jacobian")

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of y for an x of this shape."""
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of x for a y of this shape."""
        return tuple(shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class _Inverse(Transform):
    """The inverse of another transform, whose cache it shares."""

    def __init__(self, of: Transform) -> None:
        super().__init__()
        self._of = of
        self.bijective, self.event_dim = of.bijective, of.event_dim

    @property
    def inv(self) -> Transform:
        return self._of

    @property
    def domain(self) -> Any:
        return self._of.codomain

    @property
    def codomain(self) -> Any:
        return self._of.domain

    @property
    def sign(self) -> Any:
        return self._of.sign

    def __call__(self, x: Tensor) -> Tensor:
        return self._of._inv_call(x)

    def _inv_call(self, y: Tensor) -> Tensor:
        return self._of(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return -self._of.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._of.inverse_shape(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._of.forward_shape(shape)

    def __repr__(self) -> str:
        return f"{self._of}.inv"


class ComposeTransform(Transform):
    """Transforms one after the other, the first in the list first."""

    def __init__(self, parts: Sequence[Transform], cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.parts = list(parts)
        self.event_dim = max((part.event_dim for part in self.parts), default=0)
        self.bijective = all(part.bijective for part in self.parts)

    @property
    def domain(self) -> Any:
        """That of the first part."""
        return self.parts[0].domain if self.parts else real

    @property
    def codomain(self) -> Any:
        """That of the last part."""
        return self.parts[-1].codomain if self.parts else real

    @property
    def sign(self) -> Any:
        """The product of all signs."""
        product: Any = 1
        for part in self.parts:
            product = product * part.sign
        return product

    def _call(self, x: Tensor) -> Tensor:
        for part in self.parts:
            x = part(x)
        return x

    def _inverse(self, y: Tensor) -> Tensor:
        for part in reversed(self.parts):
            y = part._inv_call(y)
        return y

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The sum over all parts, each summed over the dimensions of an event."""
        if not self.parts:
            return T.zeros_like(x)
        total: Any = 0
        for k, part in enumerate(self.parts):
            after = y if k == len(self.parts) - 1 else part(x)
            total = total + sum_last(part.log_abs_det_jacobian(x, after), self.event_dim - part.event_dim)
            x = after
        return total

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of y for an x of this shape."""
        for part in self.parts:
            shape = part.forward_shape(shape)
        return tuple(shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of x for a y of this shape."""
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return tuple(shape)

    def __repr__(self) -> str:
        return f"ComposeTransform({self.parts})"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose last batch dimensions belong to the event: logarithms of derivatives are summed over them."""

    def __init__(
        self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0
    ) -> None:
        super().__init__(cache_size)
        self.base_transform = base_transform
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims
        self.event_dim = base_transform.event_dim + reinterpreted_batch_ndims
        self.bijective = base_transform.bijective

    @property
    def domain(self) -> Any:
        """The base's, for each element of the event."""
        return independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @property
    def codomain(self) -> Any:
        """The base's, for each element of the event."""
        return independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def sign(self) -> Any:
        """That of the base."""
        return self.base_transform.sign

    def _call(self, x: Tensor) -> Tensor:
        return self.base_transform(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.base_transform._inv_call(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The base's, summed."""
        return sum_last(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)


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
