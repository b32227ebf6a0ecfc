"""Functions of rarer use give PyTorch's values, gradients and dtypes; compiled steps give those of eager ones."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import jitgrad

torch = pytest.importorskip("torch")

INF, NAN = np.inf, np.nan
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -2.5, 1e-20, 30.0, INF, -INF, NAN]
ONE = ["asinh", "acosh", "atanh", "sinc", "erfinv", "erfc", "lgamma", "digamma", "sgn", "sign", "signbit",
       "isposinf", "isneginf", "isreal", "frac", "fix", "rad2deg", "deg2rad", "absolute", "negative"]  # fmt: skip
TWO = ["logaddexp", "logaddexp2", "hypot", "xlogy", "heaviside", "ldexp", "arctan2", "dist"]
# jitgrad's trigamma keeps its digits, and is infinite at every pole; PyTorch's gradient of sgn has no memory
GRADIENTS = [
    name for name in ONE if name not in ("signbit", "isposinf", "isneginf", "isreal", "digamma", "sgn")
]


def same(found, expected, rtol=1e-12):
    assert found.dtype.name == str(expected.dtype).removeprefix("torch.")
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=rtol, atol=1e-300)


@pytest.mark.parametrize("name", ONE)
def test_values_of_one(name):
    for kind, rtol in (("float64", 1e-12), ("float32", 2e-6)):
        x = np.array(SPECIAL * 2, kind)
        same(getattr(jitgrad, name)(jitgrad.tensor(x)), getattr(torch, name)(torch.tensor(x)), rtol)


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_of_one(name):
    gradients = []
    for lib in (jitgrad, torch):
        x = lib.tensor(np.array(SPECIAL), requires_grad=True)
        getattr(lib, name)(x).sum().backward()
        gradients.append(x.grad)
    found, expected = (g.numpy() for g in gradients)
    if name == "absolute":  # of nan jitgrad's slope is nan
        found, expected = found[:-1], expected[:-1]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-19)


@pytest.mark.parametrize("name", TWO)
def test_values_and_gradients_of_two(name):
    results = []
    grid = [v.ravel() for v in np.meshgrid(SPECIAL, SPECIAL)]
    for lib in (jitgrad, torch):
        a, b = (lib.tensor(v, requires_grad=name != "heaviside") for v in grid)
        y = getattr(lib, name)(a, b)
        if name != "heaviside":
            y.sum().backward()
        results.append((y.detach().numpy(), *(x.grad.numpy() for x in (a, b) if x.grad is not None)))
    for found, expected in zip(*results, strict=True):
        if name == "hypot":  # next to infinity a quotient of infinities in both, by another way
            finite = np.isfinite(expected)
            found, expected = found[finite], expected[finite]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-16)


CALLS = {
    "trace": lambda t, x, y: t.trace(x),
    "cross": lambda t, x, y: t.cross(x, y, dim=1),
    "cross of the first": lambda t, x, y: t.cross(x, y),
    "dist 3": lambda t, x, y: t.dist(x, y, 3),
    "fill_diagonal_": lambda t, x, y: (x * y).fill_diagonal_(2.5, wrap=True),
    "addmm_": lambda t, x, y: (x * 1).addmm_(x, y, beta=0.5),
    "ldexp_": lambda t, x, y: (x * 1).ldexp_(y),
    "logit_": lambda t, x, y: (x * 1).logit_(0.2),
    **{
        f"scatter_reduce {r} {s}": lambda t, x, y, r=r, s=s: t.scatter_reduce(
            x, 0, t.tensor([[0, 1, 1], [2, 2, 1], [0, 1, 0]]), y, r, include_self=s
        )
        for r in ("sum", "prod", "mean", "amax", "amin")
        for s in (True, False)
    },
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(name):
    rng = np.random.default_rng(6)
    arrays = rng.uniform(0.1, 0.9, (3, 3)), rng.uniform(0.1, 0.9, (3, 3))
    results = []
    for lib in (jitgrad, torch):
        tensors = [lib.tensor(v, requires_grad=True) for v in arrays]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch's, of cross without dim
            y = CALLS[name](lib, *tensors)
        (y * y).sum().backward()
        used = [x.grad for x in tensors if x.grad is not None]
        results.append([v.detach().numpy() for v in (y, *used)])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


COMPILED = {**{n: CALLS[n] for n in CALLS if "cross of" not in n},
            **{n: lambda t, x, y, n=n: getattr(t, n)(x * y) for n in ("asinh", "sinc", "lgamma", "erfinv")},
            **{n: lambda t, x, y, n=n: getattr(t, n)(x, y) for n in ("logaddexp", "hypot", "xlogy")}}  # fmt: skip


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_equals_eager(name):
    rng = np.random.default_rng(8)
    starts = [rng.uniform(0.1, 0.9, (3, 3)) for _ in range(2)]
    batches = [rng.uniform(0.5, 1.0, (3, 3)) for _ in range(4)]
    results = []
    for compiles in (False, True):
        weights = [jitgrad.tensor(v, requires_grad=True) for v in starts]
        optimizer = jitgrad.optim.SGD(weights, lr=0.01)

        def step(x, weights=weights, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (COMPILED[name](jitgrad, weights[0] * x, weights[1] * x) ** 2).sum()
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = jitgrad.compile(step) if compiles else step
        losses = [run(jitgrad.tensor(v)).item() for v in batches]
        results.append([np.array(losses), *(w.detach().numpy() for w in weights)])
    for eager, compiled in zip(*results, strict=True):
        np.testing.assert_array_equal(compiled, eager)
