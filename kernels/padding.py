"""Padding and its transpose, each the gradient of the other; their loops are in `kernels.padding_loops`.

Attribute words: the bits of what stands where nothing is shown, the mode, how many dimensions in front stay as they
are, and for every dimension of the input the places before and after it (negative ones are cut off).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import vjps
from .table import ALL, array_op

MODES = ("constant", "reflect", "replicate", "circular")


def _loops(back: bool, source: int, target: int) -> Callable[[str, int], Any]:
    def build(symbol: str, dtype: int) -> Any:
        from . import padding_loops  # needs Numba

        make = padding_loops.unpadded if back else padding_loops.padded
        return make(dtype, source, target)

    return build


array_op(
    "pad",
    ("x",),
    _loops(False, 0, 1),
    backward=_loops(True, 2, 3),
    gradients={"x": ()},
    vjp={"x": vjps.pad_x},
    dtypes=ALL,
)
array_op(
    "unpad",
    ("x",),
    _loops(True, 0, 1),
    backward=_loops(False, 2, 3),
    gradients={"x": ()},
    vjp={"x": vjps.unpad_x},
)
