"""The small GPT (W9) as one writes it by hand for Numba: plain loops, as in ``numba_models.py``.

Rows are positions of all texts, (batch * time, width), but in attention, which sees heads.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from models import HEADS, VOCABULARY, WIDTH
from numba import njit
from numba_models import ONE, ZERO, cross_entropy, empty, linear, linear_back

HALF = np.float32(0.5)
EPSILON = np.float32(1e-5)  # of a norm
ROOT = np.float32(1 / math.sqrt(WIDTH // HEADS))  # what scores are multiplied with
ROOT_HALF, DENSITY = np.float32(math.sqrt(0.5)), np.float32(1 / math.sqrt(2 * math.pi))


class Memory(NamedTuple):
    """Everything between the tokens and the loss; names with a g are gradients."""

    x0: np.ndarray
    n1: np.ndarray
    plain1: np.ndarray
    scale1: np.ndarray
    qkv: np.ndarray
    weights: np.ndarray
    mixed: np.ndarray
    x1: np.ndarray
    n2: np.ndarray
    plain2: np.ndarray
    scale2: np.ndarray
    a: np.ndarray
    part: np.ndarray
    bent: np.ndarray
    x2: np.ndarray
    logits: np.ndarray
    glogits: np.ndarray
    ga: np.ndarray
    gn: np.ndarray
    gmixed: np.ndarray
    gqkv: np.ndarray
    grow: np.ndarray
    gx: np.ndarray


def gpt_memory(tokens: np.ndarray) -> Memory:
    """Memory for a batch of tokens."""
    batch, time = tokens.shape
    shapes = {"qkv": (batch, time, 3, HEADS, WIDTH // HEADS), "mixed": (batch, time, HEADS, WIDTH // HEADS)}
    shapes |= {"gqkv": shapes["qkv"], "gmixed": shapes["mixed"], "weights": (batch, HEADS, time, time)}
    shapes |= {"scale1": (batch * time,), "scale2": (batch * time,), "grow": (time,)}
    shapes |= dict.fromkeys(("a", "part", "bent", "ga"), (batch * time, 4 * WIDTH))
    shapes |= dict.fromkeys(("logits", "glogits"), (batch * time, VOCABULARY))
    return Memory(*(empty(*shapes.get(name, (batch * time, WIDTH))) for name in Memory._fields))


@njit(fastmath=True)
def embed(tokens, table, positions, x):
    """What is learned of each token, and of its position."""
    for b in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            for k in range(table.shape[1]):
                x[b * tokens.shape[1] + t, k] = table[tokens[b, t], k] + positions[t, k]


@njit(fastmath=True)
def embed_back(tokens, g, gtable, gpositions):
    gtable[:] = 0
    gpositions[:] = 0
    for b in range(tokens.shape[0]):
        for t in range(tokens.shape[1]):
            for k in range(gtable.shape[1]):
                value = g[b * tokens.shape[1] + t, k]
                gtable[tokens[b, t], k] += value
                gpositions[t, k] += value


@njit(fastmath=True)
def norm(x, w, bias, y, plain, scale):
    """Layer norm of rows; `plain` and `scale` are kept for the way back."""
    share = ONE / np.float32(x.shape[1])
    for i in range(x.shape[0]):
        mean, square = ZERO, ZERO
        for j in range(x.shape[1]):
            mean += x[i, j]
        mean *= share
        for j in range(x.shape[1]):
            plain[i, j] = x[i, j] - mean
            square += plain[i, j] * plain[i, j]
        scale[i] = ONE / math.sqrt(square * share + EPSILON)
        for j in range(x.shape[1]):
            plain[i, j] *= scale[i]
            y[i, j] = plain[i, j] * w[j] + bias[j]


@njit(fastmath=True)
def norm_back(plain, scale, w, g, gw, gbias, gx):
    """Adds the gradient of the input to `gx`, where that of the way around the norm is."""
    share = ONE / np.float32(g.shape[1])
    gw[:] = 0
    gbias[:] = 0
    for i in range(g.shape[0]):
        mean, along = ZERO, ZERO
        for j in range(g.shape[1]):
            gw[j] += g[i, j] * plain[i, j]
            gbias[j] += g[i, j]
            mean += g[i, j] * w[j]
            along += g[i, j] * w[j] * plain[i, j]
        mean *= share
        along *= share
        for j in range(g.shape[1]):
            gx[i, j] += scale[i] * (g[i, j] * w[j] - mean - plain[i, j] * along)


@njit(fastmath=True)
def softmax(row):
    top, total = row[0], ZERO
    for j in range(1, row.size):
        top = max(top, row[j])
    for j in range(row.size):
        row[j] = math.exp(row[j] - top)
        total += row[j]
    for j in range(row.size):
        row[j] /= total


@njit(fastmath=True)
def attention(qkv, weights, mixed):
    """Causal attention: a position looks at itself and those before."""
    mixed[:] = 0
    for b in range(qkv.shape[0]):
        for head in range(qkv.shape[3]):
            for i in range(qkv.shape[1]):
                row = weights[b, head, i, : i + 1]
                for j in range(i + 1):
                    score = ZERO
                    for d in range(qkv.shape[4]):
                        score += qkv[b, i, 0, head, d] * qkv[b, j, 1, head, d]
                    row[j] = score * ROOT
                softmax(row)
                for j in range(i + 1):
                    for d in range(qkv.shape[4]):
                        mixed[b, i, head, d] += row[j] * qkv[b, j, 2, head, d]


@njit(fastmath=True)
def attention_back(qkv, weights, g, grow, gqkv):
    """The gradient of queries, keys and values; `grow` is memory for that of a row of weights."""
    gqkv[:] = 0
    for b in range(qkv.shape[0]):
        for head in range(qkv.shape[3]):
            for i in range(qkv.shape[1]):
                along = ZERO
                for j in range(i + 1):
                    weight, total = weights[b, head, i, j], ZERO
                    for d in range(qkv.shape[4]):
                        total += g[b, i, head, d] * qkv[b, j, 2, head, d]
                        gqkv[b, j, 2, head, d] += weight * g[b, i, head, d]
                    grow[j] = total
                    along += total * weight
                for j in range(i + 1):
                    factor = weights[b, head, i, j] * (grow[j] - along) * ROOT
                    for d in range(qkv.shape[4]):
                        gqkv[b, i, 0, head, d] += factor * qkv[b, j, 1, head, d]
                        gqkv[b, j, 1, head, d] += factor * qkv[b, i, 0, head, d]


@njit(fastmath=True)
def gelu(a, part, y):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            part[i, j] = HALF * (ONE + math.erf(a[i, j] * ROOT_HALF))
            y[i, j] = a[i, j] * part[i, j]


@njit(fastmath=True)
def gelu_gradient(a, part, g):
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            g[i, j] *= part[i, j] + a[i, j] * math.exp(-HALF * a[i, j] * a[i, j]) * DENSITY


@njit(fastmath=True)
def add(x, y, total):
    """``total = x + y``."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total[i, j] = x[i, j] + y[i, j]


@njit(fastmath=True)
def forward(tokens, w, m):
    """All of `m` that is no gradient."""
    rows = len(m.x0)
    embed(tokens, w[0], w[1], m.x0)
    norm(m.x0, w[2], w[3], m.n1, m.plain1, m.scale1)
    linear(m.n1, w[4], w[5], m.qkv.reshape(rows, -1))
    attention(m.qkv, m.weights, m.mixed)
    linear(m.mixed.reshape(rows, -1), w[6], w[7], m.x1)
    add(m.x0, m.x1, m.x1)
    norm(m.x1, w[8], w[9], m.n2, m.plain2, m.scale2)
    linear(m.n2, w[10], w[11], m.a)
    gelu(m.a, m.part, m.bent)
    linear(m.bent, w[12], w[13], m.x2)
    add(m.x1, m.x2, m.x2)
    linear(m.x2, w[14], w[15], m.logits)


@njit(fastmath=True)
def gpt(tokens, y, w, gw, m):
    """Loss and gradients of W9; `m.gx` is the gradient of x2, then of x1, then of x0."""
    rows = len(m.x0)
    forward(tokens, w, m)
    loss = cross_entropy(m.logits, y, m.glogits)
    linear_back(m.x2, w[14], m.glogits, gw[14], gw[15], m.gx)
    linear_back(m.bent, w[12], m.gx, gw[12], gw[13], m.ga)
    gelu_gradient(m.a, m.part, m.ga)
    linear_back(m.n2, w[10], m.ga, gw[10], gw[11], m.gn)
    norm_back(m.plain2, m.scale2, w[8], m.gn, gw[8], gw[9], m.gx)
    linear_back(m.mixed.reshape(rows, -1), w[6], m.gx, gw[6], gw[7], m.gmixed.reshape(rows, -1))
    attention_back(m.qkv, m.weights, m.gmixed, m.grow, m.gqkv)
    linear_back(m.n1, w[4], m.gqkv.reshape(rows, -1), gw[4], gw[5], m.gn)
    norm_back(m.plain1, m.scale1, w[2], m.gn, gw[2], gw[3], m.gx)
    embed_back(tokens, m.gx, gw[0], gw[1])
    return loss
