"""Euclidean distances of all pairs of rows: one kernel each way, without the differences in memory.

The operand is a contiguous matrix of rows; the result has the distances of rows 0 and 1, 0 and 2, ..., 1 and 2, and so
on. Rows that are equal hand back no gradient.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from . import vjps
from .table import array_op, loops

_loops = partial(loops, "pair_distances_loops")


def reference_distances(x: np.ndarray, words: tuple[int, ...] = ()) -> np.ndarray:
    """NumPy's distances of pairs of rows."""
    first, second = np.triu_indices(len(x), 1)
    return np.sqrt(np.square(x[first] - x[second]).sum(-1))


array_op(
    "pair_distances",
    ("x",),
    _loops("distances"),
    backward=_loops("distances_back"),
    gradients={"x": ("x", "y")},
    vjp={"x": vjps.pair_distances_x},
    reference=reference_distances,
    grad_name="Pdist",
)
