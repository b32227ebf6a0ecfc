"""The networks as one writes them by hand for Numba: loops over NumPy arrays, gradients derived on paper.

No automatic differentiation, no kernels of ours, no tricks but those that every Numba user knows: one compiled
function for all steps, memory allocated once, weights as (inputs, outputs) so that inner loops run along memory,
and ``fastmath``, so that LLVM may turn those loops into vector code.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numba
import numpy as np
from numba import njit
from workloads import MOMENTUM, NETWORKS, RATES, TURNS, network, numbers, scalar_start

LEARNING_RATE, SGD_RATE = np.float32(RATES["Adam"]), np.float32(RATES["SGD"])
BETA1, BETA2, EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-8)
KEPT = np.float32(MOMENTUM)  # of the velocity
ONE = np.float32(1)


def version() -> str:
    """Numba's version."""
    return f"Numba {numba.__version__}"


@njit(fastmath=True)
def linear(x, w, bias, y):
    """``y = x @ w + bias``."""
    for i in range(x.shape[0]):
        for j in range(w.shape[1]):
            y[i, j] = bias[j]
        for k in range(w.shape[0]):
            factor = x[i, k]
            for j in range(w.shape[1]):
                y[i, j] += factor * w[k, j]


@njit(fastmath=True)
def parameter_gradients(x, g, gw, gbias):
    """``gw = x.T @ g``, ``gbias = sum(g)``."""
    gw[:] = 0
    gbias[:] = 0
    for i in range(x.shape[0]):
        for j in range(g.shape[1]):
            gbias[j] += g[i, j]
        for k in range(x.shape[1]):
            factor = x[i, k]
            for j in range(g.shape[1]):
                gw[k, j] += factor * g[i, j]


@njit(fastmath=True)
def input_gradient(g, w, gx):
    """``gx = g @ w.T``."""
    for i in range(g.shape[0]):
        for k in range(w.shape[0]):
            total = np.float32(0)
            for j in range(w.shape[1]):
                total += g[i, j] * w[k, j]
            gx[i, k] = total


@njit(fastmath=True)
def tanh(x):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = math.tanh(x[i, j])


@njit(fastmath=True)
def tanh_gradient(y, g):
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            g[i, j] *= ONE - y[i, j] * y[i, j]


@njit(fastmath=True)
def relu(x):
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[i, j] = max(x[i, j], np.float32(0))


@njit(fastmath=True)
def relu_gradient(y, g):
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            g[i, j] = g[i, j] if y[i, j] > 0 else np.float32(0)


@njit(fastmath=True)
def squared_error(x, target, g):
    """The mean squared error; `g` becomes the gradient of `x`."""
    total, scale = np.float32(0), np.float32(2 / x.size)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            difference = x[i, j] - target[i, j]
            total += difference * difference
            g[i, j] = scale * difference
    return total / x.size


@njit(fastmath=True)
def cross_entropy(x, target, g):
    """The mean cross-entropy of rows of logits; `g` becomes their gradient."""
    loss, scale = np.float32(0), np.float32(1 / x.shape[0])
    for i in range(x.shape[0]):
        top = x[i, 0]
        for j in range(1, x.shape[1]):
            top = max(top, x[i, j])
        total = np.float32(0)
        for j in range(x.shape[1]):
            g[i, j] = math.exp(x[i, j] - top)
            total += g[i, j]
        loss += math.log(total) + top - x[i, target[i]]
        factor = scale / total
        for j in range(x.shape[1]):
            g[i, j] *= factor
        g[i, target[i]] -= scale
    return loss * scale


@njit(fastmath=True)
def adam(p, g, m, v, count):
    """Adam on flat arrays, step number `count`."""
    rate = np.float32(LEARNING_RATE / (1 - BETA1**count))
    unbias = np.float32(1 / math.sqrt(1 - BETA2**count))
    for i in range(p.size):
        m[i] = BETA1 * m[i] + (ONE - BETA1) * g[i]
        v[i] = BETA2 * v[i] + (ONE - BETA2) * g[i] * g[i]
        p[i] -= rate * m[i] / (math.sqrt(v[i]) * unbias + EPSILON)


@njit(fastmath=True)
def sgd(p, g, m, v, count):
    """Plain gradient descent on flat arrays."""
    for i in range(p.size):
        p[i] -= SGD_RATE * g[i]


@njit(fastmath=True)
def sgd_with_momentum(p, g, m, v, count):
    """Gradient descent with momentum on flat arrays; `m` is the velocity."""
    for i in range(p.size):
        m[i] = KEPT * m[i] + g[i]
        p[i] -= SGD_RATE * m[i]


FUNCTIONS = {
    "tanh": (tanh, tanh_gradient),
    "relu": (relu, relu_gradient),
    "mse": squared_error,
    "cross_entropy": cross_entropy,
    "Adam": adam,
    "SGD": sgd,
}
NAMES = (*NETWORKS, "W11")


@cache
def _trainer(activation: str, loss_name: str, optimizer: str) -> Callable[..., float]:
    """All steps of a network with these functions; Numba compiles it for each depth."""
    activate, activation_gradient = FUNCTIONS[activation]
    error, update = FUNCTIONS[loss_name], FUNCTIONS[optimizer]

    @njit(fastmath=True)
    def train(n, count, x, y, p, g, m, v, w, b, gw, gb, h, gh):
        loss, last = np.float32(0), len(w) - 1
        for step in range(count + 1, count + n + 1):
            linear(x, w[0], b[0], h[0])
            for k in range(1, last + 1):
                activate(h[k - 1])
                linear(h[k - 1], w[k], b[k], h[k])
            loss = error(h[last], y, gh[last])
            for k in range(last, 0, -1):
                parameter_gradients(h[k - 1], gh[k], gw[k], gb[k])
                input_gradient(gh[k], w[k], gh[k - 1])
                activation_gradient(h[k - 1], gh[k - 1])
            parameter_gradients(x, gh[0], gw[0], gb[0])
            update(p, g, m, v, step)
        return loss

    return train


@njit
def chain(n, start, kept):
    """W11: the values of the chain are kept for the way back; returns the end and the gradient."""
    y, g = start, ONE
    for _ in range(n):
        y = start
        for k in range(kept.size):
            y = np.float32(math.tanh(y * np.float32(0.9) + np.float32(0.1)))
            kept[k] = y
        g = ONE
        for k in range(kept.size - 1, -1, -1):
            g = g * (ONE - kept[k] * kept[k]) * np.float32(0.9)
    return y, g


def _slices(flat: np.ndarray, shapes: list[tuple[int, int]]) -> tuple[tuple, tuple]:
    """Views of a flat array as the weights and the biases of all layers."""
    weights, biases, at = [], [], 0
    for inputs, outputs in shapes:
        weights.append(flat[at : at + inputs * outputs].reshape(inputs, outputs))
        at += inputs * outputs
        biases.append(flat[at : at + outputs])
        at += outputs
    return tuple(weights), tuple(biases)


def loop(name: str) -> Callable[[int], float]:
    """Train anew; what is returned takes `n` steps in one call and gives the last loss."""
    if name == "W11":
        kept = np.empty(TURNS, np.float32)
        return lambda n: chain(n, np.float32(scalar_start()), kept)[0]
    described, given = network(name), numbers(name)
    p = np.concatenate([a.ravel() for weight, bias in given.layers for a in (weight.T, bias)])
    g, m, v = (np.zeros_like(p) for _ in range(3))
    shapes = [weight.T.shape for weight, _ in given.layers]
    h, gh = (tuple(np.zeros((len(given.x), n), np.float32) for _, n in shapes) for _ in range(2))
    rest = (given.x, given.y, p, g, m, v, *_slices(p, shapes), *_slices(g, shapes), h, gh)
    train, count = _trainer(described.activation, described.loss, described.optimizer), 0

    def advance(n: int) -> float:
        nonlocal count
        loss = train(n, count, *rest)
        count += n
        return loss

    return advance
