"""Linear maps along one dimension, from tables of places and weights: what padding and resampling are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .._tensor import Tensor, wrap
from ..autograd.modes import inference_mode
from ..dtypes import dtype, int32
from ..kernels import BY_NAME
from ..kernels.abi import float_bits
from ..store import store
from ._dims import shape_of
from ._launch import run
from .from_data import from_array

__all__: list[str] = []

_LINE_MAP = BY_NAME["line_map"]
ABSENT = -1


class LineMap(NamedTuple):
    """A map from lines of one size to lines of another; see `kernels.line_maps` for the tables."""

    size: int
    places: Tensor
    weights: Tensor
    back_places: Tensor
    back_weights: Tensor

    def transposed(self, size: int) -> LineMap:
        """The map back, to lines of `size` elements."""
        return LineMap(size, self.back_places, self.back_weights, self.places, self.weights)


def line_map(places: np.ndarray, weights: np.ndarray, size: int, kind: dtype) -> LineMap:
    """The map in which element ``o`` of the result is the sum of ``weights[t, o] * x[places[t, o]]``.

    Parameters
    ----------
    places : ndarray of int, shape (taps, result)
        ABSENT where there is no tap.
    weights : ndarray, same shape
    size : int
        Elements of the input.
    kind : dtype
        Of the tensors that are mapped.
    """
    places, weights = _packed(places, weights)
    taps, results = np.nonzero(places >= 0)
    inputs = places[taps, results]
    order = np.lexsort((results, inputs))
    inputs, results, factors = inputs[order], results[order], weights[taps, results][order]
    starts = np.searchsorted(inputs, np.arange(size))
    rank = np.arange(len(inputs)) - starts[inputs]
    back_places = np.full((max(1, rank.max(initial=0) + 1), size), ABSENT, np.int32)
    back_weights = np.zeros(back_places.shape)
    back_places[rank, inputs] = results
    back_weights[rank, inputs] = factors
    # the tables serve later calls, those that record for the walk back too
    with inference_mode(False), store.outside_recording():
        return LineMap(
            places.shape[1],
            from_array(places, int32),
            from_array(weights, kind),
            from_array(back_places, int32),
            from_array(back_weights, kind),
        )


def _packed(places: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tables with the taps that there are first."""
    places = np.where(weights == 0, ABSENT, places)
    order = np.argsort(places < 0, axis=0, kind="stable")
    return np.take_along_axis(places, order, 0), np.take_along_axis(weights, order, 0)


def apply_line_map(x: Tensor, dim: int, mapping: LineMap, rest: float = 0.0) -> Tensor:
    """`x` mapped along a dimension counted from the front; `rest` is the value of what has no tap."""
    before = shape_of(x)
    shape = (*before[:dim], mapping.size, *before[dim + 1 :])
    operands: Sequence[Tensor] = (x, *mapping[1:])
    return wrap(run(_LINE_MAP, operands, x.dtype, shape, (dim, float_bits(rest))))
