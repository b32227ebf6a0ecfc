"""Operations that move elements: joining tensors along a dimension, and reversing dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import vjps
from .table import ALL, array_op

# attribute words: the dimension for "cat", the bits of the reversed dimensions for "flip"


def _cat(symbol: str, dtype: int) -> Any:
    from .movement_loops import cat_forward

    return cat_forward(dtype)


def _cat_backward(symbol: str, dtype: int) -> Any:
    from .movement_loops import cat_backward

    return cat_backward(dtype)


def _flip(symbol: str, dtype: int) -> Any:
    from .movement_loops import flip_forward

    return flip_forward(dtype)


def _flip_backward(symbol: str, dtype: int) -> Any:
    from .movement_loops import flip_backward

    return flip_backward(dtype)


array_op(
    "cat",
    ("*",),
    _cat,
    backward=_cat_backward,
    gradients={"*": ()},
    vjp={"*": vjps.cat_operand},
    dtypes=ALL,
    reference=np.concatenate,
)
array_op(
    "flip",
    ("x",),
    _flip,
    backward=_flip_backward,
    gradients={"x": ()},
    vjp={"x": vjps.flip_x},
    dtypes=ALL,
    reference=np.flip,
)
