"""Whose code it is: functions and classes of the user's that name another module as their own."""

from __future__ import annotations

import dataclasses
import functools
import math
import types

import pytest

import jitgrad as torch
from jitgrad import nn

KEPT = {0: 1.0}


@functools.wraps(torch.relu)
def like_one_of_jitgrads(x):
    return x * KEPT[0]


@functools.wraps(math.sqrt)
def like_one_of_pythons(x):
    return x * KEPT[0]


def scaled(self, x):
    return x * KEPT[0]


def dataclass():
    made = dataclasses.make_dataclass("Made", [("factor", float)], namespace={"scaled": scaled})(1.0)
    return lambda x: made.scaled(x)


def new_class():
    made = types.new_class("Made", (), {}, lambda names: names.update(scaled=scaled))()
    return lambda x: made.scaled(x)


def executed_class():
    names = {"KEPT": KEPT}
    exec("class Made:\n    def scaled(self, x):\n        return x * KEPT[0]\n", names)
    made = names["Made"]()
    return lambda x: made.scaled(x)


def executed_function():
    names = {"KEPT": KEPT}
    exec("def scaled(x):\n    return x * KEPT[0]\n", names)
    return names["scaled"]


class Slotted(nn.Module):
    __slots__ = ("kept",)

    def __init__(self):
        super().__init__()
        self.kept = KEPT

    def forward(self, x):
        return x * self.kept[0]


CASES = {
    "wrapper around a function of jitgrad's": lambda: like_one_of_jitgrads,
    "wrapper around a function of Python's": lambda: like_one_of_pythons,
    "dataclass made by a call": dataclass,
    "class made by a call": new_class,
    "class of executed code": executed_class,
    "function of executed code": executed_function,
    "mapping in a slot of a module": Slotted,
}


@pytest.mark.parametrize("name", CASES)
def test_what_it_reads_is_noticed(name, monkeypatch):
    function, found = CASES[name](), []
    step = torch.compile(lambda x: function(x), fullgraph=True)
    for value in (1.0, 1.0, 2.0, 2.0):
        monkeypatch.setitem(KEPT, 0, value)
        found.append(step(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 2.0]
    assert len(step.programs) == 2


def test_a_wrapper_that_takes_the_place_of_a_function_of_the_library_is_looked_into(monkeypatch):
    original = torch.relu

    @functools.wraps(original)
    def relu(x):
        return original(x) * KEPT[0]

    monkeypatch.setattr(torch, "relu", relu)
    step, found = torch.compile(lambda x: torch.relu(x), fullgraph=True), []
    for value in (1.0, 1.0, 2.0, 2.0):
        monkeypatch.setitem(KEPT, 0, value)
        found.append(step(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 2.0]


def test_a_slot_of_a_module_that_is_given_another_value_is_noticed():
    module, found = Slotted(), []
    step = torch.compile(lambda x: module(x), fullgraph=True)
    for value in (1.0, 1.0, 2.0, 2.0):
        object.__setattr__(module, "kept", [value])
        found.append(step(torch.ones(1)).item())
    assert found == [1.0, 1.0, 2.0, 2.0]
