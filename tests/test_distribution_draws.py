"""Draws of gamma, Poisson and binomial numbers: distribution, implicit gradients, incomplete gamma functions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from random_cases import MANY

import jitgrad
import jitgrad.distributions
from jitgrad.autograd import gradcheck, gradgradcheck
from jitgrad.functions.gamma_draws import log_standard_gamma


@pytest.mark.parametrize("alpha", [0.02, 0.6, 1.0, 3.0, 40.0, 5000.0])
def test_the_gradient_of_gamma_numbers_keeps_their_quantile(alpha):
    special = pytest.importorskip("scipy.special")
    jitgrad.manual_seed(7)
    shape = jitgrad.full((200,), alpha, dtype=jitgrad.float64, requires_grad=True)
    logarithm = log_standard_gamma(shape)
    logarithm.sum().backward()
    z = np.exp(logarithm.detach().numpy())
    usual = (special.gammainc(alpha, z) > 1e-3) & (special.gammainc(alpha, z) < 0.999)
    step = 1e-4 * alpha
    quantile = special.gammainc(alpha, z[usual])
    ends = [np.log(special.gammaincinv(alpha + s * step, quantile)) for s in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(shape.grad.numpy()[usual], expected, rtol=1e-5)


@pytest.mark.parametrize("alpha", [0.05, 0.5, 1.0, 2.5, 300.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gamma_numbers_have_the_distribution(alpha, dtype):
    jitgrad.manual_seed(20240613)
    distribution = jitgrad.distributions.Gamma(
        jitgrad.tensor(alpha, dtype=getattr(jitgrad, dtype)),
        jitgrad.tensor(2.0, dtype=getattr(jitgrad, dtype)),
    )
    uniform = distribution.cdf(distribution.sample((MANY,))).double().numpy()
    for power in (1, 2, 3, 4):
        deviation = math.sqrt(1 / (2 * power + 1) - 1 / (power + 1) ** 2)
        assert abs((uniform**power).mean() - 1 / (power + 1)) < 5 * deviation / math.sqrt(MANY), power


@pytest.mark.parametrize("rate", [0.0, 0.3, 15.5, 900.0, 1e10])
def test_poisson_numbers_have_the_moments(rate):
    jitgrad.manual_seed(20240614)
    drawn = jitgrad.poisson(jitgrad.full((MANY,), rate, dtype=jitgrad.float64)).numpy()
    assert (drawn == np.floor(drawn)).all() and (drawn >= 0).all()
    assert abs(drawn.mean() - rate) <= 5 * math.sqrt(rate / MANY)
    assert abs(drawn.var() - rate) <= 0.05 * rate


@pytest.mark.parametrize(("rate", "values"), [(0.7, 6), (20.0, 45)])
def test_frequencies_of_poisson_numbers_are_probabilities(rate, values):
    jitgrad.manual_seed(20240615)
    drawn = jitgrad.poisson(jitgrad.full((MANY,), rate, dtype=jitgrad.float64)).numpy()
    k = np.arange(values)
    expected = np.exp(k * math.log(rate) - rate - np.array([math.lgamma(i + 1.0) for i in k]))
    found = (drawn[:, None] == k).mean(0)
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / MANY) + 1e-9).all()


@pytest.mark.parametrize(("count", "prob"), [(1.0, 0.3), (20.0, 0.97), (500.0, 0.02), (7.0, 0.0), (7.0, 1.0)])
def test_frequencies_of_binomial_numbers_are_probabilities(count, prob):
    jitgrad.manual_seed(20240616)
    full = lambda x: jitgrad.full((MANY,), x, dtype=jitgrad.float64)  # noqa: E731
    drawn = jitgrad.binomial(full(count), full(prob)).numpy()
    n = int(count)
    expected = np.array([math.comb(n, k) * prob**k * (1 - prob) ** (n - k) for k in range(n + 1)])
    found = (drawn[:, None] == np.arange(n + 1)).mean(0)
    assert (np.abs(found - expected) <= 5 * np.sqrt(expected / MANY) + 1e-9).all()


@pytest.mark.parametrize("name", ["poisson", "binomial"])
def test_draws_follow_their_generator(name):
    g = jitgrad.Generator().manual_seed(5)
    rate, p = jitgrad.full((100,), 4.0), jitgrad.full((100,), 0.5)
    call = {
        "poisson": lambda: jitgrad.poisson(rate, generator=g),
        "binomial": lambda: jitgrad.binomial(rate, p, generator=g),
    }[name]
    first = call().tolist()
    assert call().tolist() != first
    g.manual_seed(5)
    assert call().tolist() == first


def test_implicit_gradients_of_samples_by_finite_differences():
    """The mean of a function of samples, and the mean of its gradients."""
    jitgrad.manual_seed(20240617)
    D = jitgrad.distributions
    for make, exact in (
        (lambda a: D.Gamma(a, 2.0), lambda a: (2 * a + 1) / 4),  # of E[x^2] = a (a + 1) / 4
        (lambda a: D.Beta(a, a * 0 + 2.0), lambda a: None),
        (lambda a: D.StudentT(a + 4.0), lambda a: None),
    ):
        a = jitgrad.tensor(1.5, dtype=jitgrad.float64, requires_grad=True)
        make(a).rsample((MANY,)).square().mean().backward()
        distribution = make(a)
        moment = distribution.variance + distribution.mean.square()
        (expected,) = jitgrad.autograd.grad(moment, a)
        if exact(1.5) is not None:
            assert expected.item() == pytest.approx(exact(1.5))
        assert a.grad.item() == pytest.approx(expected.item(), rel=0.05)


def test_small_concentrations_give_probabilities():
    jitgrad.manual_seed(3)
    drawn = jitgrad.distributions.Dirichlet(jitgrad.full((1000, 3), 1e-3)).sample()
    assert drawn.isfinite().all() and np.allclose(drawn.sum(-1).numpy(), 1)
    assert jitgrad.distributions.Beta(1e-3, 1e-3).sample((1000,)).isfinite().all()


@pytest.mark.parametrize("name", ["igamma", "igammac"])
def test_incomplete_gamma_functions_are_scipys(name):
    torch = pytest.importorskip("torch")
    special = pytest.importorskip("scipy.special")
    rng = np.random.default_rng(0)
    a = np.exp(rng.uniform(-7, 9, 5000))
    x = a * np.exp(2 * rng.normal(0, 1, 5000) / np.sqrt(np.minimum(a, 50)))
    expected = {"igamma": special.gammainc, "igammac": special.gammaincc}[name](a, x)
    function = getattr(jitgrad, name)
    np.testing.assert_allclose(
        function(jitgrad.tensor(a), jitgrad.tensor(x)).numpy(), expected, rtol=1e-9, atol=1e-280
    )
    edges = jitgrad.tensor(
        [[0.0, 2.0], [3.0, 0.0], [2.0, math.inf], [0.0, 0.0], [-1.0, 1.0]], dtype=jitgrad.float64
    )
    np.testing.assert_allclose(
        function(edges[:, 0], edges[:, 1]).numpy(),
        getattr(torch, name)(*torch.tensor(edges.numpy()).T.contiguous()).numpy(),
    )
    usual = (a > 0.3) & (a < 50) & (x > 0.1)
    some = jitgrad.tensor(x[usual][:6], requires_grad=True)
    assert gradcheck(lambda x: function(jitgrad.tensor(a[usual][:6]), x), (some,))
    assert gradgradcheck(lambda x: function(jitgrad.tensor(a[usual][:6]), x), (some,))


def test_the_shape_of_an_incomplete_gamma_function_has_no_gradient():
    a = jitgrad.tensor(2.0, requires_grad=True)
    with pytest.raises(NotImplementedError, match="igamma"):
        jitgrad.igamma(a, jitgrad.tensor(1.0)).backward()
