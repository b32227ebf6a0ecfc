"""Results with a report, tensors as matrices, powers of points, slopes of samples, divisors."""

from __future__ import annotations

import numpy as np
import pytest
from sample_values import numbers

import jitgrad as torch
from jitgrad import linalg
from jitgrad.autograd import gradcheck, gradgradcheck

SQUARE = numbers(2, 3, 3, seed=1) + 3 * np.eye(3)
POINTS = np.array([[0.5, 2.0, -1.5], [1.0, 3.0, 0.25]])
SAMPLES = numbers(4, 5, seed=6)
COORDINATES = np.array([0.0, 1.0, 1.5, 3.0, 3.25])


def definite(x):
    return x @ x.mT


CASES = {
    "cholesky_ex": (lambda a: linalg.cholesky_ex(definite(a)).L, (SQUARE,),
                    lambda a: np.linalg.cholesky(a @ a.transpose(0, 2, 1))),
    "upper cholesky_ex": (lambda a: linalg.cholesky_ex(definite(a), upper=True).L, (SQUARE,),
                          lambda a: np.linalg.cholesky(a @ a.transpose(0, 2, 1)).transpose(0, 2, 1)),
    "inv_ex": (lambda a: linalg.inv_ex(a).inverse, (SQUARE,), np.linalg.inv),
    "solve_ex": (lambda a, b: linalg.solve_ex(a, b).result, (SQUARE, SQUARE + 1), np.linalg.solve),
    "solve_ex for a vector": (lambda a, b: linalg.solve_ex(a, b)[0], (SQUARE[0], POINTS[0]), np.linalg.solve),
    "tensorinv": (lambda a: linalg.tensorinv(a.reshape(3, 3, 1), 1), (SQUARE[0],),
                  lambda a: np.linalg.tensorinv(a.reshape(3, 3, 1), 1)),
    "tensorinv of four": (lambda a: linalg.tensorinv(a.reshape(2, 2, 4)), (numbers(4, 4, seed=8),),
                          lambda a: np.linalg.tensorinv(a.reshape(2, 2, 4))),
    "tensorsolve": (lambda a, b: linalg.tensorsolve(a.reshape(2, 2, 4), b.reshape(2, 2)),
                    (numbers(4, 4, seed=8), numbers(4, seed=9)),
                    lambda a, b: np.linalg.tensorsolve(a.reshape(2, 2, 4), b.reshape(2, 2))),
    "tensorsolve with dims": (lambda a, b: linalg.tensorsolve(a.reshape(4, 2, 2), b.reshape(2, 2), (0,)),
                              (numbers(4, 4, seed=8), numbers(4, seed=9)),
                              lambda a, b: np.linalg.tensorsolve(a.reshape(4, 2, 2), b.reshape(2, 2), (0,))),
    "vander": (linalg.vander, (POINTS,), lambda x: x[..., None] ** np.arange(3)),
    "vander of two": (lambda x: linalg.vander(x, N=2), (POINTS,), lambda x: x[..., None] ** np.arange(2)),
    "gradient": (lambda x: torch.gradient(x), (SAMPLES,), lambda x: tuple(np.gradient(x))),
    "gradient with spacings": (lambda x: torch.gradient(x, spacing=(2.0, 0.5)), (SAMPLES,),
                               lambda x: tuple(np.gradient(x, 2.0, 0.5))),
    "gradient of the second order": (lambda x: torch.gradient(x, dim=1, edge_order=2)[0], (SAMPLES,),
                                     lambda x: np.gradient(x, axis=1, edge_order=2)),
    "gradient at coordinates": (
        lambda x: torch.gradient(x, spacing=(torch.tensor(COORDINATES),), dim=-1, edge_order=2)[0], (SAMPLES,),
        lambda x: np.gradient(x, COORDINATES, axis=1, edge_order=2)),
    "gradient at coordinates of the first order": (
        lambda x: torch.gradient(x.t(), spacing=[torch.tensor(COORDINATES)], dim=0)[0], (SAMPLES,),
        lambda x: np.gradient(x.T, COORDINATES, axis=0)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name):
    function, arrays, reference = CASES[name]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    found, expected = function(*tensors), reference(*arrays)
    for y, e in zip(*((v,) if not isinstance(v, tuple) else v for v in (found, expected)), strict=True):
        np.testing.assert_allclose(y.detach().numpy(), e, rtol=1e-9, atol=1e-12)
    assert gradcheck(function, tensors)
    assert gradgradcheck(function, tensors)
    single = function(*(t.detach().float() for t in tensors))
    assert (single[0] if isinstance(single, tuple) else single).dtype is torch.float32


NONE = torch.tensor([[[4.0, 2.0], [2.0, 3.0]], [[1.0, 2.0], [2.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]])
SINGULAR = torch.tensor([[[4.0, 2.0], [2.0, 3.0]], [[1.0, 2.0], [2.0, 4.0]]])


def test_what_has_no_result_is_reported():
    factor, info = linalg.cholesky_ex(NONE)
    assert (info.tolist(), info.dtype) == ([0, 2, 1], torch.int32)
    np.testing.assert_allclose(factor[0].numpy(), np.linalg.cholesky(NONE[0].numpy()), rtol=1e-6)
    assert factor[1:].isnan().all()
    inverse, info = linalg.inv_ex(SINGULAR)
    assert info.tolist() == [0, 2]
    np.testing.assert_allclose(inverse[0].numpy(), np.linalg.inv(SINGULAR[0].numpy()), rtol=1e-5)
    assert inverse[1].isnan().all()
    result, info = linalg.solve_ex(SINGULAR, torch.ones(2, 2, 1))
    assert info.tolist() == [0, 2]
    assert result[1].isnan().all() and not result[0].isnan().any()
    packed, _, info = linalg.lu_factor_ex(SINGULAR)
    assert info.tolist() == [0, 2]
    assert packed.tolist() == linalg.lu_factor(SINGULAR)[0].tolist()
    assert linalg.inv_ex(torch.eye(2)).info.shape == ()
    assert linalg.cholesky_ex(torch.zeros(0, 2, 2)).info.shape == (0,)


def test_gradients_of_those_that_have_a_result():
    a = NONE.clone().requires_grad_()
    factor, info = linalg.cholesky_ex(a)
    factor[info == 0].sum().backward()
    assert not a.grad.isnan().any()
    assert a.grad[0].abs().sum() > 0


def test_divisors():
    a, b = np.array([[12, -18, 0, 7]]), np.array([[8], [12], [0]])
    for name in ("gcd", "lcm"):
        for kind in (torch.int32, torch.int64):
            x, y = (torch.tensor(v, dtype=kind) for v in (a, b))
            found = getattr(torch, name)(x, y)
            assert found.dtype is kind
            np.testing.assert_array_equal(found.numpy(), getattr(np, name)(a, b))
        out = torch.zeros(3, 4, dtype=torch.int64)
        assert getattr(torch, name)(torch.tensor(a), torch.tensor(b), out=out) is out
    x = torch.tensor([12, 18])
    assert x.gcd_(torch.tensor([8, 12])).tolist() == [4, 6]
    assert x.lcm_(torch.tensor([6, 4])).tolist() == [12, 12]


REFUSED = [
    (
        lambda: linalg.cholesky_ex(NONE, check_errors=True),
        linalg.LinAlgError,
        r"\(Batch element 1\).*order 2",
    ),
    (lambda: linalg.inv_ex(SINGULAR[1], check_errors=True), linalg.LinAlgError, "diagonal element 2"),
    (lambda: linalg.solve_ex(SINGULAR, torch.ones(2), check_errors=True), linalg.LinAlgError, "singular"),
    (lambda: linalg.lu_factor_ex(SINGULAR, check_errors=True), RuntimeError, r"U\[2,2\] is zero"),
    (lambda: linalg.tensorinv(torch.ones(2, 3), 0), RuntimeError, "strictly positive integer for 'ind'"),
    (lambda: linalg.tensorinv(torch.ones(2, 3, 4)), RuntimeError, "but got 4 != 6"),
    (lambda: linalg.tensorsolve(torch.ones(2, 3, 5), torch.ones(2)), RuntimeError, "but got 15 != 2"),
    (lambda: linalg.vander(torch.ones(3), N=1), RuntimeError, "N must be greater than 1, got 1"),
    (lambda: linalg.vander(torch.ones(3, dtype=torch.bool)), RuntimeError, "but got bool"),
    (lambda: torch.gcd(torch.ones(2), torch.ones(2)), NotImplementedError, "not implemented for float32"),
    (lambda: torch.gcd(torch.ones(2).int(), 2), TypeError, "argument 2 must be Tensor, not int"),
    (lambda: torch.gradient(torch.ones(1)), RuntimeError, r"at least edge_order\+1"),
    (lambda: torch.gradient(torch.ones(4), edge_order=3), RuntimeError, "only supports edge_order=1 and"),
    (lambda: torch.gradient(torch.ones(3, 4), spacing=[1.0]), RuntimeError, "a list of length 2"),
    (lambda: torch.gradient(torch.ones(3), spacing=[torch.ones(2)]), RuntimeError, "expected 3 coordinates"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_slopes_in_a_compiled_step():
    @torch.compile(fullgraph=True)
    def step(x):
        return torch.gradient(x, dim=1)[0], linalg.vander(x[0])

    for k in range(4):
        x = torch.tensor(SAMPLES + k)
        slopes, powers = step(x)
        np.testing.assert_allclose(slopes.numpy(), np.gradient(SAMPLES, axis=1), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(powers.numpy(), (SAMPLES[0] + k)[:, None] ** np.arange(5), rtol=1e-12)


INVERSES = {
    "inv": linalg.inv,
    "inv_ex": lambda a: linalg.inv_ex(a).inverse,
    "of a turned matrix": lambda a: linalg.inv(a.mT),
}


@pytest.mark.parametrize("name", INVERSES)
def test_what_was_inverted_may_be_written_over(name):
    """The gradient of an inverse, and the gradient of that, read the inverse alone."""
    given = torch.tensor(np.random.default_rng(3).standard_normal((2, 3, 3)), requires_grad=True)

    def gradients(overwritten):
        a = given * 1
        found = INVERSES[name](a)
        if overwritten:
            a.mul_(0)
        (first,) = torch.autograd.grad(found.square().sum(), given, create_graph=True)
        return first.detach().numpy(), torch.autograd.grad(first.square().sum(), given)[0].numpy()

    for found, expected in zip(gradients(True), gradients(False), strict=True):
        np.testing.assert_array_equal(found, expected)
