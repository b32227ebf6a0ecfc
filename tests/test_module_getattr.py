"""Modules whose class has a ``__getattr__`` of its own, such as wrappers that hand names on to what they wrap."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn


class Wrapper(nn.Module):
    """Hands names that it does not know on to a module."""

    def __init__(self, module):
        super().__init__()
        self.module = module
        self.register_buffer("factor", torch.full((1,), 2.0))
        self.shift = nn.Parameter(torch.zeros(1))

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.module, name)

    def forward(self, x):
        return self.module(x) * self.factor + self.shift


class Below(Wrapper):
    """A subclass of a wrapper."""


class Above(Wrapper):
    """A subclass with one name more."""

    def __getattr__(self, name):
        return 5 if name == "five" else super().__getattr__(name)


class Parallel(nn.DataParallel):
    """The wrapper of tutorials for several GPUs."""

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.module, name)


@pytest.mark.parametrize("kind", [Wrapper, Below, Above, Parallel])
def test_names_go_on_to_what_is_wrapped(kind):
    inner = nn.Linear(3, 2)
    inner.tag = "mine"
    wrapped = kind(inner)
    assert wrapped.tag == "mine" and wrapped.in_features == 3 and wrapped.weight is inner.weight
    assert not hasattr(wrapped, "nothing") and wrapped.module is inner
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'nothing'"):
        wrapped.nothing  # noqa: B018
    assert copy.deepcopy(wrapped).tag == "mine" and list(wrapped.state_dict())[-1] == "module.bias"


def test_what_the_class_has_itself_is_its_own():
    wrapped = Above(nn.Linear(3, 2))
    wrapped.register_forward_hook(lambda m, args, y: y + 1)
    x = torch.ones(1, 3)
    assert wrapped.five == 5 and torch.equal(wrapped(x), wrapped.module(x) * 2 + 1)
    assert not wrapped.module._forward_hooks and wrapped.eval().module.training is False


def test_a_member_is_found_by_the_method_of_the_base():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(2, 1)
            self.register_buffer("table", torch.ones(1))

        def __getattr__(self, name):
            if name.startswith("the_"):
                return super().__getattr__(name.removeprefix("the_"))
            return super().__getattr__(name)

    module = Named()
    assert module.the_layer is module.layer and module.the_table is module.table
    with pytest.raises(AttributeError, match="'Named' object has no attribute 'other'"):
        module.other  # noqa: B018


def test_modules_without_one_read_attributes_at_full_speed():
    assert not hasattr(nn.Linear, "__getattr__") and not hasattr(nn.Sequential, "__getattr__")


def test_a_compiled_step_through_a_wrapper_is_the_eager_one_and_sees_changes():
    results = []
    for compiled in (False, True):
        torch.manual_seed(0)
        model = Wrapper(nn.Linear(3, 2))
        model.module.scale = 2.0
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(x, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (model(x) * model.scale).pow(2).mean()
            loss.backward()
            optimizer.step()
            return loss

        run = torch.compile(step, fullgraph=True) if compiled else step
        losses = []
        for k in range(6):
            losses.append(run(torch.full((4, 3), 0.5 + k)).item())
            if k == 3:
                model.module.scale = 0.5
        results.append((losses, model.module.weight.detach().numpy()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


class Negated(nn.Module):
    """A property has the name of a member, and can be read only later."""

    def __init__(self, make):
        super().__init__()
        make(self)

    @property
    def k(self):
        return -self.c


MEMBERS = {
    "parameter": lambda m: setattr(m, "k", nn.Parameter(torch.ones(2))),
    "buffer": lambda m: setattr(m, "k", nn.Buffer(torch.ones(2))),
    "module": lambda m: setattr(m, "k", nn.Linear(2, 2)),
    "register_parameter": lambda m: m.register_parameter("k", nn.Parameter(torch.ones(2))),
    "register_buffer": lambda m: m.register_buffer("k", torch.ones(2)),
}


@pytest.mark.parametrize("way", MEMBERS)
def test_a_property_hides_a_member_of_its_name(way):
    m = Negated(MEMBERS[way])
    assert len(m.state_dict()) == (2 if way == "module" else 1)
    m.c = 3.0
    assert m.k == -3.0
    members = m._modules if way == "module" else m._buffers if "buffer" in way else m._parameters
    members.pop("k")
    assert not m.state_dict() and m.k == -3.0


def test_a_property_that_can_be_read_refuses_a_parameter():
    class Five(nn.Module):
        k = property(lambda self: 5)

    m = Five()
    with pytest.raises(KeyError, match="'k' already exists"):
        m.k = nn.Parameter(torch.ones(1))
    assert not m.state_dict()
