"""Distributions: densities, integrals, samples, gradients, probabilities and logits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from distribution_cases import CASES, CONTINUOUS, DISCRETE, grid, log_prob, make, mean_of, support, tensors
from random_cases import MANY

import jitgrad as torch
from jitgrad import distributions as D
from jitgrad.autograd import gradcheck

# what is known of a distribution ------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_log_prob_is_the_logarithm_of_the_formula(name):
    points = support(name)[0]
    parameters = {k: np.array(v) for k, v in CASES[name].parameters.items()}
    with np.errstate(all="ignore"):
        expected = CASES[name].density(points, **parameters)
    expected = np.where(np.isfinite(expected), expected, 0)
    np.testing.assert_allclose(np.exp(log_prob(make(name), points)), expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", CASES)
def test_probabilities_sum_to_one(name):
    np.testing.assert_allclose(mean_of(name, make(name), lambda x, p: 1.0), 1, rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_entropy_is_the_mean_of_the_logarithm(name):
    distribution = make(name)
    expected = mean_of(name, distribution, lambda x, p: -p)
    np.testing.assert_allclose(distribution.entropy().numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(distribution.perplexity().numpy(), np.exp(expected), rtol=1e-5)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("Cauchy", "Categorical")])
def test_moments_are_integrals(name):
    distribution = make(name)
    mean = mean_of(name, distribution, lambda x, p: x)
    np.testing.assert_allclose(distribution.mean.numpy(), mean, rtol=1e-5)
    variance = mean_of(name, distribution, lambda x, p: (x - mean) ** 2)
    np.testing.assert_allclose(distribution.variance.numpy(), variance, rtol=1e-5)
    np.testing.assert_allclose(distribution.stddev.numpy(), np.sqrt(variance), rtol=1e-5)


def test_moments_that_do_not_exist():
    cauchy, classes = make("Cauchy"), make("Categorical")
    for missing in (cauchy.mean, classes.mean, classes.variance, make("Uniform").mode):
        assert tuple(missing.shape) == (2,)
        assert missing.isnan().all()
    assert (cauchy.variance == math.inf).all() and (cauchy.stddev == math.inf).all()


@pytest.mark.parametrize("name", [n for n in CASES if n != "Uniform"])
def test_mode_is_as_likely_as_any_value(name):
    distribution = make(name)
    best = np.exp(log_prob(distribution, distribution.mode.numpy()))
    assert (np.exp(log_prob(distribution, support(name)[0])) <= best * (1 + 1e-12)).all()
    assert (best > 0).all()


def test_uniform_numbers_are_below_the_upper_end():
    assert D.Uniform(0.0, 1.0).log_prob(torch.tensor([0.0, 1.0])).tolist() == [0, -math.inf]


def test_mode_of_a_fair_coin_is_nan():
    np.testing.assert_array_equal(D.Bernoulli(torch.tensor([0.2, 0.5, 0.7])).mode.numpy(), [0, math.nan, 1])


@pytest.mark.parametrize("name", CONTINUOUS)
def test_cdf_is_the_integral_and_icdf_its_inverse(name):
    distribution = make(name)
    points, weights = grid(name)
    density = np.exp(log_prob(distribution, points))
    masses = density * weights
    until = np.cumsum(masses, 0) - masses / 2  # half of the last mass lies beyond its point
    found = distribution.cdf(torch.tensor(points)).numpy()
    np.testing.assert_allclose(found, until, atol=1e-5)
    inner = torch.linspace(0.01, 0.99, 99, dtype=torch.float64).unsqueeze(1)
    back = distribution.cdf(distribution.icdf(inner))
    np.testing.assert_allclose(back.numpy(), inner.expand(99, 2).numpy(), rtol=1e-9)


def test_cdf_keeps_its_digits_in_the_tails():
    assert D.Normal(0, 1).cdf(torch.tensor(-30.0, dtype=torch.float64)).item() == pytest.approx(4.906714e-198)
    assert D.Exponential(1.0).cdf(torch.tensor(1e-20)).item() == pytest.approx(1e-20)
    assert D.HalfNormal(1.0).cdf(torch.tensor(1e-20)).item() == pytest.approx(1e-20 * math.sqrt(2 / math.pi))


# samples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_samples_have_the_distribution(name, dtype):
    """Put into the distribution function, they are uniform: four moments within five standard errors."""
    torch.manual_seed(20240601)
    distribution = make(name, dtype)
    drawn = distribution.sample((MANY,))
    assert drawn.dtype is dtype and not drawn.requires_grad
    uniform = distribution.cdf(drawn).double().numpy()
    for power in (1, 2, 3, 4):
        deviation = math.sqrt(1 / (2 * power + 1) - 1 / (power + 1) ** 2)
        error = np.abs((uniform**power).mean(0) - 1 / (power + 1))
        assert (error < 5 * deviation / math.sqrt(MANY)).all(), power
    assert abs(np.corrcoef(uniform.T)[0, 1]) < 5 / math.sqrt(MANY)


@pytest.mark.parametrize("name", DISCRETE)
def test_frequencies_of_samples_are_probabilities(name):
    torch.manual_seed(20240602)
    distribution = make(name)
    drawn = distribution.sample((MANY,)).numpy()
    values = np.arange(min(DISCRETE[name].line, 5), dtype=np.float64)
    expected = np.exp(log_prob(distribution, np.broadcast_to(values[:, None], (len(values), 2))))
    found = (drawn == values[:, None, None]).mean(1)
    assert (np.abs(found - expected) < 5 * np.sqrt(expected * (1 - expected) / MANY)).all()
    assert (drawn >= 0).all() and (drawn == np.floor(drawn)).all()


def test_equal_seeds_give_equal_samples_with_and_without_gradient():
    for name in CONTINUOUS:
        distribution = make(name)
        torch.manual_seed(3)
        first = distribution.sample((5,))
        torch.manual_seed(3)
        assert first.tolist() == distribution.rsample((5,)).tolist()


def test_impossible_classes_are_never_drawn():
    torch.manual_seed(4)
    logits = torch.tensor([-math.inf, 0.3, -math.inf, 1.0], requires_grad=True)
    masked = D.Categorical(logits=logits)
    assert set(masked.sample((20_000,)).tolist()) == {1, 3}
    masked.entropy().backward()
    share = 1 / (1 + math.exp(0.7))
    expected = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    assert masked.entropy().item() == pytest.approx(expected, rel=1e-6)
    assert logits.grad.isfinite().all()
    assert set(D.Categorical(torch.tensor([0.0, 2.0, 0.0])).sample((20_000,)).tolist()) == {1}


def test_times_that_round_to_zero_leave_samples_finite(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "exponential_", torch.Tensor.zero_)
    for name in ("Gumbel", "Laplace", "Exponential", "Geometric"):
        assert make(name).sample().isfinite().all(), name


def test_certain_trials():
    certain = D.Geometric(torch.tensor([1.0, 1.0]))
    assert certain.sample((100,)).abs().sum().item() == 0
    assert certain.log_prob(torch.tensor([0.0, 2.0])).tolist() == [0, -math.inf]
    assert D.Bernoulli(torch.tensor([0.0, 1.0])).sample((100,)).mean(0).tolist() == [0, 1]


# gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_log_prob_and_entropy(name):
    torch.manual_seed(5)
    parameters = tensors(name, requires_grad=True)
    value = make(name).sample((3,))
    differs = name in CONTINUOUS and name != "Uniform"  # a uniform density is flat

    def function(*given):
        given, x = (given[:-1], given[-1]) if differs else (given, value)
        distribution = getattr(D, name)(**dict(zip(parameters, given, strict=True)), validate_args=False)
        return distribution.log_prob(x), distribution.entropy()

    inputs = (*parameters.values(), *([value.requires_grad_()] if differs else []))
    assert gradcheck(function, inputs)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_gradients_of_rsample_cdf_and_moments(name):
    parameters = tensors(name, requires_grad=True)
    point = make(name).icdf(torch.tensor(0.3, dtype=torch.float64))

    def function(*given):
        torch.manual_seed(6)
        distribution = getattr(D, name)(**dict(zip(parameters, given, strict=True)))
        moments = () if name == "Cauchy" else (distribution.mean, distribution.variance)
        return distribution.rsample((4,)), distribution.cdf(point), *moments

    assert gradcheck(function, tuple(parameters.values()))


@pytest.mark.parametrize("name", ["Bernoulli", "Geometric", "Categorical"])
def test_gradients_with_respect_to_logits(name):
    logits = torch.tensor([[0.4, -1.0, 0.2], [2.0, 0.1, 0.7]], dtype=torch.float64, requires_grad=True)
    value = torch.tensor([1.0, 0.0]).unsqueeze(1) if name != "Categorical" else torch.tensor([2, 0])

    def function(logits):
        distribution = getattr(D, name)(logits=logits)
        return distribution.log_prob(value), distribution.entropy(), distribution.probs

    assert gradcheck(function, (logits,))


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("given", ["probs", "logits"])
def test_what_a_sample_computes_first_keeps_its_gradient(name, given):
    x = torch.tensor([[0.2, 0.5, 0.3]], requires_grad=True)
    distribution = getattr(D, name)(**{given: x * 1.0})
    drawn = distribution.sample()
    assert not drawn.requires_grad
    (distribution.entropy().sum() + distribution.log_prob(drawn).sum()).backward()
    assert x.grad.abs().sum().item() > 0


def test_discrete_distributions_have_no_rsample():
    for name in DISCRETE:
        assert not make(name).has_rsample
        with pytest.raises(NotImplementedError, match=f"{name} has no rsample"):
            make(name).rsample()
    for name in CONTINUOUS:
        assert make(name).has_rsample


# probabilities and logits -------------------------------------------------------------------------------


def test_logits_and_probs_say_the_same():
    probs = torch.tensor([[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]], dtype=torch.float64)
    for name, logits in (("Categorical", probs.log() + 7), ("Bernoulli", (probs / (1 - probs)).log())):
        by_probs, by_logits = getattr(D, name)(probs), getattr(D, name)(logits=logits)
        np.testing.assert_allclose(by_logits.probs.numpy(), probs.numpy(), rtol=1e-12)
        np.testing.assert_allclose(by_probs.logits.numpy(), by_logits.logits.numpy(), rtol=1e-12)
        np.testing.assert_allclose(by_probs.entropy().numpy(), by_logits.entropy().numpy(), rtol=1e-12)
    np.testing.assert_allclose(D.Categorical(probs * 5).probs.numpy(), probs.numpy(), rtol=1e-12)


def test_logits_of_certain_events_are_finite():
    assert D.Bernoulli(torch.tensor([0.0, 1.0])).logits.isfinite().all()
    assert D.Categorical(torch.tensor([0.0, 1.0])).logits.isfinite().all()


def test_far_logits_keep_their_digits():
    trial = D.Bernoulli(logits=torch.tensor(-200.0, dtype=torch.float64))
    assert trial.log_prob(torch.ones(())).item() == pytest.approx(-200)
    other = D.Bernoulli(logits=torch.tensor(-30.0, dtype=torch.float64))
    p = 1 / (1 + math.exp(30))
    q = 1 / (1 + math.exp(40))
    exact = p * (10 + math.log1p(math.exp(-40)) - math.log1p(math.exp(-30))) - (p - q)
    near = D.kl_divergence(other, D.Bernoulli(logits=torch.tensor(-40.0, dtype=torch.float64))).item()
    assert near == pytest.approx(exact, rel=1e-9)
