"""What a transform is: an invertible function with the logarithm of its derivative; several of them as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from .constraints import independent, real
from .utils import sum_last


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
