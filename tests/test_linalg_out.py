"""``out=`` of functions on matrices: one tensor, or one for each result."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import linalg

A = torch.from_numpy(np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]]))
B = torch.from_numpy(np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]]))
CALLS = {
    "cholesky": (A,), "cholesky_ex": (A,), "cond": (A,), "det": (A,), "eigh": (A,), "eigvalsh": (A,),
    "householder_product": (B, B[0]), "inv": (A,), "inv_ex": (A,), "lu": (A,), "lu_factor": (A,), "lu_factor_ex": (A,),
    "lu_solve": (*linalg.lu_factor(A), B), "matrix_norm": (A,), "matrix_power": (A, 3), "matrix_rank": (A,),
    "multi_dot": ((A, B),), "pinv": (A,), "qr": (A,), "slogdet": (A,), "solve": (A, B), "solve_ex": (A, B),
    "svd": (A,), "svdvals": (A,), "tensorinv": (A, 1), "tensorsolve": (A, B[:, 0]), "vecdot": (A, A),
    "vector_norm": (A,), "norm": (A,), "cross": (A, A), "matmul": (A, B), "inverse": (A,),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_results_are_written_into_what_the_caller_brings(name):
    function = getattr(linalg, name)
    wanted = function(*CALLS[name])
    if isinstance(wanted, torch.Tensor):
        out = torch.empty(0, dtype=wanted.dtype)
        assert function(*CALLS[name], out=out) is out
        assert torch.equal(out, wanted)
        return
    out = tuple(torch.empty(0, dtype=x.dtype) for x in wanted)
    made = function(*CALLS[name], out=out)
    assert type(made) is type(wanted)
    for x, y, z in zip(made, out, wanted, strict=True):
        assert x is y and torch.equal(y, z)


def test_triangular_equations_are_solved_into_what_the_caller_brings():
    upper, out = A.triu(), torch.empty(3, 2, dtype=torch.float64)
    linalg.solve_triangular(upper, B, upper=True, out=out)
    np.testing.assert_allclose((upper @ out).numpy(), B.numpy(), rtol=1e-12, atol=1e-14)


def test_too_few_places_are_refused_and_nothing_is_written():
    out = (torch.empty(0, dtype=torch.float64),)
    with pytest.raises(TypeError, match=r"cholesky_ex.*tuple of 2"):
        linalg.cholesky_ex(A, out=out)
    assert out[0].numel() == 0
    with pytest.raises(RuntimeError, match="requires grad"):
        linalg.inv(A.clone().requires_grad_(), out=torch.empty(0, dtype=torch.float64))
