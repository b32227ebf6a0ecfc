"""Resampling: images made larger or smaller, one dimension after the other, as maps along lines.

Every mode is a table of places and weights for each dimension, made once for each pair of sizes. The rules for
where an element of the result lies in the input are PyTorch's (``aten/src/ATen/native/UpSample.h``), computed
in the same precision, so that the places are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dtypes import DTYPES, float32
from ._call import dtype_code
from ._dims import shape_of
from .line_maps import LineMap, apply_line_map, line_map

__all__: list[str] = []

Table = tuple[np.ndarray, np.ndarray]  # places and weights, (taps, result)
CUBIC = -0.75  # the slope parameter of cubic interpolation (Keys, 1981); -0.5 with antialiasing
CUBIC_SMOOTH = -0.5


def _ratio(size: int, result: int, scale: float | None, align: bool, kind: Any) -> Any:
    """Input elements per element of the result."""
    if align:
        return kind(size - 1) / kind(result - 1) if result > 1 else kind(0)
    if scale is not None and scale > 0:
        return kind(1.0 / scale)
    return kind(size) / kind(result)


def _nearest(size: int, result: int, scale: float | None, shift: float) -> Table:
    ratio = _ratio(size, result, scale, False, np.float32)
    places = np.floor((np.arange(result, dtype=np.float32) + np.float32(shift)) * ratio).astype(int)
    if not shift and result in (size, 2 * size):
        places = np.arange(result) * size // result
    return np.minimum(places, size - 1)[None], np.ones((1, result))


def _positions(size: int, result: int, scale: float | None, align: bool, kind: Any) -> np.ndarray:
    ratio, o = _ratio(size, result, scale, align, kind), np.arange(result, dtype=kind)
    return ratio * o if align else ratio * (o + kind(0.5)) - kind(0.5)


def _linear(size: int, result: int, scale: float | None, align: bool, kind: Any) -> Table:
    if size == result:
        return np.arange(size)[None], np.ones((1, size))
    x = np.maximum(_positions(size, result, scale, align, kind), 0)
    low = np.minimum(np.floor(x).astype(int), size - 1)
    part = np.clip(x - low.astype(kind), 0, 1)
    return np.stack([low, np.minimum(low + 1, size - 1)]), np.stack([kind(1) - part, part])


def _cubic_weights(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys' cubic convolution kernel."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def _cubic(size: int, result: int, scale: float | None, align: bool, kind: Any) -> Table:
    x = _positions(size, result, scale, align, kind)
    low = np.floor(x).astype(int)
    part = np.clip(x - low.astype(kind), 0, 1).astype(float)
    taps = np.arange(-1, 3)[:, None]
    return np.clip(low + taps, 0, size - 1), _cubic_weights(taps - part, CUBIC)


def _smooth(size: int, result: int, scale: float | None, align: bool, kind: Any, cubic: bool) -> Table:
    """With antialiasing: the filter is as wide as an element of the result."""
    ratio = float(_ratio(size, result, scale, align, kind))
    wide = max(ratio, 1.0)
    reach = (2.0 if cubic else 1.0) * wide
    centre = ratio * (np.arange(result) + 0.5)
    first = np.maximum((centre - reach + 0.5).astype(int), 0)
    last = np.minimum((centre + reach + 0.5).astype(int), size)
    places = first + np.arange(max(1, (last - first).max()))[:, None]
    distance = (places - centre + 0.5) / wide
    weights = _cubic_weights(distance, CUBIC_SMOOTH) if cubic else np.maximum(1 - np.abs(distance), 0.0)
    weights = np.where(places < last, weights, 0.0)
    return np.minimum(places, size - 1), weights / weights.sum(0)


def _area(size: int, result: int) -> Table:
    o = np.arange(result)
    first, last = o * size // result, -(-(o + 1) * size // result)
    places = first + np.arange((last - first).max())[:, None]
    return np.minimum(places, size - 1), np.where(places < last, 1.0 / (last - first), 0.0)


_SHIFTS = {"nearest": 0.0, "nearest-exact": 0.5}
_TABLES: dict[str, Callable[..., Table]] = {
    "linear": _linear,
    "bilinear": _linear,
    "trilinear": _linear,
    "bicubic": _cubic,
}


@lru_cache(512)
def resampling_map(
    mode: str, size: int, result: int, scale: float | None, align: bool, antialias: bool, code: int
) -> LineMap:
    """The map of one dimension from `size` elements to `result`."""
    kind = DTYPES[code]
    number = np.float32 if kind is float32 else np.float64
    if mode in _SHIFTS:
        table = _nearest(size, result, scale, _SHIFTS[mode])
    elif mode == "area":
        table = _area(size, result)
    elif antialias:
        table = _smooth(size, result, scale, align, number, mode == "bicubic")
    else:
        table = _TABLES[mode](size, result, scale, align, number)
    return line_map(*table, size, kind)


def resample(
    x: Tensor,
    mode: str,
    sizes: dict[int, int],
    lead: int,
    scales: Sequence[float | None] = (None,) * 3,
    align: bool = False,
    antialias: bool = False,
) -> Tensor:
    """Spatial dimensions of `x`, which follow the first `lead`, resampled to `sizes`."""
    code, inner = dtype_code(x), shape_of(x)[lead:]
    result = x
    # what shrinks most comes first, so that the rest works on less
    for d in sorted(sizes, key=lambda d: sizes[d] / inner[d]):
        before = inner[d]
        if before != sizes[d] or scales[d] is not None:
            mapping = resampling_map(mode, before, sizes[d], scales[d], align, antialias, code)
            result = apply_line_map(result, lead + d, mapping)
    return result.clone() if result is x else result  # type: ignore[attr-defined]


def scaled_size(size: int, scale: float) -> int:
    """Elements of a dimension enlarged by a factor."""
    return math.floor(size * scale)
