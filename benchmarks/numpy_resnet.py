"""ResNet-18 (W10) by hand in NumPy: forward with what the way back needs, and the way back derived on paper.

Channels are last, and filters are matrices of (size * size * inputs, outputs), so that a convolution is one product
with the windows of its input, each of which is copied in runs of all channels. Norms are over the batch as in
training; the running averages, which the loss does not depend on, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from models import STAGES
from windows import gather, windows

Arrays = dict[str, np.ndarray]
Back = Callable[[np.ndarray], np.ndarray]  # from the gradient of a result to that of its input
EPSILON, ONE = np.float32(1e-5), np.float32(1)
FIRST, POOL = 7, 3  # sides of the first convolution and of the pooling


def parameters(given: Arrays) -> Arrays:
    """First values in memory of their own, from those in PyTorch's layout."""
    return {name: _matrix(value) if value.ndim == 4 else value.copy() for name, value in given.items()}


def _matrix(filters: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(filters.transpose(2, 3, 1, 0).reshape(-1, len(filters)))


# layers: the result, and the way back -----------------------------------------------------------------


def _convolution(
    p: Arrays, grads: Arrays, name: str, x: np.ndarray, size: int, stride: int
) -> tuple[np.ndarray, Back]:
    weight, edge = p[f"{name}.weight"], size // 2
    seen = windows(x, size, stride, edge, axis=1).transpose(0, 1, 2, 4, 5, 3)
    places = seen.shape[:3]
    rows = seen.reshape(-1, len(weight))

    def back(g: np.ndarray) -> np.ndarray:
        flat = g.reshape(len(rows), -1)
        grads[f"{name}.weight"] = rows.T @ flat
        if x.shape[-1] == 3:  # the picture, whose gradient nobody wants
            return g
        spread = (flat @ weight.T).reshape(*places, size, size, -1).transpose(0, 1, 2, 5, 3, 4)
        return gather(spread, x.shape, stride, edge, axis=1)

    return (rows @ weight).reshape(*places, -1), back


def _norm(p: Arrays, grads: Arrays, name: str, x: np.ndarray) -> tuple[np.ndarray, Back]:
    weight, bias, flat = p[f"{name}.weight"], p[f"{name}.bias"], x.reshape(-1, x.shape[-1])
    plain = flat - flat.mean(0)
    scale = ONE / np.sqrt((plain * plain).mean(0) + EPSILON)
    plain *= scale

    def back(g: np.ndarray) -> np.ndarray:
        g = g.reshape(flat.shape)
        along, total = (g * plain).sum(0), g.sum(0)
        grads[f"{name}.weight"], grads[f"{name}.bias"] = along, total
        size = np.float32(len(flat))
        return ((g - total / size - plain * (along / size)) * (weight * scale)).reshape(x.shape)

    return (plain * weight + bias).reshape(x.shape), back


def _pool(x: np.ndarray) -> tuple[np.ndarray, Back]:
    """The largest of each 3x3, every second row and column."""
    n, h, w, c = x.shape
    seen = windows(x, POOL, 2, 1, -np.inf, axis=1).transpose(0, 1, 2, 4, 5, 3)
    rows = seen.reshape(n, (h + 1) // 2, (w + 1) // 2, POOL * POOL, c)
    places = rows.argmax(3)[..., None, :]

    def back(g: np.ndarray) -> np.ndarray:
        spread = np.zeros(rows.shape, np.float32)
        np.put_along_axis(spread, places, g[..., None, :], 3)
        spread = spread.reshape(*rows.shape[:3], POOL, POOL, c).transpose(0, 1, 2, 5, 3, 4)
        return gather(spread, x.shape, 2, 1, axis=1)

    return np.take_along_axis(rows, places, 3)[..., 0, :], back


def _block(p: Arrays, grads: Arrays, name: str, x: np.ndarray, stride: int) -> tuple[np.ndarray, Back]:
    a, conv1 = _convolution(p, grads, f"{name}.conv1", x, 3, stride)
    a, norm1 = _norm(p, grads, f"{name}.bn1", a)
    h = np.maximum(a, 0)
    y, conv2 = _convolution(p, grads, f"{name}.conv2", h, 3, 1)
    y, norm2 = _norm(p, grads, f"{name}.bn2", y)
    down = f"{name}.downsample.0.weight" in p
    if down:
        shortcut, conv3 = _convolution(p, grads, f"{name}.downsample.0", x, 1, stride)
        shortcut, norm3 = _norm(p, grads, f"{name}.downsample.1", shortcut)
    else:
        shortcut = x
    y += shortcut
    np.maximum(y, 0, out=y)

    def back(g: np.ndarray) -> np.ndarray:
        g = g * (y > 0)
        gx = conv1(norm1(conv2(norm2(g)) * (h > 0)))
        return gx + (conv3(norm3(g)) if down else g)

    return y, back


# the network ------------------------------------------------------------------------------------------


def resnet(p: Arrays, picture: np.ndarray, y: np.ndarray) -> tuple[Any, Arrays]:
    """Loss and gradients of W10, for parameters in the layout of `parameters`."""
    grads: Arrays = {}
    a, conv = _convolution(p, grads, "conv1", picture.transpose(0, 2, 3, 1), FIRST, 2)
    a, norm = _norm(p, grads, "bn1", a)
    h = np.maximum(a, 0)
    x, pool = _pool(h)
    ways: list[Back] = []
    for k, (_, stride) in enumerate(STAGES, 1):
        for name, step in ((f"layer{k}.0", stride), (f"layer{k}.1", 1)):
            x, back = _block(p, grads, name, x, step)
            ways.append(back)
    means = x.mean((1, 2))
    output = means @ p["fc.weight"].T + p["fc.bias"]

    g = np.ones_like(output)  # the loss is a sum
    grads["fc.weight"], grads["fc.bias"] = g.T @ means, g.sum(0)
    g = (g @ p["fc.weight"])[:, None, None] / np.float32(x.shape[1] * x.shape[2])
    g = np.broadcast_to(g, x.shape)
    for back in reversed(ways):
        g = back(g)
    conv(norm(pool(g) * (h > 0)))
    return (output - y).sum(), grads
