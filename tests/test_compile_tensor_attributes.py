"""Compiled functions that read attributes which the user gives to tensors, now or later."""

from __future__ import annotations

import pytest
from compile_cases import bits

import jitgrad as torch
from jitgrad import nn


class Described(nn.Parameter):
    """A tensor with more to say."""


def given(value, kind=torch.Tensor):
    x = torch.ones(2)
    x = x if kind is torch.Tensor else kind(x)
    x.factor, x.shift = value, torch.full((2,), value)
    return x


READERS = {
    "number": lambda x: x * x.factor,
    "tensor": lambda x: x + x.shift,
    "in a dict": lambda d: d["x"] * d["x"].factor,
}


@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
@pytest.mark.parametrize("kind", [torch.Tensor, nn.Parameter, Described])
@pytest.mark.parametrize("name", READERS)
def test_attributes_of_arguments_are_those_of_the_call(name, kind):
    read = READERS[name]
    step = torch.compile(read)
    for value in (2.0, 2.0, 3.0, 4.0):
        x = given(value, kind)
        for _ in range(2):
            argument = {"x": x} if name == "in a dict" else x
            assert bits(step(argument)) == bits(read(argument))
            x.factor += 1


ASKED = {
    "getattr": lambda x: x * getattr(x, "factor", 3.0),
    "hasattr": lambda x: x * (2 if hasattr(x, "factor") else 3),
    "getattr of a computed tensor": lambda x: getattr(x + 1, "factor", x) * 2,
}


@pytest.mark.filterwarnings("ignore:compile:RuntimeWarning")
@pytest.mark.parametrize("name", ASKED)
def test_an_argument_may_have_an_attribute_that_another_has_not(name):
    ask = ASKED[name]
    step = torch.compile(ask)
    for x in (torch.ones(2), torch.ones(2), given(5.0), torch.ones(2), given(6.0)):
        assert bits(step(x)) == bits(ask(x))


@pytest.mark.parametrize("name", ASKED)
def test_a_tensor_from_outside_may_be_given_an_attribute_later(name):
    ask, layer = ASKED[name], nn.Linear(2, 2)
    step = torch.compile(lambda x: x + ask(layer.weight), fullgraph=True)
    x = torch.ones(2)

    def check():
        for _ in range(3):
            assert bits(step(x)) == bits(x + ask(layer.weight))

    check()
    assert len(step.programs) == 1
    for factor in (4.0, 5.0):
        layer.weight.factor = factor
        check()
    del layer.weight.factor
    check()


def test_attributes_that_no_code_names_do_not_matter():
    step = torch.compile(lambda x: x * 2, fullgraph=True)
    for value in (1.0, 2.0):
        assert bits(step(given(value))) == bits(torch.full((2,), 2.0))
    assert len(step.programs) == 1


FACTOR = [1.0]


class Weight(nn.Parameter):
    scale = 1.0

    @property
    def scaled(self):
        return self * self.scale

    def times(self):
        return self * FACTOR[0]


def factor(w, value):
    FACTOR[0] = value


CHANGES = {
    "of the class": (lambda w: w.scaled, lambda w, v: setattr(Weight, "scale", v)),
    "in place of the class's": (lambda w: w.scaled, lambda w, v: setattr(w, "scale", v)),
    "read by a method": (lambda w: w.times(), factor),
    "a method": (lambda w: w.times(), lambda w, v: setattr(Weight, "times", lambda self: self * v)),
}


@pytest.mark.parametrize("in_module", [False, True])
@pytest.mark.parametrize("name", CHANGES)
def test_what_a_class_made_from_parameters_reads(name, in_module, monkeypatch):
    monkeypatch.setattr(Weight, "scale", 1.0)
    monkeypatch.setattr(Weight, "times", Weight.times)
    factor(None, 1.0)
    read, change = CHANGES[name]
    model, w = nn.Module(), Weight(torch.ones(1))
    model.weight = w
    step = torch.compile(
        (lambda x: x * read(model.weight)) if in_module else (lambda x: x * read(w)), fullgraph=True
    )
    found = [step(torch.ones(1)).item() for _ in range(3)]
    for value in (2.0, 3.0):
        change(w, value)
        found += [step(torch.ones(1)).item() for _ in range(2)]
    assert found == [1.0] * 3 + [2.0] * 2 + [3.0] * 2
