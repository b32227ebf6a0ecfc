"""The training steps that are measured, each written once for every library with PyTorch's front.

A workload is a function ``build(torch, seed)``; `torch` is the module to use: PyTorch, or jitgrad. Its result has
a ``step``: a call of it on the ``data`` clears the gradients, runs the model forward, computes the loss, walks
back and lets the optimizer step; it returns the loss. Networks are described without a library, and their data and
first parameters are made with NumPy, so that every library, whatever its front, trains on the same numbers.
What is no plain multilayer perceptron is in ``models.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from models import MODELS, batch

Step = Callable[..., Any]


class Network(NamedTuple):
    """A multilayer perceptron and how it is trained, always on one batch."""

    title: str
    sizes: tuple[int, ...]  # of the layers, the input first
    batch: int
    activation: str  # between the layers: "tanh" or "relu"
    loss: str  # "mse" or "cross_entropy"
    optimizer: str  # "SGD" or "Adam"
    steps: int  # that may be timed from the first parameters on

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(a * b + b for a, b in pairwise(self.sizes))


RATES = {"SGD": 1e-2, "Adam": 1e-3}
MOMENTUM = 0.9  # of the models that SGD trains
# Trained for long on one batch, a network knows it by heart. Its gradients then fall below the range of normal
# numbers, with which processors take many times as long: that would be measured, most of all on fast libraries. So
# training begins anew after `steps`; gradients and their squares are still normal numbers then.
NETWORKS = {
    "W1": Network("linear regression, batch 4, SGD", (1, 1), 4, "tanh", "mse", "SGD", 70_000),
    "W2": Network("2-16-16-1 tanh, batch 8, Adam", (2, 16, 16, 1), 8, "tanh", "mse", "Adam", 5_000),
    "W3": Network(
        "digits 64-64-32-10 relu, batch 32, Adam",
        (64, 64, 32, 10),
        32,
        "relu",
        "cross_entropy",
        "Adam",
        2_000,
    ),
    "W4": Network(
        "MNIST 784-128-10 relu, batch 64, Adam", (784, 128, 10), 64, "relu", "cross_entropy", "Adam", 500
    ),
    "W5": Network(
        "1-64-64-64-1 tanh, batch 256, Adam", (1, 64, 64, 64, 1), 256, "tanh", "mse", "Adam", 5_000
    ),
    "W8": Network(
        "expm 4-32-16-4 tanh, batch 10,000, Adam",
        (4, 32, 16, 4),
        10_000,
        "tanh",
        "mse",
        "Adam",
        5_000,
    ),
}
# the digits' network made larger, one number at a time: not among the usual workloads, see scaling.py
SCALING = {
    **{
        f"width-{n}": Network(
            f"64-{n}-{n}-10, batch 32", (64, n, n, 10), 32, "relu", "cross_entropy", "Adam", 500
        )
        for n in (8, 32, 128, 512)
    },
    **{
        f"depth-{n}": Network(
            f"64-{n} x 64-10, batch 32", (64, *[64] * n, 10), 32, "relu", "cross_entropy", "Adam", 300
        )
        for n in (1, 4, 16)
    },
    **{
        f"batch-{n}": Network(
            f"64-64-32-10, batch {n}", (64, 64, 32, 10), n, "relu", "cross_entropy", "Adam", 500
        )
        for n in (1, 8, 64, 512)
    },
}


def network(name: str) -> Network:
    """A network by its name."""
    return NETWORKS.get(name) or SCALING[name]


TITLES = {
    **{name: network.title for name, network in NETWORKS.items()},
    **{name: model.title for name, model in MODELS.items()},
    **{name: network.title for name, network in SCALING.items()},
    "W11": "a chain of 10,000 scalar operations, forward and backward",
    "adds": "a chain of 1,000 additions of 16 floats, forward and backward",
}


class Numbers(NamedTuple):
    """What a network is trained on and from."""

    layers: list[tuple[np.ndarray, np.ndarray]]  # weight (outputs, inputs) and bias of each layer
    x: np.ndarray
    y: np.ndarray


def numbers(name: str, seed: int = 0) -> Numbers:
    """Parameters in PyTorch's default initialisation of Linear layers, and a batch."""
    described, rng = network(name), np.random.default_rng(seed)
    layers = []
    for inputs, outputs in pairwise(described.sizes):
        bound = 1 / np.sqrt(inputs)
        weight, bias = (
            rng.uniform(-bound, bound, s).astype(np.float32) for s in ((outputs, inputs), outputs)
        )
        layers.append((weight, bias))
    x = rng.standard_normal((described.batch, described.sizes[0])).astype(np.float32)
    if name == "W8":
        y = _exponentials(x.reshape(-1, 2, 2)).reshape(x.shape)
    elif described.loss == "cross_entropy":
        y = rng.integers(0, described.sizes[-1], described.batch)
    else:
        y = rng.standard_normal((described.batch, described.sizes[-1])).astype(np.float32)
    return Numbers(layers, x, y)


def _exponentials(matrices: np.ndarray) -> np.ndarray:
    """Matrix exponentials by scaling and squaring of the Taylor series, enough for entries of order one."""
    scaled = matrices.astype(np.float64) / 64
    term = np.broadcast_to(np.eye(2), scaled.shape).copy()
    total = term.copy()
    for k in range(1, 13):
        term = term @ scaled / k
        total += term
    for _ in range(6):
        total = total @ total
    return total.astype(np.float32)


class Workload(NamedTuple):
    """A training step and what to call it on."""

    step: Step
    data: tuple[Any, ...] = ()
    forward: Step | None = None  # the loss of the data alone
    optimizer: Any = None
    model: Any = None


def train(name: str, torch: Any, seed: int = 0) -> Workload:
    """The training step of a described."""
    described, given = network(name), numbers(name, seed)
    model = _sequential(torch, described)
    values = [v for layer in given.layers for v in layer]
    _fill(torch, model.parameters(), values)
    optimizer = getattr(torch.optim, described.optimizer)(model.parameters(), lr=RATES[described.optimizer])
    return _training(torch, model, described.loss, optimizer, (given.x, given.y))


def train_model(name: str, torch: Any, seed: int = 0) -> Workload:
    """The training step of a model of ``models.py``."""
    described = MODELS[name]
    model = described.build(torch)
    given, parameters = described.parameters(seed), dict(model.named_parameters())
    _fill(torch, (parameters.pop(key) for key in given), given.values())
    assert not parameters, f"no first values for {', '.join(parameters)}"
    momentum = {"momentum": MOMENTUM} if described.optimizer == "SGD" else {}
    rate = RATES[described.optimizer]
    optimizer = getattr(torch.optim, described.optimizer)(model.parameters(), lr=rate, **momentum)
    return _training(torch, model, described.loss, optimizer, batch(name, seed))


def _fill(torch: Any, parameters: Iterable[Any], values: Iterable[np.ndarray]) -> None:
    with torch.no_grad():
        for p, array in zip(parameters, values, strict=True):
            p.copy_(torch.from_numpy(array))


def _training(torch: Any, model: Any, loss: str, optimizer: Any, data: tuple[np.ndarray, ...]) -> Workload:
    loss_function = {
        "mse": torch.nn.MSELoss(),
        "cross_entropy": torch.nn.CrossEntropyLoss(),
        "difference": lambda output, labels: (output - labels).sum(),
    }[loss]

    def forward(x: Any, y: Any) -> Any:
        return loss_function(model(x), y)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return Workload(step, tuple(map(torch.from_numpy, data)), forward, optimizer, model)


def _sequential(torch: Any, network: Network) -> Any:
    nn = torch.nn
    activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[network.activation]
    layers: list[Any] = []
    for inputs, outputs in pairwise(network.sizes):
        layers += [nn.Linear(inputs, outputs), activation()]
    return nn.Sequential(*layers[:-1])


def adds(torch: Any, seed: int = 0) -> Workload:
    """A chain of 1,000 additions of 16 floats, forward and backward."""
    rng = np.random.default_rng(seed)
    x, one = (torch.from_numpy(rng.standard_normal(16).astype(np.float32)) for _ in range(2))
    x.requires_grad_()
    ones = torch.ones(16)

    def step() -> Any:
        x.grad = None
        y = x
        for _ in range(1000):
            y = y + one
        y.backward(ones)
        return y.detach().sum()

    return Workload(step)


# W11, the chain of scalars. Most factors and shifts let its gradient shrink below the range of normal numbers within
# a few hundred turns and stick at the smallest of all; each operation on that takes a hundred cycles or more, which
# libraries that flush such numbers to zero do not pay. These draw x to a number at which a turn's slope is a little
# below 1: the gradient ends near 1e-11. With 1 itself, errors of rounding would add up from turn to turn.
TURNS = 3334
FIXED, SLOPE = 0.5, 0.995
FACTOR = SLOPE / (1 - FIXED**2)
SHIFT = math.atanh(FIXED) - FACTOR * FIXED


def scalar_start(seed: int = 0) -> float:
    """The number that W11 begins with, above the one that it comes to."""
    return float(np.random.default_rng(seed).uniform(FIXED, 1))


def scalar_chain(x: Any, tanh: Callable[[Any], Any]) -> Any:
    """Mul, add and tanh in turn, 10,002 of them; FACTOR and SHIFT keep values and gradients normal numbers."""
    for _ in range(TURNS):
        x = tanh(x * FACTOR + SHIFT)
    return x


def scalars(torch: Any, seed: int = 0) -> Workload:
    """W11: a chain of 10,000 scalar operations (mul, add, tanh in turn), forward and backward."""
    x = torch.tensor(scalar_start(seed), requires_grad=True)

    def step() -> Any:
        x.grad = None
        y = scalar_chain(x, torch.tanh)
        y.backward()
        return y.detach()

    return Workload(step)


# what is trained, and for how many steps from the first parameters on
STEPS = {name: described.steps for name, described in (NETWORKS | MODELS | SCALING).items()}
_BUILDERS: dict[str, Callable[..., Workload]] = {
    **{name: partial(train, name) for name in NETWORKS},
    **{name: partial(train_model, name) for name in MODELS},
    "W11": scalars,
    "adds": adds,
}
WORKLOADS = {name: _BUILDERS[name] for name in sorted(_BUILDERS, key=lambda name: (len(name), name))}


def workload(name: str, torch: Any) -> Workload:
    """A workload by its name, those of `SCALING` as well."""
    return train(name, torch) if name in SCALING else WORKLOADS[name](torch)
