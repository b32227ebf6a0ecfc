"""Functions of rarer use: accuracy near zero, special values, dtypes, errors, higher derivatives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from gradients import check_gradients
from kernel_harness import kernel, worst_ulp

import jitgrad as torch
from jitgrad.kernels import special
from jitgrad.kernels.host import host

INF, NAN = math.inf, math.nan
EXTENDED = np.finfo(np.longdouble).nmant >= 63
FLOATS = ("float32", "float64")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    ("name", "low", "high", "bound"),
    [("arcsinh", -1, 1, 2.0), ("arccosh", 1, 3, 3.8), ("arctanh", -1, 1, 2.3)],
)
def test_inverse_hyperbolic_functions_are_accurate_to_the_last_places(name, low, high, bound, dtype):
    if dtype == "float64" and not EXTENDED:
        pytest.skip("NumPy has no wider type than float64 here to compare with")
    rng = np.random.default_rng(1)
    tiny = 10.0 ** rng.uniform(-30, 0, 3000)
    spread = {"arcsinh": 10.0 ** rng.uniform(-30, 30, 3000), "arccosh": 1 + 10.0 ** rng.uniform(-8, 30, 3000)}
    around = spread.get(name, tiny)
    x = np.concatenate([rng.uniform(low, high, 20_000), around, [1.0, 2.0**28, INF, NAN]])
    if name != "arccosh":
        x = np.concatenate([x, -x, [0.0, -0.0, 2.0]])
    else:
        x = np.concatenate([x, [0.5, -2.0, -INF]])
    x = x.astype(dtype)
    got = kernel(getattr(special, name), dtype)(x)
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.float64 if dtype == "float32" else np.longdouble))
    assert worst_ulp(got, exact) <= (bound if host().fma else bound + 1)
    zero = x == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(x[zero]))


def test_aliases_are_the_same_functions():
    for short, long in (("asinh", "arcsinh"), ("acosh", "arccosh"), ("atanh", "arctanh")):
        assert getattr(torch, short) is getattr(torch, long)
        assert getattr(torch.Tensor, short + "_") is getattr(torch.Tensor, long + "_")


def test_complementary_error_function_keeps_its_tail():
    x = torch.tensor([-3.0, 0.5, 5.0, 10.0, 20.0], dtype=torch.float64)
    np.testing.assert_allclose(torch.erfc(x).numpy(), [math.erfc(v) for v in x.tolist()], rtol=2e-15)


@pytest.mark.parametrize("dtype", FLOATS)
def test_slope_of_sinc_is_accurate_near_zero(dtype):
    x = torch.tensor(np.array([0.0, 1e-6, -1e-4, 1e-3, 0.01, 0.15, 0.17, 0.5, 1.0, -2.5], dtype))
    x.requires_grad_()
    torch.sinc(x).sum().backward()
    u = np.pi * x.detach().numpy().astype(float)
    terms = [(-1) ** k * 2 * k * u ** (2 * k - 1) / math.factorial(2 * k + 1) for k in range(1, 25)]
    np.testing.assert_allclose(x.grad.numpy(), np.pi * sum(terms), rtol=2e-5 if dtype == "float32" else 1e-13)


@pytest.mark.parametrize(
    ("function", "a", "b", "expected"),
    [
        (torch.logaddexp, [INF, -INF, INF, 1.0, NAN, 1000.0], [INF, -INF, -INF, -INF, 1.0, 1000.0],
         [INF, -INF, INF, 1.0, NAN, 1000 + math.log(2)]),
        (torch.logaddexp2, [INF, -INF, 5.0, 2000.0], [INF, -INF, 5.0, 0.0], [INF, -INF, 6.0, 2000.0]),
        (torch.hypot, [INF, 1.0, NAN, NAN, 0.0, 3e200, 3e-200], [NAN, INF, -INF, 1.0, 0.0, 4e200, 4e-200],
         [INF, INF, INF, NAN, 0.0, 5e200, 5e-200]),
        (torch.xlogy, [0.0, 0.0, 2.0, NAN, 0.0, 0.0], [0.0, -1.0, -1.0, 2.0, NAN, INF],
         [0.0, 0.0, NAN, NAN, NAN, 0.0]),
        (torch.heaviside, [NAN, 0.0, -1.0, 2.0], [0.5, 0.25, 0.5, 0.5], [0.0, 0.25, 0.0, 1.0]),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)  # fmt: skip
def test_special_values_of_two(function, a, b, expected):
    a, b = (torch.tensor(v, dtype=torch.float64) for v in (a, b))
    np.testing.assert_allclose(function(a, b).numpy(), expected, rtol=1e-15)


def test_special_values_of_one():
    x = torch.tensor([INF, -INF, NAN, -NAN, -0.0, 0.0, -2.0])
    assert torch.isposinf(x).tolist() == [True] + 6 * [False]
    assert torch.isneginf(x).tolist() == [False, True] + 5 * [False]
    assert torch.isreal(x).tolist() == 7 * [True]
    assert torch.signbit(x).tolist() == np.signbit(x.numpy()).tolist()
    assert torch.sgn(x).tolist() == torch.sign(x).tolist() == [1, -1, 0, 0, 0, 0, -1]
    np.testing.assert_array_equal(torch.sinc(x[:6]).numpy(), [NAN, NAN, NAN, NAN, 1, 1])


def test_integers_and_truth_values():
    whole, mask = torch.tensor([-1, 0, 3]), torch.tensor([True, False])
    assert torch.asinh(whole).dtype is torch.float32
    assert torch.sinc(mask).dtype is torch.float32
    assert torch.xlogy(whole, 2).dtype is torch.float32
    assert torch.xlogy(2, torch.tensor([1, 2])).tolist() == pytest.approx([0.0, 2 * math.log(2)])
    assert torch.signbit(whole).tolist() == [True, False, False]
    assert torch.signbit(mask).tolist() == torch.isposinf(mask).tolist() == [False, False]
    assert torch.isneginf(whole).tolist() == [False, False, False]
    assert torch.sgn(mask).tolist() == [True, False]
    assert torch.heaviside(whole, torch.tensor([5])).tolist() == [0, 5, 1]
    assert torch.heaviside(mask, torch.tensor([True])).tolist() == [True, True]
    assert torch.ldexp(whole, whole).tolist() == [-0.5, 0.0, 24.0]
    assert torch.ldexp(whole, torch.tensor(2.5, dtype=torch.float64)).dtype is torch.float64
    assert (
        torch.logaddexp(torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64)).dtype is torch.float64
    )


GENERATOR = np.random.default_rng(5)
A, B = GENERATOR.uniform(0.2, 0.9, (2, 3)), GENERATOR.uniform(0.2, 0.9, (3,))
SECOND = {
    "asinh": lambda a, b: torch.asinh(a * b),
    "acosh": lambda a, b: torch.acosh(1 + a * b),
    "atanh": lambda a, b: torch.atanh(a * b),
    "erfc": lambda a, b: torch.erfc(a * b),
    "sinc": lambda a, b: torch.sinc(a * b),
    "sinc near zero": lambda a, b: torch.sinc(a * b * 0.1),
    "logaddexp": torch.logaddexp,
    "logaddexp2": torch.logaddexp2,
    "hypot": torch.hypot,
    "xlogy": torch.xlogy,
    "ldexp": torch.ldexp,
}


@pytest.mark.parametrize("name", SECOND)
def test_first_and_second_derivatives(name):
    check_gradients(SECOND[name], A, B)
    tensors = [torch.tensor(v, requires_grad=True) for v in (A, B)]
    assert torch.autograd.gradgradcheck(SECOND[name], tensors)


def test_second_derivative_of_sinc_at_zero():
    x = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.sinc(x).sum(), x, create_graph=True)
    (curve,) = torch.autograd.grad(slope.sum(), x)
    np.testing.assert_allclose(curve.numpy(), [-(np.pi**2) / 3, 2.0], rtol=1e-14)


IN_PLACE = {
    "asinh_": (), "arccosh_": (), "atanh_": (), "sinc_": (), "sgn_": (), "xlogy_": (0.5,), "hypot_": (B,),
    "heaviside_": (B,), "ldexp_": (B,),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_forms(name):
    others = [torch.tensor(v) if isinstance(v, np.ndarray) else v for v in IN_PLACE[name]]
    x = torch.tensor(np.concatenate([A, [[0.0, 1.0, 2.0]]]))
    expected = getattr(torch, name[:-1])(x, *others).numpy()
    assert getattr(x, name)(*others) is x
    np.testing.assert_array_equal(x.numpy(), expected)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda w, f: torch.logaddexp(w, w), NotImplementedError, "not implemented"),
        (lambda w, f: torch.hypot(w, w), NotImplementedError, "not implemented"),
        (lambda w, f: f.hypot_(1.0), TypeError, "must be Tensor"),
        (lambda w, f: torch.logaddexp2(f, 1.0), TypeError, "must be Tensor"),
        (lambda w, f: torch.xlogy(1, 2.0), TypeError, "must be Tensor"),
        (lambda w, f: torch.heaviside(f, w), RuntimeError, "different dtypes"),
        (lambda w, f: torch.heaviside(f, 1.0), TypeError, "must be Tensor"),
        (lambda w, f: torch.ldexp(f, 2), TypeError, "must be Tensor"),
        (lambda w, f: w.asinh_(), RuntimeError, "can't be cast"),
        (lambda w, f: w.ldexp_(w), RuntimeError, "can't be cast"),
        (lambda w, f: torch.signbit(1.0), TypeError, "must be Tensor"),
        (lambda w, f: torch.hypot(f, torch.ones(4)), RuntimeError, "hypot"),
    ],
)
def test_refusals(call, error, words):
    with pytest.raises(error, match=words):
        call(torch.tensor([1, 2, 3]), torch.ones(3))


def test_the_slope_of_logit_is_infinite_at_its_ends_and_nan_beyond():
    x = torch.tensor([0.0, 0.5, 1.0, -0.5, 2.0, NAN], requires_grad=True)
    (slope,) = torch.autograd.grad(torch.logit(x).sum(), [x])
    np.testing.assert_array_equal(slope.numpy(), [INF, 4.0, INF, NAN, NAN, NAN])
    (slope,) = torch.autograd.grad(torch.logit(x[:5], eps=0.25).sum(), [x])
    np.testing.assert_array_equal(slope.numpy(), [0.0, 4.0, 0.0, 0.0, 0.0, 0.0])
