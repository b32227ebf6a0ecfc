"""Random networks with strided, repeated and shared values: compiled training leaves what eager training leaves."""

from __future__ import annotations

import random

import numpy as np
import pytest

import jitgrad as torch
from jitgrad import nn

F = nn.functional
SEEDS = 150
CALLS = 6  # more than there are replays before the rewrites
WIDTHS = [2, 3, 4, 5, 8]


class Network:
    """A network of random layers on vectors; parameters are made when they are first met."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        torch.manual_seed(seed)
        self.samples, self.width = self.random.choice([8, 12, 33]), self.random.choice(WIDTHS)
        layers = [self.random.choice(LAYERS) for _ in range(self.random.randrange(2, 8))]
        self.plan = [(f, self.random.random() < 0.7, self.random.randrange(99)) for f in layers]
        self.parameters = {}
        self(torch.randn(self.samples, self.width))
        self.optimizer = torch.optim.SGD([*self.parameters.values()], 1e-3, momentum=0.9)

    def __call__(self, x):
        values = [x * self.parameter("first", self.width)]
        for k, (layer, last, number) in enumerate(self.plan):
            x = values[-1] if last else values[number % len(values)]
            values.append(layer(self, x, values[number % len(values)], k))
        return values[-1]

    def parameter(self, name, *shape):
        if name not in self.parameters:
            self.parameters[name] = (torch.randn(*shape) * 0.5).requires_grad_()
        return self.parameters[name]

    def step(self, x):
        self.optimizer.zero_grad()
        loss = self(x).square().mean()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def linear(net, x, other, k):
    out = WIDTHS[k % len(WIDTHS)]
    return F.linear(x, net.parameter(f"w{k}", out, x.shape[1]), net.parameter(f"b{k}", out))


def norm(net, x, other, k):
    width = x.shape[1]
    return F.layer_norm(x, (width,), net.parameter(f"g{k}", width), net.parameter(f"h{k}", width))


LAYERS = [
    linear, linear, linear, norm,
    lambda net, x, other, k: F.linear(x, net.parameter(f"shared{x.shape[1]}", x.shape[1], x.shape[1])),
    lambda net, x, other, k: x * net.parameter(f"s{k}", x.shape[1]),
    lambda net, x, other, k: net.parameter(f"r{k}", 1, x.shape[1]).expand(x.shape) + x * 0.5,
    lambda net, x, other, k: F.gelu(x),
    lambda net, x, other, k: x.tanh() * 0.9,
    lambda net, x, other, k: x.softmax(1),
    lambda net, x, other, k: x[:, ::2],
    lambda net, x, other, k: x[:, 1:] if x.shape[1] > 1 else x,
    lambda net, x, other, k: x.flip(0),
    lambda net, x, other, k: x * x[:1],
    lambda net, x, other, k: x - x.mean(0, keepdim=True),
    lambda net, x, other, k: x.mean(1, keepdim=True).expand(-1, 3),
    lambda net, x, other, k: torch.cat([x, other], 1),
    lambda net, x, other, k: x.t().contiguous().t(),
    lambda net, x, other, k: x[torch.arange(len(x) - 1, -1, -1)],
    lambda net, x, other, k: x.cumsum(0) * 0.1,
    lambda net, x, other, k: F.dropout(x, 0.3),
    lambda net, x, other, k: torch.where(x > 0, x, other.mean(1, keepdim=True)),
    lambda net, x, other, k: x.clone().index_add_(0, torch.zeros(1).long(), other[:1, :1].expand(1, x.shape[1])),
]  # fmt: skip


def history(seed, compiled):
    net = Network(seed)
    step = torch.compile(net.step, fullgraph=True, options={"strips": False}) if compiled else net.step
    rng = np.random.default_rng(seed)
    batches = rng.standard_normal((CALLS, net.samples, net.width)).astype(np.float32)
    torch.manual_seed(seed)
    found = [step(torch.from_numpy(x)).tolist() for x in batches]
    return found, {name: p.tolist() for name, p in net.parameters.items()}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_compiled_training_is_eager_training(seed):
    eager, compiled = history(seed, False), history(seed, True)
    assert repr(compiled) == repr(eager)  # where nan is equal to nan
