"""Compiled steps leave, bit for bit, what eager steps leave: every optimizer, loss, layer and random function."""

from __future__ import annotations

import numpy as np
import pytest
from compile_cases import (
    OPTIMIZERS,
    Scene,
    assert_same,
    batches,
    regression,
    training_step,
    values_for,
    warnings_of,
)
from nn_cases import CONSTANT_TARGETS, IN_PLACE, LAYERS, LOSSES, REDUCTIONS

import jitgrad as torch
from jitgrad import nn

DTYPES = [torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer(name, dtype):
    kind, options = OPTIMIZERS[name]
    assert_same(lambda: regression(kind, dtype, **options))


def test_optimizer_with_groups_of_two_dtypes():
    def build():
        a, b = nn.Linear(3, 2), nn.Linear(3, 2, dtype=torch.float64)
        groups = [{"params": a.parameters(), "lr": 0.1}, {"params": b.parameters(), "betas": (0.5, 0.6)}]
        optimizer = torch.optim.Adam([*groups, {"params": [torch.zeros(2, requires_grad=True)]}])

        def step(x):
            optimizer.zero_grad()
            loss = a(x).square().mean() + b(x.double()).square().mean()
            loss.backward()
            optimizer.step()
            return loss

        return Scene(step, batches((4, 3)), a, b, optimizer)

    assert_same(build)


def test_lbfgs_warns_and_runs_eagerly():
    def run(compiled):
        torch.manual_seed(0)
        model = nn.Linear(3, 2)
        optimizer = torch.optim.LBFGS(model.parameters(), max_iter=3)
        x, y = torch.randn(5, 3), torch.randn(5, 2)

        def closure():
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x), y)
            loss.backward()
            return loss

        def step():
            return optimizer.step(closure)

        step = torch.compile(step) if compiled else step
        return [float(step()) for _ in range(3)], model.weight.tolist()

    eager = run(False)
    found, warned = warnings_of(lambda: run(True))
    assert found == eager
    assert len(warned) == 1 and "lbfgs" not in warned[0] and "eagerly" in warned[0]


def loss_scene(name, reduction, dtype):
    kind, options, inputs = LOSSES[name]
    made = [values_for(make, dtype, k) for k, make in enumerate(inputs)]
    size = made[0].shape[1] if made[0].ndim > 1 else made[0].shape[0]
    weight = torch.tensor(np.linspace(0.5, 1.5, size), dtype=dtype)
    options = {k: weight if v == "w" else v for k, v in options.items()}
    criterion = getattr(nn, kind)(reduction=reduction, **options)
    first = nn.Parameter(made[0])
    differentiable = kind not in CONSTANT_TARGETS and any(x.is_floating_point() for x in made[1:])
    scale = torch.ones((), dtype=dtype, requires_grad=True)

    def step(*rest):
        first.grad = scale.grad = None
        rest = [x * scale if x.is_floating_point() and differentiable else x for x in rest]
        loss = criterion(first, *rest)
        loss.sum().backward()
        with torch.no_grad():
            first.sub_(first.grad, alpha=0.01)
            if kind == "BCELoss":
                first.clamp_(0.0, 1.0)
        return loss.detach()

    return Scene(step, lambda k: tuple(made[1:]), first, scale)


@pytest.mark.filterwarnings("ignore:kl_div")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, reduction):
    dtype = torch.float64 if name.startswith(("bce", "gaussian")) else torch.float32
    assert_same(lambda: loss_scene(name, reduction, dtype), "c" * 4)


def layer_scene(name, dtype):
    build, inputs = {**LAYERS, **IN_PLACE}[name]
    model = build(nn, dtype)
    made = [values_for(make, dtype, k) for k, make in enumerate(inputs)]
    leaves = [nn.Parameter(x) for x in made]
    optimizer = torch.optim.SGD([*leaves, *model.parameters()], lr=0.01)

    def step():
        optimizer.zero_grad()
        result = model(*[x * 1.0 for x in leaves])
        result.square().mean().backward()
        optimizer.step()
        return result.detach()

    return Scene(step, lambda k: (), model, optimizer, *leaves)


@pytest.mark.parametrize("name", [*LAYERS, *IN_PLACE])
def test_layer(name):
    dtype = torch.float64 if name.startswith(("Linear", "Bilinear")) else torch.float32
    assert_same(lambda: layer_scene(name, dtype), "c" * 4)


RANDOM = {
    "dropout": lambda x, g: nn.functional.dropout(x, 0.4),
    "rand": lambda x, g: x * torch.rand(4, 3),
    "randn": lambda x, g: x * torch.randn(4, 3),
    "randint": lambda x, g: x * torch.randint(2, 9, (4, 3)),
    "randperm": lambda x, g: x[torch.randperm(4)],
    "rand_like": lambda x, g: x * torch.rand_like(x),
    "randn_like": lambda x, g: x * torch.randn_like(x),
    "randint_like": lambda x, g: x * torch.randint_like(x, 5),
    "normal": lambda x, g: x * torch.normal(0.0, 2.0, (4, 3)),
    "normal_": lambda x, g: x * torch.empty(4, 3).normal_(1.0, 2.0),
    "uniform_": lambda x, g: x * torch.empty(4, 3).uniform_(-1.0, 2.0),
    "exponential_": lambda x, g: x * torch.empty(4, 3).exponential_(2.0),
    "random_": lambda x, g: x * torch.empty(4, 3).random_(2, 7),
    "bernoulli_": lambda x, g: x * torch.empty(4, 3).bernoulli_(0.4),
    "bernoulli": lambda x, g: x * torch.bernoulli(x.detach().sigmoid()),
    "bernoulli_ of a tensor": lambda x, g: x * torch.empty(4, 3).bernoulli_(x[0].detach().sigmoid()),
    "bernoulli in ones": lambda x, g: x * torch.ones(4, 3).bernoulli(0.3, generator=g),
    "normal of tensors": lambda x, g: x * torch.normal(x.detach(), x.detach().exp(), generator=g),
    "multinomial": lambda x, g: x[torch.multinomial(x.detach().exp().t(), 2).flatten()],
    "multinomial with replacement": lambda x, g: x[
        torch.multinomial(x.detach().exp().t(), 2, True).flatten()
    ],
    "generator": lambda x, g: x * torch.randn(4, 3, generator=g),
    "two draws": lambda x, g: x * torch.rand(4, 3) + torch.rand(4, 3, generator=g),
    "double": lambda x, g: (x * torch.randn(4, 3, dtype=torch.float64)).float(),
    "Dropout": lambda x, g: DROPOUT(x),
    "init": lambda x, g: x * nn.init.uniform_(torch.empty(4, 3), -2.0, 1.0),
}
DROPOUT = nn.Dropout(0.3)


@pytest.mark.parametrize("name", RANDOM)
def test_random_function(name):
    def build():
        generator = torch.Generator()
        generator.manual_seed(5)
        w = nn.Parameter(torch.randn(4, 3))
        function = RANDOM[name]

        def step(x):
            w.grad = None
            loss = function(x * w, generator).square().mean()
            loss.backward()
            with torch.no_grad():
                w.sub_(w.grad, alpha=0.1)
            return loss

        return Scene(step, batches((4, 3)), w)

    assert_same(build)


@pytest.mark.parametrize("which", ["default", "own"])
def test_seeds_between_calls(which):
    def build():
        generator = torch.Generator().manual_seed(1)
        options = {"generator": generator} if which == "own" else {}
        scene = Scene(lambda x: x + torch.rand(4, **options), batches((4,)))
        scene.generator = generator
        return scene

    def seed(scene, k):
        if k == 2:
            torch.manual_seed(99) if which == "default" else scene.generator.manual_seed(99)
        if k == 4 and which == "own":
            scene.generator.set_state(scene.kept)
        if k == 3:
            scene.kept = scene.generator.get_state()
        if k == 5:
            torch.rand(3)

    assert_same(build, between=seed, programs=1)


def test_dropout_with_its_training_step():
    def build():
        model = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        return Scene(training_step(model, optimizer), batches((5, 3), (5, 2)), model, optimizer)

    assert_same(build, programs=2)
    assert_same(build, "ceccec")
