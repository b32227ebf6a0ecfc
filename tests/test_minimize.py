"""`optim.minimize` over SciPy's methods, and L-BFGS in float64."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn
from jitgrad.optim import minimize

pytest.importorskip("scipy")

START = [-1.2, 1.0, 0.7]


def rosenbrock(x):
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def start(dtype=torch.float64):
    return torch.tensor(START, dtype=dtype)


@pytest.mark.parametrize(
    "method",
    [None, "BFGS", "L-BFGS-B", "CG", "Newton-CG", "trust-ncg", "trust-krylov", "trust-exact", "SLSQP", "TNC"],
)
def test_rosenbrock_to_ten_digits(method):
    options = {"maxfun": 1000} if method == "TNC" else {"maxiter": 2000}
    tolerance = {"CG": 1e-9, "trust-krylov": 1e-9}.get(method, 1e-13)
    result = minimize(rosenbrock, start(), method, tol=tolerance, options=options)
    np.testing.assert_allclose(result.x.numpy(), np.ones(3), atol=1e-6)
    assert result.fun < 1e-10
    assert result.x.dtype is torch.float64
    assert result.nit > 3
    assert result.njev > 0
    uses = method in ("Newton-CG", "trust-ncg", "trust-krylov", "trust-exact")
    assert result.hessian == ("exact" if uses else "unused")
    assert (result.nhev > 0) == uses


@pytest.mark.parametrize("method", ["Nelder-Mead", "Powell", "COBYLA"])
def test_methods_without_gradients(method):
    result = minimize(lambda x: ((x - 2.0) ** 2).sum(), torch.zeros(2, dtype=torch.float64), method, tol=1e-8)
    np.testing.assert_allclose(result.x.numpy(), [2, 2], atol=1e-4)
    assert result.jac is None
    assert result.njev == 0


def test_trust_constr_takes_hessian_products():
    result = minimize(rosenbrock, start(), "trust-constr", options={"gtol": 1e-10, "maxiter": 200})
    np.testing.assert_allclose(result.x.numpy(), np.ones(3), atol=1e-6)
    assert result.hessian == "exact"


def test_gradients_and_hessian_products_are_exact():
    from jitgrad.optim._minimize import _Problem
    from jitgrad.optim._structure import structure_of

    problem = _Problem(rosenbrock, structure_of(start()), ())
    x = np.array(START)
    value, gradient = problem.value_and_gradient(x)
    from scipy import optimize

    assert value == pytest.approx(optimize.rosen(x), rel=1e-14)
    np.testing.assert_allclose(gradient, optimize.rosen_der(x), rtol=1e-12)
    np.testing.assert_allclose(problem.hessian(x), optimize.rosen_hess(x), rtol=1e-12, atol=1e-10)


def test_nested_tensors():
    a, b = torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.tensor(3.0, dtype=torch.float64)

    def fun(x, scale):
        return scale * ((x["a"] - a) ** 2).sum() + (x["b"][0] - b) ** 2

    x0 = {"a": torch.zeros(1, 2, dtype=torch.float64), "b": (torch.zeros((), dtype=torch.float64),)}
    result = minimize(fun, x0, args=(2.0,), tol=1e-12)
    assert type(result.x["b"]) is tuple
    np.testing.assert_allclose(result.x["a"].numpy(), [[1, 2]], atol=1e-9)
    assert result.x["b"][0].item() == pytest.approx(3.0)
    assert result.jac["a"].shape == (1, 2)
    assert x0["a"].tolist() == [[0.0, 0.0]]
    assert not x0["a"].requires_grad


def test_a_modules_parameters():
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 30, dtype=torch.float64).unsqueeze(1)
    y = 3 * x - 0.5
    model = nn.Linear(1, 1).double()
    result = minimize(lambda m: nn.functional.mse_loss(m(x), y), model, "L-BFGS-B", tol=1e-14)
    assert model.weight.item() == pytest.approx(3, abs=1e-6)
    assert model.bias.item() == pytest.approx(-0.5, abs=1e-6)
    assert result.x["weight"].item() == model.weight.item()
    assert model.weight.grad is None
    assert model.weight.is_leaf


def test_frozen_parameters_stay_and_errors_restore():
    model = nn.Linear(2, 1).double()
    model.bias.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    calls = []

    def fun(m):
        calls.append(1)
        if len(calls) > 2:
            raise KeyError("stop here")
        return (m(torch.ones(1, 2, dtype=torch.float64)) ** 2).sum()

    with pytest.raises(KeyError, match="stop here"):
        minimize(fun, model)
    for name, value in model.state_dict().items():
        assert value.tolist() == before[name].tolist()
    result = minimize(lambda m: (m(torch.ones(1, 2, dtype=torch.float64)) ** 2).sum(), model)
    assert list(result.x) == ["weight"]
    assert model.bias.tolist() == before["bias"].tolist()


def test_bounds_and_constraints():
    x0 = torch.tensor([0.0, 0.0], dtype=torch.float64)
    high = torch.tensor([1.0, 5.0], dtype=torch.float64)
    result = minimize(lambda x: ((x - 3) ** 2).sum(), x0, bounds=(None, high))
    np.testing.assert_allclose(result.x.numpy(), [1, 3], atol=1e-6)
    result = minimize(lambda x: ((x - 3) ** 2).sum(), x0, bounds=[(0, 2), (0, 2)])
    np.testing.assert_allclose(result.x.numpy(), [2, 2], atol=1e-6)
    circle = {"type": "eq", "fun": lambda x: (x**2).sum() - 1}
    result = minimize(lambda x: x.sum(), x0 - 0.5, "SLSQP", constraints=circle, tol=1e-12)
    np.testing.assert_allclose(result.x.numpy(), [-(0.5**0.5)] * 2, atol=1e-6)


@pytest.mark.parametrize("method", ["BFGS", "SLSQP", "Nelder-Mead"])
def test_callback_and_stopping(method):
    seen = []

    def callback(progress):
        seen.append(progress)
        if method == "BFGS" and progress.nit == 3:
            raise StopIteration

    result = minimize(rosenbrock, start(), method, callback=callback, options={"maxiter": 6})
    assert [p.nit for p in seen] == list(range(1, len(seen) + 1))
    assert len(seen) in {"BFGS": (3,), "SLSQP": (6,), "Nelder-Mead": (5, 6)}[method]
    assert seen[-1].x.shape == (3,)
    assert seen[0].fun >= seen[-1].fun
    assert not result.success


def test_operations_that_have_no_second_derivative_fall_back_and_say_so():
    def forward(x, out):
        for i in range(x.shape[0]):
            out[0] += x[i] ** 4

    def back(x, g, grad):
        for i in range(x.shape[0]):
            grad[i] = 4 * g * x[i] ** 3

    op = torch.op("quartic", forward, signature="(n)->()", x=back)
    x0 = torch.tensor([1.0, -2.0], dtype=torch.float64)
    with pytest.warns(UserWarning, match="Hessian products are finite differences of gradients"):
        result = minimize(op, x0, "Newton-CG", tol=1e-10)
    assert result.hessian == "finite differences of gradients"
    assert result.fun < 1e-8


def test_float32_works_to_its_precision():
    result = minimize(lambda x: ((x - 2.0) ** 2).sum(), torch.zeros(2))
    assert result.x.dtype is torch.float32
    np.testing.assert_allclose(result.x.numpy(), [2, 2], rtol=1e-3)


@pytest.mark.parametrize(
    ("fun", "x0", "error", "message"),
    [
        (rosenbrock, [1.0, 2.0], TypeError, r"x0\[0\] is of type float; expected a Tensor"),
        (rosenbrock, torch.tensor([1, 2]), TypeError, "x0 is int64; only floating-point"),
        (rosenbrock, (), ValueError, "x0 holds no tensors"),
        (lambda x: 1.0, torch.ones(2), TypeError, "fun must give a Tensor, got float"),
        (lambda x: x, torch.ones(2), RuntimeError, r"one number, got a tensor of shape \(2,\)"),
        (lambda x: x.detach().sum(), torch.ones(2), RuntimeError, "does not depend on x through recorded"),
    ],
)
def test_misuse(fun, x0, error, message):
    with pytest.raises(error, match=message):
        minimize(fun, x0)


def test_without_scipy(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"pip install 'jitgrad\[science\]'"):
        minimize(rosenbrock, start())


def test_lbfgs_in_float64_solves_rosenbrock():
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [x], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-14, tolerance_change=1e-18
    )

    def closure():
        optimizer.zero_grad()
        loss = rosenbrock(x)
        loss.backward()
        return loss

    optimizer.step(closure)
    np.testing.assert_allclose(x.detach().numpy(), [1, 1], atol=1e-10)
    assert rosenbrock(x).item() < 1e-18
