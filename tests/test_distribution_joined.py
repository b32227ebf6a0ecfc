"""Transforms side by side, of shape and by a cumulative distribution: values, inverses, volumes, sets."""

from __future__ import annotations

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import distributions as D

X = np.abs(np.random.default_rng(0).normal(size=(2, 3, 4))) + 0.1


def mixed(d):
    return [d.ExpTransform(), d.AffineTransform(1.0, -2.0), d.TanhTransform()]


TRANSFORMS = {
    "reshape": lambda d: d.ReshapeTransform((3, 4), (2, 6)),
    "cat": lambda d: d.CatTransform(mixed(d), dim=1),
    "cat of lengths": lambda d: d.CatTransform(mixed(d)[:2], dim=-1, lengths=[1, 3]),
    "cat of vectors": lambda d: d.CatTransform([d.StickBreakingTransform()] * 2, dim=1, lengths=[1, 2]),
    "cat of elements and vectors": lambda d: d.CatTransform(
        [d.ExpTransform(), d.IndependentTransform(d.ExpTransform(), 1)]
    ),
    "cat within what belongs together": lambda d: d.CatTransform(
        [d.ExpTransform(), d.IndependentTransform(d.ExpTransform(), 1)], dim=-1, lengths=[1, 3]
    ),
    "stack": lambda d: d.StackTransform(mixed(d), dim=1),
    "stack along the last": lambda d: d.StackTransform([*mixed(d), d.ExpTransform()], dim=-1),
    "cumulative": lambda d: d.CumulativeDistributionTransform(d.Normal(0.0, 1.0)),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_inverse_and_shape(name):
    transform, x = TRANSFORMS[name](D), torch.tensor(X)
    y = transform(x)
    torch.testing.assert_close(transform.inv(y), x)
    if name == "reshape":
        assert tuple(y.shape) == transform.forward_shape(x.shape) == (2, 2, 6)
        assert transform.inverse_shape(y.shape) == (2, 3, 4)


@pytest.mark.parametrize("name", [n for n in TRANSFORMS if "vectors" not in n])
def test_volume_is_the_derivative_s_determinant(name):
    transform, x = TRANSFORMS[name](D), torch.tensor(X)
    jacobian = torch.autograd.functional.jacobian(transform, x).numpy().reshape(X.size, X.size)
    found = transform.log_abs_det_jacobian(x, transform(x))
    np.testing.assert_allclose(found.sum().item(), np.linalg.slogdet(jacobian)[1], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_values_and_volumes_are_pytorch_s(name):
    theirs = pytest.importorskip("torch")
    mine, other = TRANSFORMS[name](D), TRANSFORMS[name](theirs.distributions)
    x, z = torch.tensor(X), theirs.tensor(X)
    y, w = mine(x), other(z)
    np.testing.assert_allclose(y.numpy(), w.numpy(), rtol=1e-8)
    np.testing.assert_allclose(
        mine.log_abs_det_jacobian(x, y).numpy(),
        other.log_abs_det_jacobian(z, w).numpy(),
        rtol=1e-6,
        atol=1e-9,
    )


def test_sets():
    reshape = D.ReshapeTransform((4,), (2, 2))
    assert (reshape.domain.event_dim, reshape.codomain.event_dim) == (1, 2)
    cumulative = D.CumulativeDistributionTransform(D.HalfNormal(1.0))
    assert str(cumulative.domain) == "GreaterThanEq(lower_bound=0.0)"
    assert str(cumulative.codomain) == "Interval(lower_bound=0.0, upper_bound=1.0)"


def test_a_distribution_is_made_uniform_by_its_own_cumulative():
    normal = D.Normal(torch.tensor([1.0]), 2.0)
    uniform = D.TransformedDistribution(normal, [D.CumulativeDistributionTransform(normal)])
    torch.testing.assert_close(uniform.log_prob(torch.tensor([0.2])), torch.zeros(1), atol=1e-5, rtol=0.0)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: D.ReshapeTransform((2, 3), (5,)), "numbers of elements"),
        (lambda: D.ReshapeTransform((2, 3), (6,))(torch.ones(3, 2)), r"ends in \(2, 3\)"),
        (lambda: D.CatTransform([D.ExpTransform()], lengths=[1, 2]), "got 2"),
        (lambda: D.CatTransform([torch.exp]), "expected transforms"),
        (lambda: D.CatTransform([D.ExpTransform()])(torch.ones(3)), "expected 1 elements"),
        (lambda: D.StackTransform([D.ExpTransform()])(torch.ones(3)), "expected 1 elements"),
    ],
)
def test_what_does_not_fit_is_refused(call, word):
    with pytest.raises(ValueError, match=word):
        call()
