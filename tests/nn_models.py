"""Models for the tests of jitgrad.nn: one with every kind of member, and how to see whether it changed."""

import numpy as np

import jitgrad as jg
from jitgrad import nn


class Net(nn.Module):
    """Two layers, one of them used twice, a buffer of each kind and a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 4, bias=False)
        self.again = self.second
        self.scale = nn.Parameter(jg.ones(4))
        self.register_buffer("mean", jg.zeros(4))
        self.register_buffer("scratch", jg.zeros(2), persistent=False)

    def forward(self, x):
        return self.again(self.second(self.first(x))) * self.scale + self.mean


class Twice(nn.Module):
    """A module with a keyword."""

    def forward(self, x, factor=2.0):
        return x * factor


class OwnCall(nn.Linear):
    """A layer with a call of its own."""

    def __call__(self, x):
        return super().__call__(x + 1.0)


def snapshot(module):
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def assert_unchanged(module, before):
    after = snapshot(module)
    assert list(after) == list(before)
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
