"""Factorisations, inverses and norms: NumPy's values, numerical derivatives of first and second order, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from compile_cases import warnings_of
from sample_values import numbers

import jitgrad as torch
from jitgrad import linalg
from jitgrad.autograd import gradcheck, gradgradcheck

SQUARE = numbers(2, 4, 4, seed=1) + 3 * np.eye(4)
DEFINITE = SQUARE @ SQUARE.transpose(0, 2, 1)
TALL = numbers(2, 5, 3, seed=2)
WIDE = TALL.transpose(0, 2, 1).copy()
RIGHT = numbers(2, 4, 2, seed=3)
ROWS = numbers(2, 2, 4, seed=4)


def symmetric(x):
    return (x + x.mT) / 2


def without_signs(u, s, vh):
    return u.abs(), s, vh.abs()  # vectors are unique but for their signs


CASES = {
    "inv": (linalg.inv, (SQUARE,), np.linalg.inv),
    "inv_ex": (lambda a: linalg.inv_ex(a).inverse, (SQUARE,), np.linalg.inv),
    "solve": (linalg.solve, (SQUARE, RIGHT), np.linalg.solve),
    "solve for a vector": (linalg.solve, (SQUARE[0], RIGHT[0, :, 0]), np.linalg.solve),
    "solve for vectors": (linalg.solve, (SQUARE, RIGHT[:, :, 0]),
                          lambda a, b: np.linalg.solve(a, b[..., None])[..., 0]),
    "solve from the right": (lambda a, b: linalg.solve(a, b, left=False), (SQUARE, ROWS),
                             lambda a, b: b @ np.linalg.inv(a)),
    "solve with one matrix": (linalg.solve, (SQUARE[0], RIGHT), np.linalg.solve),
    "lower triangle": (lambda a, b: linalg.solve_triangular(a, b, upper=False), (SQUARE, RIGHT),
                       lambda a, b: np.linalg.solve(np.tril(a), b)),
    "upper triangle of ones": (lambda a, b: linalg.solve_triangular(a, b, upper=True, unitriangular=True),
                               (SQUARE, RIGHT), lambda a, b: np.linalg.solve(np.triu(a, 1) + np.eye(4), b)),
    "cholesky_solve": (torch.cholesky_solve, (RIGHT, SQUARE),
                       lambda b, l: np.linalg.solve(np.tril(l) @ np.tril(l).transpose(0, 2, 1), b)),
    "upper cholesky_solve": (lambda b, l: b.cholesky_solve(l, upper=True), (RIGHT, SQUARE),
                             lambda b, l: np.linalg.solve(np.triu(l).transpose(0, 2, 1) @ np.triu(l), b)),
    "cholesky_inverse": (torch.cholesky_inverse, (SQUARE,),
                         lambda l: np.linalg.inv(np.tril(l) @ np.tril(l).transpose(0, 2, 1))),
    "det": (linalg.det, (SQUARE,), np.linalg.det),
    "slogdet": (lambda a: linalg.slogdet(a).logabsdet, (SQUARE,), lambda a: np.linalg.slogdet(a)[1]),
    "cholesky": (lambda a: linalg.cholesky(symmetric(a)), (DEFINITE,), np.linalg.cholesky),
    "upper cholesky": (lambda a: linalg.cholesky(symmetric(a), upper=True), (DEFINITE,),
                       lambda a: np.linalg.cholesky(a).transpose(0, 2, 1)),
    "eigh": (lambda a: (lambda r: (r[0], r[1].abs()))(linalg.eigh(symmetric(a))), (DEFINITE,),
             lambda a: (lambda r: (r[0], np.abs(r[1])))(np.linalg.eigh(a))),
    "eigvalsh": (lambda a: linalg.eigvalsh(symmetric(a), "U"), (DEFINITE,), np.linalg.eigvalsh),
    "qr": (lambda a: tuple(linalg.qr(a)), (TALL,), lambda a: tuple(np.linalg.qr(a))),
    "svd of a tall matrix": (lambda a: without_signs(*linalg.svd(a, full_matrices=False)), (TALL,),
                             lambda a: tuple(map(np.abs, np.linalg.svd(a, full_matrices=False)))),
    "svd of a wide matrix": (lambda a: without_signs(*linalg.svd(a, full_matrices=False)), (WIDE,),
                             lambda a: tuple(map(np.abs, np.linalg.svd(a, full_matrices=False)))),
    "pinv": (linalg.pinv, (TALL,), np.linalg.pinv),
    "lstsq": (lambda a, b: linalg.lstsq(a, b).solution, (TALL, numbers(2, 5, 2, seed=5)),
              lambda a, b: np.linalg.pinv(a) @ b),
    "multi_dot": (lambda a, b, c: linalg.multi_dot([a, b, c]), (TALL[0], WIDE[0], TALL[1]),
                  lambda a, b, c: a @ b @ c),
    "vecdot": (linalg.vecdot, (TALL, TALL + 1), lambda a, b: (a * b).sum(-1)),
    "cond by sums": (lambda a: linalg.cond(a, 1), (SQUARE,), lambda a: np.linalg.cond(a, 1)),
    "svdvals": (linalg.svdvals, (TALL,), lambda a: np.linalg.svd(a, compute_uv=False)),
    "cond": (linalg.cond, (SQUARE,), np.linalg.cond),
    "greatest singular value by least": (lambda a: linalg.cond(a, -2), (SQUARE,),
                                         lambda a: np.linalg.cond(a, -2)),
    "nuclear norm": (lambda a: linalg.norm(a, "nuc"), (TALL[0],), lambda a: np.linalg.norm(a, "nuc")),
} | {
    f"norm {order}": (
        lambda a, order=order: linalg.matrix_norm(a, order),
        (TALL,),
        lambda a, order=order: np.linalg.norm(a, order, (-2, -1)),
    )
    for order in ("fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
}  # fmt: skip


def checked(function, arrays, reference):
    found, expected = function(*map(torch.tensor, arrays)), reference(*arrays)
    found, expected = (x if isinstance(x, tuple) else (x,) for x in (found, expected))
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x.numpy(), y, 1e-9, 1e-9)
    return tuple(torch.tensor(a, requires_grad=True) for a in arrays)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_of_both_orders(name):
    function, arrays, reference = CASES[name]
    given = checked(function, arrays, reference)
    assert gradcheck(function, given) and gradgradcheck(function, given)


@pytest.mark.parametrize(
    "function", [linalg.svdvals, linalg.eigvalsh, lambda x: linalg.matrix_norm(x, "nuc")]
)
def test_gradients_of_equal_values_are_finite(function):
    x = (2 * torch.eye(3, dtype=torch.float64)).requires_grad_()
    function(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.eye(3), atol=1e-12)


def test_single_precision_and_no_dimensions_in_front():
    x = torch.tensor(SQUARE[0], dtype=torch.float32, requires_grad=True)
    found = linalg.inv(x)
    assert found.dtype is torch.float32 and (found @ x - torch.eye(4)).abs().max() < 1e-5
    found.sum().backward()
    assert x.grad.dtype is torch.float32
    assert linalg.inv(torch.zeros(0, 3, 3)).shape == (0, 3, 3)


def test_cofactors_of_a_singular_matrix():
    x = torch.tensor([[1.0, 2], [2, 4]], dtype=torch.float64, requires_grad=True)
    linalg.det(x).backward()
    np.testing.assert_allclose(x.grad.numpy(), [[4, -2], [-2, 1]], atol=1e-12)
    assert linalg.slogdet(x).sign == 0 and linalg.slogdet(x).logabsdet == -math.inf
    assert linalg.matrix_rank(x) == 1 and linalg.matrix_rank(torch.eye(3), atol=2.0) == 0


def test_names_in_torch_itself():
    x = torch.tensor(SQUARE[0])
    assert torch.inverse is linalg.inv and torch.det is linalg.det
    assert torch.equal(torch.pinverse(x), linalg.pinv(x))
    assert torch.logdet(x @ x.mT) == linalg.slogdet(x @ x.mT).logabsdet
    assert torch.logdet(-torch.eye(3)).isnan() and torch.logdet(torch.zeros(2, 2)) == -math.inf


METHODS = {
    "cholesky": (lambda x: (x @ x.mT).cholesky(), lambda x: linalg.cholesky(x @ x.mT)),
    "det": (lambda x: x.det(), linalg.det),
    "inverse": (lambda x: x.inverse(), linalg.inv),
    "logdet": (lambda x: (x @ x.mT).logdet(), lambda x: linalg.logdet(x @ x.mT)),
    "slogdet": (lambda x: x.slogdet().logabsdet, lambda x: linalg.slogdet(x).logabsdet),
    "matrix_power": (lambda x: x.matrix_power(3), lambda x: x @ x @ x),
    "matrix_power below zero": (lambda x: x.matrix_power(-2), lambda x: linalg.inv(x @ x)),
    "pinverse": (lambda x: x.pinverse(), linalg.pinv),
    "qr": (lambda x: x.qr().R, lambda x: linalg.qr(x).R),
    "svd": (lambda x: x.svd().V @ x.svd().S.diag_embed() @ x.svd().U.mT, lambda x: x.mT),
    "svd by name": (lambda x: torch.svd(x).S, linalg.svdvals),
}


@pytest.mark.parametrize("name", METHODS)
def test_methods_of_tensors(name):
    method, function = METHODS[name]
    x, y = (torch.tensor(SQUARE, requires_grad=True) for _ in range(2))
    found, expected = method(x), function(y)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    found.sum().backward()
    expected.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("dim", [None, 0, -1, (0, 1), (-1, 0)])
@pytest.mark.parametrize("order", [None, 1, 2, math.inf, "fro"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_norms_of_vectors_or_matrices(order, dim, keepdim):
    if order == "fro" and isinstance(dim, int):
        with pytest.raises(RuntimeError, match="order 'fro' is one of matrices"):
            linalg.norm(torch.tensor(TALL[0]), order, dim, keepdim)
        return
    found = linalg.norm(torch.tensor(TALL[0]), order, dim, keepdim)
    expected = np.linalg.norm(TALL[0], order, dim, keepdim)
    np.testing.assert_allclose(found.numpy(), expected, 1e-12)
    assert found.shape == np.shape(expected)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: linalg.inv(torch.ones(2, 2)), linalg.LinAlgError, "linalg.inv: Singular"),
        (
            lambda: linalg.solve(torch.zeros(2, 2), torch.ones(2)),
            linalg.LinAlgError,
            "linalg.solve: Singular",
        ),
        (lambda: linalg.cholesky(-torch.eye(2)), linalg.LinAlgError, "not positive definite"),
        (lambda: linalg.det(torch.ones(2, 3)), RuntimeError, "square matrices, but they are 2 by 3"),
        (lambda: linalg.inv(torch.ones(3)), RuntimeError, "at least 2 dimensions"),
        (lambda: linalg.inv(torch.eye(2).int()), RuntimeError, "floating point"),
        (lambda: linalg.inv([1.0]), TypeError, "Tensor"),
        (lambda: linalg.solve(torch.eye(2), torch.ones(3, 1)), RuntimeError, "Incompatible shapes"),
        (lambda: linalg.qr(torch.eye(2), "full"), RuntimeError, "mode 'reduced', 'complete' or 'r'"),
        (lambda: linalg.eigh(torch.eye(2), "X"), RuntimeError, "UPLO"),
        (lambda: linalg.matrix_norm(torch.eye(2), 3), RuntimeError, "Order 3 not supported"),
        (lambda: linalg.matrix_norm(torch.eye(2), 1, (0, 0)), RuntimeError, "must be different"),
        (lambda: linalg.norm(torch.ones(2, 2, 2), 2), RuntimeError, "1D or 2D"),
    ],
)
def test_what_has_no_result_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_compiled_step_with_a_factorisation_of_numpys_runs_eagerly(monkeypatch):
    monkeypatch.setattr("jitgrad.linalg._factors.SIDE", 3)
    step = torch.compile(lambda a: linalg.eigvalsh(a) * 2)

    def run():
        return [step(torch.tensor(DEFINITE[0]) * k).tolist() for k in (1.0, 2.0, 4.0)]

    found, warned = warnings_of(run)
    assert found == [(linalg.eigvalsh(torch.tensor(DEFINITE[0]) * k) * 2).tolist() for k in (1.0, 2.0, 4.0)]
    assert len(warned) == 1 and "numpy" in warned[0]
