"""Operations along one dimension that choose or multiply: argmax, argmin, max and min with indices, prod."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from . import abi, vjps
from .extremes import build_extreme, build_extreme_backward
from .table import ALL, array_op, loops

# attribute word 0: the dimension

_loops = partial(loops, "selection_loops")


def _extreme(greatest: bool, values: bool) -> Callable[[str, int], Any]:
    return lambda symbol, dtype: build_extreme(symbol, dtype, greatest, values)


array_op("argmax", ("x",), _extreme(True, False), dtypes=ALL, result=abi.INT64, reference=np.argmax)
array_op("argmin", ("x",), _extreme(False, False), dtypes=ALL, result=abi.INT64, reference=np.argmin)
# output 0 is the indices: only the first output can be saved, and they are what the walk back reads
for _name, _greatest in (("max", True), ("min", False)):
    array_op(
        f"{_name}_along",
        ("x",),
        _extreme(_greatest, True),
        backward=build_extreme_backward,
        gradients={"x": ("y",)},
        vjp={"x": vjps.max_x},
        dtypes=ALL,
        outputs=2,
        grad_name=_name.capitalize(),
    )
array_op(
    "prod_along",
    ("x",),
    _loops("product"),
    backward=_loops("product_backward"),
    gradients={"x": ("x",)},
    vjp={"x": vjps.prod_x},
    grad_name="Prod",
)
