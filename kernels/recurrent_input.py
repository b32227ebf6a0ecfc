"""The row of a recurrent layer that is over all steps at once: products with the input, gradients of all weights.

Forward multiplies the whole sequence by the input weights and transposes the hidden weights for the walk to come.
When the walk back has found the cotangents of all gates, each weight's gradient is one product over all steps and
sequences. See `kernels.recurrent_layout` for the store.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi, gemm
from . import recurrent_layout as at
from .nest import share
from .operands import array_kernel
from .products import Matrix, Products, column_sums
from .stage import I64
from .table import array_op

X, W_IH, B_IH, W_HH, B_HH, W_HR, GATES, STORE, COTANGENT = range(9)
GRADIENTS = 10  # of the operands, from here on


def field(p: Products, store: int, word: int) -> ir.Value:
    """Address of a field of the store, which is array `store`."""
    return p.b.add(p.arrays.address(store), p.b.mul(p.arrays.word(word), I64(p.item)))


def has_field(p: Products, word: int) -> ir.Value:
    """Whether the store has a field."""
    return p.b.icmp_signed("!=", p.arrays.word(word), I64(at.ABSENT))


def straight(p: Products, address: ir.Value, columns: ir.Value) -> Matrix:
    """A matrix whose rows lie one behind the other."""
    del p
    return Matrix(address, columns, I64(1))


def build_input(symbol: str, dtype: int) -> ir.Module:
    """``y = x @ w_ih.T + b_ih``, and hidden weights transposed into the store; operands are contiguous."""
    module, arrays, part, parts = array_kernel(symbol)
    p, b = Products(arrays, dtype), arrays.b
    gates, features = arrays.size(W_IH, 0), arrays.size(W_IH, 1)
    rows = b.udiv(arrays.numel(GATES), gates)
    matrices = (
        straight(p, arrays.address(X), features),
        straight(p, arrays.address(W_IH), features).turned,
        straight(p, arrays.address(GATES), gates),
    )
    p.multiply((rows, gates, features), matrices, (part, parts), arrays.address(B_IH))
    _transpose(p, W_HH, field(p, STORE, at.WEIGHTS), (part, parts))
    with b.if_then(arrays.present(W_HR)):
        _transpose(p, W_HR, field(p, STORE, at.PROJECTION), (part, parts))
    b.ret_void()
    return module


def _transpose(p: Products, k: int, to: ir.Value, share_of: tuple[ir.Value, ir.Value]) -> None:
    """Write the transposed matrix `k`."""
    b, arrays, one = p.b, p.arrays, p.arrays.scope
    height, width = arrays.size(k, 0), arrays.size(k, 1)
    source, target = arrays.pointer(k, p.dtype), one.pointer(to, p.dtype)
    begin, end = share(one, width, *share_of, 1)
    with one.loop(begin, end) as column:
        out = one.at(target, b.mul(column, height))
        with one.loop(I64(0), height) as row:
            value = one.load(one.at(source, b.add(b.mul(row, width), column)), p.dtype)
            one.store(value, one.at(out, row))


def build_input_backward(symbol: str, dtype: int) -> ir.Module:
    """Gradients of the input and of all weights, from the cotangent of the gates, which is contiguous."""
    module, arrays, part, parts = array_kernel(symbol)
    p, b, threads = Products(arrays, dtype), arrays.b, (part, parts)
    gates, features, out = arrays.size(W_IH, 0), arrays.size(W_IH, 1), arrays.size(W_HH, 1)
    rows = b.udiv(arrays.numel(COTANGENT), gates)
    g = straight(p, arrays.address(COTANGENT), gates)
    inner = b.select(
        has_field(p, at.HIDDEN_COTANGENT), field(p, STORE, at.HIDDEN_COTANGENT), arrays.address(COTANGENT)
    )
    hidden_g = straight(p, inner, gates)

    def target(k: int, columns: ir.Value) -> Matrix:
        return straight(p, arrays.address(GRADIENTS + k), columns)

    def when(k: int):
        return b.if_then(arrays.present(GRADIENTS + k))

    with when(X):
        w = straight(p, arrays.address(W_IH), features)
        p.multiply((rows, features, gates), (g, w, target(X, features)), threads)
    with when(W_IH):
        x = straight(p, arrays.address(X), features)
        p.multiply((gates, features, rows), (g.turned, x, target(W_IH, features)), threads)
    with when(W_HH):
        hidden = straight(p, field(p, STORE, at.HIDDEN), out)
        p.multiply((gates, out, rows), (hidden_g.turned, hidden, target(W_HH, out)), threads)
    for k, matrix in ((B_IH, g), (B_HH, hidden_g)):
        with when(k):
            column_sums(p, GRADIENTS + k, (matrix.address, I64(1)), gates, rows, gates, threads)
    with when(W_HR):
        width = arrays.size(W_HR, 1)
        made = straight(p, field(p, STORE, at.MADE), width)
        out_g = straight(p, field(p, STORE, at.OUT_COTANGENT), out).turned
        p.multiply((out, width, rows), (out_g, made, target(W_HR, width)), threads)
    b.ret_void()
    return module


array_op(
    "recurrent_input",
    ("x", "w_ih", "b_ih", "w_hh", "b_hh", "w_hr"),
    build_input,
    backward=build_input_backward,
    gradients={"x": ("w_ih",), "w_ih": ("x",), "b_ih": (), "w_hh": ("y1",), "b_hh": ("y1",), "w_hr": ("y1",)},
    outputs=2,
    dtypes=(abi.FLOAT32, abi.FLOAT64),
    requires=(gemm.provide,),
)
