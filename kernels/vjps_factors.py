"""Gradients of factorisations as formulas on tensors; see `kernels.vjps` for what the parameters mean."""

from __future__ import annotations

import math

import numpy as np


def low(x):
    """The lower triangle with half of the diagonal."""
    return (x.tril() + x.tril(-1)) * 0.5


def triangle(x, upper, beyond):
    """A triangle without `beyond` of its diagonals."""
    return x.triu(beyond) if upper else x.tril(-beyond)


def cholesky_a(ops, y, y1, g, words):
    """Gradient of Cholesky's factor: Murray (2016), Differentiation of the Cholesky decomposition, equation 10.

    It is zero for a matrix that has none.
    """
    without = (y1 != 0).unsqueeze(-1).unsqueeze(-1)
    factor, g = y.masked_fill(without, 1.0), g.masked_fill(without, 0.0)
    if words[0]:
        factor, g = factor.mT, g.mT
    inner = low(factor.mT.matmul(g.tril()))
    half = ops.solve_triangular(factor.mT, inner, True, False)
    found = ops.solve_triangular(factor.mT, half.mT, True, False)
    return (found + found.mT) * 0.5


def triangular_b(ops, a, g, words):
    """Gradient of the X of ``A X = B`` for B, with a triangle of A: ``A'^-1 G``."""
    return ops.solve_triangular(a.mT, g, words[0] == 0, words[1] != 0)


def triangular(ops, a, y, g, words, wanted):
    """Gradients of the X of ``A X = B``: ``H = A'^-1 G`` for B and ``-H X'`` for A (Giles 2008, section 2.3.1)."""
    of_b = triangular_b(ops, a, g, words)
    return {"a": triangle(-of_b.matmul(y.mT), words[0], int(words[1] != 0)), "b": of_b}


def _without(factors):
    """Where LU factors, with a row of exchanges behind them, have a zero among their pivots."""
    return (factors[..., :-1, :].diagonal(0, -2, -1) == 0).any(-1).unsqueeze(-1).unsqueeze(-1)


def solve_b(ops, a, y1, g):
    """Gradient of the X of ``A X = B`` for B: ``A'^-1 G``, zero for a singular matrix."""
    return ops.solve(a.mT, g).masked_fill(_without(y1), 0.0)


def solve(ops, a, y, y1, g, wanted):
    """Gradients of the X of ``A X = B``: ``H = A'^-1 G`` for B and ``-H X'`` for A (Giles 2008, section 2.3.1).

    They are zero for a singular matrix.
    """
    of_b = solve_b(ops, a, y1, g)
    return {"a": -of_b.matmul(y.masked_fill(_without(y1), 0.0).mT), "b": of_b}


def inv_a(ops, y, y1, g):
    """Gradient of an inverse Y: ``-Y' G Y'`` (Giles 2008, section 2.2.3), zero for a singular matrix."""
    known = y.masked_fill(_without(y1), 0.0).mT
    return -known.matmul(g).matmul(known)


def slogdet_a(ops, a, g):
    """Gradient of the logarithm of a determinant: the inverse, transposed (Giles 2008, section 2.2.4)."""
    return g.unsqueeze(-1).unsqueeze(-1) * ops.solve(a.mT, ops.units(a))


def det_a(ops, a, g):
    """Gradient of a determinant: the cofactors."""
    return g.unsqueeze(-1).unsqueeze(-1) * ops.cofactors(a)


def cofactors_a(ops, a, y, g):
    """Gradient of the cofactors C: ``(sum(G C) C - C G' C) / det(A)``, from ``C = det(A) A'^-1``.

    It is not finite for a singular matrix.
    """
    along = (g * y).sum((-2, -1), keepdim=True)
    found = along * y - y.matmul(g.mT).matmul(y)
    return found / ops.det(a).unsqueeze(-1).unsqueeze(-1)


def lu_a(ops, y, y1, g):
    """Gradient of LU factors in one matrix; see `elimination_loops.lu_backward`."""
    rows, columns = y.shape[-2:]
    count = min(rows, columns)
    strict, upper = y[..., :count].tril(-1), y[..., :count, :].triu()
    square, below, beyond = g[..., :count, :count], g[..., count:, :], g[..., count:]
    lower, right, of_lower = strict[..., :count, :], upper[..., :count], square.tril(-1)
    left = of_lower + lower.mT.matmul(of_lower)
    above = square.triu().matmul(right.mT)
    if columns > count:
        left = left - beyond.matmul(upper[..., count:].mT)
    if rows > count:
        above = above - strict[..., count:, :].mT.matmul(below)
    inner = left.tril(-1) + above.triu()
    if columns > count:
        inner = ops.cat([inner, beyond], -1)
    found = ops.solve_triangular(lower.mT, inner, True, True)
    known = found[..., :count]
    if rows > count:
        known = ops.cat([known, below], -2)
    known = ops.solve_triangular(right, known.mT, True, False).mT
    if columns > count:
        known = ops.cat([known, found[..., count:]], -1)
    return ops.permutation(y1, rows, y.dtype).matmul(known)


def qr_a(ops, y, y1, g, g1):
    """Gradient of ``A = Q R``: ``(G_Q + Q S) R'^-1`` with S of the lower triangle of ``R G_R' - G_Q' Q``, mirrored.

    Walter and Lehmann (2010), Algorithmic differentiation of linear algebra functions with application in optimum
    experimental design. Q is transposed here.
    """
    inner = 0.0
    if g1 is not None:
        inner = y1.matmul(g1.mT)
    if g is not None:
        inner = inner - g.matmul(y.mT)
    found = (inner.tril() + inner.tril(-1).mT).matmul(y)
    if g is not None:
        found = found + g
    return ops.solve_triangular(y1, found, True, False).mT


def eigh_a(ops, y, y1, g, g1):
    """Gradient of ``A = V diag(w) V'`` (Giles 2008, section 3.1), symmetric. V is transposed here."""
    apart = y.unsqueeze(-2) - y.unsqueeze(-1)
    own = ops.constant(np.eye(y.shape[-1], dtype=bool))
    inner = 0.0
    if g1 is not None:
        inner = y1.matmul(g1.mT) * (1.0 / apart.masked_fill(own, math.inf))
    if g is not None:
        inner = inner + g.unsqueeze(-1).expand(apart.shape).masked_fill(~own, 0.0)
    found = y1.mT.matmul(inner).matmul(y1)
    return (found + found.mT) * 0.5
