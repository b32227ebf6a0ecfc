"""Operations that move elements: joining tensors along a dimension, reversing dimensions, and clearing a triangle."""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from . import abi, vjps
from .moves import Copy, Place, geometry
from .operands import Arrays, array_kernel
from .stage import I64
from .table import ALL, array_op, loops

# attribute words: the dimension for "cat", the bits of the reversed dimensions for "flip"; for "triangle" whether the
# upper one stays, and its diagonal


class _Described:
    """An array of a record by a number that is known only when the kernel runs."""

    def __init__(self, arrays: Arrays, k: ir.Value) -> None:
        self._scope = arrays.scope
        self.sizes, self.strides = geometry(arrays, k)
        b = arrays.b
        first = b.add(b.mul(k, I64(abi.ARRAY_WORDS)), I64(abi.A_ARRAYS))
        self.address = self._scope.word(arrays.record, first)
        self.dims = self._scope.word(arrays.record, b.add(first, I64(abi.ARRAY_DIMS)))

    def size(self, dim: ir.Value) -> ir.Value:
        return self._scope.word(self.sizes, dim)

    def stride(self, dim: ir.Value) -> ir.Value:
        return self._scope.word(self.strides, dim)


def _build_joined(symbol: str, dtype: int, back: bool) -> ir.Module:
    module, arrays, part, parts = array_kernel(symbol)
    b, one = arrays.b, arrays.scope
    words = one.word(arrays.record, abi.R_COUNT)
    # operands, output; on the way back the cotangent and the gradients follow
    count = b.sdiv(b.sub(words, I64(2)), I64(2)) if back else b.sub(words, I64(1))
    dim = arrays.word(0)
    joined = _Described(arrays, b.add(count, I64(1)) if back else count)
    item = I64(abi.ITEM_SIZES[dtype])
    step = b.mul(joined.stride(dim), item)
    copy = Copy(one, dtype)
    place = one.variable(I64)
    b.store(joined.address, place)
    with one.loop(I64(0), count) as k:
        own = _Described(arrays, b.add(b.add(count, I64(2)), k) if back else k)
        here, there = Place(b.load(place), joined.strides), Place(own.address, own.strides)
        target, source = (there, here) if back else (here, there)
        # what is too small to be shared goes round
        turn = b.urem(b.add(part, k), parts)
        with b.if_then(b.icmp_signed("!=", target.address, I64(0))):
            copy.write(own.dims, own.sizes, target, source, I64(0), turn, parts)
        length = _Described(arrays, k).size(dim)
        b.store(b.add(b.load(place), b.mul(length, step)), place)
    b.ret_void()
    return module


def build_cat(symbol: str, dtype: int) -> ir.Module:
    """Copy the operands one after the other along a dimension."""
    return _build_joined(symbol, dtype, False)


def build_cat_backward(symbol: str, dtype: int) -> ir.Module:
    """Cut the cotangent into the operands' gradients."""
    return _build_joined(symbol, dtype, True)


def _build_turned(symbol: str, dtype: int, source: int, target: int) -> ir.Module:
    module, arrays, part, parts = array_kernel(symbol)
    x, y = (_Described(arrays, I64(k)) for k in (source, target))
    copy = Copy(arrays.scope, dtype)
    copy.write(
        x.dims, x.sizes, Place(y.address, y.strides), Place(x.address, x.strides), arrays.word(0), part, parts
    )
    arrays.b.ret_void()
    return module


def build_flip(symbol: str, dtype: int) -> ir.Module:
    """Reverse the dimensions whose bits are set."""
    return _build_turned(symbol, dtype, 0, 1)


def build_flip_backward(symbol: str, dtype: int) -> ir.Module:
    """Reverse the cotangent likewise."""
    return _build_turned(symbol, dtype, 2, 3)


array_op(
    "cat",
    ("*",),
    build_cat,
    backward=build_cat_backward,
    gradients={"*": ()},
    vjp={"*": vjps.cat_operand},
    dtypes=ALL,
    reference=np.concatenate,
)
array_op(
    "flip",
    ("x",),
    build_flip,
    backward=build_flip_backward,
    gradients={"x": ()},
    vjp={"x": vjps.flip_x},
    dtypes=ALL,
    reference=np.flip,
)


array_op(
    "triangle",
    ("x",),
    loops("triangle_loops", "triangle", False),
    backward=loops("triangle_loops", "triangle", True),
    gradients={"x": ()},
    vjp={"x": vjps.triangle_x},
    dtypes=ALL,
)
