"""Images at places that a tensor holds: declared here, the loops are in `kernels.grid_loops`.

Operands are contiguous: images (N, C, H, W) and places (N, h, w, 2), x first. Attribute words: 1 for the nearest
element instead of bilinear interpolation, what is beyond the ends (see BEYOND), and whether -1 and 1 are the centres of
the elements at the ends.
"""

from __future__ import annotations

from typing import Any

from . import vjps
from .table import array_op

BEYOND = ("zeros", "border", "reflection")


def _forward(symbol: str, dtype: int) -> Any:
    from . import grid_loops  # needs Numba

    return grid_loops.sampled(dtype)


def _backward(symbol: str, dtype: int) -> Any:
    from . import grid_loops

    return grid_loops.sampled_back(dtype)


array_op(
    "grid_sample",
    ("x", "grid"),
    _forward,
    backward=_backward,
    gradients={"x": ("x", "grid"), "grid": ("x", "grid")},
    vjp={"x": vjps.grid_sample_both, "grid": vjps.grid_sample_both},
)
