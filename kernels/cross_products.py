"""Cross products of vectors of three elements: one kernel each way.

Operands are contiguous and of one shape. Attribute word 0 says how many vectors lie side by side, that is how many
elements there are from one of a vector's to the next.
"""

from __future__ import annotations

import numpy as np

from . import vjps
from .table import NUMBERS, array_op, loops


def reference_crosses(a: np.ndarray, b: np.ndarray, words: tuple[int, ...]) -> np.ndarray:
    """NumPy's cross products."""
    shape = (-1, 3, words[0])
    return np.cross(a.reshape(shape), b.reshape(shape), axis=1).reshape(a.shape)


array_op(
    "cross",
    ("a", "b"),
    loops("cross_product_loops", "crosses"),
    backward=loops("cross_product_loops", "crosses_back"),
    gradients={"a": ("b",), "b": ("a",)},
    vjp={"a": vjps.cross_a, "b": vjps.cross_b},
    dtypes=NUMBERS,
    reference=reference_crosses,
    grad_name="LinalgCross",
)
