"""The products that calls of the kernels in `kernels.products` come to, for programs: see `kernels.planned`."""

from __future__ import annotations

from . import few_inputs
from .gemm import BY_ROWS
from .gemm_tiles import WRITE
from .planned import Operand, Plan, Sums, Weights


def plan_linear(variant: int, arrays: list[Operand]) -> Plan | None:
    """What the linear layer's kernels come to, unless rows lie anywhere."""
    x, w, bias = arrays[:3]
    features, depth = w.shape
    x_row = x.row
    if variant == 0:
        y = arrays[3]
        y_row = y.row
        odd_bias = bias.present and features != 1 and bias.strides[0] != 1
        if x_row is None or y_row is None or odd_bias:
            return None
        left, right = (x.word, x_row[0], x.strides[-1]), (w.word, *reversed(w.strides))
        target = (y.word, y_row[0], y.strides[-1])
        term = bias.word if bias.present else 0
        return Plan([[x_row[1], features, depth, *left, *right, *target, term, WRITE]])
    g, gx, gw, g_bias = arrays[4:]
    g_row = g.row
    if g_row is None or (gw.present and x_row is None):
        return None
    (stride, rows), column, products = g_row, g.strides[-1], []
    if gx.present:
        left, right, target = (g.word, stride, column), (w.word, *w.strides), (gx.word, depth, 1)
        products.append([rows, depth, features, *left, *right, *target, 0, WRITE])
    weights = None
    if gw.present and x_row is not None and g_bias.present and few_inputs.suits(features, depth, column):
        weights = Weights(gw.word, x.word, x_row[0], x.strides[-1], depth)
    elif gw.present and x_row is not None:
        left, right, target = (g.word, column, stride), (x.word, x_row[0], x.strides[-1]), (gw.word, depth, 1)
        # the optimizer's threads have so many rows each of the weights
        products.append([features, depth, rows, *left, *right, *target, 0, WRITE | BY_ROWS])
    sums = Sums(g_bias.word, g.word, stride, column, rows, features, weights) if g_bias.present else None
    return Plan(products, sums)


def plan_matmul(variant: int, arrays: list[Operand]) -> Plan | None:
    """What the matrix product's kernels come to, for matrices without leading dimensions."""
    if any(len(x.shape) != 2 for x in arrays[:3]):
        return None
    a, b, y = arrays[:3]
    (m, k), n = a.shape, b.shape[1]
    if variant == 0:
        return Plan([[m, n, k, a.word, *a.strides, b.word, *b.strides, y.word, *y.strides, 0, WRITE]])
    g, ga, gb = arrays[3:]
    products = []
    if ga.present:
        right = (b.word, *reversed(b.strides))
        products.append([m, k, n, g.word, *g.strides, *right, ga.word, *ga.strides, 0, WRITE])
    if gb.present:
        left = (a.word, *reversed(a.strides))
        products.append([k, n, m, *left, g.word, *g.strides, gb.word, *gb.strides, 0, WRITE])
    return Plan(products)
