"""How many elements lie in each part of a range: histc, histogram."""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import numpy as np

from .._tensor import NUMBERS, Tensor, method, wrap
from ..dtypes import int64
from ..kernels import BY_NAME
from ..kernels.abi import float_bits
from ._arrays import run_arrays
from ._call import require_tensors
from ._checks import raise_reported, refusal
from ._pairs import pair
from .from_data import from_array
from .losses import REPORT_ADDRESS

__all__ = ["histc", "histogram"]

_HISTC = BY_NAME["histc"]
_NOT_FINITE = refusal(
    RuntimeError,
    "histc: the range of the elements is not finite; give min and max to count those between them",
)
_Histogram = pair("histogram", ("hist", "bin_edges"))


@method
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts of elements in `bins` equal parts of ``[min, max]``; of their own range when both are equal."""
    _require_fractions("histc", input)
    parts = _parts("histc", bins)
    if not all(isinstance(x, NUMBERS) for x in (min, max)):
        raise RuntimeError(f"histc: min and max must be numbers, got min={min} and max={max}")
    low, high = _ordered("histc", float(min), float(max))
    words = (parts, float_bits(low), float_bits(high), REPORT_ADDRESS, _NOT_FINITE)
    outputs = [(input.dtype, (parts,)), (int64, (parts,))]
    x = input.detach().contiguous()  # type: ignore[attr-defined]
    counts, memory = map(wrap, run_arrays(_HISTC, (x,), outputs, words))
    del memory
    raise_reported()
    return counts


@method
def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: tuple[float, float] | None = None,
    weight: Tensor | None = None,
    density: bool = False,
) -> tuple[Tensor, Tensor]:
    """Count the elements between edges; each part has its lower edge, and the last one its upper edge, too.

    Parameters
    ----------
    input : Tensor, any shape
        Floating-point numbers. What lies outside all parts is not counted.
    bins : int or Tensor, shape (parts + 1,)
        How many parts of equal width there are, or the edges, ascending and of the dtype of `input`.
    range : (float, float), optional
        From where to where parts of equal width go; by default from the smallest element to the largest.
    weight : Tensor, shape and dtype of `input`, optional
        What each element counts for.
    density : bool, default False
        Divide by the width of each part and by the sum of all counts, so that the integral is 1.

    Returns
    -------
    (hist, bin_edges) : Tensor, shape (parts,), and Tensor, shape (parts + 1,)
        Of the dtype of `input`, and without a history.

    Raises
    ------
    RuntimeError
        When the dtype is not a floating-point one, the parts are none or not in order, the range is not finite or ends
        before it begins, or `weight` or the edges have another shape or dtype.
    TypeError
        When edges and a range are given.
    """
    values = _values("histogram", input)
    kind = input.dtype.numpy
    if isinstance(bins, Tensor):
        if range is not None:
            raise TypeError("histogram: bins are edges already; leave range out, or give a number of bins")
        edges = _edges(bins, input)
    else:
        parts, limits = _parts("histogram", bins), _range("histogram", values, range)
        edges = np.histogram_bin_edges(np.zeros(0, kind), parts, limits).astype(kind)
    weights = None if weight is None else _weights(weight, input)
    with np.errstate(invalid="ignore"):  # the density of no elements is nan
        counts, _ = np.histogram(values, edges, weights=weights, density=density)
    return _Histogram(from_array(counts, input.dtype), from_array(edges, input.dtype))


def _values(name: str, input: Tensor) -> np.ndarray:
    _require_fractions(name, input)
    return input.numpy(force=True).reshape(-1)


def _require_fractions(name: str, input: Tensor) -> None:
    require_tensors(name, input)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"{name}: expected a floating dtype, got {input.dtype.name}; use .float()")


def _parts(name: str, bins: Any) -> int:
    if not isinstance(bins, Integral) or bins <= 0:
        raise RuntimeError(f"{name}: bins must be > 0, got {bins}")
    return int(bins)


def _range(name: str, values: np.ndarray, limits: Any) -> tuple[float, float]:
    """The limits, or else those of the values; of no values, 0 and 1."""
    if limits is None:
        limits = (values.min(), values.max()) if values.size else (0.0, 1.0)
    return _ordered(name, *map(float, limits))


def _ordered(name: str, low: float, high: float) -> tuple[float, float]:
    if not (math.isfinite(low) and math.isfinite(high)):
        raise RuntimeError(f"{name}: range of [{low}, {high}] is not finite")
    if low > high:
        raise RuntimeError(f"{name}: max must be larger than min, got min={low} and max={high}")
    return low, high


def _edges(bins: Tensor, input: Tensor) -> np.ndarray:
    if bins.ndim != 1 or bins.numel() < 2 or bins.dtype is not input.dtype:
        raise RuntimeError(
            f"histogram: expected bins of one dimension, at least 2 edges and dtype {input.dtype.name}, got shape "
            f"{tuple(bins.shape)} and {bins.dtype.name}"
        )
    edges = bins.numpy(force=True)
    if not (edges[:-1] <= edges[1:]).all():
        raise RuntimeError("histogram: expected the edges in bins to ascend; use bins.sort().values")
    return edges


def _weights(weight: Tensor, input: Tensor) -> np.ndarray:
    require_tensors("histogram", weight)
    if weight.shape != input.shape or weight.dtype is not input.dtype:
        raise RuntimeError(
            f"histogram: expected a weight of shape {tuple(input.shape)} and dtype {input.dtype.name}, got "
            f"{tuple(weight.shape)} and {weight.dtype.name}"
        )
    return weight.numpy(force=True).reshape(-1)
