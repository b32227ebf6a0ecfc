"""Bessel functions, polygamma, zeta, entropy and normal quantiles: values, ends, derivatives, programs, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradients import check_gradients

import jitgrad as torch
from jitgrad import special

INF, NAN = math.inf, math.nan
FLOATS = ("float32", "float64")


def tensor(values, dtype="float64", **options):
    return torch.tensor(np.array(values, dtype), **options)


def _slope_of_trigamma(x):
    x = x.requires_grad_()
    return torch.autograd.grad(torch.polygamma(1, x).sum(), x)[0]


EXACT = {
    "i0": (special.i0, lambda m, v: m.besseli(0, v), [(-1, 1), (7, 9), (-60, 60)], 6),
    "i0e": (special.i0e, lambda m, v: m.exp(-abs(v)) * m.besseli(0, v), [(-9, 9), (9, 1000)], 6),
    "i1": (special.i1, lambda m, v: m.besseli(1, v), [(-1, 1), (7, 9), (-60, 60)], 6),
    "i1e": (special.i1e, lambda m, v: m.exp(-abs(v)) * m.besseli(1, v), [(-9, 9), (9, 1000)], 6),
    "entr": (special.entr, lambda m, v: -v * m.log(v), [(0.01, 0.8), (1.2, 40)], 3),
    "ndtri": (special.ndtri, lambda m, v: m.sqrt(2) * m.erfinv(2 * v - 1), [(1e-9, 0.3), (0.6, 0.99)], 8),
    "log_ndtr": (special.log_ndtr, lambda m, v: m.log(m.ncdf(v)), [(-20, -5), (-5, 0.5), (1, 6)], 64),
    "polygamma 1": (
        lambda x: torch.polygamma(1, x),
        lambda m, v: m.psi(1, v),
        [(-3.8, -3.2), (0.01, 3), (3, 60)],
        8,
    ),
    "its slope": (_slope_of_trigamma, lambda m, v: m.psi(2, v), [(-3.8, -3.6), (0.01, 3), (3, 60)], 8),
    "polygamma 2": (lambda x: torch.polygamma(2, x), lambda m, v: m.psi(2, v), [(0.01, 3), (3, 60)], 8),
    "polygamma 5": (lambda x: torch.polygamma(5, x), lambda m, v: m.psi(5, v), [(0.01, 3), (3, 60)], 8),
    "zeta": (lambda x: special.zeta(2.5, x), lambda m, v: m.zeta(2.5, v), [(0.01, 3), (3, 60)], 8),
    "mvlgamma": (
        lambda x: torch.mvlgamma(x, 3),
        lambda m, v: sum(m.loggamma(v - m.mpf(j) / 2) for j in range(3)) + 1.5 * m.log(m.pi),
        [(3, 60)],
        8,
    ),
}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", EXACT)
def test_accurate_to_the_last_places(name, dtype):
    mpmath = pytest.importorskip("mpmath")
    function, reference, ranges, places = EXACT[name]
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(*ends, 60) for ends in ranges]).astype(dtype)
    with mpmath.workdps(40):
        exact = np.array([float(reference(mpmath, mpmath.mpf(float(v)))) for v in x])
    found = function(torch.tensor(x)).numpy()
    np.testing.assert_allclose(found, exact, rtol=places * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (special.i0, [0, -0.0, INF, -INF, NAN], [1, 1, INF, INF, NAN]),
        (special.i1, [0, INF, -INF, NAN], [0, INF, -INF, NAN]),
        (special.i0e, [0, INF, -INF, NAN], [1, 0, 0, NAN]),
        (special.i1e, [0, INF, -INF, NAN], [0, 0, 0, NAN]),
        (special.entr, [0, 1, -1, -INF, INF, NAN], [0, 0, -INF, -INF, -INF, NAN]),
        (special.ndtri, [0, 0.5, 1, -0.1, 1.1, NAN], [-INF, 0, INF, NAN, NAN, NAN]),
        (lambda x: special.zeta(2.0, x), [0, -1, -2.5, INF, NAN], [INF, INF, NAN, 0, NAN]),
        (lambda x: special.zeta(x, 1.0), [1, 0.5, -INF, NAN], [INF, NAN, NAN, NAN]),
        (lambda x: special.xlog1py(0.0, x), [0, -1, -2, NAN, INF], [0, 0, 0, NAN, 0]),
    ],
)  # fmt: skip
def test_ends_and_poles(function, x, expected, dtype):
    np.testing.assert_array_equal(function(tensor(x, dtype)).numpy(), np.array(expected, dtype))


def test_the_tails_of_quantiles_and_logarithms_keep_their_digits():
    p = tensor([1e-300, 1e-20, 1e-5, 0.0999, 0.1001])
    np.testing.assert_allclose(
        special.ndtri(p).numpy(),
        [-37.0471, -9.262340089798409, -4.264890793922825, -1.2821217, -1.2809819],
        rtol=1e-5,
    )
    np.testing.assert_allclose(special.ndtr(special.ndtri(p)).numpy(), p.numpy(), rtol=1e-12)
    x = tensor([5.0, 10.0, 30.0])
    np.testing.assert_allclose(
        special.log_ndtr(x).numpy(), [-0.5 * math.erfc(v / math.sqrt(2)) for v in x.tolist()], rtol=1e-6
    )


A, B = np.array([[0.3, 0.7, 1.4], [2.5, 3.1, 0.9]]), np.array([0.4, 1.3, 6.0])
DERIVABLE = {
    "i0": lambda a, b: special.i0(a * b),
    "i0e": lambda a, b: special.i0e(a * b * 2),
    "i1": lambda a, b: special.i1(a * b),
    "i1e": lambda a, b: special.i1e(a * b * 2),
    "entr": lambda a, b: special.entr(a * b),
    "xlog1py": lambda a, b: special.xlog1py(a, b),
    "ndtri": lambda a, b: special.ndtri(torch.sigmoid(a - b)),
    "log_ndtr": lambda a, b: special.log_ndtr(a * 4 - b * 2),
    "trigamma": lambda a, b: torch.polygamma(1, a * b),
    "tetragamma": lambda a, b: (a * b).polygamma(2),
    "zeta": lambda a, b: special.zeta(a + 1.3, a * b),
    "mvlgamma": lambda a, b: torch.mvlgamma(a * b + 1, 3),
}


@pytest.mark.parametrize("name", DERIVABLE)
def test_first_and_second_derivatives(name):
    check_gradients(DERIVABLE[name], A, B)
    assert torch.autograd.gradgradcheck(
        DERIVABLE[name], [torch.tensor(v, requires_grad=True) for v in (A, B)]
    )


@pytest.mark.parametrize(("name", "slope"), [("i0", 0.0), ("i1", 0.5), ("i0e", 0.0), ("i1e", 0.5)])
def test_slopes_of_bessel_functions_at_zero(name, slope):
    x = tensor([0.0], requires_grad=True)
    (found,) = torch.autograd.grad(getattr(special, name)(x).sum(), x)
    assert found.tolist() == [slope]


@pytest.mark.parametrize("name", DERIVABLE)
def test_compiled_calls_give_what_eager_calls_give(name):
    w = torch.tensor(A[0] + 0.5, requires_grad=True)

    def step(x):
        w.grad = None
        y = DERIVABLE[name](x, w).sum()
        y.backward()
        return y

    compiled = torch.compile(step, fullgraph=True)
    for k in range(4):
        x = torch.tensor(A + 0.1 * k)
        expected, slope = step(x).item(), w.grad.tolist()
        assert (compiled(x).item(), w.grad.tolist()) == (expected, slope)


def test_integers_views_nothing_and_writes_in_place():
    whole = torch.tensor([[1, 2], [3, 4]])
    functions = [
        torch.i0,
        special.i1e,
        special.entr,
        lambda x: torch.polygamma(2, x),
        lambda x: special.zeta(2, x),
    ]
    for function in functions:
        assert function(whole).dtype is torch.float32
        assert function(torch.zeros(0, 3)).shape == (0, 3)
        np.testing.assert_allclose(function(whole.t()).numpy(), function(whole.float()).numpy().T)
    x = tensor([0.5, 2.0])
    assert x.clone().i0_().tolist() == torch.i0(x).tolist()
    assert x.clone().polygamma_(2).tolist() == torch.polygamma(2, x).tolist()
    assert (x + 3).mvlgamma_(2).tolist() == special.multigammaln(x + 3, 2).tolist()
    assert special.xlog1py(x[:, None], tensor([1.0, 2.0, 3.0])).shape == (2, 3)
    np.testing.assert_allclose(special.xlog1py(x, 2).numpy(), x.numpy() * math.log(3))


REFUSED = [
    (lambda: torch.polygamma(-1, torch.ones(2)), RuntimeError, "does not support negative n; got -1"),
    (lambda: torch.polygamma(2.0, torch.ones(2)), TypeError, "'n' must be int, not float"),
    (lambda: torch.polygamma(2, [1.0]), TypeError, "must be Tensor, not list"),
    (lambda: torch.mvlgamma(torch.ones(2), 0), RuntimeError, "p has to be greater than or equal to 1, got 0"),
    (lambda: special.xlog1py(1.0, 2.0), TypeError, "xlog1py.*must be Tensor, not float"),
    (lambda: special.zeta(1.0, 2.0), TypeError, "zeta.*must be Tensor, not float"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("name", ["i0", "i0e", "i1", "i1e", "entr", "ndtri"])
def test_values_and_slopes_are_those_of_pytorch(name):
    other = pytest.importorskip("torch")
    x = np.array(
        [0.0, 0.1, 0.5, 0.95, 1.0, 1e-12] + ([] if name in ("ndtri", "entr") else [-3.0, 9.0, -20.0])
    )
    results = []
    for lib in (torch, other):
        t = lib.tensor(x, requires_grad=True)
        y = getattr(lib.special, name)(t)
        y.sum().backward()
        results.append((y.detach().numpy(), t.grad.numpy()))
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)
