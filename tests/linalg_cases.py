"""Factorisations with kernels of their own: functions of matrices, their operands and what NumPy makes of these."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import jitgrad as torch
from jitgrad import linalg


class Case(NamedTuple):
    """A function, its reference, and how its operands are made: "definite", "square", or columns of a matrix."""

    function: Any
    reference: Any
    operands: tuple[Any, ...]


def turned(a):
    return np.swapaxes(a, -1, -2)


def unit(a):
    return np.broadcast_to(np.eye(a.shape[-1]), a.shape)


def triangle(a, upper, ones=False):
    kept = np.triu(a) if upper else np.tril(a)
    return kept - kept * unit(a) + unit(a) if ones else kept


def by_triangle(upper, left, ones):
    def function(a, b):
        b = b if left else b.mT
        return linalg.solve_triangular(a, b, upper=upper, left=left, unitriangular=ones)

    def reference(a, b):
        t = triangle(a, upper, ones)
        return np.linalg.solve(t, b) if left else turned(np.linalg.solve(turned(t), b))

    return Case(function, reference, ("square", 3))


def by_factor(upper):
    def reference(b, l):
        t = triangle(l, upper)
        return np.linalg.solve(turned(t) @ t if upper else t @ turned(t), b)

    return Case(lambda b, l: torch.cholesky_solve(b, l, upper), reference, (3, "square"))


CASES = {
    "cholesky": Case(linalg.cholesky, np.linalg.cholesky, ("definite",)),
    "upper cholesky": Case(
        lambda a: linalg.cholesky(a, upper=True), lambda a: turned(np.linalg.cholesky(a)), ("definite",)
    ),
    "cholesky_ex": Case(lambda a: linalg.cholesky_ex(a).L, np.linalg.cholesky, ("definite",)),
    "cholesky_solve": by_factor(False),
    "upper cholesky_solve": by_factor(True),
    "cholesky_inverse": Case(
        torch.cholesky_inverse, lambda l: np.linalg.inv(np.tril(l) @ turned(np.tril(l))), ("square",)
    ),
} | {
    f"{'upper' if upper else 'lower'} triangle{'' if left else ' from the right'}{' of ones' if ones else ''}": (
        by_triangle(upper, left, ones)
    )
    for upper in (False, True)
    for left in (False, True)
    for ones in (False, True)
}


def operand(kind: Any, front: tuple[int, ...], n: int, rng: Any) -> np.ndarray:
    """Numbers whose triangles are well conditioned: small ones off the diagonal."""
    if isinstance(kind, int):
        return rng.standard_normal((*front, n, kind))
    a = rng.standard_normal((*front, n, n)) / max(n, 1) + 1.5 * np.eye(n)
    return a @ turned(a) if kind == "definite" else a


def operands(case: Case, front: tuple[int, ...], n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng((seed, n, len(front)))
    return [operand(kind, front, n, rng) for kind in case.operands]
