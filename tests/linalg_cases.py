"""Functions of matrices with kernels of their own, their operands, what NumPy makes of these, and how near it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

import jitgrad as torch
from jitgrad import linalg

TOLERANCES = {torch.float32: 2e-4, torch.float64: 1e-10}


class Case(NamedTuple):
    """A function, its reference, and how its operands are made.

    That is "definite", "square" with good triangles, "general", or a number of columns.
    """

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


def eliminated(a):
    """The LU factors of matrices in one, and the exchanges of rows, by the textbook."""
    packed, count = a.copy(), min(a.shape[-2:])
    exchanges = np.zeros((*a.shape[:-2], count), np.int32)
    for at in np.ndindex(a.shape[:-2]):
        u = packed[at]
        for k in range(count):
            row = k + int(np.abs(u[k:, k]).argmax())
            exchanges[*at, k] = row + 1
            u[[k, row]] = u[[row, k]]
            if u[k, k]:
                u[k + 1 :, k] /= u[k, k]
                u[k + 1 :, k + 1 :] -= np.outer(u[k + 1 :, k], u[k, k + 1 :])
    return packed, exchanges


def by_lu(left, adjoint):
    def function(a, b):
        return linalg.lu_solve(*linalg.lu_factor(a), b if left else b.mT, left=left, adjoint=adjoint)

    def reference(a, b):
        a = turned(a) if adjoint else a
        return np.linalg.solve(a, b) if left else turned(np.linalg.solve(turned(a), b))

    return Case(function, reference, ("general", 3))


def logarithm(a):
    """A function of a symmetric matrix that does not depend on the signs of its eigenvectors."""
    values, vectors = linalg.eigh(a)
    return (vectors * values.log().unsqueeze(-2)) @ vectors.mT


def numpys_logarithm(a):
    values, vectors = np.linalg.eigh(a)
    return (vectors * np.log(values)[..., None, :]) @ turned(vectors)


def polar(a):
    """The orthonormal factor that is nearest to a matrix."""
    u, _, vh = np.linalg.svd(a, full_matrices=False)
    return u @ vh


def nearest(a):
    u, _, vh = linalg.svd(a, full_matrices=False)
    return u @ vh


CASES = (
    {
        "eigvalsh": Case(linalg.eigvalsh, np.linalg.eigvalsh, ("definite",)),
        "upper eigvalsh": Case(lambda a: linalg.eigvalsh(a, "U"), np.linalg.eigvalsh, ("definite",)),
        "logarithm by eigh": Case(logarithm, numpys_logarithm, ("definite",)),
        "svdvals": Case(linalg.svdvals, lambda a: np.linalg.svd(a, compute_uv=False), ("general",)),
        "svdvals of oblong matrices": Case(
            linalg.svdvals, lambda a: np.linalg.svd(a, compute_uv=False), (3,)
        ),
        "polar factor by svd": Case(nearest, polar, (3,)),
        "pinv": Case(linalg.pinv, np.linalg.pinv, (3,)),
        "matrix_norm by svd": Case(
            lambda a: linalg.matrix_norm(a, "nuc"), lambda a: np.linalg.norm(a, "nuc", (-2, -1)), ("general",)
        ),
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
        "solve": Case(linalg.solve, np.linalg.solve, ("general", 3)),
        "solve for one column": Case(linalg.solve, np.linalg.solve, ("general", 1)),
        "solve from the right": Case(
            lambda a, b: linalg.solve(a, b.mT, left=False),
            lambda a, b: turned(np.linalg.solve(turned(a), b)),
            ("general", 3),
        ),
        "solve_ex": Case(lambda a, b: linalg.solve_ex(a, b).result, np.linalg.solve, ("general", 3)),
        "inv": Case(linalg.inv, np.linalg.inv, ("general",)),
        "inv_ex": Case(lambda a: linalg.inv_ex(a).inverse, np.linalg.inv, ("general",)),
        "det": Case(linalg.det, np.linalg.det, ("general",)),
        "slogdet": Case(
            lambda a: linalg.slogdet(a)[::-1], lambda a: tuple(np.linalg.slogdet(a))[::-1], ("general",)
        ),
        "logdet": Case(torch.logdet, lambda a: np.linalg.slogdet(a)[1], ("definite",)),
        "lu_factor": Case(lambda a: tuple(linalg.lu_factor(a)), eliminated, ("general",)),
        "Q": Case(lambda a: linalg.qr(a).Q, lambda a: np.linalg.qr(a).Q, (3,)),
        "R": Case(lambda a: linalg.qr(a).R, lambda a: np.linalg.qr(a).R, (3,)),
        "Q of square matrices": Case(lambda a: linalg.qr(a).Q, lambda a: np.linalg.qr(a).Q, ("general",)),
        "lu_factor_ex": Case(lambda a: linalg.lu_factor_ex(a).LU, lambda a: eliminated(a)[0], ("general",)),
    }
    | {
        f"lu_solve {'' if left else 'from the right '}{'of the transposed' if adjoint else ''}": by_lu(
            left, adjoint
        )
        for left in (True, False)
        for adjoint in (True, False)
    }
    | {
        f"{'upper' if upper else 'lower'} triangle{'' if left else ' from the right'}{' of ones' if ones else ''}": (
            by_triangle(upper, left, ones)
        )
        for upper in (False, True)
        for left in (False, True)
        for ones in (False, True)
    }
)


def operand(kind: Any, front: tuple[int, ...], n: int, rng: Any) -> np.ndarray:
    """Numbers whose triangles are well conditioned: small ones off the diagonal."""
    if isinstance(kind, int):
        return rng.standard_normal((*front, n, kind))
    a = rng.standard_normal((*front, n, n)) / max(n, 1) + 1.5 * np.eye(n)
    if kind == "general":
        return a[..., rng.permutation(n), :]  # so that rows are exchanged
    return a @ turned(a) if kind == "definite" else a


def operands(case: Case, front: tuple[int, ...], n: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng((seed, n, len(front)))
    return [operand(kind, front, n, rng) for kind in case.operands]


def close(found, expected, tolerance):
    """Assert that tensors, one or several, have the shapes and values of arrays."""
    found, expected = (x if isinstance(x, tuple) else (x,) for x in (found, expected))
    for x, y in zip(found, expected, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x.detach().numpy(), y, tolerance, tolerance)
