"""Transforms of distributions: PyTorch's values, inverses, Jacobians and gradients, and what a cache keeps."""

from __future__ import annotations

import pytest
from test_distribution_families import squashed
from twin_calls import run_both, with_gradients

import jitgrad
import jitgrad.distributions  # attributes of modules are read below

TRANSFORMS = {
    "Exp": lambda m, t: m.distributions.ExpTransform(),
    "Sigmoid": lambda m, t: m.distributions.SigmoidTransform(),
    "Tanh": lambda m, t: m.distributions.TanhTransform(),
    "Softplus": lambda m, t: m.distributions.SoftplusTransform(),
    "Affine": lambda m, t: m.distributions.AffineTransform(t(3), -2.0),
    "Affine of tensors": lambda m, t: m.distributions.AffineTransform(t(3), t(3), event_dim=1),
    "Compose": lambda m, t: m.distributions.ComposeTransform(
        [m.distributions.AffineTransform(1.0, 0.5), m.distributions.SigmoidTransform()]
    ),
    "Independent": lambda m, t: m.distributions.IndependentTransform(m.distributions.ExpTransform(), 1),
    "inverse": lambda m, t: m.distributions.SigmoidTransform().inv.inv,
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_are_pytorchs(name):
    def script(m, t):
        transform = TRANSFORMS[name](m, t)

        def call(x):
            y = transform(x)
            return y, transform.inv(y), transform.log_abs_det_jacobian(x, y)

        return with_gradients(m, call, t(2, 3, grad=True))

    run_both(script)


def test_functions_of_distributions_are_pytorchs():
    def script(m, t):
        D = m.distributions
        row = D.TransformedDistribution(
            D.Normal(t(3), 1.0), [D.AffineTransform(0.5, t(3), event_dim=1), D.ExpTransform()]
        )
        plain = D.TransformedDistribution(D.Normal(t(3), 1.0), D.AffineTransform(1.0, -2.0))
        shapes = [tuple(s) for s in (row.batch_shape, row.event_shape, row.expand((2,)).batch_shape)]
        p = t(3).sigmoid()
        return (
            row.log_prob(t(4, 3).exp()),
            shapes,
            plain.cdf(t(3)),
            plain.icdf(p),
            squashed(m, t).cdf(t(4).tanh()),
        )

    run_both(script)


def test_a_cached_transform_knows_what_its_result_was_made_of():
    base = jitgrad.distributions.Normal(jitgrad.tensor([20.0, -20.0]), 1.0)
    for cache, finite in ((1, True), (0, False)):
        policy = jitgrad.distributions.TransformedDistribution(
            base, [jitgrad.distributions.TanhTransform(cache_size=cache)]
        )
        assert bool(policy.log_prob(policy.rsample()).isfinite().all()) is finite


def test_every_transform_is_in_the_module_of_transforms():
    module = jitgrad.distributions
    names = [name for name in module.__all__ if name.endswith("Transform")]
    assert len(names) > 10
    for name in names:
        assert getattr(module.transforms, name) is getattr(module, name) and name in module.transforms.__all__
