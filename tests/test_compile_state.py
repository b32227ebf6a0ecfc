"""Compiled steps and what happens between them: eager steps, changed settings, replaced tensors, other inputs."""

from __future__ import annotations

import copy
from functools import partial

import pytest
from compile_cases import OPTIMIZERS, Scene, assert_same, batches, regression, small_model

import jitgrad as torch
from jitgrad import nn

X, Y = (5, 3), (5, 2)


scene = partial(regression, lr=0.05)


@pytest.mark.parametrize("pattern", ["cecece", "eccecc", "ccceec"])
@pytest.mark.parametrize("name", ["SGD momentum", "Adam", "RMSprop centered", "Adagrad"])
def test_eager_and_compiled_steps_alternate(name, pattern):
    kind, options = OPTIMIZERS[name]
    assert_same(lambda: regression(kind, **options), pattern)


def test_two_models_and_two_optimizers():
    def build():
        maker, critic = nn.Linear(2, 3), small_model()
        for_maker = torch.optim.Adam(maker.parameters(), lr=0.02)
        for_critic = torch.optim.RMSprop(critic.parameters(), lr=0.01)

        def step(real):
            fake = maker(torch.randn(5, 2))
            for_critic.zero_grad()
            loss = critic(fake.detach()).mean() - critic(real).mean()
            loss.backward()
            for_critic.step()
            for_maker.zero_grad()
            score = -critic(fake).mean()
            score.backward()
            for_maker.step()
            return loss, {"score": score}

        return Scene(step, batches(X), maker, critic, for_maker, for_critic)

    assert_same(build, programs=2)
    assert_same(build, "ceccec", programs=2)


@pytest.mark.parametrize(
    "clip",
    [
        lambda p: nn.utils.clip_grad_norm_(p, 0.1),
        lambda p: nn.utils.clip_grad_norm_(p, 0.1, norm_type=1.0),
        lambda p: nn.utils.clip_grad_norm_(p, 0.1, norm_type=float("inf")),
        lambda p: nn.utils.clip_grad_value_(p, 0.05),
    ],
    ids=["2", "1", "inf", "value"],
)
def test_gradient_clipping(clip):
    def build():
        model = small_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x, y):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            norm = clip(model.parameters())
            optimizer.step()
            return loss, norm

        return Scene(step, batches(X, Y), model, optimizer)

    assert_same(build, programs=2)


def test_accumulation_of_gradients_over_calls():
    def build():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())

        def step(x, y):
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            return loss

        made = Scene(step, batches(X, Y, count=9), model, optimizer)
        made.optimizer = optimizer
        return made

    def update(scene, k):
        if k % 3 == 0:
            scene.optimizer.step()
            scene.optimizer.zero_grad()

    assert_same(build, "c" * 9, update, programs=2)
    assert_same(build, "ccecceeec", update, programs=9)


def test_accumulation_within_a_call():
    def build():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())

        def step(x, y):
            optimizer.zero_grad()
            for part in range(2):
                nn.functional.mse_loss(model(x[part::2]), y[part::2]).backward()
            optimizer.step()

        return Scene(step, batches(X, Y), model, optimizer)

    assert_same(build, programs=2)


def test_zero_grad_that_fills_with_zeros():
    def build():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())

        def step(x, y):
            optimizer.zero_grad(set_to_none=False)
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, batches(X, Y), model, optimizer)

    assert_same(build, programs=3)
    assert_same(build, "ecccee", programs=3)


def test_gradients_set_to_none_after_the_step():
    def build():
        model = small_model()
        optimizer = torch.optim.Adam(model.parameters())

        def step(x, y):
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        return Scene(step, batches(X, Y), model, optimizer)

    assert_same(build, programs=2)


def test_moving_average_of_weights():
    def build():
        made = scene()
        model = made.owners[0]
        average = copy.deepcopy(model)
        plain = made.step

        def step(x, y):
            loss = plain(x, y)
            with torch.no_grad():
                for a, p in zip(average.parameters(), model.parameters(), strict=True):
                    a.mul_(0.9).add_(p, alpha=0.1)
            return loss

        return Scene(step, made.inputs, *made.owners, average)

    assert_same(build)
    assert_same(build, "ceccec")


def test_average_by_lerp_and_copy():
    def build():
        made = scene()
        model = made.owners[0]
        average, last = copy.deepcopy(model), copy.deepcopy(model)
        plain = made.step

        def step(x, y):
            with torch.no_grad():
                for a, b, p in zip(*(m.parameters() for m in (average, last, model)), strict=True):
                    a.lerp_(p, 0.1)
                    b.copy_(p)
            return plain(x, y)

        return Scene(step, made.inputs, *made.owners, average, last)

    assert_same(build)


def test_manual_descent():
    def build():
        w, b = torch.randn(3, 2, requires_grad=True), torch.zeros(2, requires_grad=True)

        def step(x, y, rate):
            loss = ((x @ w + b - y) ** 2).mean()
            loss.backward()
            with torch.no_grad():
                for p in (w, b):
                    p -= rate * p.grad
                    p.grad.zero_()
            return loss

        inputs = batches(X, Y)
        return Scene(step, lambda k: (*inputs(k), 0.1 if k < 4 else 0.2), w, b)

    assert_same(build, programs=4)
    assert_same(build, "ceccec", programs=4)


def test_descent_by_autograd_grad():
    def build():
        w, b = torch.randn(3, 2, requires_grad=True), torch.zeros(2, requires_grad=True)

        def step(x, y):
            loss = ((x @ w + b - y) ** 2).mean()
            gradients = torch.autograd.grad(loss, [w, b])
            with torch.no_grad():
                for p, g in zip((w, b), gradients, strict=True):
                    p.sub_(g, alpha=0.1)
            return loss, gradients

        return Scene(step, batches(X, Y), w, b)

    assert_same(build, programs=1)


def test_retained_gradient():
    def build():
        w = torch.randn(3, 2, requires_grad=True)

        def step(x):
            w.grad = None
            hidden = x @ w
            hidden.retain_grad()
            hidden.square().mean().backward()
            return hidden.grad, hidden.detach()

        return Scene(step, batches(X), w)

    assert_same(build, programs=1)


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.save_for_backward(x)
        ctx.factor = factor
        return x * factor

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * ctx.factor + 0 * x, None


def test_custom_function():
    def build():
        w = torch.randn(3, 2, requires_grad=True)

        def step(x):
            w.grad = None
            loss = Double.apply(x @ w, 3.0).square().mean()
            loss.backward()
            with torch.no_grad():
                w.sub_(w.grad, alpha=0.1)
            return loss

        return Scene(step, batches(X), w)

    assert_same(build, programs=1)


def test_hooks_on_tensors_that_stay_in_the_graph():
    def build():
        model = small_model()

        def step(x, y):
            model.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            return loss

        return Scene(step, batches(X, Y), model)

    assert_same(build)
