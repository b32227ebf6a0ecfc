"""Activations that draw: leaky ReLU of random slopes, and differentiable samples of categories."""

from __future__ import annotations

import math

import numpy as np
import pytest
from compile_cases import Scene, assert_same
from gradients import check_gradients
from random_cases import MANY, close

import jitgrad as torch
from jitgrad import nn
from jitgrad.nn import functional as F

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
rng = np.random.default_rng(4)
X = rng.standard_normal((4, 5))


def seeded(function):
    """The function with the same draws in every call."""

    def call(*args):
        torch.manual_seed(3)
        return function(*args)

    return call


# rrelu ------------------------------------------------------------------------------------------------------


@DTYPES
def test_slopes_are_uniform_and_positive_numbers_stay(dtype):
    torch.manual_seed(0)
    slopes = F.rrelu(-torch.ones(MANY, dtype=dtype), 0.2, 0.6, True)
    assert slopes.dtype is dtype
    slopes = -slopes.numpy()
    assert slopes.min() >= 0.2 and slopes.max() <= 0.6
    assert close(slopes.mean(), 0.4, 0.4 / math.sqrt(12))
    x = torch.tensor([0.0, 1.5, 1e30], dtype=dtype)
    np.testing.assert_array_equal(F.rrelu(x, training=True).numpy(), x.numpy())


def test_gradient_is_the_slope_that_was_drawn():
    x = torch.tensor(X, requires_grad=True)
    y = F.rrelu(x, 0.1, 0.9, True)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy() / X, rtol=1e-12)
    check_gradients(seeded(lambda t: F.rrelu(t.t(), 0.1, 0.9, True)), X)


def test_evaluation_takes_the_mean_slope():
    layer = nn.RReLU(0.1, 0.5)
    assert (layer(torch.tensor(X)).numpy() != layer(torch.tensor(X)).numpy()).any()
    found = layer.eval()(torch.tensor(X)).numpy()
    np.testing.assert_allclose(found, np.where(X > 0, X, 0.3 * X), rtol=1e-12)
    check_gradients(F.rrelu, X)


@pytest.mark.parametrize("training", [True, False])
def test_in_place_slopes_overwrite_and_differentiate(training):
    x = torch.tensor(X, requires_grad=True)
    for write in (lambda y: F.rrelu_(y, 0.1, 0.9, training), nn.RReLU(inplace=True).train(training)):
        x.grad = None
        copied = x * 1
        y = write(copied)
        assert y is copied
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), y.detach().numpy() / X, rtol=1e-12)


# gumbel_softmax ---------------------------------------------------------------------------------------------


@DTYPES
def test_categories_are_drawn_by_their_weights(dtype):
    torch.manual_seed(1)
    weights = np.array([0.1, 0.6, 0.3])
    logits = torch.tensor(np.log(weights), dtype=dtype).expand(MANY, 3)
    for tau in (0.5, 2.0):
        drawn = F.gumbel_softmax(logits, tau, hard=True)
        assert drawn.dtype is dtype
        shares = drawn.numpy().mean(0)
        for share, p in zip(shares, weights, strict=True):
            assert close(share, p, math.sqrt(p * (1 - p)))


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_samples_sum_to_one_and_hard_ones_are_single(dim):
    torch.manual_seed(2)
    logits = torch.tensor(X).t()
    soft = F.gumbel_softmax(logits, 0.7, dim=dim).numpy()
    np.testing.assert_allclose(soft.sum(dim), 1.0, rtol=1e-12)
    hard = F.gumbel_softmax(logits, 0.7, True, dim=dim).numpy()
    np.testing.assert_allclose(np.sort(hard, dim).sum(dim), 1.0)
    np.testing.assert_allclose(hard.max(dim), 1.0)
    assert (np.count_nonzero(hard, dim) == 1).all()


def test_sample_is_the_softmax_of_disturbed_logits():
    torch.manual_seed(9)
    noise = -np.log(torch.empty(4, 5, dtype=torch.float64).exponential_().numpy())
    torch.manual_seed(9)
    found = F.gumbel_softmax(torch.tensor(X), 0.4).numpy()
    z = np.exp((X + noise) / 0.4)
    np.testing.assert_allclose(found, z / z.sum(1, keepdims=True), rtol=1e-10)


def test_hard_samples_have_the_gradient_of_soft_ones():
    soft = seeded(lambda t: F.gumbel_softmax(t, 0.8, dim=0))
    check_gradients(soft, X)
    g = torch.tensor(np.cos(np.arange(20.0)).reshape(4, 5))
    slopes = []
    for hard in (False, True):
        x = torch.tensor(X, requires_grad=True)
        torch.manual_seed(3)
        (F.gumbel_softmax(x, 0.8, hard, dim=0) * g).sum().backward()
        slopes.append(x.grad.numpy())
    np.testing.assert_array_equal(*slopes)


@DTYPES
def test_a_draw_of_zero_gives_a_finite_sample(dtype, monkeypatch):
    monkeypatch.setattr(torch.Tensor, "exponential_", torch.Tensor.zero_)
    found = F.gumbel_softmax(torch.zeros(2, 4, dtype=dtype))
    np.testing.assert_array_equal(found.numpy(), np.full((2, 4), 0.25))


def test_extreme_logits_are_no_trouble():
    found = F.gumbel_softmax(torch.tensor([[1e30, 0.0, -1e30], [-math.inf, 0.0, -math.inf]]), 0.1)
    np.testing.assert_array_equal(found.numpy(), [[1, 0, 0], [0, 1, 0]])


def test_nothing_and_single_numbers():
    assert F.gumbel_softmax(torch.zeros(0, 3), hard=True).shape == (0, 3)
    assert F.gumbel_softmax(torch.zeros(3, 0)).shape == (3, 0)
    assert F.gumbel_softmax(torch.tensor(2.0), hard=True).item() == 1.0
    assert F.rrelu(torch.zeros(0, 3), training=True).shape == (0, 3)


# compiled steps and refusals --------------------------------------------------------------------------------

STEPS = {
    "rrelu": lambda x: F.rrelu(x, training=True),
    "rrelu in evaluation": lambda x: F.rrelu(x),
    "rrelu_": lambda x: F.rrelu_(x * 2, training=True),
    "gumbel_softmax": lambda x: F.gumbel_softmax(x, 0.5),
    "hard gumbel_softmax": lambda x: F.gumbel_softmax(x, 0.5, hard=True, dim=0),
    "Softmax2d": lambda x: nn.Softmax2d()(x.reshape(1, 5, 2, 2)).reshape(4, 5),
}


@DTYPES
@pytest.mark.parametrize("name", STEPS)
def test_compiled_step_draws_what_the_eager_one_draws(name, dtype):
    def build():
        leaf = torch.tensor(X, dtype=dtype, requires_grad=True)

        def step(g):
            leaf.grad = None
            y = STEPS[name](leaf)
            (y * g).sum().backward()
            return y.detach()

        g = torch.tensor(np.cos(X), dtype=dtype)
        return Scene(step, lambda k: (g,), leaf)

    assert_same(build, "ccce")


def test_replays_draw_anew():
    x = torch.zeros(50)
    for call in (F.gumbel_softmax, lambda t: F.rrelu(t - 1, training=True)):
        step = torch.compile(call)
        drawn = {tuple(step(x).tolist()) for _ in range(4)}
        assert len(drawn) == 4
        assert len(step.programs) == 1


BAD = {
    "bounds": (RuntimeError, "0.5 and 0.2", lambda: F.rrelu(torch.ones(2), 0.5, 0.2)),
    "infinite": (RuntimeError, "finite", lambda: F.rrelu(torch.ones(2), 0.5, math.inf)),
    "nan in place": (RuntimeError, "finite", lambda: F.rrelu_(torch.ones(2), math.nan, 0.5, True)),
    "whole numbers": (NotImplementedError, "float", lambda: F.rrelu(torch.tensor([1, 2]))),
    "leaf": (RuntimeError, "leaf", lambda: F.rrelu_(torch.ones(2, requires_grad=True), training=True)),
    "logits": (RuntimeError, "float", lambda: F.gumbel_softmax(torch.tensor([1, 2]))),
    "dimension": (IndexError, "out of range", lambda: F.gumbel_softmax(torch.ones(2, 3), dim=2)),
    "no category": (IndexError, "category", lambda: F.gumbel_softmax(torch.ones(2, 0), hard=True)),
    "channels": (ValueError, r"\(C, H, W\)", lambda: nn.Softmax2d()(torch.ones(2, 3))),
}


@pytest.mark.parametrize("label", BAD)
def test_bad_arguments_are_refused(label):
    error, message, action = BAD[label]
    with pytest.raises(error, match=message):
        action()


def test_eps_is_deprecated():
    with pytest.warns(UserWarning, match="no effect"):
        F.gumbel_softmax(torch.ones(3), eps=0.1)
