"""Compiled steps that draw and score leave, bit for bit, what eager steps leave."""

from __future__ import annotations

import pytest
from compile_cases import Scene, assert_same
from distribution_cases import CASES, OTHERS, make, tensors

import jitgrad as torch
from jitgrad import distributions as D
from jitgrad import nn


def observations(count=6):
    made = [torch.randn(8, 3) for _ in range(count)]
    return lambda k: (made[k % count],)


@pytest.mark.parametrize("name", ["Categorical", "Bernoulli"])
def test_compiled_reinforce_equals_eager(name):
    def build():
        policy = nn.Linear(3, 4)
        optimizer = torch.optim.Adam(policy.parameters(), lr=0.05)

        def step(x):
            optimizer.zero_grad()
            choice = getattr(D, name)(logits=policy(x))
            action = choice.sample()
            reward = (action == 1).float()
            loss = -(choice.log_prob(action) * reward).mean() - 0.01 * choice.entropy().mean()
            loss.backward()
            optimizer.step()
            return loss.detach(), action

        return Scene(step, observations(), policy, optimizer)

    assert_same(build)


def test_compiled_variational_step_equals_eager():
    def build():
        model = nn.Linear(3, 4)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x):
            optimizer.zero_grad()
            loc, scale = model(x).chunk(2, -1)
            posterior = D.Independent(D.Normal(loc, scale.exp()), 1)
            prior = D.Independent(D.Normal(torch.zeros_like(loc), 1.0), 1)
            z = posterior.rsample((2,))
            loss = D.kl_divergence(posterior, prior).mean() + (z - 1).square().mean()
            loss.backward()
            optimizer.step()
            return loss.detach(), z.detach()

        return Scene(step, observations(), model, optimizer)

    assert_same(build)


@pytest.mark.parametrize("name", CASES)
def test_compiled_samples_and_logarithms_equal_eager_ones(name):
    def build():
        def step(factor):
            parameters = {k: v * factor for k, v in tensors(name, torch.float32).items()}
            distribution = getattr(D, name)(**parameters)
            drawn = distribution.sample((3,))
            known = [distribution.entropy(), distribution.mode]
            if name in OTHERS:
                known.append(D.kl_divergence(distribution, distribution.expand((2, 2))))
            return drawn, distribution.log_prob(drawn), known

        factors = [torch.tensor(f) for f in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)]
        return Scene(step, lambda k: (factors[k % 6],))

    assert_same(build)


def test_checks_are_left_out_where_a_step_is_recorded():
    def step(scale):
        return D.Normal(0.0, scale, validate_args=True).log_prob(torch.ones(2))

    bad = torch.tensor([1.0, -1.0])
    with pytest.raises(ValueError, match="Normal"):
        step(bad)
    assert torch.compile(step, fullgraph=True)(bad)[1].isnan().item()
    with pytest.raises(ValueError, match="broadcast"):  # shapes are looked at nevertheless
        torch.compile(lambda x: make("Normal").log_prob(x))(torch.ones(3))


@pytest.mark.parametrize("name", ["Bernoulli", "Categorical"])
def test_a_distribution_from_outside_the_step_computes_its_logits_once(name):
    def build():
        prior, wider = make(name), make(name)
        w = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)

        def step(x):
            w.grad = None
            learned = getattr(D, name)(logits=w * x if name == "Categorical" else (w * x).sum(-1))
            loss = D.kl_divergence(learned, prior).sum()
            loss = loss - wider.expand((3, 2)).log_prob(prior.sample((3,))).sum() * w.sum()
            loss.backward()
            return loss.detach()

        return Scene(step, lambda k: (torch.full((3,), 0.1 * k, dtype=torch.float64),), w)

    assert_same(build)
