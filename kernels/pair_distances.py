"""Euclidean distances of rows: one kernel each way, without the differences in memory.

"pair_distances" takes a contiguous matrix of rows; the result has the distances of rows 0 and 1, 0 and 2, ..., 1 and 2,
and so on. "row_distances" takes two contiguous stacks of matrices, with as many each; the result has a row for each row
of the first, with the distances from all rows of the second. Rows that are equal hand back no gradient.
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


def reference_row_distances(x: np.ndarray, z: np.ndarray, words: tuple[int, ...] = ()) -> np.ndarray:
    """NumPy's distances of the rows of two stacks of matrices."""
    return np.sqrt(np.square(x[..., :, None, :] - z[..., None, :, :]).sum(-1))


array_op(
    "row_distances",
    ("x", "z"),
    _loops("row_distances"),
    backward=_loops("row_distances_back"),
    gradients={"x": ("x", "z", "y"), "z": ("x", "z", "y")},
    vjp={"x": vjps.row_distances_x, "z": vjps.row_distances_z},
    reference=reference_row_distances,
    grad_name="Cdist",
)
