"""Quantiles, covariances, and integrals by the trapezoidal rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tensor import Tensor, method
from ..dtypes import bool_, int64
from ._call import is_floating, require_tensors, tensor_of
from ._dims import one_dim
from ._numpy_names import takes_axis
from ._out import takes_alike_out
from .bounds import where
from .conversion import cast
from .elementwise import isnan
from .from_data import as_tensor
from .gathering import gather
from .scans import cumsum
from .sorting import sort

__all__ = ["corrcoef", "cov", "cumulative_trapezoid", "nanquantile", "quantile", "trapezoid", "trapz"]

# where a quantile lies among the ordered elements, from where it would lie between two of them
_CHOICES = {
    "linear": lambda place: place,
    "lower": lambda place: place.floor(),
    "higher": lambda place: place.ceil(),
    "nearest": lambda place: place.round(),
    "midpoint": lambda place: (place.floor() + place.ceil()) * 0.5,
}


@takes_alike_out
@method
@takes_axis
def quantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """Return the values below which a part `q` of the elements lies.

    Parameters
    ----------
    q : float or Tensor
        From 0 to 1; a tensor of one dimension adds one in front of the result.
    dim : int, optional
        Along which; all elements if not given.
    keepdim : bool
        Keep the dimension, with size 1.
    interpolation : {"linear", "lower", "higher", "nearest", "midpoint"}
        What a quantile is that lies between two elements.

    Raises
    ------
    RuntimeError
        If the input is not floating or empty, or `q` has more than one dimension or is not from 0 to 1.
    """
    return _quantile("quantile", input, q, dim, keepdim, interpolation, False)


@takes_alike_out
@method
@takes_axis
def nanquantile(
    input: Tensor, q: Any, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """`quantile` of the elements that are not nan; nan where there are none."""
    return _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)


def _quantile(
    name: str, x: Tensor, q: Any, dim: int | None, keepdim: bool, interpolation: str, skip: bool
) -> Tensor:
    require_tensors(name, x)
    if interpolation not in _CHOICES:
        raise RuntimeError(f"{name}: expected interpolation {', '.join(_CHOICES)}, got {interpolation!r}")
    if not is_floating(x):
        raise RuntimeError(f"{name}: input tensor must be either float or double dtype, got {x.dtype.name}")
    if not x.numel():
        raise RuntimeError(f"{name}: input tensor must be non-empty, got shape {tuple(x.shape)}")
    parts = as_tensor(q, dtype=None if isinstance(q, Tensor) else x.dtype)
    _check_parts(name, x, q, parts)
    kept = [1] * x.ndim if dim is None else list(x.shape)
    at = one_dim(-1 if dim is None else dim, x.ndim, name)
    if dim is None:
        line = x.reshape(-1)  # type: ignore[attr-defined]
    else:
        line = x.movedim(at, -1) if x.ndim else x.reshape(1)  # type: ignore[attr-defined]
        kept[at : at + 1] = [1] if x.ndim else []
    found = _between(line, parts.reshape(-1), interpolation, skip)  # type: ignore[attr-defined]
    shape = kept if keepdim else ([] if dim is None else kept[:at] + kept[at + 1 :])
    return found.reshape((len(found), *shape) if parts.ndim else tuple(shape))  # type: ignore[attr-defined]


def _check_parts(name: str, x: Tensor, q: Any, parts: Tensor) -> None:
    if parts.ndim > 1:
        raise RuntimeError(f"{name}: q must be a scalar or 1D tensor, got {parts.ndim}D")
    if parts.dtype is not x.dtype:
        raise RuntimeError(f"{name}: q tensor must be same dtype as the input tensor, got {parts.dtype.name}")
    if not isinstance(q, Tensor) and not all(0 <= part <= 1 for part in np.ravel(q)):
        raise RuntimeError(f"{name}: q values must be in the range [0, 1], got {q}")


def _between(line: Tensor, parts: Tensor, interpolation: str, skip: bool) -> Tensor:
    """Quantiles along the last dimension, those of each part in front."""
    ordered = sort(line).values  # nan last
    is_nan = isnan(ordered)
    numbers = cast(~is_nan, parts.dtype).sum(-1, keepdim=True)
    last = (numbers - 1).clamp(min=0) if skip else numbers * 0 + (line.shape[-1] - 1)
    place = _CHOICES[interpolation](parts.reshape(-1, *[1] * line.ndim) * last)  # type: ignore[attr-defined]
    if not skip:
        place = where(is_nan.any(-1, keepdim=True), last, place)  # type: ignore[attr-defined]
    low, high = cast(place.floor(), int64), cast(place.ceil(), int64)
    every = ordered.expand(len(parts), *ordered.shape)  # type: ignore[attr-defined]
    found = gather(every, -1, low).lerp(gather(every, -1, high), place - place.floor())
    return found.squeeze(-1)  # type: ignore[attr-defined]


@method
def cov(
    input: Tensor, *, correction: int = 1, fweights: Tensor | None = None, aweights: Tensor | None = None
) -> Tensor:
    """Return the covariances of variables, each a row with one observation a column.

    Parameters
    ----------
    input : Tensor, shape (variables, observations) or (observations,)
    correction : int
        What is taken from the number of observations in the divisor.
    fweights : Tensor of integers, shape (observations,), optional
        How often each was observed.
    aweights : Tensor, shape (observations,), optional
        Their importance.

    Returns
    -------
    Tensor, shape (variables, variables), or () for one variable

    Raises
    ------
    RuntimeError
        If the input has more than two dimensions, or weights have another shape or dtype or are negative.
    """
    if tensor_of(input, "cov").ndim > 2:
        raise RuntimeError(f"cov(): expected input to have two or fewer dimensions, got {input.ndim}")
    x = input if is_floating(input) else input.float()  # type: ignore[attr-defined]
    rows = x.reshape(1, -1) if x.ndim < 2 else x  # type: ignore[attr-defined]
    for name, weights in (("fweights", fweights), ("aweights", aweights)):
        _check_weights(name, weights, rows.shape[1], name == "fweights")
    given = [w.to(x.dtype) for w in (fweights, aweights) if w is not None]
    weights = given[0] * given[-1] if len(given) == 2 else given[0] if given else None
    if weights is None:
        total: Any = rows.shape[1]
        mean, divisor = rows.mean(1, keepdim=True), total - correction
    else:
        total = weights.sum()
        mean = (rows * weights).sum(1, keepdim=True) / total
        lost = total if aweights is None else (weights * aweights).sum()
        divisor = total - correction * lost / total
    centred = rows - mean
    found = (centred if weights is None else centred * weights) @ centred.t() / divisor
    return found if rows.shape[0] != 1 else found.reshape(())


def _check_weights(name: str, weights: Tensor | None, count: int, whole: bool) -> None:
    if weights is None:
        return
    require_tensors("cov", weights)
    if tuple(weights.shape) != (count,):
        raise RuntimeError(f"cov(): expected {name} of shape ({count},), got {tuple(weights.shape)}")
    if is_floating(weights) == whole or weights.dtype is bool_:
        expected = "an integral" if whole else "a floating-point"
        raise RuntimeError(f"cov(): expected {name} to have {expected} dtype, got {weights.dtype.name}")
    if bool((weights < 0).any()):  # type: ignore[operator]
        raise RuntimeError(f"cov(): {name} cannot be negative")


@method
def corrcoef(input: Tensor) -> Tensor:
    """The correlations of variables, each a row with one observation a column; see `cov`."""
    covariance = cov(input)
    if not covariance.ndim:
        return covariance / covariance  # type: ignore[operator]
    scale = covariance.diagonal().sqrt()  # type: ignore[attr-defined]
    return (covariance / scale.unsqueeze(1) / scale).clamp(-1, 1)


@takes_axis
def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1) -> Tensor:
    """The integral along a dimension by the trapezoidal rule.

    Parameters
    ----------
    y : Tensor
        Values.
    x : Tensor, optional
        Where they were taken, of the size of that dimension or of the shape of `y`; else at steps of `dx`.
    dx : float, default 1
    """
    return _areas("trapezoid", y, x, dx, dim).sum(dim)  # type: ignore[attr-defined]


trapz = trapezoid


@takes_axis
def cumulative_trapezoid(
    y: Tensor, x: Tensor | None = None, *, dx: float | None = None, dim: int = -1
) -> Tensor:
    """The integral up to each value but the first; see `trapezoid`."""
    return cumsum(_areas("cumulative_trapezoid", y, x, dx, dim), dim)


def _areas(name: str, y: Tensor, x: Tensor | None, dx: float | None, dim: int) -> Tensor:
    require_tensors(name, y, optional=x)
    at = one_dim(dim, y.ndim, name)
    size = y.shape[at]
    pairs = y.narrow(at, 1, max(size - 1, 0)) + y.narrow(at, 0, max(size - 1, 0))  # type: ignore[attr-defined]
    if x is None:
        return pairs * (0.5 * (1 if dx is None else dx))
    if dx is not None:
        raise RuntimeError(f"{name}: expected x or dx, got both")
    if x.ndim == 1:
        steps = x.diff().reshape(-1, *[1] * (y.ndim - at - 1))  # type: ignore[attr-defined]
    else:
        steps = x.diff(dim=at)  # type: ignore[attr-defined]
    return pairs * steps * 0.5
