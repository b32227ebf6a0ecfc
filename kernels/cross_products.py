"""Cross products of vectors of three elements: one kernel each way.

Operands are contiguous and of one shape. Attribute word 0 says how many vectors lie side by side, that is how many
elements there are from one of a vector's to the next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import vjps
from .table import NUMBERS, array_op


def _loops(back: bool) -> Callable[[str, int], Any]:
    """The builder, which imports its loops when a kernel is built: they need Numba."""

    def build(symbol: str, dtype: int) -> Any:
        from . import cross_product_loops

        return cross_product_loops.crosses_back(dtype) if back else cross_product_loops.crosses(dtype)

    return build


def reference_crosses(a: np.ndarray, b: np.ndarray, words: tuple[int, ...]) -> np.ndarray:
    """NumPy's cross products."""
    shape = (-1, 3, words[0])
    return np.cross(a.reshape(shape), b.reshape(shape), axis=1).reshape(a.shape)


array_op(
    "cross",
    ("a", "b"),
    _loops(False),
    backward=_loops(True),
    gradients={"a": ("b",), "b": ("a",)},
    vjp={"a": vjps.cross_a, "b": vjps.cross_b},
    dtypes=NUMBERS,
    reference=reference_crosses,
    grad_name="LinalgCross",
)
