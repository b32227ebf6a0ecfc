"""Methods of a user's class that code of others calls: a replay sees when they change, though no code names them."""

from __future__ import annotations

import collections

import pytest

import jitgrad as torch
from jitgrad import nn


def kinds():
    """Of a class each: what calls it in a step, and what is changed in it."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * 2

    class Table(collections.UserDict):
        def __missing__(self, key):
            return 1.0

    class Late(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.by = 2.0
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g * by(ctx)

    def by(ctx):
        return ctx.by * rate[0]

    rate = [1.0]
    return {
        "backward": (Scaled.apply, lambda: setattr(Scaled, "backward", staticmethod(lambda ctx, g: g * 5))),
        "forward": (Scaled.apply, lambda: setattr(Scaled, "forward", staticmethod(lambda ctx, x: x * 3))),
        "a list that backward reads": (Late.apply, lambda: rate.__setitem__(0, 4.0)),
        "of the standard library": (
            lambda x: x * Table()["a"],
            lambda: setattr(Table, "__missing__", lambda self, key: 7.0),
        ),
    }


@pytest.mark.parametrize("runs", [False, True], ids=["calls", "run"])
@pytest.mark.parametrize("name", kinds())
def test_a_change_is_seen(name, runs):
    def gradients(compiled):
        bend, change = kinds()[name]
        w, x = nn.Parameter(torch.ones(3)), torch.arange(12.0).reshape(4, 3)

        def step(x):
            return torch.autograd.grad(bend(x * w).square().sum(), w)[0]

        called, found = torch.compile(step) if compiled else step, []
        for change_now in (False, True, False):
            if change_now:
                change()
            if compiled and runs:
                found += [g.tolist() for g in called.run(x, batch_size=2, epochs=1)[0]]
            else:
                found += [called(x[k : k + 2]).tolist() for k in (0, 2)]
        return found

    assert gradients(True) == gradients(False)
