"""Operations that the tests of `jitgrad.op` declare."""

from __future__ import annotations

import numpy as np

import jitgrad as torch
from jitgrad.kernels import formula as F

RNG = np.random.default_rng(7)


def leaf(shape, dtype=np.float64):
    return torch.tensor(RNG.standard_normal(shape).astype(dtype), requires_grad=True)


def bent_reference(x):
    return (np.sqrt(x * x + 1) - 1) / 2 + x


bent = torch.op("bent", lambda x: (F.sqrt(x * x + 1.0) - 1.0) / 2.0 + x)


@torch.op(x=lambda x, w, g: g * F.where(x > 0, w, 0.1 * w), constant=["w"])
def half_given(x, w):
    """A gate whose weight is fixed."""
    return F.where(x > 0, x * w, 0.1 * x * w)


@torch.op
def gated(x, w, slope=0.25):
    return F.where(x > 0, F.tanh(x) * w, slope * x * w)


def conv_forward(x, k, out):
    for i in range(out.shape[0]):
        for j in range(k.shape[0]):
            out[i] += x[i + j] * k[j]


def conv_backward(x, k, g, grad_x, grad_k):
    for i in range(g.shape[0]):
        for j in range(k.shape[0]):
            grad_x[i + j] += g[i] * k[j]
            grad_k[j] += g[i] * x[i + j]


slide = torch.op(
    "slide",
    conv_forward,
    signature="(n),(k)->(m)",
    sizes={"m": lambda n, k: n - k + 1},
    backward=conv_backward,
)


def two_forward(x, low, high, factor=2.0):
    low[0] = x[0]
    high[0] = x[0]
    for i in range(1, x.shape[0]):
        low[0] = min(low[0], x[i])
        high[0] = max(high[0], x[i])
    high[0] *= factor


def two_backward(x, low, y1, g, g1, grad_x, factor=2.0):
    for i in range(x.shape[0]):
        if x[i] == low:
            grad_x[i] += g
        if x[i] * factor == y1:
            grad_x[i] += g1 * factor


spread = torch.op("spread", two_forward, signature="(n)->(),()", backward=two_backward)


def pick_forward(x, index, out):
    out[0] = x[index]


def pick_x(index, g, grad):
    grad[index] = g


pick = torch.op(
    "pick", pick_forward, signature="(n),()->()", dtypes={"index": torch.int64}, samples={"n": 6}, x=pick_x
)


def dot(a, b, out):
    for i in range(a.shape[0]):
        out[0] += a[i] * b[i]


def dot_back(b, g, grad):
    for i in range(b.shape[0]):
        grad[i] = g * b[i]


def dot_back_b(a, g, grad):
    for i in range(a.shape[0]):
        grad[i] = g * a[i]
