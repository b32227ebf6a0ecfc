"""The row of a recurrent layer that is over all steps at once: products with the input, gradients of all weights.

Forward multiplies the whole sequence by the input weights and transposes the hidden weights for the walk to come.
When the walk back has found the cotangents of all gates, each weight's gradient is one product over all steps and
sequences. See `kernels.recurrent_layout` for the store.
"""

from __future__ import annotations

from llvmlite import ir

from . import abi, gemm, recurrent_vjps
from . import recurrent_layout as at
from .column_sums import Rows, column_sums
from .gemm_plan import plan
from .gemm_transposed import build_copy
from .host import host
from .nest import share, spread
from .operands import array_kernel
from .products import Matrix, Products
from .stage import I64, Scope
from .table import array_op

X, W_IH, B_IH, W_HH, B_HH, W_HR, GATES, STORE, COTANGENT = range(9)
GRADIENTS = 10  # of the operands, from here on


def field(p: Products, store: int, word: int) -> ir.Value:
    """Address of a field of the store, which is array `store`."""
    return p.b.add(p.arrays.address(store), p.b.mul(p.arrays.word(word), I64(p.item)))


def has_field(p: Products, word: int) -> ir.Value:
    """Whether the store has a field."""
    return p.b.icmp_signed("!=", p.arrays.word(word), I64(at.ABSENT))


def pitch(b: ir.IRBuilder, columns: ir.Value) -> ir.Value:
    """Distance between the rows of transposed weights with so many columns."""
    return b.and_(b.add(columns, I64(at.PITCH - 1)), I64(-at.PITCH))


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
    # the first thread alone: the copy would write over the ends of the others' rows
    with b.if_then(b.icmp_signed("==", part, I64(0))):
        copy = build_copy(module, plan(dtype))
        for k, word in ((W_HH, at.WEIGHTS), (W_HR, at.PROJECTION)):
            with b.if_then(arrays.present(k)):
                height, width = arrays.size(k, 0), arrays.size(k, 1)
                target = field(p, STORE, word)
                b.call(copy, [width, height, arrays.address(k), I64(1), width, target, pitch(b, height)])
    b.ret_void()
    return module


def _bias_gradients(p: Products, g: Matrix, hidden_g: Matrix, rows: ir.Value, threads) -> None:
    """Sums of the rows; one sum when both biases have the same cotangent."""
    b, arrays = p.b, p.arrays
    both = b.and_(arrays.present(GRADIENTS + B_IH), arrays.present(GRADIENTS + B_HH))
    same = b.and_(both, b.icmp_signed("==", g.address, hidden_g.address))
    alone = b.and_(arrays.present(GRADIENTS + B_IH), b.not_(same))
    for condition, k, matrix in ((alone, B_IH, g), (arrays.present(GRADIENTS + B_HH), B_HH, hidden_g)):
        with b.if_then(condition):
            sums = Rows(matrix.address, g.rows, I64(1), rows, g.rows)
            column_sums(arrays.scope, p.dtype, arrays.pointer(GRADIENTS + k, p.dtype), sums, threads)
    source, target = (arrays.pointer(GRADIENTS + k, p.dtype) for k in (B_HH, B_IH))
    lanes = host().lanes(p.item)
    with b.if_then(same):
        begin, end = share(arrays.scope, g.rows, *threads, lanes)

        def copy(scope: Scope, i: ir.Value, mask: ir.Value | None) -> None:
            scope.store(scope.load(scope.at(source, i), p.dtype, mask), scope.at(target, i), mask)

        spread(b, lanes, begin, end, copy)


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
    _bias_gradients(p, g, hidden_g, rows, threads)
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
    vjp=recurrent_vjps.PRODUCTS,
    outputs=2,
    dtypes=(abi.FLOAT32, abi.FLOAT64),
    requires=(gemm.provide,),
)
