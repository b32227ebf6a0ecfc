"""LeNet-5 (W6) and the LSTM (W7) as one writes them by hand for Numba: plain loops.

Gradients are derived on paper, as in ``numpy_models.py``. No tricks: one compiled function for all steps of a model,
memory allocated once, weights of linear layers as (inputs, outputs), images with their channels first. Functions of
``numba_loops.py`` serve where they can.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba_loops
import numpy as np
from models import HIDDEN
from numba import njit

ZERO, ONE = np.float32(0), np.float32(1)

linear = numba_loops.linear
parameter_gradients = numba_loops.parameter_gradients
input_gradient = numba_loops.input_gradient
relu = numba_loops.relu
relu_gradient = numba_loops.relu_gradient
squared_error = numba_loops.squared_error
cross_entropy = numba_loops.cross_entropy


def empty(*shape: int) -> np.ndarray:
    """Memory for float32 numbers."""
    return np.empty(shape, np.float32)


@njit(fastmath=True)
def linear_back(x, w, g, gw, gbias, gx):
    """All three gradients of a linear layer."""
    parameter_gradients(x, g, gw, gbias)
    input_gradient(g, w, gx)


# W6 -------------------------------------------------------------------------------------------------


@njit(fastmath=True)
def convolve(x, w, bias, y):
    """The convolution of images (n, channels, height, width) with filters (outputs, channels, size, size)."""
    for n in range(y.shape[0]):
        for o in range(y.shape[1]):
            y[n, o] = bias[o]
            for c in range(w.shape[1]):
                for i in range(w.shape[2]):
                    for j in range(w.shape[3]):
                        factor = w[o, c, i, j]
                        for r in range(y.shape[2]):
                            for s in range(y.shape[3]):
                                y[n, o, r, s] += factor * x[n, c, r + i, s + j]


@njit(fastmath=True)
def filter_gradients(x, g, gw, gbias):
    """Gradients of a convolution's filters and bias."""
    gw[:] = 0
    gbias[:] = 0
    for n in range(g.shape[0]):
        for o in range(g.shape[1]):
            for r in range(g.shape[2]):
                for s in range(g.shape[3]):
                    gbias[o] += g[n, o, r, s]
            for c in range(gw.shape[1]):
                for i in range(gw.shape[2]):
                    for j in range(gw.shape[3]):
                        total = ZERO
                        for r in range(g.shape[2]):
                            for s in range(g.shape[3]):
                                total += g[n, o, r, s] * x[n, c, r + i, s + j]
                        gw[o, c, i, j] += total


@njit(fastmath=True)
def image_gradient(g, w, gx):
    """Gradient of a convolution's input."""
    gx[:] = 0
    for n in range(g.shape[0]):
        for o in range(g.shape[1]):
            for c in range(w.shape[1]):
                for i in range(w.shape[2]):
                    for j in range(w.shape[3]):
                        factor = w[o, c, i, j]
                        for r in range(g.shape[2]):
                            for s in range(g.shape[3]):
                                gx[n, c, r + i, s + j] += factor * g[n, o, r, s]


@njit(fastmath=True)
def pool(x, y, places):
    """The largest of each 2x2, and which of the four it is."""
    for n in range(y.shape[0]):
        for c in range(y.shape[1]):
            for r in range(y.shape[2]):
                for s in range(y.shape[3]):
                    top, place = x[n, c, 2 * r, 2 * s], 0
                    for k in range(1, 4):
                        value = x[n, c, 2 * r + k // 2, 2 * s + k % 2]
                        if value > top:
                            top, place = value, k
                    y[n, c, r, s] = top
                    places[n, c, r, s] = place


@njit(fastmath=True)
def pool_back(places, g, gx):
    """Gradients go where the largest came from."""
    gx[:] = 0
    for n in range(g.shape[0]):
        for c in range(g.shape[1]):
            for r in range(g.shape[2]):
                for s in range(g.shape[3]):
                    k = places[n, c, r, s]
                    gx[n, c, 2 * r + k // 2, 2 * s + k % 2] = g[n, c, r, s]


class Images(NamedTuple):
    """A convolution's output, what is left of it after pooling, where that was, and the gradients of both."""

    a: Any
    h: Any
    places: Any
    ga: Any
    gh: Any


def _images(n: int, channels: int, size: int) -> Images:
    whole, half = (n, channels, size, size), (n, channels, size // 2, size // 2)
    return Images(empty(*whole), empty(*half), np.empty(half, np.int8), empty(*whole), empty(*half))


@njit(fastmath=True)
def stage(x, w, bias, images):
    """Convolution, relu and pooling."""
    convolve(x, w, bias, images.a)
    relu(images.a.reshape(len(x), -1))
    pool(images.a, images.h, images.places)


@njit(fastmath=True)
def stage_back(x, images, gw, gbias):
    """Back to the output of the convolution, and to its parameters."""
    pool_back(images.places, images.gh, images.ga)
    relu_gradient(images.a.reshape(len(x), -1), images.ga.reshape(len(x), -1))
    filter_gradients(x, images.ga, gw, gbias)


@njit(fastmath=True)
def lenet(x, y, w, gw, memory):
    """Loss and gradients of W6; the inner activations of the linear layers are h, gradients gh."""
    first, second, h, gh = memory
    flat, gflat = second.h.reshape(len(x), -1), second.gh.reshape(len(x), -1)
    stage(x, w[0], w[1], first)
    stage(first.h, w[2], w[3], second)
    linear(flat, w[4], w[5], h[0])
    relu(h[0])
    linear(h[0], w[6], w[7], h[1])
    relu(h[1])
    linear(h[1], w[8], w[9], h[2])
    loss = cross_entropy(h[2], y, gh[2])
    linear_back(h[1], w[8], gh[2], gw[8], gw[9], gh[1])
    relu_gradient(h[1], gh[1])
    linear_back(h[0], w[6], gh[1], gw[6], gw[7], gh[0])
    relu_gradient(h[0], gh[0])
    linear_back(flat, w[4], gh[0], gw[4], gw[5], gflat)
    stage_back(first.h, second, gw[2], gw[3])
    image_gradient(second.ga, w[2], first.gh)
    stage_back(x, first, gw[0], gw[1])
    return loss


def lenet_memory(x: np.ndarray) -> tuple:
    """Memory for a batch of images."""
    n, widths = len(x), (120, 84, 10)
    h, gh = (tuple(empty(n, width) for width in widths) for _ in range(2))
    return _images(n, 6, 24), _images(n, 16, 8), h, gh


# W7 -------------------------------------------------------------------------------------------------


@njit(fastmath=True)
def sigmoid(x):
    return ONE / (ONE + math.exp(-x))


@njit(fastmath=True)
def lstm_cell(z, h, c, c_next, bent, h_next, w):
    """One step; `z` has what comes from the input, and becomes the gates i, f, g, o."""
    width = h.shape[1]
    for b in range(h.shape[0]):
        for k in range(width):
            factor = h[b, k]
            for j in range(4 * width):
                z[b, j] += factor * w[k, j]
        for k in range(width):
            i, f = sigmoid(z[b, k]), sigmoid(z[b, width + k])
            g, o = math.tanh(z[b, 2 * width + k]), sigmoid(z[b, 3 * width + k])
            c_next[b, k] = f * c[b, k] + i * g
            bent[b, k] = math.tanh(c_next[b, k])
            h_next[b, k] = o * bent[b, k]
            z[b, k], z[b, width + k], z[b, 2 * width + k], z[b, 3 * width + k] = i, f, g, o


@njit(fastmath=True)
def lstm_cell_back(gates, c, bent, gh, gc, gz):
    """From the gradients of h and c to that of `z`; `gc` becomes that of the cell before."""
    width = c.shape[1]
    for b in range(c.shape[0]):
        for k in range(width):
            i, f = gates[b, k], gates[b, width + k]
            g, o = gates[b, 2 * width + k], gates[b, 3 * width + k]
            whole = gc[b, k] + gh[b, k] * o * (ONE - bent[b, k] * bent[b, k])
            gz[b, k] = whole * g * i * (ONE - i)
            gz[b, width + k] = whole * c[b, k] * f * (ONE - f)
            gz[b, 2 * width + k] = whole * i * (ONE - g * g)
            gz[b, 3 * width + k] = gh[b, k] * bent[b, k] * o * (ONE - o)
            gc[b, k] = whole * f


@njit(fastmath=True)
def lstm(x, y, w, gw, memory):
    """Loss and gradients of W7; the first h and c are zero."""
    h, c, gates, gz, bent, gh, gc, bias, out, gout = memory
    time, size, inputs = x.shape
    flat, gflat = x.reshape(time * size, inputs), gz.reshape(time * size, -1)
    for j in range(bias.size):
        bias[j] = w[2][j] + w[3][j]
    linear(flat, w[0], bias, gates.reshape(time * size, -1))
    for t in range(time):
        lstm_cell(gates[t], h[t], c[t], c[t + 1], bent[t], h[t + 1], w[1])
    linear(h[time], w[4], w[5], out)
    loss = squared_error(out, y, gout)
    linear_back(h[time], w[4], gout, gw[4], gw[5], gh)
    gc[:] = 0
    for t in range(time - 1, -1, -1):
        lstm_cell_back(gates[t], c[t], bent[t], gh, gc, gz[t])
        input_gradient(gz[t], w[1], gh)
    parameter_gradients(flat, gflat, gw[0], gw[2])
    parameter_gradients(h[:time].reshape(time * size, -1), gflat, gw[1], gw[3])
    return loss


def lstm_memory(x: np.ndarray) -> tuple:
    """Memory for a batch of sequences."""
    time, size, _ = x.shape
    h, c = (np.zeros((time + 1, size, HIDDEN), np.float32) for _ in range(2))
    gates, gz = (empty(time, size, 4 * HIDDEN) for _ in range(2))
    gh, gc = (empty(size, HIDDEN) for _ in range(2))
    last = empty(4 * HIDDEN), empty(size, 1), empty(size, 1)
    return h, c, gates, gz, empty(time, size, HIDDEN), gh, gc, *last
