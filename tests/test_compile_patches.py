"""What users put into the library's modules and classes, and names that come later: no replay goes on without them."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn

FACTOR = {"now": 1.0}
TANH = nn.Tanh()
TANHS = nn.Sequential(TANH)
X = torch.tensor([1.0, -2.0])


def times_factor(x):
    return x * FACTOR["now"]


def forward_times_factor(self, x):
    return x * FACTOR["now"]


# where it goes, under which name, what it is, a replacement, and how a step uses it
PATCHES = {
    "method of tensors": (torch.Tensor, "scaled", times_factor, lambda x: x * 9, lambda x: x.scaled()),
    "property of tensors": (
        torch.Tensor,
        "scaled",
        property(times_factor),
        property(lambda x: x * 9),
        lambda x: x.scaled,
    ),
    "function of nn.functional": (
        nn.functional,
        "relu",
        times_factor,
        lambda x: x * 9,
        lambda x: torch.nn.functional.relu(x),
    ),
    "function of the package": (torch, "scaled", times_factor, lambda x: x * 9, lambda x: torch.scaled(x)),
    "number in the package": (torch, "scale", 1.0, 9.0, lambda x: x * torch.scale * FACTOR["now"]),
    "forward of a layer": (
        nn.Tanh,
        "forward",
        forward_times_factor,
        lambda self, x: x * 9,
        lambda x: TANH(x),
    ),
    "forward of a layer within": (
        nn.Tanh,
        "forward",
        forward_times_factor,
        lambda self, x: x * 9,
        lambda x: TANHS(x),
    ),
    "method of all modules": (
        nn.Module,
        "scaled",
        forward_times_factor,
        lambda self, x: x * 9,
        lambda x: TANH.scaled(x),
    ),
}


@pytest.mark.parametrize("name", PATCHES)
def test_a_patch_is_looked_into_and_compared(name, monkeypatch):
    owner, attribute, patch, other, use = PATCHES[name]
    monkeypatch.setattr(owner, attribute, patch, raising=False)
    monkeypatch.setitem(FACTOR, "now", 1.0)
    step = torch.compile(lambda x: use(x), fullgraph=True)
    found, expected = [], []

    def call():
        found.append(step(X).tolist())
        expected.append(use(X).tolist())

    for factor in (1.0, 1.0, 2.0, 2.0, 3.0):
        FACTOR["now"] = factor
        call()
    assert len(step.programs) == 3
    monkeypatch.setattr(owner, attribute, other)
    call()
    assert found == expected and len({tuple(x) for x in found}) == 4


def test_a_global_that_was_not_there():
    def step(x):
        try:
            return x * COMES_LATER
        except NameError:
            return x

    compiled = torch.compile(step, fullgraph=True)
    for value in (None, None, 2.0, 2.0, None, 3.0):
        globals().pop("COMES_LATER", None)
        if value is not None:
            globals()["COMES_LATER"] = value
        assert compiled(X).tolist() == step(X).tolist()
    globals().pop("COMES_LATER", None)
    assert len(compiled.programs) == 3
