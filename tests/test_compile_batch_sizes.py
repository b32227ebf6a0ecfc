"""Batches of many samples and of none: steps leave what eager calls leave."""

from __future__ import annotations

import pytest
from compile_cases import batches, bits, state_of, training_step

import jitgrad as torch
from jitgrad import nn


@pytest.mark.parametrize("rows", [48, 130, 1000])
def test_larger_batches(rows):
    """Large enough for rows to be cut into strips."""

    def run(compiled):
        torch.manual_seed(8)
        model = nn.Sequential(nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
        optimizer = torch.optim.Adam(model.parameters())
        step = training_step(model, optimizer)
        exact = {"partial_sums": False}
        step = torch.compile(step, fullgraph=True, options=exact) if compiled else step
        inputs = batches((rows, 20), (rows, 3), count=4)
        return [(bits(step(*inputs(k))), state_of(model)) for k in range(4)]

    assert run(True) == run(False)


LAYERS = {
    "linear": lambda: nn.Linear(3, 2),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.Conv1d(1, 2, 2), nn.Flatten(), nn.Linear(4, 2)
    ),
    "layer norm": lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)),
}
LOSSES = {
    "mean": lambda o, y, w: (o - y).square().mean() + w.abs().sum(),
    "sum of a repeated weight": lambda o, y, w: (o * w.sum() - w.expand_as(y) * y).sum(),
    "product of nothing": lambda o, y, w: (o - y).exp().prod(0).sum() + w.sum(),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("layers", LAYERS)
def test_a_batch_without_samples_leaves_what_an_eager_step_leaves(layers, loss):
    """Sums over no samples are written, too: neither may they stay as they were."""

    def run(compiled):
        torch.manual_seed(8)
        model, w = LAYERS[layers](), torch.randn(2, requires_grad=True)
        optimizer = torch.optim.SGD([*model.parameters(), w], lr=0.1, momentum=0.9)

        def step(x, y):
            optimizer.zero_grad()
            value = LOSSES[loss](model(x), y, w)
            value.backward()
            optimizer.step()
            return value.detach()

        step = torch.compile(step, fullgraph=True) if compiled else step
        inputs = batches((0, 3), (0, 2))
        return [(bits(step(*inputs(k))), state_of(model, optimizer, w)) for k in range(5)]

    assert run(True) == run(False)
