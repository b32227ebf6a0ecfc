"""Dropout: elements zeroed by random words, the others enlarged."""

from __future__ import annotations

from llvmlite import ir

from . import abi, vjps
from .draws import STATE, State, fill, store_lanes
from .operands import Line, array_kernel, each_line
from .philox import Words, below
from .stage import I64, MASK, Vec
from .table import array_op


def build_dropout(symbol: str, dtype: int) -> ir.Module:
    """``y = x * scale`` where a random word reaches the threshold, else 0; arrays x, state, kept, y.

    Attributes: the threshold of the 32-bit word, and the scale. All arrays are contiguous.
    """
    module, arrays, part, parts = array_kernel(symbol)
    b = arrays.b
    state = State(arrays, 1, (part, parts))
    source, kept, target = (arrays.pointer(k, d) for k, d in ((0, dtype), (2, abi.BOOL), (3, dtype)))
    threshold, scale = arrays.word(0), arrays.number(1).to(dtype)

    def write(words: Words, index: ir.Value, span: int, stop: ir.Value) -> None:
        scope = words[0].scope
        masks = [Vec(scope, b.not_(m.value), MASK) for m in below(words, threshold)]
        store_lanes(arrays, masks, kept, index, span, stop)
        for w, keep in enumerate(masks):
            i = b.add(index, I64(w * span))
            inside = scope.tail_mask(b.sub(stop, i))
            x = scope.load(scope.at(source, i), dtype, inside)
            y = keep.select(x * scale, scope.constant(dtype, 0.0))
            scope.store(y, scope.at(target, i), inside)

    fill(state, arrays.numel(3), 4, write)
    b.ret_void()
    return module


def build_dropout_backward(symbol: str, dtype: int) -> ir.Module:
    """``gx = g * scale`` where kept; arrays x, state, kept, y, -, g, gx, -."""
    module, arrays, part, parts = array_kernel(symbol)
    b = arrays.b
    scale = arrays.number(1).to(dtype)

    def body(line: Line) -> None:
        def write(i, mask):
            keep, g = line.load(0, i, mask), line.load(1, i, mask)
            line.store(2, i, keep.select(g * line.whole(scale), line.scope.constant(dtype, 0.0)), mask)

        line.each(write)

    each_line(arrays, (2, 5, 6), (abi.BOOL, dtype, dtype), arrays.last_dim(2), (part, parts), body)
    b.ret_void()
    return module


array_op(
    "dropout",
    ("x", "state"),
    build_dropout,
    backward=build_dropout_backward,
    gradients={"x": ("y",)},  # output 0 is the mask: it is what backward reads
    vjp={"x": vjps.dropout_x},
    operand_dtypes=STATE,
    outputs=2,
    changes=("state",),
)
