"""Divergences of distributions: integrals, gradients, infinities, and which formula is taken."""

from __future__ import annotations

import math

import numpy as np
import pytest
from distribution_cases import OTHERS, log_prob, make, mean_of, other, tensors

import jitgrad as torch
from jitgrad import distributions as D
from jitgrad.autograd import gradcheck


@pytest.mark.parametrize("name", OTHERS)
def test_divergence_is_the_mean_difference_of_logarithms(name):
    p, q = make(name), other(name)
    expected = mean_of(name, p, lambda x, logarithms: logarithms - log_prob(q, x))
    assert (expected > 1e-3).all()
    np.testing.assert_allclose(D.kl_divergence(p, q).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(D.kl_divergence(p, p).numpy(), 0, atol=1e-12)


@pytest.mark.parametrize("name", OTHERS)
def test_gradients_of_divergences(name):
    parameters = tensors(name, requires_grad=True)
    theirs = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in OTHERS[name].items()}

    def function(*given):
        count = len(parameters)
        p = getattr(D, name)(**dict(zip(parameters, given[:count], strict=True)))
        q = getattr(D, name)(**dict(zip(theirs, given[count:], strict=True)))
        return D.kl_divergence(p, q)

    if name == "Uniform":  # at equal ends the divergence jumps
        theirs["low"] = torch.tensor([0.4, -3.5], dtype=torch.float64, requires_grad=True)
    assert gradcheck(function, (*parameters.values(), *theirs.values()))


def test_divergence_is_infinite_where_q_has_no_values():
    inf = math.inf
    p = D.Uniform(torch.tensor([0.0, 0.0, 1.0]), 2.0)
    assert D.kl_divergence(p, D.Uniform(0.5, torch.tensor([3.0, 1.0, 3.0]))).tolist()[:2] == [inf, inf]
    sure, coin = torch.tensor([0.0, 1.0]), torch.tensor([0.5, 0.5])
    assert D.kl_divergence(D.Bernoulli(coin), D.Bernoulli(sure)).tolist() == [inf, inf]
    np.testing.assert_allclose(
        D.kl_divergence(D.Bernoulli(sure), D.Bernoulli(coin)).numpy(), math.log(2), rtol=1e-5
    )
    assert D.kl_divergence(D.Bernoulli(sure), D.Bernoulli(sure)).tolist() == [0, 0]
    assert D.kl_divergence(D.Categorical(coin), D.Categorical(sure)).item() == inf
    found = D.kl_divergence(D.Categorical(sure), D.Categorical(coin)).item()
    assert found == pytest.approx(math.log(2), rel=1e-5)


def test_divergence_of_independent_events_is_the_sum():
    p, q = make("Normal"), other("Normal")
    found = D.kl_divergence(D.Independent(p, 1), D.Independent(q, 1))
    assert found.item() == pytest.approx(D.kl_divergence(p, q).sum().item())
    with pytest.raises(NotImplementedError, match="reinterpreted_batch_ndims"):
        D.kl_divergence(D.Independent(p, 1), D.Independent(q, 0))


@pytest.fixture
def rules():
    """The registered rules, put back afterwards."""
    from jitgrad.distributions.kl import RULES

    kept = dict(RULES)
    yield RULES
    RULES.clear()
    RULES.update(kept)


def test_the_nearest_registered_divergence_is_taken(rules):
    class Narrow(D.Normal):
        pass

    p, q = Narrow(0.0, 1.0), D.Normal(0.0, 2.0)
    assert D.kl_divergence(p, q).item() == D.kl_divergence(D.Normal(0.0, 1.0), q).item()

    @D.register_kl(Narrow, D.Normal)
    def narrow(p, q):
        return "narrow"

    assert D.kl_divergence(p, q) == "narrow"
    assert D.kl_divergence(q, q).item() == 0
    D.register_kl(D.Normal, Narrow)(lambda p, q: "other")
    with pytest.warns(RuntimeWarning, match=r"ambiguous.*register_kl\(Narrow, Narrow\)"):
        assert D.kl_divergence(p, p) == "narrow"


def test_pairs_without_a_formula_are_refused():
    with pytest.raises(NotImplementedError, match="Normal and LogNormal; register_kl"):
        D.kl_divergence(make("Normal"), make("LogNormal"))
    with pytest.raises(TypeError, match="subclass of Distribution"):
        D.register_kl(float, D.Normal)


FAMILIES = {  # with the ends of most of its mass, for sums along a line
    "Beta": (lambda: D.Beta(f64(2.0), f64(3.5)), 0.0, 1.0),
    "ContinuousBernoulli": (lambda: D.ContinuousBernoulli(f64(0.3)), 0.0, 1.0),
    "Exponential": (lambda: D.Exponential(f64(1.5)), 0.0, 40.0),
    "Gamma": (lambda: D.Gamma(f64(2.5), f64(1.5)), 0.0, 40.0),
    "Gumbel": (lambda: D.Gumbel(f64(0.5), f64(0.8)), -5.0, 40.0),
    "Laplace": (lambda: D.Laplace(f64(0.5), f64(0.8)), -40.0, 40.0),
    "Normal": (lambda: D.Normal(f64(0.5), f64(0.8)), -10.0, 11.0),
    "Pareto": (lambda: D.Pareto(f64(1.0), f64(9.0)), 1.0, 60.0),
    "Uniform": (lambda: D.Uniform(f64(0.2), f64(0.9)), 0.2, 0.9),
}
TO_NORMAL = [(name, lambda: D.Normal(f64(0.4), f64(1.3))) for name in FAMILIES]
BETWEEN = [
    (name, make_q)
    for make_q, names in (
        (lambda: D.Gamma(f64(1.8), f64(0.7)), ("Beta", "Exponential", "Pareto", "Uniform")),
        (lambda: D.Gumbel(f64(0.4), f64(1.7)), ("Normal", "Exponential", "Gamma", "Uniform")),
        (lambda: D.Laplace(f64(0.2), f64(1.3)), ("Normal",)),
        (lambda: D.ContinuousBernoulli(f64(0.8)), ("Beta", "ContinuousBernoulli", "Uniform")),
        (lambda: D.Uniform(f64(-0.5), f64(1.5)), ("Beta", "ContinuousBernoulli")),
        (lambda: D.Beta(f64(1.4), f64(2.5)), ("Uniform",)),
        (lambda: D.Pareto(f64(0.1), f64(2.5)), ("Uniform",)),
        (lambda: D.Exponential(f64(0.7)), ("Uniform",)),
    )
    for name in names
]
TO_EXPONENTIAL = [
    (name, lambda: D.Exponential(f64(0.7))) for name in ("Beta", "ContinuousBernoulli", "Gamma", "Pareto")
]


def f64(value):
    return torch.tensor(value, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(("name", "make_q"), TO_NORMAL + TO_EXPONENTIAL + BETWEEN)
def test_divergences_between_families_are_integrals_of_the_densities(name, make_q):
    make_p, low, high = FAMILIES[name]
    p, q = make_p(), make_q()
    edges = torch.linspace(low, high, 400_001, dtype=torch.float64)
    x = (edges[1:] + edges[:-1]) / 2  # the middle of each step, within the support
    with torch.no_grad():
        log_p = p.log_prob(x)
        expected = (log_p.exp() * (log_p - q.log_prob(x))).sum() * (high - low) / len(x)
    np.testing.assert_allclose(D.kl_divergence(p, q).item(), expected.item(), rtol=1e-4)


def test_divergences_between_families_broadcast_and_are_infinite_with_the_moment_they_need():
    wide = D.Normal(torch.zeros(3, 1), torch.ones(3, 1))
    assert D.kl_divergence(D.Laplace(torch.zeros(2), torch.ones(2)), wide).shape == (3, 2)
    assert D.kl_divergence(D.Pareto(1.0, torch.tensor([2.0, 3.0])), D.Normal(0.0, 1.0)).isinf().tolist() == [
        True,
        False,
    ]
    assert D.kl_divergence(D.Pareto(1.0, torch.tensor([1.0, 2.0])), D.Exponential(1.0)).isinf().tolist() == [
        True,
        False,
    ]
    assert D.kl_divergence(D.Beta(torch.ones(0), torch.ones(0)), D.Normal(0.0, 1.0)).shape == (0,)


@pytest.mark.parametrize(("name", "make_q"), TO_NORMAL + TO_EXPONENTIAL + BETWEEN)
def test_divergences_between_families_have_numerical_gradients(name, make_q):
    with torch.no_grad():
        p, q = FAMILIES[name][0](), make_q()
    parameters = [getattr(d, key).detach().clone() for d in (p, q) for key in _parameters(d)]

    def divergence(*values):
        count = len(_parameters(p))
        return D.kl_divergence(type(p)(*values[:count]), type(q)(*values[count:]))

    assert gradcheck(divergence, [x.requires_grad_() for x in parameters], atol=1e-5)


def _parameters(d):
    keys = {
        "Beta": ("concentration1", "concentration0"),
        "ContinuousBernoulli": ("probs",),
        "Exponential": ("rate",),
    }
    keys |= {"Gamma": ("concentration", "rate"), "Pareto": ("scale", "alpha"), "Uniform": ("low", "high")}
    return keys.get(type(d).__name__, ("loc", "scale"))


def test_divergences_are_infinite_from_where_the_other_has_nothing():
    normal, unit = D.Normal(torch.zeros(2), 1.0), D.Uniform(0.0, 1.0)
    for q in (D.Beta(2.0, 2.0), D.Exponential(1.0), D.Gamma(1.0, 1.0), D.Pareto(1.0, 1.0), unit):
        assert D.kl_divergence(normal, q).tolist() == [math.inf] * 2
        assert D.kl_divergence(D.Laplace(0.0, 1.0), q).item() == math.inf
    assert D.kl_divergence(D.Exponential(1.0), unit).item() == math.inf
    assert D.kl_divergence(D.Poisson(2.0), D.Binomial(5, 0.5)).item() == math.inf
    wide = D.Uniform(torch.tensor([-0.5, 0.1]), torch.tensor([0.9, 0.9]))
    for q in (
        D.Exponential(1.0),
        D.Gamma(2.0, 1.0),
        D.Beta(2.0, 2.0),
        D.ContinuousBernoulli(0.3),
        D.Pareto(0.1, 1.0),
    ):
        assert D.kl_divergence(wide, q).isinf().tolist() == [True, False]
    assert D.kl_divergence(D.Beta(2.0, 2.0), D.Uniform(0.5, 2.0)).item() == math.inf


def test_a_coin_against_a_count():
    p, q = D.Bernoulli(f64(0.3)), D.Poisson(f64(0.8))
    expected = 0.3 * math.log(0.3 / (0.8 * math.exp(-0.8))) + 0.7 * math.log(0.7 / math.exp(-0.8))
    assert D.kl_divergence(p, q).item() == pytest.approx(expected)


def test_normal_vectors_of_a_narrow_covariance_are_normal_vectors():
    narrow = D.LowRankMultivariateNormal(f64([1.0, 2.0]), f64([[1.0], [0.5]]), f64([0.7, 0.4]))
    plain = D.MultivariateNormal(narrow.mean, covariance_matrix=narrow.covariance_matrix)
    other = D.MultivariateNormal(f64([0.5, 1.0]), f64([[1.0, 0.3], [0.3, 2.0]]))
    expected = D.kl_divergence(plain, other).item()
    assert D.kl_divergence(narrow, other).item() == pytest.approx(expected)
    assert D.kl_divergence(other, narrow).item() == pytest.approx(D.kl_divergence(other, plain).item())
    assert D.kl_divergence(narrow, narrow).item() == pytest.approx(0, abs=1e-12)
