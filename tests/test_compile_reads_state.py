"""Compiled functions that only read ``optimizer.state``: they see entries that come with a parameter's first step."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn, optim


def total(optimizer, w, x):
    tensors = [v for entry in optimizer.state.values() for v in entry.values() if isinstance(v, torch.Tensor)]
    return x + sum(v.sum().float() for v in tensors)


READERS = {
    "sum": total,
    "contains": lambda o, w, x: x * (2 if w in o.state else 3),
    "length": lambda o, w, x: x * len(o.state),
    "state_dict": lambda o, w, x: x * len(o.state_dict()["state"]),
    "entry": lambda o, w, x: x + len(o.state.get(w, {})),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("kind", [optim.Adam, optim.Adafactor], ids=["one call", "tensor operations"])
@pytest.mark.parametrize("compiled", [False, True], ids=["eager steps", "compiled steps"])
def test_entries_that_come_and_go_are_seen(kind, name, compiled):
    w, v = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.full((2, 2), 2.0))
    optimizer = kind([w, v], lr=0.1)
    train = torch.compile(optimizer.step) if compiled else optimizer.step

    def reads(x):
        return READERS[name](optimizer, v, x)

    called, x = torch.compile(reads, fullgraph=True), torch.ones(2)

    def check():
        for _ in range(2):
            assert called(x).tolist() == reads(x).tolist()

    check()
    for parameters in ([w], [w], [w, v], [v]):
        optimizer.zero_grad()
        sum(p.square().sum() for p in parameters).backward()
        train()
        check()
    optimizer.state.clear()
    check()
    train()
    check()
