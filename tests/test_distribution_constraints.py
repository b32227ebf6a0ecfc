"""Sets of parameters and values, and transforms into them: membership, inverses, derivatives, PyTorch's answers."""

from __future__ import annotations

import math

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import distributions as D
from jitgrad.autograd import gradcheck
from jitgrad.distributions import constraints as C

LOWER = [[1.0, 0.0], [0.5, 2.0]]
MEMBERS = {
    "real": ([0.0, math.inf, math.nan], [True, True, False]),
    "boolean": ([0.0, 1.0, 0.5], [True, True, False]),
    "positive": ([0.0, 1.0, -1.0], [False, True, False]),
    "nonnegative": ([0.0, 1.0, -1.0], [True, True, False]),
    "unit_interval": ([0.0, 1.0, 1.5], [True, True, False]),
    "nonnegative_integer": ([0.0, 3.0, 1.5, -1.0], [True, True, False, False]),
    "positive_integer": ([0.0, 3.0, 1.5], [False, True, False]),
    "real_vector": ([[0.0, 1.0], [math.nan, 1.0]], [True, False]),
    "simplex": ([[0.25, 0.75], [0.5, 0.6], [-0.5, 1.5]], [True, False, False]),
    "one_hot": ([[0.0, 1.0], [1.0, 1.0], [0.0, 0.5]], [True, False, False]),
    "lower_triangular": ([LOWER, [[1.0, 2.0], [0.0, 1.0]]], [True, False]),
    "lower_cholesky": ([LOWER, [[-1.0, 0.0], [0.0, 1.0]]], [True, False]),
    "corr_cholesky": ([[[1.0, 0.0], [0.6, 0.8]], LOWER], [True, False]),
    "square": ([LOWER, LOWER], [True, True]),
    "symmetric": ([[[1.0, 2.0], [2.0, 1.0]], LOWER], [True, False]),
    "positive_definite": ([[[2.0, 1.0], [1.0, 2.0]], [[1.0, 2.0], [2.0, 1.0]]], [True, False]),
    "positive_semidefinite": ([[[2.0, 0.0], [0.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]]], [True, False]),
}
MADE = {
    "greater_than": (lambda c: c.greater_than(2.0), [1.0, 2.0, 3.0], [False, False, True]),
    "greater_than_eq": (lambda c: c.greater_than_eq(2.0), [1.0, 2.0, 3.0], [False, True, True]),
    "less_than": (lambda c: c.less_than(2.0), [1.0, 2.0, 3.0], [True, False, False]),
    "interval": (lambda c: c.interval(-1.0, 2.0), [-1.0, 2.0, 3.0], [True, True, False]),
    "half_open_interval": (lambda c: c.half_open_interval(-1.0, 2.0), [-1.0, 2.0, 0.0], [True, False, True]),
    "integer_interval": (lambda c: c.integer_interval(0, 2), [2.0, 1.5, 3.0], [True, False, False]),
    "multinomial": (lambda c: c.multinomial(3), [[1.0, 2.0], [3.0, 1.0]], [True, False]),
    "independent": (lambda c: c.independent(c.positive, 1), [[1.0, 2.0], [-1.0, 1.0]], [True, False]),
    "cat": (
        lambda c: c.cat([c.positive, c.unit_interval], -1, [2, 1]),
        [[1.0, -2.0, 0.5], [3.0, 2.0, 2.0]],
        [[True, False, True], [True, True, False]],
    ),
    "stack": (
        lambda c: c.stack([c.positive, c.integer_interval(0, 2)]),
        [[1.0, -2.0], [1.0, 0.5]],
        [[True, False], [True, False]],
    ),
}
CASES = {**{n: (lambda c, n=n: getattr(c, n), *v) for n, v in MEMBERS.items()}, **MADE}


@pytest.mark.parametrize("name", CASES)
def test_membership(name):
    make, values, expected = CASES[name]
    found = make(C).check(torch.tensor(values))
    assert found.dtype is torch.bool
    assert found.tolist() == expected


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["positive_definite", "positive_semidefinite"])
def test_matrices_that_are_not_finite_lie_in_no_set_of_definite_ones(name, bad):
    both = torch.eye(3).repeat(2, 1, 1)
    both[1] = bad
    assert getattr(C, name).check(both).tolist() == [True, False]


@pytest.mark.parametrize("name", CASES)
def test_membership_and_names_are_those_of_pytorch(name):
    other = pytest.importorskip("torch")
    make, values, _ = CASES[name]
    ours, theirs = make(C), make(other.distributions.constraints)
    assert ours.check(torch.tensor(values)).tolist() == theirs.check(other.tensor(values)).tolist()
    assert (ours.event_dim, ours.is_discrete) == (theirs.event_dim, theirs.is_discrete)
    assert name == "multinomial" or repr(ours) == repr(theirs)  # PyTorch does not show that one's bound


def made(lib):
    """A distribution of each kind."""
    d, t = lib.distributions, lib.tensor
    p, v, m = t([0.3, 0.6]), t([0.2, 0.3, 0.5]), lib.eye(2)
    mixture = d.MixtureSameFamily(d.Categorical(p), d.Normal(p, 1.0))
    return [
        d.Bernoulli(p), d.Beta(p, p), d.Binomial(5, p), d.Categorical(v), d.Categorical(logits=v), d.Cauchy(p, p),
        d.Chi2(p), d.Dirichlet(v), d.Exponential(p), d.Gamma(p, p), d.Geometric(p), d.Gumbel(p, p), d.HalfCauchy(p),
        d.HalfNormal(p), d.Independent(d.Normal(p, p), 1), d.InverseGamma(p, p), d.Laplace(p, p), d.LogNormal(p, p),
        mixture, d.Multinomial(4, v), d.MultivariateNormal(p, m), d.NegativeBinomial(3, p), d.Normal(p, p),
        d.OneHotCategorical(v), d.OneHotCategoricalStraightThrough(v), d.Pareto(t(2.0), t(1.0)), d.Poisson(p),
        d.RelaxedBernoulli(t(1.0), p), d.RelaxedOneHotCategorical(t(1.0), v), d.StudentT(p), d.Uniform(0.0, 2.0),
        d.FisherSnedecor(p, p), d.Kumaraswamy(p, p), d.LogisticNormal(p, p), d.VonMises(p, p),
        d.LowRankMultivariateNormal(p, m, p), d.Weibull(p, p),
        d.TransformedDistribution(d.Normal(p, p), [d.SigmoidTransform()]),
        d.TransformedDistribution(d.Independent(d.Normal(p, p), 1), [d.TanhTransform()]),
    ]  # fmt: skip


def test_supports_and_parameters_are_those_of_pytorch():
    other = pytest.importorskip("torch")
    for ours, theirs in zip(made(torch), made(other), strict=True):
        name = type(ours).__name__
        if name not in ("MixtureSameFamily", "Multinomial"):  # PyTorch wraps that set, and hides the bound
            assert repr(ours.support) == repr(theirs.support), name
        if name != "Uniform":
            assert {k: repr(c) for k, c in ours.arg_constraints.items()} == {
                k: repr(c) for k, c in theirs.arg_constraints.items()
            }, name


def test_samples_lie_in_the_support_and_parameters_in_their_sets():
    torch.manual_seed(0)
    for d in made(torch):
        assert bool(d.support.check(d.sample((20,))).all()), d
        for name, constraint in type(d).arg_constraints.items():
            if name in vars(d) and not C.is_dependent(constraint):
                assert bool(constraint.check(getattr(d, name)).all()), (d, name)
    assert C.is_dependent(D.Uniform.support) and not C.is_dependent(D.Normal.support)


TARGETS = {
    "real": (lambda c: c.real, 3),
    "positive": (lambda c: c.positive, 3),
    "nonnegative": (lambda c: c.nonnegative, 3),
    "greater_than": (lambda c: c.greater_than(2.0), 3),
    "less_than": (lambda c: c.less_than(2.0), 3),
    "unit_interval": (lambda c: c.unit_interval, 3),
    "interval": (lambda c: c.interval(-1.0, 3.0), 3),
    "simplex": (lambda c: c.simplex, 3),
    "real_vector": (lambda c: c.real_vector, 3),
    "positive vector": (lambda c: c.independent(c.positive, 1), 3),
    "corr_cholesky": (lambda c: c.corr_cholesky, 6),
    "lower_cholesky": (lambda c: c.lower_cholesky, (3, 3)),
    "positive_definite": (lambda c: c.positive_definite, (3, 3)),
}


def unconstrained(name):
    size = TARGETS[name][1]
    return np.random.default_rng(4).standard_normal((2, *(size if isinstance(size, tuple) else (size,))))


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
@pytest.mark.parametrize("name", TARGETS)
def test_transforms_reach_the_set_and_come_back(name, registry):
    constraint = TARGETS[name][0](C)
    if registry == "biject_to" and name in ("lower_cholesky", "positive_definite"):
        with pytest.raises(NotImplementedError, match="Cannot transform"):
            D.biject_to(constraint)
        return
    transform, x = getattr(D, registry)(constraint), torch.tensor(unconstrained(name), requires_grad=True)
    y = transform(x)
    assert bool(constraint.check(y.detach()).all())
    assert gradcheck(transform, [x])
    again = transform(transform.inv(y))
    np.testing.assert_allclose(again.detach().numpy(), y.detach().numpy(), rtol=1e-9, atol=1e-12)
    assert tuple(y.shape) == tuple(transform.forward_shape(x.shape))
    assert tuple(x.shape) == tuple(transform.inverse_shape(y.shape))


@pytest.mark.parametrize("registry", ["biject_to", "transform_to"])
@pytest.mark.parametrize("name", TARGETS)
def test_transforms_are_those_of_pytorch(name, registry):
    other = pytest.importorskip("torch")
    if registry == "biject_to" and name in ("lower_cholesky", "positive_definite"):
        return
    results = []
    for lib in (torch, other):
        transform = getattr(lib.distributions, registry)(TARGETS[name][0](lib.distributions.constraints))
        x = lib.tensor(unconstrained(name))
        y = transform(x)
        parts = [y, transform.inv(y)]
        if transform.bijective and registry == "biject_to":
            parts.append(transform.log_abs_det_jacobian(x, y))
        results.append(parts)
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", [D.StickBreakingTransform, D.CorrCholeskyTransform])
def test_determinants_are_those_of_the_derivative(kind):
    transform, x = kind(), torch.tensor(np.random.default_rng(2).standard_normal(3))

    def coordinates(x):
        y = transform(x)
        return y[:-1] if y.ndim == 1 else y[(torch.tensor([1, 2, 2]), torch.tensor([0, 0, 1]))]

    matrix = torch.autograd.functional.jacobian(coordinates, x).numpy()
    found = transform.log_abs_det_jacobian(x, transform(x)).item()
    np.testing.assert_allclose(found, np.linalg.slogdet(matrix)[1], rtol=1e-10)


def test_what_is_refused():
    with pytest.raises(NotImplementedError, match="Cannot transform _Boolean constraints"):
        D.transform_to(C.boolean)
    with pytest.raises(TypeError, match="expected constraint to be a Constraint subclass or instance"):
        D.transform_to.register(3, lambda c: None)
    with pytest.raises(ValueError, match="cannot determine validity"):
        C.dependent.check(torch.ones(1))
    with pytest.raises(ValueError, match=r"D \* \(D - 1\) / 2 numbers for some D, got 4"):
        D.CorrCholeskyTransform()(torch.zeros(4))


def test_a_transform_can_be_registered():
    class Even(C.Constraint):
        pass

    registry = D.constraint_registry.ConstraintRegistry()

    @registry.register(Even)
    def make(constraint):
        return D.ExpTransform()

    assert registry(Even()) == D.ExpTransform()


def test_a_constrained_parameter_is_trained_in_a_compiled_step():
    raw = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.SGD([raw], lr=1.0)
    goal = torch.tensor([0.7, 0.2, 0.1])

    @torch.compile(fullgraph=True)
    def step():
        optimizer.zero_grad()
        loss = (D.transform_to(C.simplex)(raw) - goal).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    losses = [step().item() for _ in range(100)]
    assert losses[-1] < 0.01 * losses[0]


@pytest.mark.parametrize("registry", [D.biject_to, D.transform_to], ids=["biject_to", "transform_to"])
@pytest.mark.parametrize("name", ["cat", "stack"])
def test_joined_sets_have_joined_transforms(name, registry):
    joined = getattr(C, name)([C.positive, C.unit_interval])
    transform, x = registry(joined), torch.tensor([[-1.5, 0.5], [2.0, -3.0]])
    y = transform(x)
    assert joined.check(y).tolist() == [[True, True], [True, True]]
    np.testing.assert_allclose(y.numpy(), [np.exp(x[0].numpy()), 1 / (1 + np.exp(-x[1].numpy()))], rtol=1e-5)
    np.testing.assert_allclose(transform.inv(y).numpy(), x.numpy(), rtol=1e-4)


def test_joined_sets_of_another_number_of_parts_are_refused():
    with pytest.raises(ValueError, match="expected 2 parts along dimension 0, got 3"):
        C.stack([C.real, C.real]).check(torch.zeros(3))
    with pytest.raises(ValueError, match="a length for each of 2 sets, got 1"):
        C.cat([C.real, C.real], 0, [2])
