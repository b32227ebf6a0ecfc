"""Generalized Pareto, continuous Bernoulli and LKJ distributions: densities, moments, samples, gradients, programs."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import distributions as D
from jitgrad.autograd import gradcheck

PARETO = {"loc": [0.0, 1.0, -1.0], "scale": [1.0, 2.0, 0.5], "concentration": [0.0, 0.1, -0.4]}
PROBS = {"probs": [0.1, 0.4995, 0.5, 0.9]}
FAMILIES = {"GeneralizedPareto": PARETO, "ContinuousBernoulli": PROBS}
PARTS = np.array([0.05, 0.3, 0.6, 0.95])


def make(name, dtype=torch.float64, **options):
    parameters = {k: torch.tensor(v, dtype=dtype) for k, v in FAMILIES[name].items()}
    return getattr(D, name)(**parameters, **options)


def line(d):
    """Values at equal steps of probability, from which integrals are means."""
    steps = 200_000
    return d.icdf(torch.tensor((np.arange(steps)[:, None] + 0.5) / steps)).detach()


@pytest.mark.parametrize("name", FAMILIES)
def test_moments_and_entropy_are_those_of_the_density(name):
    d = make(name)
    x = line(d)
    np.testing.assert_allclose(d.mean.numpy(), x.numpy().mean(0), rtol=2e-3)
    np.testing.assert_allclose(d.variance.numpy(), x.numpy().var(0), rtol=2e-2)
    np.testing.assert_allclose(d.entropy().numpy(), -d.log_prob(x).numpy().mean(0), rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "rtol"), [(torch.float32, 2e-3), (torch.float64, 2e-6)])
@pytest.mark.parametrize("name", FAMILIES)
def test_cdf_is_the_density_s_integral_and_icdf_its_inverse(name, kind, rtol):
    d, parts = make(name, kind), torch.tensor(PARTS[:, None], dtype=kind)
    x = d.icdf(parts)
    assert x.dtype == kind
    np.testing.assert_allclose(d.cdf(x).numpy(), np.broadcast_to(PARTS[:, None], x.shape), rtol=rtol)
    if kind == torch.float64:
        near = 1e-5
        slopes = (d.cdf(x + near) - d.cdf(x - near)) / (2 * near)
        np.testing.assert_allclose(d.log_prob(x).exp().numpy(), slopes.numpy(), rtol=2e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_samples_are_of_the_distribution(name):
    torch.manual_seed(0)
    d = make(name)
    drawn = d.sample((20_000,))
    assert drawn.shape == (20_000, *d.batch_shape)
    np.testing.assert_allclose(d.cdf(drawn).mean(0).numpy(), 0.5, atol=0.01)
    assert d.expand((2, *d.batch_shape)).sample().shape == (2, *d.batch_shape)


@pytest.mark.parametrize("name", FAMILIES)
def test_gradients(name):
    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in FAMILIES[name].values()]
    kind, x = getattr(D, name), make(name).icdf(torch.tensor(0.4, dtype=torch.float64)).detach()

    def told(*parameters):
        d = kind(*parameters, validate_args=False)
        return d.log_prob(x), d.mean, d.entropy(), d.icdf(torch.tensor(0.3, dtype=torch.float64))

    if (
        name == "GeneralizedPareto"
    ):  # at a concentration of 0 the gradient is that of the exponential distribution
        values = [v.detach()[1:].requires_grad_() for v in values]
        x = x[1:]
    else:  # between the limits, differences may cross them
        values = [v.detach()[[0, 2, 3]].requires_grad_() for v in values]
        x = x[[0, 2, 3]]
    gradcheck(told, values)


@pytest.mark.parametrize("name", FAMILIES)
def test_values_outside_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}.log_prob: expected value|{name}"):
        make(name).log_prob(torch.tensor(-5.0, dtype=torch.float64))


@pytest.mark.parametrize("name", FAMILIES)
def test_in_a_compiled_step(name):
    values = [torch.tensor(v, requires_grad=True) for v in FAMILIES[name].values()]
    x = make(name, torch.float32).icdf(torch.tensor(0.4)).detach()

    def step():
        for v in values:
            v.grad = None
        loss = -getattr(D, name)(*values, validate_args=False).log_prob(x).sum()
        loss.backward()
        return loss

    expected = step().item(), [v.grad.clone() for v in values]
    compiled = torch.compile(step)
    for _ in range(3):
        loss = compiled()
    assert loss.item() == pytest.approx(expected[0], rel=1e-5)
    torch.testing.assert_close([v.grad for v in values], expected[1])


@pytest.mark.parametrize("name", FAMILIES)
def test_they_agree_with_pytorch(name):
    theirs = pytest.importorskip("torch")
    d = make(name, torch.float32)
    other = getattr(theirs.distributions, name)(*(theirs.tensor(v) for v in FAMILIES[name].values()))
    x = d.icdf(torch.tensor(0.4))
    for found, expected in [
        (d.log_prob(x), other.log_prob(theirs.tensor(x.numpy()))),
        (d.mean, other.mean),
        (d.variance, other.variance),
        (d.entropy(), other.entropy()),
    ]:
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=2e-4, atol=1e-4)


def test_heavy_tails_have_no_moments():
    d = D.GeneralizedPareto(0.0, 1.0, torch.tensor([0.7, 1.2]))
    assert d.mean.isnan().tolist() == [False, True]
    assert d.variance.isnan().all()


# LKJ ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("concentration", [0.5, 1.0, 3.0])
def test_density_of_one_correlation(concentration):
    """For two variables the correlation is ``2 b - 1`` with b of a beta distribution."""
    r = np.linspace(-0.9, 0.9, 7)
    factors = torch.tensor(np.array([[[1, 0], [v, np.sqrt(1 - v * v)]] for v in r]))
    found = D.LKJCholesky(2, torch.tensor(concentration, dtype=torch.float64)).log_prob(factors)
    beta = D.Beta(*[torch.tensor(concentration, dtype=torch.float64)] * 2)
    # the factor's free element is the correlation itself
    expected = beta.log_prob(torch.tensor((r + 1) / 2)).numpy() - np.log(2)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_samples_are_factors_of_correlations(kind):
    torch.manual_seed(1)
    d = D.LKJCholesky(4, torch.tensor([1.0, 5.0], dtype=kind))
    drawn = d.sample((4000,))
    assert drawn.shape == (4000, 2, 4, 4)
    assert drawn.dtype == kind
    assert d.support.check(drawn).all()
    correlations = drawn @ drawn.mT
    # each is 2 b - 1 with both of b's concentrations eta + d / 2 - 1: the same for all of them
    for row, column in ((1, 0), (2, 0), (2, 1), (3, 1)):
        variances = correlations[..., row, column].var(0)
        torch.testing.assert_close(variances, 1 / (2 * d.concentration + 3), rtol=0.1, atol=0.0)
    assert d.expand((3, 2)).sample().shape == (3, 2, 4, 4)
    assert d.log_prob(drawn).shape == (4000, 2)


def test_lkj_has_gradients_and_agrees_with_pytorch():
    concentration = torch.tensor([0.7, 2.0], dtype=torch.float64, requires_grad=True)
    factor = np.linalg.cholesky(np.array([[1, 0.3, -0.2], [0.3, 1, 0.5], [-0.2, 0.5, 1]]))
    gradcheck(lambda c: D.LKJCholesky(3, c).log_prob(torch.tensor(factor)), (concentration,))
    theirs = pytest.importorskip("torch")
    other = theirs.distributions.LKJCholesky(3, theirs.tensor(concentration.tolist(), dtype=theirs.float64))
    expected = other.log_prob(theirs.tensor(factor))
    found = D.LKJCholesky(3, concentration.detach()).log_prob(torch.tensor(factor))
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)


def test_lkj_refuses_what_is_no_factor():
    with pytest.raises(ValueError, match="rows of length 1"):
        D.LKJCholesky(3).log_prob(torch.ones(3, 3))
    with pytest.raises(ValueError, match="got 1"):
        D.LKJCholesky(1)


def test_sample_n_is_an_older_name():
    with pytest.warns(UserWarning, match="sample_n"):
        assert D.Normal(torch.zeros(2), 1.0).sample_n(3).shape == (3, 2)
