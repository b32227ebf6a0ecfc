"""Distributions give PyTorch's values, shapes and errors on random parameters in both floating dtypes."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad
import jitgrad.distributions  # attributes of modules are read below

torch = pytest.importorskip("torch")
LIBRARIES = (jitgrad, torch)
KINDS = [("float64", 1e-11), ("float32", 2e-5)]
SHAPE = (3, 4)

REAL = lambda rng, shape: rng.normal(0, 2, shape)  # noqa: E731
POSITIVE = lambda rng, shape: rng.uniform(0.2, 3, shape)  # noqa: E731
PROBABILITY = lambda rng, shape: rng.uniform(0.05, 0.95, shape)  # noqa: E731

# parameters, the shape of one in front of the other, which broadcast
PARAMETERS = {
    "Normal": {"loc": REAL, "scale": POSITIVE},
    "LogNormal": {"loc": REAL, "scale": PROBABILITY},
    "Uniform": {"low": lambda rng, shape: -POSITIVE(rng, shape), "high": POSITIVE},
    "Exponential": {"rate": POSITIVE},
    "Laplace": {"loc": REAL, "scale": POSITIVE},
    "Gumbel": {"loc": REAL, "scale": POSITIVE},
    "HalfNormal": {"scale": POSITIVE},
    "Cauchy": {"loc": REAL, "scale": POSITIVE},
    "HalfCauchy": {"scale": POSITIVE},
    "Gamma": {"concentration": POSITIVE, "rate": POSITIVE},
    "InverseGamma": {"concentration": lambda rng, shape: 3 + POSITIVE(rng, shape), "rate": POSITIVE},
    "Chi2": {"df": POSITIVE},
    "Beta": {"concentration1": POSITIVE, "concentration0": POSITIVE},
    "StudentT": {"df": POSITIVE, "loc": REAL, "scale": POSITIVE},
    "Weibull": {"scale": POSITIVE, "concentration": POSITIVE},
    "Pareto": {"scale": POSITIVE, "alpha": POSITIVE},
    "Bernoulli": {"probs": PROBABILITY},
    "Geometric": {"probs": PROBABILITY},
    "Categorical": {"probs": POSITIVE},
}
OF_GAMMA = ["Gamma", "InverseGamma", "Chi2", "Beta", "StudentT"]
BY_LOGITS = ["Bernoulli", "Geometric", "Categorical"]
CASES = [(name, False) for name in PARAMETERS] + [(name, True) for name in BY_LOGITS]
CDF = ["Normal", "LogNormal", "Uniform", "Exponential", "Laplace", "Gumbel", "HalfNormal", "Cauchy", "HalfCauchy",
       "Weibull", "Pareto"]  # fmt: skip
KL = ["Normal", "Laplace", "Exponential", "Uniform", "Bernoulli", "Categorical", "Gamma", "Beta", "Chi2",
      "Gumbel", "Cauchy", "HalfNormal", "LogNormal", "Pareto", "Geometric"]  # fmt: skip


def pair(name, kind, by_logits=False, seed=0):
    """The same distribution in both libraries."""
    rng = np.random.default_rng(seed)
    makers = {"logits": REAL} if by_logits else PARAMETERS[name]
    shapes = (SHAPE, SHAPE[1:], SHAPE[1:])
    arrays = {
        key: make(rng, shape).astype(kind) for (key, make), shape in zip(makers.items(), shapes, strict=False)
    }
    return [
        getattr(lib.distributions, name)(**{key: lib.tensor(v) for key, v in arrays.items()})
        for lib in LIBRARIES
    ]


def same(found, expected, rtol):
    assert found.dtype.name == str(expected.dtype).removeprefix("torch.")
    assert tuple(found.shape) == tuple(expected.shape)
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize(("kind", "rtol"), KINDS)
@pytest.mark.parametrize(("name", "by_logits"), CASES)
def test_log_prob_of_pytorchs_samples(name, by_logits, kind, rtol):
    ours, theirs = pair(name, kind, by_logits)
    torch.manual_seed(1)
    for shape in ((), (5,)):
        drawn = theirs.sample(shape)
        found = ours.log_prob(jitgrad.tensor(drawn.numpy()))
        same(found, theirs.log_prob(drawn), rtol * 10)


@pytest.mark.parametrize(("kind", "rtol"), KINDS)
@pytest.mark.parametrize(("name", "by_logits"), CASES)
def test_moments_and_entropy(name, by_logits, kind, rtol):
    ours, theirs = pair(name, kind, by_logits)
    for known in ("mean", "mode", "variance", "stddev"):
        expected = getattr(theirs, known)
        if (name, known) == ("Weibull", "mode"):  # PyTorch's is nan where the density falls from 0 on
            expected = expected.nan_to_num(0.0)
        same(getattr(ours, known), expected, rtol)
    same(ours.entropy(), theirs.entropy(), rtol)
    same(ours.perplexity(), theirs.perplexity(), rtol)


@pytest.mark.parametrize(("kind", "rtol"), KINDS)
@pytest.mark.parametrize(("name", "by_logits"), [case for case in CASES if case[0] in BY_LOGITS])
def test_probs_and_logits(name, by_logits, kind, rtol):
    ours, theirs = pair(name, kind, by_logits)
    same(ours.probs, theirs.probs, rtol)
    same(ours.logits, theirs.logits, rtol)
    if name != "Geometric":  # PyTorch's has none
        assert tuple(ours.param_shape) == tuple(theirs.param_shape)


@pytest.mark.parametrize(("kind", "rtol"), KINDS)
@pytest.mark.parametrize("name", CDF)
def test_cdf_and_icdf(name, kind, rtol):
    ours, theirs = pair(name, kind)
    torch.manual_seed(2)
    drawn = theirs.sample((5,))
    same(ours.cdf(jitgrad.tensor(drawn.numpy())), theirs.cdf(drawn), rtol)
    if name == "Gumbel" and kind == "float32":
        rtol = 1e-4  # PyTorch's goes through a uniform distribution that ends next to 0 and 1
    inner = np.linspace(0.05, 0.95, SHAPE[1]).astype(kind)
    same(ours.icdf(jitgrad.tensor(inner)), theirs.icdf(torch.tensor(inner)), rtol)


@pytest.mark.parametrize(("kind", "rtol"), KINDS)
@pytest.mark.parametrize("name", KL)
def test_divergences(name, kind, rtol):
    p, q = pair(name, kind), pair(name, kind, seed=5)
    found, expected = (
        lib.distributions.kl_divergence(a, b) for lib, a, b in zip(LIBRARIES, p, q, strict=True)
    )
    same(found, expected, rtol)
    ours, theirs = (
        lib.distributions.kl_divergence(*(lib.distributions.Independent(x, 1) for x in (a, b)))
        for lib, a, b in zip(LIBRARIES, p, q, strict=True)
    )
    same(ours, theirs, rtol)


EDGES = {
    "Bernoulli": [0.0, 1.0, 0.0, 1.0, 0.5, 0.5],
    "Categorical": [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]],
}


@pytest.mark.parametrize("name", EDGES)
def test_divergences_of_certain_events(name):
    results = []
    for lib in LIBRARIES:
        p = getattr(lib.distributions, name)(lib.tensor(EDGES[name]))
        q = getattr(lib.distributions, name)(lib.tensor(EDGES[name][::-1]))
        results.append((lib.distributions.kl_divergence(p, q), p.entropy(), p.mode, p.logits))
    for found, expected in zip(*results, strict=True):
        same(found, expected, 1e-6)


@pytest.mark.parametrize(("kind", "rtol"), KINDS)
@pytest.mark.parametrize("name", PARAMETERS)
def test_gradients_of_log_prob_and_entropy(name, kind, rtol):
    torch.manual_seed(3)
    drawn = pair(name, kind)[1].sample((2,)).numpy()
    gradients = []
    for lib in LIBRARIES:
        rng = np.random.default_rng(0)
        parameters = {
            key: lib.tensor(make(rng, SHAPE).astype(kind), requires_grad=True)
            for key, make in PARAMETERS[name].items()
        }
        distribution = getattr(lib.distributions, name)(**parameters, validate_args=False)
        weights = lib.tensor(rng.uniform(0.5, 1.5, drawn.shape).astype(kind))
        loss = (distribution.log_prob(lib.tensor(drawn)) * weights).clamp(min=-100).sum()
        (loss + distribution.entropy().square().sum()).backward()
        gradients.append([p.grad for p in parameters.values()])
    for found, expected in zip(*gradients, strict=True):
        # PyTorch's trigamma function has nine digits
        same(found, expected, max(rtol * 20, 1e-7 if name in OF_GAMMA else 0))


@pytest.mark.parametrize("name", PARAMETERS)
def test_shapes_and_dtypes(name):
    ours, theirs = pair(name, "float64")
    for distribution in (ours, theirs):
        assert tuple(distribution.batch_shape) == tuple(theirs.batch_shape)
        assert tuple(distribution.event_shape) == tuple(theirs.event_shape)
    assert ours.has_rsample == theirs.has_rsample
    assert ours.has_enumerate_support == theirs.has_enumerate_support
    for shape in ((), (2,), (2, 1)):
        found, expected = ours.sample(shape), theirs.sample(shape)
        assert tuple(found.shape) == tuple(expected.shape)
        assert found.dtype.name == str(expected.dtype).removeprefix("torch.")
        if ours.has_rsample:
            assert tuple(ours.rsample(shape).shape) == tuple(theirs.rsample(shape).shape)
    wider = (2, *theirs.batch_shape)
    assert tuple(ours.expand(wider).sample((5,)).shape) == tuple(theirs.expand(wider).sample((5,)).shape)
    same(ours.expand(wider).entropy(), theirs.expand(wider).entropy(), 1e-11)
    for expand in (True, False) if ours.has_enumerate_support else ():
        same(ours.enumerate_support(expand), theirs.enumerate_support(expand), 0)


def test_independent():
    results = []
    for lib, base in zip(LIBRARIES, pair("Normal", "float64"), strict=True):
        rows = lib.distributions.Independent(base, 1)
        value = lib.arange(12.0, dtype=lib.float64).reshape(3, 4)
        shapes = tuple(rows.batch_shape), tuple(rows.event_shape), tuple(rows.expand((2, 3)).batch_shape)
        results.append(((rows.log_prob(value), rows.entropy(), rows.mean, rows.variance), shapes))
    for found, expected in zip(results[0][0], results[1][0], strict=True):
        same(found, expected, 1e-12)
    assert results[0][1] == results[1][1]


REFUSED = {
    "scale": lambda d, t: d.Normal(0.0, t.tensor([1.0, -1.0])),
    "nan": lambda d, t: d.Normal(float("nan"), 1.0),
    "shapes": lambda d, t: d.Normal(t.zeros(3), t.zeros(2)),
    "rate": lambda d, t: d.Exponential(0.0),
    "half normal": lambda d, t: d.HalfNormal(-1.0),
    "log normal": lambda d, t: d.LogNormal(0.0, -1.0),
    "gumbel": lambda d, t: d.Gumbel(0.0, -1.0),
    "order": lambda d, t: d.Uniform(1.0, 1.0),
    "probability": lambda d, t: d.Bernoulli(t.tensor([0.5, 1.5])),
    "logit": lambda d, t: d.Bernoulli(logits=float("nan")),
    "never": lambda d, t: d.Geometric(0.0),
    "weights": lambda d, t: d.Categorical(t.tensor([1.0, -0.5])),
    "no weights": lambda d, t: d.Categorical(t.zeros(3)),
    "one weight": lambda d, t: d.Categorical(t.tensor(1.0)),
    "both": lambda d, t: d.Bernoulli(0.5, 0.5),
    "none": lambda d, t: d.Categorical(),
    "text": lambda d, t: d.Normal("0", 1.0),
    "batch": lambda d, t: d.Independent(d.Normal(0.0, 1.0), 1),
    "number": lambda d, t: d.Normal(0.0, 1.0).log_prob(0.5),
    "value's shape": lambda d, t: d.Normal(t.zeros(2), 1.0).log_prob(t.zeros(3)),
    "event's shape": lambda d, t: d.Independent(d.Normal(t.zeros(2), 1.0), 1).log_prob(t.zeros(3)),
    "below 0": lambda d, t: d.Exponential(1.0).log_prob(t.tensor(-1.0)),
    "outside": lambda d, t: d.Uniform(0.0, 1.0).log_prob(t.tensor(1.5)),
    "no trial": lambda d, t: d.Bernoulli(0.5).log_prob(t.tensor(0.5)),
    "no count": lambda d, t: d.Geometric(0.5).log_prob(t.tensor(0.5)),
    "no class": lambda d, t: d.Categorical(t.ones(3)).log_prob(t.tensor(3)),
    "logarithm of 0": lambda d, t: d.LogNormal(0.0, 1.0).log_prob(t.tensor(0.0)),
    "rsample": lambda d, t: d.Bernoulli(0.5).rsample(),
    "cdf": lambda d, t: d.Bernoulli(0.5).cdf(t.tensor(1.0)),
    "enumeration": lambda d, t: d.Normal(0.0, 1.0).enumerate_support(),
    "combinations": lambda d, t: d.Independent(d.Bernoulli(t.full((2,), 0.5)), 1).enumerate_support(),
    "expansion": lambda d, t: d.Normal(t.zeros(2), 1.0).expand((3,)),
    "pair": lambda d, t: d.kl_divergence(d.Normal(0.0, 1.0), d.Bernoulli(0.5)),
    "events": lambda d, t: d.kl_divergence(
        *(d.Independent(d.Normal(t.zeros(2), 1.0), n) for n in (0, 1))
    ),
    "default": lambda d, t: d.Distribution.set_default_validate_args("yes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_errors_have_pytorchs_types(name):
    errors = []
    for lib in LIBRARIES:
        with pytest.raises(Exception) as caught:
            REFUSED[name](lib.distributions, lib)
        errors.append(caught.type)
    assert errors[0] is errors[1]


ACCEPTED = {  # whose checks let pass what looks odd
    "infinite location": lambda d, t: d.Normal(float("inf"), 1.0).mean,
    "infinite logit": lambda d, t: d.Categorical(logits=t.tensor([0.0, -float("inf")])).probs,
    "end of the range": lambda d, t: d.Uniform(0.0, 1.0).log_prob(t.tensor(1.0)),
    "an integer as probability": lambda d, t: d.Bernoulli(1).probs,
    "a wider value": lambda d, t: d.Normal(t.zeros(2), 1.0).log_prob(t.ones(3, 1)),
    "weights of any sum": lambda d, t: d.Categorical(t.tensor([3.0, 1.0])).probs,
    "floating classes": lambda d, t: d.Categorical(t.tensor([3.0, 1.0])).log_prob(t.tensor([1.0, 0.0])),
    "a batch of classes for one": lambda d, t: d.Categorical(t.tensor([[3.0, 1.0], [1.0, 1.0]])).log_prob(
        t.tensor(1)
    ),
    "no check": lambda d, t: d.Uniform(0.0, 1.0, validate_args=False).log_prob(t.tensor([-1.0, 2.0])),
    "no check of a half": lambda d, t: d.HalfNormal(1.0, validate_args=False).log_prob(t.tensor(-1.0)),
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_pytorch_accepts(name):
    found, expected = (ACCEPTED[name](lib.distributions, lib) for lib in LIBRARIES)
    same(found, expected, 1e-6)
