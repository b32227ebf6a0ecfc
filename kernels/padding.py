"""Padding and its transpose, each the gradient of the other; their loops are in `kernels.padding_loops`.

Attribute words: the bits of what stands where nothing is shown, the mode, how many dimensions in front stay as they
are, and for every dimension of the input the places before and after it (negative ones are cut off).
"""

from __future__ import annotations

from . import vjps
from .table import ALL, array_op, loops

MODES = ("constant", "reflect", "replicate", "circular")


array_op(
    "pad",
    ("x",),
    loops("padding_loops", "padded", 0, 1),
    backward=loops("padding_loops", "unpadded", 2, 3),
    gradients={"x": ()},
    vjp={"x": vjps.pad_x},
    dtypes=ALL,
)
array_op(
    "unpad",
    ("x",),
    loops("padding_loops", "unpadded", 0, 1),
    backward=loops("padding_loops", "padded", 2, 3),
    gradients={"x": ()},
    vjp={"x": vjps.unpad_x},
)
