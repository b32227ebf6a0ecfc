"""Distributions of counts, vectors, mixtures and functions: PyTorch's values, samples, implicit gradients, programs."""

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
from jitgrad.autograd import gradcheck, gradgradcheck
from jitgrad.functions.gamma_draws import log_standard_gamma

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


# samples of gamma numbers -------------------------------------------------------------------------------


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
