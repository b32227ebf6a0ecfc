"""Steps with optimizers, modules and parameters whose classes come from installed packages: their code may read all."""

from __future__ import annotations

import importlib

import pytest
from compile_cases import bits, warnings_of

import jitgrad as torch
from jitgrad import nn

OPTIMIZERS = """
import jitgrad as torch


class Scaled(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})
        self.table = [0]

    def factor(self, group, state):
        return group["lr"]

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(p.grad, alpha=self.factor(group, self.state[p]))


class CountsInState(Scaled):
    def factor(self, group, state):
        state["step"] = state.get("step", 0) + 1
        return group["lr"] / state["step"]


class CountsInGroup(Scaled):
    def factor(self, group, state):
        group["k"] = group.get("k", 0) + 1
        return group["lr"] / group["k"]


class CountsInAList(Scaled):
    def factor(self, group, state):
        self.table[0] += 1
        return group["lr"] / self.table[0]


class CountsInAnAttribute(Scaled):
    count = 0

    def factor(self, group, state):
        self.count += 1
        return group["lr"] / self.count


class Averages(Scaled):
    def factor(self, group, state):
        return group["lr"]

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state["mean"] = torch.zeros_like(p)
                state["mean"].lerp_(p.grad, 0.1)
                p.sub_(state["mean"].sign(), alpha=group["lr"])


class Layer(torch.nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.calls = [0]
        self.options = {"scale": 1.0}

    def forward(self, x):
        return super().forward(x) * self.options["scale"]


class CountingLayer(Layer):
    def forward(self, x):
        self.calls[0] += 1
        return super().forward(x) * self.calls[0]


class Weight(torch.nn.Parameter):
    def used(self):
        return self * self.factor


def scaled(x, table=[1.0]):
    return x * table[0]
"""
COUNTING = ["CountsInState", "CountsInGroup", "CountsInAList", "CountsInAnAttribute"]
CALLS = 6


@pytest.fixture
def installed(tmp_path, monkeypatch, request):
    """A package of this test's own among those that are installed."""
    name = "others_of_" + "".join(c if c.isalnum() else "_" for c in request.node.name)
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / f"{name}.py").write_text(OPTIMIZERS)
    monkeypatch.syspath_prepend(folder)
    return importlib.import_module(name)


def trained(make, compiled, between=lambda number, model, optimizer: None, layer=nn.Linear):
    """Parameters after each of some steps, what was warned of, and how many programs there were."""
    torch.manual_seed(0)
    model = nn.Sequential(layer(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = make(model.parameters())
    x, y = torch.randn(8, 3), torch.randn(8, 1)

    def step():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = torch.compile(step) if compiled else step
    found, told = [], []
    for number in range(CALLS):
        between(number, model, optimizer)
        loss, warned = warnings_of(run)
        told += warned
        found.append((bits(loss), bits(list(model.parameters()))))
    return found, told, len(run.programs) if compiled else 0


@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize("derived", [False, True])
def test_what_an_installed_optimizer_counts_in_python_is_counted(installed, name, derived):
    kind = getattr(installed, name)
    kind = type("Mine", (kind,), {"__module__": __name__}) if derived else kind
    found, told, _ = trained(kind, True)
    assert found == trained(kind, False)[0]
    assert len(told) == 1
    assert "changes a value of Python's" in told[0]


def new_rate(number, model, optimizer):
    if number == 3:
        optimizer.param_groups[0]["lr"] = 0.01


@pytest.mark.parametrize("name", ["Scaled", "Averages"])
def test_an_installed_optimizer_that_counts_nothing_is_replayed_and_its_rate_is_noticed(installed, name):
    kind = getattr(installed, name)
    found, told, programs = trained(kind, True, new_rate)
    assert found == trained(kind, False, new_rate)[0]
    assert programs == 2
    assert told == []


def new_scale(number, model, optimizer):
    model[0].options["scale"] = 1.0 if number < 3 else 2.0


def test_what_a_container_of_an_installed_module_has_is_noticed(installed):
    found, told, programs = trained(torch.optim.SGD, True, new_scale, installed.Layer)
    assert found == trained(torch.optim.SGD, False, new_scale, installed.Layer)[0]
    assert programs == 2
    assert told == []


def test_what_an_installed_module_counts_in_a_list_is_counted(installed):
    found, told, _ = trained(torch.optim.SGD, True, layer=installed.CountingLayer)
    assert found == trained(torch.optim.SGD, False, layer=installed.CountingLayer)[0]
    assert len(told) == 1


def test_a_module_made_from_an_installed_one_is_looked_at_whole(installed):
    class Mine(installed.Layer):
        pass

    found, _, _ = trained(torch.optim.SGD, True, new_scale, Mine)
    assert found == trained(torch.optim.SGD, False, new_scale, Mine)[0]


def test_attributes_of_a_parameter_of_an_installed_class_are_noticed(installed):
    weight = installed.Weight(torch.ones(2))
    step = torch.compile(lambda x: (weight.used() * x).sum())
    found = []
    for factor in (2.0, 2.0, 3.0, 2.0):
        weight.factor = factor
        found.append(step(torch.ones(2)).item())
    assert found == [4.0, 4.0, 6.0, 4.0]


def test_a_default_of_an_installed_function_is_noticed(installed):
    scaled, found = installed.scaled, []
    step = torch.compile(lambda x: scaled(x), fullgraph=True)
    for factor in (2.0, 2.0, 3.0, 2.0):
        scaled.__defaults__[0][0] = factor
        found.append(step(torch.ones(1)).item())
    assert found == [2.0, 2.0, 3.0, 2.0]
