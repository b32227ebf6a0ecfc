"""Transforms of parts of a tensor, and of its shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor

from ._transform import Transform
from .constraints import independent, real, unit_interval
from .utils import sum_last


class ReshapeTransform(Transform):
    """Another shape for the last dimensions.

    Parameters
    ----------
    in_shape, out_shape : sequence of int
        Of the last dimensions of x and of y.
    cache_size : int, default 0
        See `Transform`.

    Raises
    ------
    ValueError
        If the shapes have not as many elements, or the last dimensions of a shape are others.
    """

    def __init__(self, in_shape: Sequence[int], out_shape: Sequence[int], cache_size: int = 0) -> None:
        self.in_shape, self.out_shape = tuple(in_shape), tuple(out_shape)
        if math.prod(self.in_shape) != math.prod(self.out_shape):
            raise ValueError(
                f"ReshapeTransform: in_shape and out_shape have different numbers of elements: {self.in_shape} and "
                f"{self.out_shape}"
            )
        super().__init__(cache_size)
        self.event_dim = len(self.in_shape)
        self.domain, self.codomain = (
            independent(real, len(shape)) for shape in (self.in_shape, self.out_shape)
        )

    def _call(self, x: Tensor) -> Tensor:
        return x.reshape(self.forward_shape(x.shape))  # type: ignore[attr-defined]

    def _inverse(self, y: Tensor) -> Tensor:
        return y.reshape(self.inverse_shape(y.shape))  # type: ignore[attr-defined]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Zeros: nothing is stretched."""
        return x.new_zeros(x.shape[: x.ndim - len(self.in_shape)])  # type: ignore[attr-defined]

    def forward_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._other(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self._other(shape, self.out_shape, self.in_shape)

    def _other(self, shape: Sequence[int], old: tuple[int, ...], new: tuple[int, ...]) -> tuple[int, ...]:
        cut = len(shape) - len(old)
        if cut < 0 or tuple(shape[cut:]) != old:
            raise ValueError(f"ReshapeTransform: expected a shape that ends in {old}, got {tuple(shape)}")
        return (*shape[:cut], *new)


class _Joined(Transform):
    """Transforms side by side along a dimension."""

    def __init__(self, tseq: Sequence[Transform], dim: int, cache_size: int) -> None:
        self.transforms = list(tseq)
        if not all(isinstance(f, Transform) for f in self.transforms):
            raise ValueError(f"{type(self).__name__}: expected transforms, got {self.transforms}")
        super().__init__(cache_size)
        self.dim = dim
        self.bijective = all(f.bijective for f in self.transforms)

    def _cut(self, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def _join(self, parts: list[Tensor]) -> Tensor:
        raise NotImplementedError

    def _each(self, x: Tensor, function: Callable[[Transform, Tensor], Tensor]) -> Tensor:
        return self._join([function(f, part) for f, part in zip(self.transforms, self._cut(x), strict=True)])

    def _call(self, x: Tensor) -> Tensor:
        return self._each(x, lambda f, part: f(part))

    def _inverse(self, y: Tensor) -> Tensor:
        return self._each(y, lambda f, part: f._inv_call(part))


class CatTransform(_Joined):
    """Transforms of consecutive parts of one dimension.

    Parameters
    ----------
    tseq : sequence of Transform
    dim : int, default 0
        The dimension.
    lengths : sequence of int, optional
        How much of it each transform takes; 1 by default.
    cache_size : int, default 0
        See `Transform`.

    Raises
    ------
    ValueError
        If something is no transform, there are not as many lengths, or the dimension is not as long as they are.
    """

    def __init__(
        self,
        tseq: Sequence[Transform],
        dim: int = 0,
        lengths: Sequence[int] | None = None,
        cache_size: int = 0,
    ) -> None:
        super().__init__(tseq, dim, cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise ValueError(
                f"CatTransform: expected {len(self.transforms)} lengths, one a transform, got {len(self.lengths)}"
            )
        self.event_dim = max((f.event_dim for f in self.transforms), default=0)

    @property
    def length(self) -> int:
        """That of the dimension."""
        return sum(self.lengths)

    def _cut(self, x: Tensor) -> list[Tensor]:
        if x.shape[self.dim] != self.length:
            raise ValueError(
                f"CatTransform: expected {self.length} elements along dim {self.dim}, got shape {tuple(x.shape)}"
            )
        return list(T.split(x, self.lengths, self.dim))

    def _join(self, parts: list[Tensor]) -> Tensor:
        return T.cat(parts, self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Those of the parts, side by side; summed where `dim` is one of those that belong together."""
        found: list[Any] = []
        for f, part, value in zip(self.transforms, self._cut(x), self._cut(y), strict=True):
            found.append(sum_last(f.log_abs_det_jacobian(part, value), self.event_dim - f.event_dim))
        at = self.dim - x.ndim if self.dim >= 0 else self.dim
        at += self.event_dim
        return T.cat(found, at) if at < 0 else sum(found[1:], found[0])


class StackTransform(_Joined):
    """One transform for each index of a dimension.

    Parameters
    ----------
    tseq : sequence of Transform
        As many as the dimension is long.
    dim : int, default 0
        The dimension.
    cache_size : int, default 0
        See `Transform`.

    Raises
    ------
    ValueError
        If something is no transform, or the dimension has another length.
    """

    def _cut(self, x: Tensor) -> list[Tensor]:
        if x.shape[self.dim] != len(self.transforms):
            raise ValueError(
                f"StackTransform: expected {len(self.transforms)} elements along dim {self.dim}, got shape "
                f"{tuple(x.shape)}"
            )
        return list(T.unbind(x, self.dim))

    def __init__(self, tseq: Sequence[Transform], dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(tseq, dim, cache_size)

    def _join(self, parts: list[Tensor]) -> Tensor:
        return T.stack(parts, self.dim)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Those of the parts, stacked."""
        pairs = zip(self.transforms, self._cut(x), self._cut(y), strict=True)
        return self._join([f.log_abs_det_jacobian(part, value) for f, part, value in pairs])


class CumulativeDistributionTransform(Transform):
    """The probability of at most x, from 0 to 1.

    Parameters
    ----------
    distribution : Distribution
        Of continuous numbers, with ``cdf``, ``icdf`` and ``log_prob``.
    cache_size : int, default 0
        See `Transform`.
    """

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size)
        self.distribution = distribution
        self.codomain = unit_interval

    @property
    def domain(self) -> Any:  # type: ignore[override]
        return self.distribution.support

    @property
    def sign(self) -> int:
        return 1

    def _call(self, x: Tensor) -> Tensor:
        return self.distribution.cdf(x)

    def _inverse(self, y: Tensor) -> Tensor:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The logarithm of the density."""
        return self.distribution.log_prob(x)
