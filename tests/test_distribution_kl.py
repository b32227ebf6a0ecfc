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
