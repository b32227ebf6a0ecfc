"""The networks as one writes them by hand in NumPy: gradients derived on paper, everything float32 and vectorised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from models import MODELS, batch
from numpy_models import BY_HAND, LAYOUTS
from workloads import MOMENTUM, RATES, TURNS, network, numbers, scalar_start

BETA1, BETA2, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
Update = Callable[[list[Any]], None]


def version() -> str:
    """NumPy's version."""
    return f"NumPy {np.__version__}"


def optimizer(kind: str, parameters: list[np.ndarray], momentum: float = 0.0) -> Update:
    """A function that takes the gradients and moves the parameters in place; momentum is SGD's."""
    rate = np.float32(RATES[kind])
    if momentum:
        return _with_momentum(parameters, rate, np.float32(momentum))

    def sgd(gradients: list[np.ndarray]) -> None:
        for p, g in zip(parameters, gradients, strict=True):
            p -= rate * g

    mean, square = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    count = 0

    def adam(gradients: list[np.ndarray]) -> None:
        nonlocal count
        count += 1
        size = rate / (1 - BETA1**count)
        unbias = np.float32(1 / np.sqrt(1 - BETA2**count))
        for p, g, m, v in zip(parameters, gradients, mean, square, strict=True):
            m += (1 - BETA1) * (g - m)
            v += (1 - BETA2) * (g * g - v)
            p -= size * m / (np.sqrt(v) * unbias + EPSILON)

    return sgd if kind == "SGD" else adam


def model_optimizer(name: str, parameters: list[np.ndarray]) -> Update:
    """The optimizer of a model of ``models.py``."""
    kind = MODELS[name].optimizer
    return optimizer(kind, parameters, MOMENTUM if kind == "SGD" else 0.0)


def _with_momentum(parameters: list[np.ndarray], rate: np.float32, momentum: np.float32) -> Update:
    velocity = [np.zeros_like(p) for p in parameters]

    def sgd(gradients: list[np.ndarray]) -> None:
        for p, g, v in zip(parameters, gradients, velocity, strict=True):
            v *= momentum
            v += g
            p -= np.multiply(rate, v, out=g)  # in the gradient's memory, which has served

    return sgd


def _loss(kind: str, output: np.ndarray, y: np.ndarray) -> tuple[Any, np.ndarray]:
    """The loss and its gradient."""
    if kind == "mse":
        difference = output - y
        return np.mean(difference * difference), difference * np.float32(2 / difference.size)
    rows = np.arange(len(y))
    shifted = output - output.max(1, keepdims=True)
    exponentials = np.exp(shifted)
    totals = exponentials.sum(1, keepdims=True)
    loss = np.mean(np.log(totals[:, 0]) - shifted[rows, y])
    g = exponentials / totals
    g[rows, y] -= 1
    return loss, g / np.float32(len(y))


def loop(name: str) -> Callable[[int], Any]:
    """Train anew; what is returned takes `n` steps and gives the last loss."""
    if name == "W11":
        return _scalars()
    if name in BY_HAND:
        return _model(name)
    described, given = network(name), numbers(name)
    parameters = [a.copy() for weight, bias in given.layers for a in (weight.T, bias)]
    weights, biases = parameters[::2], parameters[1::2]
    update = optimizer(described.optimizer, parameters)
    tanh = described.activation == "tanh"

    def step() -> Any:
        kept = [given.x]
        for w, b in zip(weights[:-1], biases[:-1], strict=True):
            h = kept[-1] @ w + b
            kept.append(np.tanh(h) if tanh else np.maximum(h, 0))
        loss, g = _loss(described.loss, kept[-1] @ weights[-1] + biases[-1], given.y)
        gradients = []
        for k in reversed(range(len(weights))):
            gradients += [g.sum(0), kept[k].T @ g]
            if k:
                g = g @ weights[k].T
                g = g * (1 - kept[k] * kept[k]) if tanh else g * (kept[k] > 0)
        update(gradients[::-1])
        return loss

    def advance(n: int) -> Any:
        loss = None
        for _ in range(n):
            loss = step()
        return loss

    return advance


def _scalars() -> Callable[[int], Any]:
    """W11: the values of the chain are kept for the way back."""
    start = np.float32(scalar_start())
    factor, shift, one = np.float32(0.9), np.float32(0.1), np.float32(1)

    def advance(n: int) -> Any:
        y = start
        for _ in range(n):
            y, kept = start, []
            for _ in range(TURNS):
                y = np.tanh(y * factor + shift)
                kept.append(y)
            g = one
            for v in reversed(kept):
                g = g * (one - v * v) * factor
        return y

    return advance


def _copies(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: value.copy() for key, value in given.items()}


def _model(name: str) -> Callable[[int], Any]:
    """A model of ``numpy_models.py``."""
    parameters = LAYOUTS.get(name, _copies)(MODELS[name].parameters())
    update = model_optimizer(name, list(parameters.values()))
    x, y = batch(name)

    def advance(n: int) -> Any:
        loss = None
        for _ in range(n):
            loss, gradients = BY_HAND[name](parameters, x, y)
            update([gradients[key] for key in parameters])
        return loss

    return advance
