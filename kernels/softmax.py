"""Softmax and its logarithm along one dimension.

The largest element is subtracted first, so no exponential overflows. NaN anywhere makes its whole line NaN.
Attribute 0 is the dimension, counted from the front.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from llvmlite import ir

from . import vjps
from .batch import Batch, Strip
from .formula import log
from .math_exp import decay
from .operands import Line, array_kernel
from .rows_beside import each_row_or_line
from .stage import Vec
from .table import LIKE_FIRST, array_op


def larger(a: Vec, b: Vec) -> Vec:
    """The larger of two numbers; a nan in `b` is passed over (the exponentials will show it)."""
    return (b > a).select(b, a)


def add(a: Vec, b: Vec) -> Vec:
    """The sum, as a fold takes it."""
    return a + b


def top_of(line: Line) -> Vec:
    """The largest element of a line of the first array."""
    return line.fold(-math.inf, larger, lambda i, mask: line.load(0, i, mask))


def build_softmax(symbol: str, dtype: int) -> ir.Module:
    """``y = exp(x - max) / sum``."""

    def body(line: Line) -> None:
        top = line.keep(top_of(line))

        def grow(i, mask):
            value = decay(line.load(0, i, mask) - top())
            line.put_by(1, i, value, mask)
            return value

        scale = line.keep(1.0 / line.fold(0.0, add, grow))
        line.each(lambda i, mask: line.store(1, i, line.take_back(1, i, mask) * scale(), mask))

    return _kernel(symbol, dtype, (0, 1), body)


def build_softmax_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = y * (g - sum(g * y))``; arrays x, y, g, gx."""

    def body(line: Line) -> None:
        total = line.keep(line.fold(0.0, add, lambda i, mask: line.load(0, i, mask) * line.load(1, i, mask)))

        def write(i, mask):
            y, g = line.load(0, i, mask), line.load(1, i, mask)
            line.store(2, i, y * (g - total()), mask)

        line.each(write)

    return _kernel(symbol, dtype, (1, 2, 3), body)


def build_log_softmax(symbol: str, dtype: int) -> ir.Module:
    """``y = x - max - log(sum(exp(x - max)))``."""

    def body(line: Line) -> None:
        top = line.keep(top_of(line))
        total = line.fold(0.0, add, lambda i, mask: decay(line.load(0, i, mask) - top()))
        shift = line.keep(log(total))
        line.each(lambda i, mask: line.store(1, i, line.load(0, i, mask) - top() - shift(), mask))

    return _kernel(symbol, dtype, (0, 1), body)


def build_log_softmax_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = g - exp(y) * sum(g)``; arrays x, y, g, gx."""

    def body(line: Line) -> None:
        total = line.keep(line.fold(0.0, add, lambda i, mask: line.load(1, i, mask)))

        def write(i, mask):
            y, g = line.load(0, i, mask), line.load(1, i, mask)
            line.store(2, i, g - decay(y) * total(), mask)

        line.each(write)

    return _kernel(symbol, dtype, (1, 2, 3), body)


def _kernel(symbol: str, dtype: int, ks: tuple[int, ...], body) -> ir.Module:
    module, arrays, part, parts = array_kernel(symbol)
    each_row_or_line(arrays, ks, [dtype] * len(ks), arrays.word(0), (part, parts), body)
    arrays.b.ret_void()
    return module


def reference_softmax(x: np.ndarray, dim: int) -> np.ndarray:
    """NumPy's softmax."""
    e = np.exp(x - x.max(axis=dim, keepdims=True))
    return e / e.sum(axis=dim, keepdims=True)


def reference_log_softmax(x: np.ndarray, dim: int) -> np.ndarray:
    """NumPy's log-softmax."""
    shifted = x - x.max(axis=dim, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=dim, keepdims=True))


def _lines(words: Sequence[int], strip: Strip) -> list[int] | None:
    """Samples go one by one unless the lines run along them."""
    return list(words) if words[0] else None


LINES = Batch({"x": 0, "y": 0}, attributes=_lines)

array_op(
    "softmax",
    ("x",),
    build_softmax,
    backward=build_softmax_backward,
    gradients={"x": ("y",)},
    vjp={"x": vjps.softmax_x},
    rule=LIKE_FIRST,
    reference=reference_softmax,
    batch=LINES,
)
array_op(
    "log_softmax",
    ("x",),
    build_log_softmax,
    backward=build_log_softmax_backward,
    gradients={"x": ("y",)},
    vjp={"x": vjps.log_softmax_x},
    rule=LIKE_FIRST,
    reference=reference_log_softmax,
    batch=LINES,
)
