"""Distributions: shapes, numbers as parameters, what is refused, and how the package is imported."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from distribution_cases import CASES, make

import jitgrad as torch
from jitgrad import distributions as D

# shapes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sample_shape", [(), (3,), (2, 1), (0,)])
@pytest.mark.parametrize("name", CASES)
def test_shapes(name, sample_shape):
    distribution = make(name)
    assert distribution.batch_shape == (2,) and distribution.event_shape == ()
    drawn = distribution.sample(sample_shape)
    assert tuple(drawn.shape) == (*sample_shape, 2)
    assert tuple(distribution.log_prob(drawn).shape) == (*sample_shape, 2)
    for known in (distribution.entropy(), distribution.mean, distribution.variance, distribution.mode):
        assert tuple(known.shape) == (2,)


@pytest.mark.parametrize("name", CASES)
def test_expand_repeats_the_batch(name):
    distribution = make(name)
    torch.manual_seed(7)
    value = distribution.sample()
    expanded = distribution.expand((4, 2))
    assert expanded.batch_shape == (4, 2) and distribution.batch_shape == (2,)
    assert type(expanded) is type(distribution)
    assert tuple(expanded.sample((3,)).shape) == (3, 4, 2)
    for whole, row in (
        (expanded.log_prob(value), distribution.log_prob(value)),
        (expanded.entropy(), distribution.entropy()),
    ):
        assert whole.tolist() == [row.tolist()] * 4
    with pytest.raises(RuntimeError, match="expand"):
        distribution.expand((4, 3))


def test_parameters_broadcast():
    distribution = D.Normal(torch.zeros(3, 1), torch.ones(2))
    assert distribution.batch_shape == (3, 2)
    assert tuple(distribution.loc.shape) == tuple(distribution.scale.shape) == (3, 2)
    with pytest.raises(RuntimeError):
        D.Normal(torch.zeros(3), torch.ones(2))


@pytest.mark.parametrize("name", [n for n in CASES if n != "Categorical"])
def test_numbers_as_parameters(name):
    numbers = {k: v[1] for k, v in CASES[name].parameters.items()}
    distribution = getattr(D, name)(**numbers)
    assert distribution.batch_shape == ()
    assert distribution.sample((2,)).dtype is torch.float32
    value = make(name).sample()
    found, expected = distribution.log_prob(value[1].float()), make(name).log_prob(value)[1]
    assert found.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)


def test_numbers_take_the_dtype_of_tensors():
    distribution = D.Normal(0, torch.ones(2, dtype=torch.float64))
    assert distribution.loc.dtype is distribution.sample().dtype is torch.float64


def test_enumerated_values():
    coin = D.Bernoulli(torch.full((2, 3), 0.4))
    assert tuple(coin.enumerate_support().shape) == (2, 2, 3)
    assert coin.enumerate_support(expand=False).tolist() == [[[0.0]], [[1.0]]]
    classes = D.Categorical(torch.ones(2, 5))
    assert classes.enumerate_support().tolist() == [[k, k] for k in range(5)]
    total = classes.log_prob(classes.enumerate_support()).exp().sum(0)
    np.testing.assert_allclose(total.numpy(), 1, rtol=1e-6)
    with pytest.raises(NotImplementedError, match="Normal has no enumerate_support"):
        make("Normal").enumerate_support()


def test_independent_sums_over_its_event():
    base = D.Normal(torch.arange(6.0).reshape(2, 3), torch.ones(3))
    rows, all_of_it = D.Independent(base, 1), D.Independent(base, 2)
    assert (rows.batch_shape, rows.event_shape) == ((2,), (3,))
    assert (all_of_it.batch_shape, all_of_it.event_shape) == ((), (2, 3))
    value = rows.rsample((4,))
    assert tuple(value.shape) == (4, 2, 3) and rows.has_rsample
    parts = base.log_prob(value)
    assert rows.log_prob(value).tolist() == parts.sum(-1).tolist()
    np.testing.assert_allclose(all_of_it.log_prob(value).numpy(), parts.numpy().sum((1, 2)), rtol=1e-6)
    np.testing.assert_allclose(rows.entropy().numpy(), base.entropy().numpy().sum(1), rtol=1e-6)
    assert rows.mean.tolist() == rows.mode.tolist() == base.loc.tolist()
    assert rows.stddev.tolist() == [[1.0] * 3] * 2
    expanded = rows.expand((5, 2))
    assert (expanded.batch_shape, expanded.event_shape) == ((5, 2), (3,))
    assert tuple(expanded.sample().shape) == (5, 2, 3)
    coins = D.Bernoulli(torch.full((2,), 0.5))
    assert D.Independent(coins, 0).enumerate_support().tolist() == [[0, 0], [1, 1]]
    assert not D.Independent(coins, 1).has_enumerate_support
    with pytest.raises(NotImplementedError, match="combinations"):
        D.Independent(coins, 1).enumerate_support()


def test_printed_form_names_the_parameters():
    assert repr(D.Normal(0.0, 2.0)) == "Normal(loc: 0.0, scale: 2.0)"
    coins = D.Independent(D.Bernoulli(torch.full((2,), 0.5)), 1)
    assert repr(coins) == "Independent(Bernoulli(probs: torch.Size([2])), 1)"


# errors -------------------------------------------------------------------------------------------------

BAD = {
    "scale": (lambda: D.Normal(0.0, torch.tensor([1.0, -2.0])), ["Normal", "scale", "greater than 0", "-2.0"]),
    "loc": (lambda: D.Laplace(math.nan, 1.0), ["Laplace", "loc", "nan"]),
    "zero": (lambda: D.Cauchy(0.0, 0.0), ["Cauchy", "scale", "greater than 0", "0.0"]),
    "gumbel": (lambda: D.Gumbel(0.0, -1.0), ["Gumbel", "scale"]),
    "log normal": (lambda: D.LogNormal(0.0, -1.0), ["LogNormal", "scale"]),
    "half normal": (lambda: D.HalfNormal(-1.0), ["HalfNormal", "scale"]),
    "rate": (lambda: D.Exponential(-1.0), ["Exponential", "rate", "greater than 0", "-1.0"]),
    "order": (lambda: D.Uniform(1.0, torch.tensor([2.0, 0.5])), ["Uniform", "high", "greater than low", "0.5"]),
    "above 1": (lambda: D.Bernoulli(1.5), ["Bernoulli", "probs", "from 0 to 1", "1.5"]),
    "nan logit": (lambda: D.Bernoulli(logits=math.nan), ["Bernoulli", "logits", "nan"]),
    "never": (lambda: D.Geometric(0.0), ["Geometric", "probs", "greater than 0", "0.0"]),
    "negative": (lambda: D.Categorical(torch.tensor([1.0, -0.5])), ["Categorical", "probs", "(2,)", "-1.0"]),
    "nothing": (lambda: D.Categorical(torch.zeros(3)), ["Categorical", "probs", "positive", "nan"]),
    "one number": (lambda: D.Categorical(torch.tensor(1.0)), ["Categorical", "dimension"]),
    "both": (lambda: D.Bernoulli(0.5, 0.5), ["Bernoulli", "probs or logits", "both"]),
    "none": (lambda: D.Categorical(), ["Categorical", "probs or logits", "none"]),
    "type": (lambda: D.Normal("0", 1.0), ["Normal", "loc", "Tensor", "str"]),
    "independent": (lambda: D.Independent(D.Normal(0.0, 1.0), 1), ["Independent", "at most 0", "got 1"]),
    "value's type": (lambda: D.Normal(0.0, 1.0).log_prob(0.5), ["Normal", "value", "Tensor", "float"]),
    "value's shape": (lambda: make("Normal").cdf(torch.ones(3)), ["Normal", "value", "(2,)", "(3,)"]),
    "value": (lambda: D.Exponential(1.0).log_prob(torch.tensor(-1.0)), ["Exponential", "at least 0", "-1.0"]),
    "outside": (lambda: D.Uniform(0.0, 1.0).log_prob(torch.tensor(1.5)), ["Uniform", "low to high", "1.5"]),
    "half": (lambda: D.Bernoulli(0.5).log_prob(torch.tensor(0.5)), ["Bernoulli", "0 or 1", "0.5"]),
    "fraction": (lambda: D.Geometric(0.5).log_prob(torch.tensor(0.5)), ["Geometric", "whole", "0.5"]),
    "class": (lambda: make("Categorical").log_prob(torch.tensor([0, 3])), ["Categorical", "from 0 to 2", "3"]),
    "log of 0": (lambda: D.LogNormal(0.0, 1.0).cdf(torch.tensor(0.0)), ["LogNormal", "greater than 0"]),
    "default": (lambda: D.Distribution.set_default_validate_args(2), ["set_default_validate_args", "2"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_impossible_is_refused(name):
    call, words = BAD[name]
    with pytest.raises(ValueError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


def test_classes_must_be_given_as_a_tensor():
    with pytest.raises(TypeError, match="Categorical"):
        D.Categorical([0.5, 0.5])


def test_values_are_not_checked_when_that_is_switched_off():
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    outside = torch.tensor([-1.0, 2.0])
    for free in (D.Uniform(0.0, 1.0, validate_args=False), D.Uniform(0.0, 1.0).expand((2,))):
        free._validate_args = False
        assert free.log_prob(outside).tolist() == [-math.inf, -math.inf]
        assert free.cdf(outside).tolist() == [0, 1]
    assert D.HalfNormal(1.0, validate_args=False).log_prob(torch.tensor(-1.0)).item() == -math.inf
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
        with pytest.raises(ValueError):
            D.Normal(0.0, -1.0, validate_args=True)
    finally:
        D.Distribution.set_default_validate_args(True)


def test_a_distribution_without_formulas_says_what_it_lacks():
    plain = D.Distribution((2,), (3,))
    assert plain.batch_shape == (2,) and plain.event_shape == (3,)
    for what in ("mean", "mode", "variance", "stddev"):
        with pytest.raises(NotImplementedError, match="Distribution has no"):
            getattr(plain, what)
    for call in (plain.sample, plain.entropy, lambda: plain.log_prob(0), lambda: plain.cdf(0)):
        with pytest.raises(NotImplementedError, match="Distribution has no"):
            call()
    with pytest.raises(NotImplementedError, match="Geometric has no icdf"):
        make("Geometric").icdf(torch.tensor(0.5))


# the package --------------------------------------------------------------------------------------------


def test_the_package_is_imported_when_it_is_used():
    code = (
        "import sys, jitgrad; assert 'jitgrad.distributions' not in sys.modules; "
        "print(jitgrad.distributions.Normal(0, 1)); "
        "from jitgrad.distributions.categorical import Categorical"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "Normal(loc: 0.0, scale: 1.0)\n"), done.stderr
