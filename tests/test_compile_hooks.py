"""Hooks on tensors and nodes in compiled steps."""

from __future__ import annotations

import pytest
from sample_values import leaf

import jitgrad as torch


def train(wrap, hook, count=6):
    """Losses and parameters of a few steps of a model with hooks on tensors, eager or compiled."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    x, y = torch.randn(5, 3), torch.randn(5, 1)
    if hook == "leaf":
        model[0].weight.register_hook(lambda g: g.clamp(-0.01, 0.01))

    def step(x, y):
        optimizer.zero_grad()
        h = model[0](x)
        if hook == "intermediate":
            h.register_hook(lambda g: g * 0.5 + 0.001)
        z = model[1](h)
        if hook == "node":
            z.grad_fn.register_hook(lambda ins, outs: (ins[0] * 0.5,))
        loss = ((model[2](z) - y) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    run = wrap(step)
    losses = [run(x, y).item() for _ in range(count)]
    return losses, [p.tolist() for p in model.parameters()], run


@pytest.mark.parametrize("hook", ["leaf", "intermediate", "node"])
def test_compiled_steps_replay_what_hooks_compute(hook):
    eager = train(lambda f: f, hook)
    compiled = train(torch.compile, hook)
    assert compiled[:2] == eager[:2]
    assert eager[0] != train(lambda f: f, None)[0]
    assert len(compiled[2].programs) == 1


def test_a_hook_that_comes_or_goes_is_seen_by_compiled_steps():
    def run(wrap):
        w = leaf(1.0)

        def step(x):
            w.grad = None
            (w * x).sum().backward()
            return w.grad * 1

        call = wrap(step)
        x = torch.ones(2)
        found = [call(x).item(), call(x).item()]
        handle = w.register_hook(lambda g: g * 10)
        found += [call(x).item(), call(x).item()]
        handle.remove()
        return [*found, call(x).item()]

    assert run(torch.compile) == run(lambda f: f) == [2.0, 2.0, 20.0, 20.0, 2.0]


def test_hooks_of_leaves_run_once_around_a_compiled_model():
    model = torch.nn.Linear(2, 1)
    calls = []
    model.weight.register_hook(lambda g: calls.append(1) or g * 2)
    compiled = torch.compile(model)
    x = torch.ones(3, 2)
    for _ in range(3):
        model.weight.grad = None
        calls.clear()
        compiled(x).sum().backward()
        assert len(calls) == 1
        assert model.weight.grad.tolist() == [[6.0, 6.0]]
