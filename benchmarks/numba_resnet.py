"""ResNet-18 (W10) as one writes it by hand for Numba: plain loops.

Layouts are those of ``numpy_resnet.py``: channels last, filters as matrices (size * size * inputs, outputs), so that a
convolution is a product with the windows of its input, and inner loops run along outputs. The batch is one image,
and an image is a matrix (places, channels). All convolutions with their norms are alike but for their sizes, which are
rows of a table; their arrays are slices of one array, because Numba compiles for minutes when a loop indexes a tuple.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numba_loops
import numpy as np
from models import CLASSES, STAGES
from numba import njit
from numba_models import ONE, ZERO, empty, linear_back
from numpy_resnet import EPSILON, FIRST, POOL

TILE = 64  # places that a product takes at a time, while their results stay in the cache
NO_LAYER = -1
linear = numba_loops.linear
relu = numba_loops.relu
relu_gradient = numba_loops.relu_gradient


class Sizes(NamedTuple):
    """A row of the table."""

    side: int  # of the input
    inputs: int
    outputs: int
    size: int  # of the filters
    stride: int
    out: int  # side of the result
    at: int  # where its memory begins
    parameters: int  # where they begin

    @property
    def memory(self) -> int:
        """How many numbers a layer keeps."""
        return self.out**2 * (self.size**2 * self.inputs + 3 * self.outputs) + self.outputs

    @property
    def trained(self) -> int:
        """How many numbers of a layer are trained."""
        return (self.size**2 * self.inputs + 2) * self.outputs


class Layer(NamedTuple):
    """A convolution and its norm: sizes, and arrays for what the way back needs."""

    side: int
    size: int
    stride: int
    out: int
    rows: Any  # windows of the input; on the way back their gradients
    plain: Any  # normalised
    y: Any  # with the norm's weight and bias, and what came after it in place
    g: Any  # gradients of that
    scale: Any  # by which `plain` was multiplied


@njit
def matrix(flat, at, rows, columns):
    """A part of a flat array as a matrix."""
    return flat[at : at + rows * columns].reshape(rows, columns)


@njit
def layer_of(k, table, flat):
    """Layer `k`."""
    side, inputs, outputs, size, stride, out, at, _ = table[k]
    places, wide = out * out, size * size * inputs
    rows = matrix(flat, at, places, wide)
    at += places * wide
    plain = matrix(flat, at, places, outputs)
    y = matrix(flat, at + places * outputs, places, outputs)
    g = matrix(flat, at + 2 * places * outputs, places, outputs)
    at += 3 * places * outputs
    return Layer(side, size, stride, out, rows, plain, y, g, flat[at : at + outputs])


@njit
def parameters_of(k, table, p):
    """Filters, and the norm's weight and bias, or their gradients."""
    _, inputs, outputs, size, _, _, _, at = table[k]
    wide = size * size * inputs
    norm = at + wide * outputs
    return matrix(p, at, wide, outputs), p[norm : norm + outputs], p[norm + outputs : norm + 2 * outputs]


@njit(fastmath=True)
def windows(x, layer):
    """Rows of all windows of an image, with zeros outside of it."""
    channels, edge, rows = x.shape[1], layer.size // 2, layer.rows
    for r in range(layer.out):
        for s in range(layer.out):
            place, k = r * layer.out + s, 0
            for i in range(layer.size):
                for j in range(layer.size):
                    a, b = r * layer.stride + i - edge, s * layer.stride + j - edge
                    if 0 <= a < layer.side and 0 <= b < layer.side:
                        for c in range(channels):
                            rows[place, k + c] = x[a * layer.side + b, c]
                    else:
                        for c in range(channels):
                            rows[place, k + c] = ZERO
                    k += channels


@njit(fastmath=True)
def gather(layer, gx):
    """Add gradients of windows to those of the image."""
    channels, edge, rows = gx.shape[1], layer.size // 2, layer.rows
    for r in range(layer.out):
        for s in range(layer.out):
            place, k = r * layer.out + s, 0
            for i in range(layer.size):
                for j in range(layer.size):
                    a, b = r * layer.stride + i - edge, s * layer.stride + j - edge
                    if 0 <= a < layer.side and 0 <= b < layer.side:
                        for c in range(channels):
                            gx[a * layer.side + b, c] += rows[place, k + c]
                    k += channels


@njit(fastmath=True)
def product(rows, w, y):
    """``y = rows @ w``."""
    for first in range(0, rows.shape[0], TILE):
        last = min(first + TILE, rows.shape[0])
        y[first:last] = 0
        for k in range(w.shape[0]):
            for i in range(first, last):
                factor = rows[i, k]
                for j in range(w.shape[1]):
                    y[i, j] += factor * w[k, j]


@njit(fastmath=True)
def filter_gradients(rows, g, gw):
    """``gw = rows.T @ g``."""
    gw[:] = 0
    for first in range(0, rows.shape[0], TILE):
        last = min(first + TILE, rows.shape[0])
        for k in range(gw.shape[0]):
            for i in range(first, last):
                factor = rows[i, k]
                for j in range(gw.shape[1]):
                    gw[k, j] += factor * g[i, j]


@njit(fastmath=True)
def window_gradients(g, w, rows):
    """``rows = g @ w.T``."""
    for first in range(0, rows.shape[0], TILE):
        last = min(first + TILE, rows.shape[0])
        for k in range(w.shape[0]):
            for i in range(first, last):
                total = ZERO
                for j in range(w.shape[1]):
                    total += g[i, j] * w[k, j]
                rows[i, k] = total


@njit(fastmath=True)
def norm(layer, weight, bias):
    """Normalise `y` over all places, and apply weight and bias."""
    y, plain, scale = layer.y, layer.plain, layer.scale
    mean, share = np.zeros_like(scale), np.float32(1 / y.shape[0])
    for i in range(y.shape[0]):
        for c in range(y.shape[1]):
            mean[c] += share * y[i, c]
    scale[:] = 0
    for i in range(y.shape[0]):
        for c in range(y.shape[1]):
            plain[i, c] = y[i, c] - mean[c]
            scale[c] += share * plain[i, c] * plain[i, c]
    for c in range(scale.size):
        scale[c] = ONE / math.sqrt(scale[c] + EPSILON)
    for i in range(y.shape[0]):
        for c in range(y.shape[1]):
            plain[i, c] *= scale[c]
            y[i, c] = plain[i, c] * weight[c] + bias[c]


@njit(fastmath=True)
def norm_back(layer, weight, gweight, gbias):
    """Gradients of weight and bias; those of the result become those of what was normalised."""
    g, plain, share = layer.g, layer.plain, np.float32(1 / layer.g.shape[0])
    gweight[:] = 0
    gbias[:] = 0
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            gweight[c] += g[i, c] * plain[i, c]
            gbias[c] += g[i, c]
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            inner = g[i, c] - share * (gbias[c] + plain[i, c] * gweight[c])
            g[i, c] = inner * weight[c] * layer.scale[c]


@njit(fastmath=True)
def normed(x, k, layers, p):
    """Convolution `k` and its norm."""
    layer = layer_of(k, *layers)
    w, weight, bias = parameters_of(k, layers[0], p)
    windows(x, layer)
    product(layer.rows, w, layer.y)
    norm(layer, weight, bias)
    return layer.y


@njit(fastmath=True)
def normed_back(k, layers, p, gp):
    """All gradients of convolution `k` and its norm, but that of the input from that of its windows."""
    layer = layer_of(k, *layers)
    w, weight, _ = parameters_of(k, layers[0], p)
    gw, gweight, gbias = parameters_of(k, layers[0], gp)
    norm_back(layer, weight, gweight, gbias)
    filter_gradients(layer.rows, layer.g, gw)
    if k:  # nobody wants the gradient of the picture
        window_gradients(layer.g, w, layer.rows)


@njit(fastmath=True)
def pool(x, side, y, places):
    """The largest of each 3x3, every second row and column, and where it is."""
    out = side // 2
    for r in range(out):
        for s in range(out):
            for c in range(x.shape[1]):
                top, place = -np.float32(np.inf), 0
                for a in range(max(2 * r - 1, 0), min(2 * r - 1 + POOL, side)):
                    for b in range(max(2 * s - 1, 0), min(2 * s - 1 + POOL, side)):
                        if x[a * side + b, c] > top:
                            top, place = x[a * side + b, c], a * side + b
                y[r * out + s, c] = top
                places[r * out + s, c] = place


@njit(fastmath=True)
def pool_back(places, g, gx):
    """Gradients go where the largest came from."""
    gx[:] = 0
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            gx[places[i, c], c] += g[i, c]


@njit(fastmath=True)
def block(h, k, short, layers, p):
    """Two convolutions and the shortcut, which may be a third."""
    y = normed(h, k, layers, p)
    relu(y)
    y = normed(y, k + 1, layers, p)
    if short != NO_LAYER:
        h = normed(h, short, layers, p)
    add_relu(y, h)
    return y


@njit(fastmath=True)
def block_back(k, short, layers, p, gp, gx):
    """From the gradient of a block's result to that of its input."""
    first, second = layer_of(k, *layers), layer_of(k + 1, *layers)
    relu_gradient(second.y, second.g)
    if short == NO_LAYER:
        gx[:] = second.g
    else:
        layer = layer_of(short, *layers)
        layer.g[:] = second.g
        normed_back(short, layers, p, gp)
        gx[:] = 0
        gather(layer, gx)
    normed_back(k + 1, layers, p, gp)
    first.g[:] = 0
    gather(second, first.g)
    relu_gradient(first.y, first.g)
    normed_back(k, layers, p, gp)
    gather(first, gx)


@njit(fastmath=True)
def head(h, target, p, gp, means, gmeans, out, gout):
    """The last layer, on the means of all places, and back to those; returns the loss."""
    share, loss = np.float32(1 / h.shape[0]), ZERO
    means[:] = 0
    for i in range(h.shape[0]):
        for c in range(h.shape[1]):
            means[0, c] += share * h[i, c]
    inputs, outputs = means.shape[1], out.shape[1]
    at, end = p.size - (inputs + 1) * outputs, p.size - outputs
    w = matrix(p, at, inputs, outputs)
    linear(means, w, p[end:], out)
    for c in range(outputs):
        loss += out[0, c] - target[0, c]
        gout[0, c] = ONE
    linear_back(means, w, gout, matrix(gp, at, inputs, outputs), gp[end:], gmeans)
    return loss


@njit(fastmath=True)
def spread(gmeans, g):
    """The gradient of means over all places."""
    share = np.float32(1 / g.shape[0])
    for i in range(g.shape[0]):
        for c in range(g.shape[1]):
            g[i, c] = share * gmeans[0, c]


@njit(fastmath=True)
def add_relu(y, h):
    """``y = relu(y + h)``."""
    for i in range(y.shape[0]):
        for c in range(y.shape[1]):
            y[i, c] = max(y[i, c] + h[i, c], ZERO)


@njit(fastmath=True)
def resnet(x, y, p, gp, memory):
    """Loss and gradients of W10; `blocks` has each block's first layer and its shortcut's, if there is one."""
    layers, blocks, picture, pooled, gpooled, places, last = memory
    first = layer_of(0, *layers)
    relu(normed(picture, 0, layers, p))
    pool(first.y, first.out, pooled, places)
    h = pooled
    for b in range(blocks.shape[0]):
        h = block(h, blocks[b, 0], blocks[b, 1], layers, p)
    means, gmeans, out, gout = last
    loss = head(h, y, p, gp, means, gmeans, out, gout)
    spread(gmeans, layer_of(blocks[-1, 0] + 1, *layers).g)
    for b in range(blocks.shape[0] - 1, -1, -1):
        gx = layer_of(blocks[b - 1, 0] + 1, *layers).g if b else gpooled
        block_back(blocks[b, 0], blocks[b, 1], layers, p, gp, gx)
    pool_back(places, gpooled, first.g)
    relu_gradient(first.y, first.g)
    normed_back(0, layers, p, gp)
    return loss


def _layers(side: int, inputs: int) -> tuple[list[Sizes], list[tuple[int, int]]]:
    """All convolutions in PyTorch's order, and of each block the first and the shortcut's."""
    layers: list[Sizes] = []
    blocks = []

    def add(side: int, inputs: int, outputs: int, size: int, stride: int) -> int:
        out = (side + stride - 1) // stride
        at, parameters = sum(k.memory for k in layers), sum(k.trained for k in layers)
        layers.append(Sizes(side, inputs, outputs, size, stride, out, at, parameters))
        return out

    width = STAGES[0][0]
    side = add(side, inputs, width, FIRST, 2) // 2  # the pooling halves it again
    for outputs, first in STAGES:
        for stride in (first, 1):
            k, shortcut = len(layers), stride != 1 or width != outputs
            blocks.append((k, k + 2 if shortcut else NO_LAYER))
            out = add(side, width, outputs, 3, stride)
            add(out, outputs, outputs, 3, 1)
            if shortcut:
                add(side, width, outputs, 1, stride)
            side, width = out, outputs
    return layers, blocks


def resnet_memory(x: np.ndarray) -> tuple:
    """Memory for one image."""
    one, inputs, side, _ = x.shape
    assert one == 1
    sizes, blocks = _layers(side, inputs)
    layers = np.array(sizes), empty(sum(k.memory for k in sizes))
    pooled, gpooled = (empty((sizes[0].out // 2) ** 2, sizes[0].outputs) for _ in range(2))
    last = tuple(empty(1, n) for n in (sizes[-1].outputs, sizes[-1].outputs, CLASSES, CLASSES))
    picture = np.ascontiguousarray(x[0].reshape(inputs, -1).T)
    return layers, np.array(blocks), picture, pooled, gpooled, np.empty(pooled.shape, np.int64), last
