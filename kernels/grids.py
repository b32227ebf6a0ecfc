"""Images at places that a tensor holds: declared here, the loops are in `kernels.grid_loops`.

Operands are contiguous: images (N, C, H, W) and places (N, h, w, 2), x first. Attribute words: 1 for the nearest
element instead of bilinear interpolation, what is beyond the ends (see BEYOND), and whether -1 and 1 are the centres of
the elements at the ends.
"""

from __future__ import annotations

from . import vjps
from .table import array_op, loops

BEYOND = ("zeros", "border", "reflection")


array_op(
    "grid_sample",
    ("x", "grid"),
    loops("grid_loops", "sampled"),
    backward=loops("grid_loops", "sampled_back"),
    gradients={"x": ("x", "grid"), "grid": ("x", "grid")},
    vjp={"x": vjps.grid_sample_both, "grid": vjps.grid_sample_both},
)
