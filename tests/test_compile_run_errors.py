"""What a step of `run` or `loop` that meets a value out of range leaves behind: what the steps before it have left."""

from __future__ import annotations

import pytest

import jitgrad as torch
from jitgrad import nn

F = nn.functional


def left_behind(at, how, gradient, clears):
    """Gradients after an error at sample `at`, of weights that began with a gradient or none."""
    torch.manual_seed(0)
    table = nn.Embedding(5, 3)
    head = nn.Linear(3, 1)
    parameters = [*table.parameters(), *head.parameters()]

    def step(k):
        h = table(k)
        if clears:
            for p in parameters:
                p.grad = None
        head(h).square().mean().backward()

    good, batch = torch.arange(7) % 5, 3
    called = torch.compile(step)
    for _ in range(3):  # two programs, one for the smaller last batch
        if how == "eager":
            for k in range(0, 7, batch):
                step(good[k : k + batch])
        else:
            called.run(good, batch_size=batch)
    for p in parameters:
        p.grad = None if gradient is None else torch.full_like(p, gradient)
    bad = good.clone()
    bad[at] = 9
    with pytest.raises(IndexError):
        if how == "eager":
            for k in range(0, 7, batch):
                step(bad[k : k + batch])
        else:
            called.run(bad, batch_size=batch, epochs=2)
    assert how == "eager" or not called.is_eager
    return [None if p.grad is None else p.grad.tolist() for p in parameters]


@pytest.mark.parametrize("at", [0, 4, 6])
@pytest.mark.parametrize("gradient", [None, 7.0])
def test_gradients_are_those_from_before_the_step(at, gradient):
    expected = left_behind(at, "eager", gradient, False)
    assert left_behind(at, "run", gradient, False) == expected


@pytest.mark.parametrize("gradient", [None, 7.0])
def test_gradients_that_no_step_has_reached_stay(gradient):
    assert left_behind(0, "run", gradient, True) == left_behind(0, "eager", gradient, True)


@pytest.mark.parametrize("gradient", [None, 7.0])
def test_a_loop_whose_mask_does_not_fit_leaves_gradients_alone(gradient):
    mask = torch.tensor([True, False, True])
    values, w = nn.Parameter(torch.arange(2.0)), nn.Parameter(torch.ones(3))

    @torch.compile
    def step(x):
        z = torch.zeros(3)
        z[mask] = values
        h = x * w + z
        values.grad = w.grad = None
        h.square().sum().backward()

    step.loop(3, torch.ones(2, 3))
    mask.fill_(False)
    values.grad = w.grad = None
    if gradient is not None:
        w.grad = torch.full((3,), gradient)
    with pytest.raises(RuntimeError):
        step.loop(3, torch.ones(2, 3))
    assert values.grad is None
    assert (w.grad is None) if gradient is None else w.grad.tolist() == [gradient] * 3
