"""Distributions of counts, vectors, mixtures and functions: PyTorch's values and errors, samples, programs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from random_cases import MANY
from twin_calls import fail_alike, run_both

import jitgrad
import jitgrad.distributions  # attributes of modules are read below

torch = pytest.importorskip("torch")


def spd(m, t, n=3, batch=()):
    x = t(*batch, n, n)
    return x @ x.transpose(-1, -2) + 0.5 * m.eye(n, dtype=m.float64)


def tril(m, t, n=3, batch=()):
    return t(*batch, n, n).tril(-1) + m.eye(n, dtype=m.float64) * 0.7


def mixture(m, t):
    D = m.distributions
    return D.MixtureSameFamily(D.Categorical(t(2, 3).exp()), D.Normal(t(2, 3), t(2, 3).exp()))


def vectors_mixed(m, t):
    D = m.distributions
    return D.MixtureSameFamily(D.Categorical(logits=t(3)), D.Independent(D.Normal(t(3, 2), t(3, 2).exp()), 1))


def squashed(m, t, **options):
    D = m.distributions
    parts = [D.AffineTransform(0.3, 2.0), D.TanhTransform(**options)]
    return D.TransformedDistribution(D.Normal(t(4), t(4).exp()), parts)


# the distribution, and in front of `log_prob` a value that it may have
MADE = {
    "Poisson": lambda m, t: (m.distributions.Poisson(t(4).exp() * 3), t(5, 4).abs().floor() * 3),
    "Binomial": lambda m, t: (
        m.distributions.Binomial(5, logits=t(4)),
        (t(3, 4).abs() * 2).floor().clamp(max=5),
    ),
    "Binomial of probs": lambda m, t: (
        m.distributions.Binomial(m.tensor([3.0, 9.0], dtype=m.float64), probs=t(2).sigmoid()),
        t(3, 2).abs().floor(),
    ),
    "NegativeBinomial": lambda m, t: (
        m.distributions.NegativeBinomial(t(4).abs() + 1, logits=t(4)),
        (t(3, 4).abs() * 3).floor(),
    ),
    "OneHotCategorical": lambda m, t: (
        m.distributions.OneHotCategorical(logits=t(2, 3)),
        m.eye(3, dtype=m.float64)[[2, 0]],
    ),
    "Multinomial": lambda m, t: (
        m.distributions.Multinomial(4, logits=t(2, 3)),
        m.tensor([[4, 0, 0], [1, 1, 2]], dtype=m.float64),
    ),
    "Dirichlet": lambda m, t: (m.distributions.Dirichlet(t(2, 3).exp()), t(4, 2, 3).softmax(-1)),
    "MultivariateNormal": lambda m, t: (
        m.distributions.MultivariateNormal(t(2, 3), scale_tril=tril(m, t)),
        t(4, 2, 3),
    ),
    "MultivariateNormal of a covariance": lambda m, t: (
        m.distributions.MultivariateNormal(t(3), spd(m, t, batch=(2,))),
        t(2, 3),
    ),
    "MultivariateNormal of a precision": lambda m, t: (
        m.distributions.MultivariateNormal(t(3), precision_matrix=spd(m, t)),
        t(5, 3),
    ),
    "MixtureSameFamily": lambda m, t: (mixture(m, t), t(5, 2)),
    "mixture of vectors": lambda m, t: (vectors_mixed(m, t), t(5, 2)),
    "RelaxedBernoulli": lambda m, t: (
        m.distributions.RelaxedBernoulli(m.tensor(0.7, dtype=m.float64), logits=t(3)),
        t(5, 3).sigmoid(),
    ),
    "RelaxedOneHotCategorical": lambda m, t: (
        m.distributions.RelaxedOneHotCategorical(m.tensor(0.7, dtype=m.float64), logits=t(2, 3)),
        t(5, 2, 3).softmax(-1),
    ),
    "TransformedDistribution": lambda m, t: (squashed(m, t), t(5, 4).tanh()),
}


def known_of(distribution):
    """What a distribution tells of itself, or that it does not."""
    for name in ("mean", "mode", "variance", "entropy"):
        try:
            found = getattr(distribution, name)
            yield found() if name == "entropy" else found
        except NotImplementedError:
            yield None


@pytest.mark.parametrize("name", MADE)
def test_logarithms_and_moments_are_pytorchs(name):
    def script(m, t):
        distribution, value = MADE[name](m, t)
        shapes = tuple(distribution.batch_shape), tuple(distribution.event_shape)
        return distribution.log_prob(value), shapes, distribution.has_rsample

    run_both(script)
    ours, theirs = (list(known_of(MADE[name](m, maker(m))[0])) for m in (jitgrad, torch))
    for found, expected in zip(ours, theirs, strict=True):
        if expected is not None and found is not None:
            # PyTorch takes the logarithm of a number of draws' factorial in float32
            digits = 1e-7 if name == "Multinomial" else 1e-8
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=digits)


def maker(m):
    from twin_calls import maker as made

    return made(m)


@pytest.mark.parametrize("name", MADE)
def test_samples_have_the_moments_and_shapes(name):
    jitgrad.manual_seed(20240611)
    distribution = MADE[name](jitgrad, maker(jitgrad))[0]
    drawn = distribution.sample((MANY,))
    shape = (*distribution.batch_shape, *distribution.event_shape)
    assert tuple(drawn.shape) == (MANY, *shape) and drawn.dtype is jitgrad.float64
    mean, variance = list(known_of(distribution))[::2]
    if mean is None:  # of relaxed and transformed ones: the mean of the density's derivative is 0
        assert np.isfinite(distribution.log_prob(drawn).numpy()).mean() > 0.99
        return
    error = np.abs(drawn.numpy().mean(0) - mean.numpy())
    assert (error < 5 * np.sqrt(variance.numpy() / MANY)).all()
    np.testing.assert_allclose(drawn.numpy().var(0), variance.numpy(), rtol=0.1)


@pytest.mark.parametrize("name", ["RelaxedBernoulli", "TransformedDistribution"])
def test_samples_of_functions_have_the_density(name):
    """The mean of 1 / density over samples in an interval is its length."""
    jitgrad.manual_seed(20240612)
    distribution = MADE[name](jitgrad, maker(jitgrad))[0]
    drawn = distribution.sample((MANY,))
    inner = (drawn > 0.2) & (drawn < 0.7)
    weights = jitgrad.where(inner, (-distribution.log_prob(drawn)).exp(), 0.0).numpy()
    assert (np.abs(weights.mean(0) - 0.5) < 5 * weights.std(0) / math.sqrt(MANY)).all()


PAIRS = {
    "Dirichlet": lambda m, t: [m.distributions.Dirichlet(t(2, 3).exp()) for _ in range(2)],
    "Poisson": lambda m, t: [m.distributions.Poisson(t(3).exp()) for _ in range(2)],
    "Binomial": lambda m, t: [m.distributions.Binomial(4, logits=t(3)) for _ in range(2)],
    "OneHotCategorical": lambda m, t: [m.distributions.OneHotCategorical(logits=t(3)) for _ in range(2)],
    "MultivariateNormal": lambda m, t: [
        m.distributions.MultivariateNormal(t(2, 3), scale_tril=tril(m, t)),
        m.distributions.MultivariateNormal(t(3), spd(m, t, batch=(2,))),
    ],
    "Uniform and Normal": lambda m, t: [
        m.distributions.Uniform(0.0, t(3).exp()),
        m.distributions.Normal(t(3), 1.5),
    ],
}


@pytest.mark.parametrize("name", PAIRS)
def test_divergences_are_pytorchs(name):
    run_both(lambda m, t: m.distributions.kl_divergence(*PAIRS[name](m, t)))


# compiled steps -----------------------------------------------------------------------------------------

# triangular systems are solved by NumPy, so steps with vectors' densities run eagerly
STEPS = [n for n in MADE if not n.startswith("MultivariateNormal")]


@pytest.mark.parametrize("name", STEPS)
def test_compiled_samples_and_logarithms_equal_eager_ones(name):
    def build():
        def step(scale):
            distribution, value = MADE[name](jitgrad, lambda *shape: fixed(*shape) * scale)
            return distribution.sample((2,)), distribution.log_prob(value)

        fixed_values = {}

        def fixed(*shape):
            if shape not in fixed_values:
                fixed_values[shape] = jitgrad.tensor(np.random.default_rng(len(shape)).standard_normal(shape))
            return fixed_values[shape]

        MADE[name](jitgrad, fixed)
        scales = [jitgrad.tensor(x, dtype=jitgrad.float64) for x in (1.0, 0.9, 0.8)]
        return Scene(step, lambda k: (scales[k % 3],))

    assert_same(build)


def test_compiled_steps_through_gamma_samples_equal_eager_ones():
    def build():
        D, a = jitgrad.distributions, jitgrad.ones(4, requires_grad=True)
        optimizer = jitgrad.optim.Adam([a], lr=0.05)

        def step(target):
            optimizer.zero_grad()
            q = D.Beta(a.exp(), 2.0)
            drawn = D.Gamma(a.exp(), 1.0).rsample((3,)).mean() + D.Dirichlet(a.exp()).rsample().square().sum()
            loss = (
                (q.rsample((5,)) - target).square().mean()
                + D.kl_divergence(q, D.Beta(1.0, 1.0)).mean()
                + drawn
            )
            loss.backward()
            optimizer.step()
            return loss.detach()

        targets = [jitgrad.full((4,), 0.1 * k) for k in range(6)]
        return Scene(step, lambda k: (targets[k % 6],), a, optimizer)

    assert_same(build)


# errors -------------------------------------------------------------------------------------------------

ERRORS = {
    "gamma": (lambda m, t: m.distributions.Gamma(-1.0, 1.0), "Gamma concentration greater 0 -1.0"),
    "beta": (lambda m, t: m.distributions.Beta(1.0, 0.0), "Beta concentration0"),
    "dirichlet": (lambda m, t: m.distributions.Dirichlet(m.tensor(1.0)), "Dirichlet dimension"),
    "simplex": (
        lambda m, t: m.distributions.Dirichlet(m.ones(3)).log_prob(m.tensor([0.5, 0.5, 0.5])), "Dirichlet sum 1"
    ),
    "rate": (lambda m, t: m.distributions.Poisson(-1.0), "Poisson rate at least 0"),
    "count": (lambda m, t: m.distributions.Poisson(1.0).log_prob(m.tensor(0.5)), "Poisson whole 0.5"),
    "too many": (lambda m, t: m.distributions.Binomial(3, 0.5).log_prob(m.tensor(4.0)), "Binomial total_count 4.0"),
    "no matrix": (lambda m, t: m.distributions.MultivariateNormal(m.zeros(2)), "exactly one none"),
    "two": (lambda m, t: m.distributions.MultivariateNormal(m.zeros(2), m.eye(2), m.eye(2)), "exactly one"),
    "indefinite": (lambda m, t: m.distributions.MultivariateNormal(m.zeros(2), -m.eye(2)), "positive definite"),
    "upper": (
        lambda m, t: m.distributions.MultivariateNormal(m.zeros(2), scale_tril=m.ones(2, 2)), "lower triangular"
    ),
    "mixture": (
        lambda m, t: m.distributions.MixtureSameFamily(
            m.distributions.Categorical(m.ones(2)), m.distributions.Normal(m.zeros(3), 1.0)
        ),
        "MixtureSameFamily (2,) (3,)",
    ),
    "no weights": (
        lambda m, t: m.distributions.MixtureSameFamily(m.ones(2), m.distributions.Normal(m.zeros(2), 1.0)),
        "MixtureSameFamily Categorical Tensor",
    ),
    "transforms": (
        lambda m, t: m.distributions.TransformedDistribution(m.distributions.Normal(0.0, 1.0), [3]), "transforms [3]"
    ),
    "poisson": (lambda m, t: m.poisson(m.tensor([1.0, -1.0])), "poisson rate"),
    "whole rates": (lambda m, t: m.poisson(m.tensor([1, 2])), "poisson"),
    "draws": (lambda m, t: m.distributions.Multinomial(2.5, m.ones(2)), "Multinomial total_count"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_what_is_impossible_is_refused_as_in_pytorch(name):
    fail_alike(*ERRORS[name])


@pytest.mark.parametrize("probs", [[0.3, 0.6, 0.1], [0.0, 0.5, 0.5]])
def test_the_entropy_of_multinomial_counts_is_the_mean_of_their_surprise(probs):
    counts = [c for c in itertools.product(range(4), repeat=3) if sum(c) == 3]
    many = jitgrad.distributions.Multinomial(3, probs=jitgrad.tensor(probs, dtype=jitgrad.float64))
    logs = many.log_prob(jitgrad.tensor(counts, dtype=jitgrad.float64)).numpy()
    possible = logs[np.isfinite(logs) & (logs > -100)]
    np.testing.assert_allclose(many.entropy().numpy(), -(np.exp(possible) * possible).sum(), rtol=1e-6)
