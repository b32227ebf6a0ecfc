"""Settings that change between the calls of a compiled step: of optimizers, schedulers and modules."""

from __future__ import annotations

import copy
from functools import partial

import pytest
from compile_cases import assert_same, regression, training_step

import jitgrad as torch
from jitgrad import nn

X, Y = (5, 3), (5, 2)


scene = partial(regression, lr=0.05)


@pytest.mark.parametrize(
    "make",
    [
        lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.5),
        lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.7),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 5),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.1, total_steps=8),
        lambda o: torch.optim.lr_scheduler.CyclicLR(o, 0.01, 0.1, step_size_up=2),
    ],
    ids=["step", "exponential", "cosine", "cycle", "cycles"],
)
def test_scheduler_outside_the_step(make):
    def build():
        made = scene()
        made.scheduler = make(made.owners[1])
        return made

    def advance(scene, k):
        if k:
            scene.scheduler.step()

    assert_same(build, between=advance)


SETTINGS = {
    "lr": ("SGD", {"momentum": 0.9}, {"lr": 0.3}),
    "momentum": ("SGD", {"momentum": 0.9}, {"momentum": 0.5}),
    "momentum off": ("SGD", {"momentum": 0.9}, {"momentum": 0.0}),
    "momentum on": ("SGD", {}, {"momentum": 0.9}),
    "nesterov on": ("SGD", {"momentum": 0.9}, {"nesterov": True}),
    "weight_decay": ("SGD", {}, {"weight_decay": 0.5}),
    "maximize": ("Adam", {}, {"maximize": True}),
    "betas": ("Adam", {}, {"betas": (0.5, 0.6)}),
    "eps": ("Adam", {}, {"eps": 0.1}),
    "amsgrad on": ("Adam", {}, {"amsgrad": True}),
    "decay of AdamW": ("AdamW", {}, {"weight_decay": 0.5, "lr": 0.01}),
    "lr of ASGD": ("ASGD", {"lambd": 0.1}, {"lr": 0.3, "lambd": 0.2}),
    "averaging of ASGD": ("ASGD", {}, {"t0": 1.0, "alpha": 0.5}),
    "etas": ("Rprop", {}, {"etas": (0.1, 3.0)}),
    "step_sizes": ("Rprop", {}, {"step_sizes": (0.06, 0.07)}),
    "lr tensor": ("Adam", {}, {"lr": 0.5}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_of_the_optimizer_changed_between_calls(name):
    kind, first, later = SETTINGS[name]

    def change(scene, k):
        if k == 3:
            scene.owners[1].param_groups[0].update(later)

    assert_same(lambda: scene(kind, **first), between=change, programs=3)
    assert_same(lambda: scene(kind, **first), "ceccec", change, programs=3)


def test_learning_rate_in_a_tensor():
    def build():
        rate = torch.tensor(0.1)
        made = scene("Adam", lr=rate)
        made.rate = rate
        return made

    def change(scene, k):
        if k == 3:
            scene.rate.fill_(0.5)

    assert_same(build, between=change, programs=1)
    assert_same(build, "ceccec", change, programs=1)


def test_parameters_added_between_calls():
    def build():
        made = scene()
        extra = nn.Parameter(torch.ones(2))
        model = made.owners[0]
        made.step = training_step(lambda x: model(x) * extra, made.owners[1])
        made.owners = (*made.owners, extra)
        return made

    def add(scene, k):
        if k == 3:
            scene.owners[1].add_param_group({"params": [scene.owners[2]], "lr": 0.2})

    assert_same(build, between=add, programs=3)


def test_loaded_states_between_calls():
    def keep(scene, k):
        model, optimizer = scene.owners
        if k == 2:
            scene.kept = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())
        if k == 4:
            model.load_state_dict(scene.kept[0])
            optimizer.load_state_dict(scene.kept[1])

    assert_same(scene, between=keep, programs=3)
    assert_same(scene, "ceccec", keep, programs=3)


def test_state_of_the_optimizer_written_by_hand():
    def write(scene, k):
        model, optimizer = scene.owners
        if k == 3:
            state = optimizer.state[model[0].weight]
            state["exp_avg"].zero_()
            state["exp_avg_sq"] = torch.ones(4, 3)

    assert_same(scene, between=write, programs=3)


@pytest.mark.parametrize("what", ["p", "eval", "replace", "inplace"])
def test_module_changed_between_calls(what):
    def build():
        return scene(model=nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 2)))

    def change(scene, k):
        model = scene.owners[0]
        if k == 3:
            if what == "p":
                model[1].p = 0.9
            elif what == "eval":
                model.eval()
            elif what == "replace":
                model[2] = nn.Tanh()
            else:
                model[2].inplace = True
        if k == 5:
            model.train()

    assert_same(build, between=change, programs=3)


@pytest.mark.parametrize("deep", [False, True])
def test_requires_grad_toggled_between_calls(deep):
    def toggle(scene, k):
        model = scene.owners[0]
        if k in (2, 4):
            for p in (model if deep else model[0]).parameters():
                p.requires_grad_(k == 4)
                p.grad = None

    def build():
        made = scene("SGD")
        model = made.owners[0]
        extra = nn.Parameter(torch.ones(2))
        made.step = training_step(lambda x: model(x) * extra, made.owners[1])
        return made

    assert_same(build, between=toggle, programs=3)


def test_batch_statistics():
    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))
            self.register_buffer("count", torch.zeros((), dtype=torch.int64))
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x):
            if self.training:
                with torch.no_grad():
                    self.mean.mul_(0.9).add_(x.mean(0), alpha=0.1)
                    self.count += 1
            return (x - self.mean) * self.weight

    def build():
        return scene(model=nn.Sequential(Norm(), nn.Linear(3, 2)))

    def switch(scene, k):
        scene.owners[0].train(k not in (3, 4))

    assert_same(build, between=switch, programs=3)
    assert_same(build, "ceccec", programs=2)
