"""Gradients of factorisations as formulas on tensors; see `kernels.vjps` for what the parameters mean."""

from __future__ import annotations


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


def triangular(ops, a, y, g, words, wanted):
    """Gradients of the X of ``A X = B``: ``H = A'^-1 G`` for B and ``-H X'`` for A (Giles 2008, section 2.3.1)."""
    upper, unit = words[0] != 0, words[1] != 0
    of_b = ops.solve_triangular(a.mT, g, not upper, unit)
    if "a" not in wanted:
        return {"b": of_b}
    return {"b": of_b, "a": triangle(-of_b.matmul(y.mT), upper, int(unit))}
