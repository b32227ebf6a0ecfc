"""LeNet-5 (W6), the LSTM (W7) and the small GPT (W9) by hand in NumPy: gradients derived on paper.

ResNet-18 (W10) is in ``numpy_resnet.py``.

A model is a function of parameters (by PyTorch's names), inputs and targets; it returns the loss and the gradients.
Convolutions are products with the windows of the images, so that the BLAS has most of the work.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy_resnet
from models import HEADS
from windows import gather, windows

Arrays = dict[str, np.ndarray]
EPSILON = np.float32(1e-5)  # of a norm
HALF, ONE = np.float32(0.5), np.float32(1)


def _linear_back(p: Arrays, grads: Arrays, name: str, x: np.ndarray, g: np.ndarray) -> np.ndarray:
    """Gradients of a linear layer's parameters, and of its input."""
    flat = g.reshape(-1, g.shape[-1])
    grads[f"{name}.weight"] = flat.T @ x.reshape(-1, x.shape[-1])
    grads[f"{name}.bias"] = flat.sum(0)
    return g @ p[f"{name}.weight"]


def _linear(p: Arrays, name: str, x: np.ndarray) -> np.ndarray:
    return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]


def _cross_entropy(logits: np.ndarray, target: np.ndarray) -> tuple[Any, np.ndarray]:
    rows = np.arange(len(target))
    shifted = logits - logits.max(1, keepdims=True)
    e = np.exp(shifted)
    totals = e.sum(1, keepdims=True)
    loss = np.mean(np.log(totals[:, 0]) - shifted[rows, target])
    g = e / totals
    g[rows, target] -= 1
    return loss, g / np.float32(len(target))


# W6 -------------------------------------------------------------------------------------------------


def _windows(x: np.ndarray, size: int) -> np.ndarray:
    """Rows of all windows: (images * height * width, channels * size * size)."""
    seen = windows(x, size)  # n, c, h, w, size, size
    n, c, h, w = seen.shape[:4]
    return seen.transpose(0, 2, 3, 1, 4, 5).reshape(n * h * w, c * size * size)


def _convolve(p: Arrays, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The result with its channels last, and the windows."""
    weight = p[f"{name}.weight"]
    size = weight.shape[-1]
    rows, h, w = _windows(x, size), x.shape[2] - size + 1, x.shape[3] - size + 1
    y = rows @ weight.reshape(len(weight), -1).T + p[f"{name}.bias"]
    return y.reshape(len(x), h, w, -1), rows


def _convolve_back(p: Arrays, grads: Arrays, name: str, shape: Any, rows: np.ndarray, g: np.ndarray) -> Any:
    """Gradients of the filters, and of the input where its `shape` is given."""
    weight, (n, h, w, outputs) = p[f"{name}.weight"], g.shape
    flat = g.reshape(-1, outputs)
    grads[f"{name}.weight"] = (flat.T @ rows).reshape(weight.shape)
    grads[f"{name}.bias"] = flat.sum(0)
    if shape is None:
        return None
    size = weight.shape[-1]
    back = (flat @ weight.reshape(outputs, -1)).reshape(n, h, w, shape[1], size, size)
    return gather(back.transpose(0, 3, 1, 2, 4, 5), shape)


def _pool(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest of each 2x2, channels last, and which of the four it is."""
    n, h, w, c = x.shape
    four = x.reshape(n, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4)
    places = four.argmax(-1)[..., None]
    return np.take_along_axis(four, places, -1)[..., 0], places


def _pool_back(places: np.ndarray, g: np.ndarray) -> np.ndarray:
    n, h, w, c = g.shape
    four = np.zeros((n, h, w, c, 4), np.float32)
    np.put_along_axis(four, places, g[..., None], -1)
    return four.reshape(n, h, w, c, 2, 2).transpose(0, 1, 4, 2, 5, 3).reshape(n, 2 * h, 2 * w, c)


def lenet(p: Arrays, x: np.ndarray, y: np.ndarray) -> tuple[Any, Arrays]:
    """Loss and gradients of W6."""
    grads: Arrays = {}
    a1, rows1 = _convolve(p, "0", x)
    h1, places1 = _pool(np.maximum(a1, 0))
    first = np.ascontiguousarray(h1.transpose(0, 3, 1, 2))
    a2, rows2 = _convolve(p, "3", first)
    h2, places2 = _pool(np.maximum(a2, 0))
    kept = [h2.transpose(0, 3, 1, 2).reshape(len(x), -1)]
    for name in ("7", "9"):
        kept.append(np.maximum(_linear(p, name, kept[-1]), 0))
    loss, g = _cross_entropy(_linear(p, "11", kept[2]), y)
    g = _linear_back(p, grads, "11", kept[2], g) * (kept[2] > 0)
    g = _linear_back(p, grads, "9", kept[1], g) * (kept[1] > 0)
    g = _linear_back(p, grads, "7", kept[0], g)
    n, h, w, c = h2.shape
    g = _pool_back(places2, g.reshape(n, c, h, w).transpose(0, 2, 3, 1)) * (a2 > 0)
    g = _convolve_back(p, grads, "3", first.shape, rows2, g)
    g = _pool_back(places1, g.transpose(0, 2, 3, 1)) * (a1 > 0)
    _convolve_back(p, grads, "0", None, rows1, g)
    return loss, grads


# W7 -------------------------------------------------------------------------------------------------


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return HALF * (np.tanh(HALF * x) + ONE)


def lstm(p: Arrays, x: np.ndarray, y: np.ndarray) -> tuple[Any, Arrays]:
    """Loss and gradients of W7."""
    weight = p["lstm.weight_hh_l0"]
    width, (time, batch, _) = weight.shape[1], x.shape
    inputs = x @ p["lstm.weight_ih_l0"].T + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])
    h, c = np.zeros((2, time + 1, batch, width), np.float32)
    gates, bent = np.empty_like(inputs), np.empty((time, batch, width), np.float32)
    for t in range(time):
        z = inputs[t] + h[t] @ weight.T
        gates[t] = _sigmoid(z)
        gates[t][:, 2 * width : 3 * width] = np.tanh(z[:, 2 * width : 3 * width])
        i, f, g, o = np.split(gates[t], 4, 1)
        c[t + 1] = f * c[t] + i * g
        bent[t] = np.tanh(c[t + 1])
        h[t + 1] = o * bent[t]
    grads: Arrays = {}
    difference = _linear(p, "head", h[time]) - y
    gh = _linear_back(p, grads, "head", h[time], difference * np.float32(2 / difference.size))
    gc, gz = np.zeros_like(gh), np.empty_like(gates)
    for t in reversed(range(time)):
        i, f, g, o = np.split(gates[t], 4, 1)
        gc += gh * o * (ONE - bent[t] * bent[t])
        parts = gc * g * i * (ONE - i), gc * c[t] * f * (ONE - f), gc * i * (ONE - g * g)
        np.concatenate([*parts, gh * bent[t] * o * (ONE - o)], 1, out=gz[t])
        gh, gc = gz[t] @ weight, gc * f
    flat = gz.reshape(-1, gz.shape[-1])
    grads["lstm.weight_ih_l0"] = flat.T @ x.reshape(-1, x.shape[-1])
    grads["lstm.weight_hh_l0"] = flat.T @ h[:-1].reshape(-1, width)
    grads["lstm.bias_ih_l0"] = grads["lstm.bias_hh_l0"] = flat.sum(0)
    return np.mean(difference * difference), grads


# W9 -------------------------------------------------------------------------------------------------


def _norm(p: Arrays, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centred = x - x.mean(-1, keepdims=True)
    scale = ONE / np.sqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)
    plain = centred * scale
    return plain * p[f"{name}.weight"] + p[f"{name}.bias"], plain, scale


def _norm_back(
    p: Arrays, grads: Arrays, name: str, plain: np.ndarray, scale: np.ndarray, g: np.ndarray
) -> Any:
    grads[f"{name}.weight"], grads[f"{name}.bias"] = (g * plain).sum((0, 1)), g.sum((0, 1))
    g = g * p[f"{name}.weight"]
    along = (g * plain).mean(-1, keepdims=True)
    return scale * (g - g.mean(-1, keepdims=True) - plain * along)


def _erf(x: np.ndarray) -> np.ndarray:
    """NumPy has none; SciPy, which comes with scikit-learn, does."""
    from scipy.special import erf

    return erf(x)


def gpt(p: Arrays, tokens: np.ndarray, y: np.ndarray) -> tuple[Any, Arrays]:
    """Loss and gradients of W9."""
    grads: Arrays = {}
    size, time = tokens.shape
    x0 = p["tokens.weight"][tokens] + p["positions.weight"]
    width = x0.shape[-1]
    n1, plain1, scale1 = _norm(p, "norm1", x0)
    qkv = (
        _linear(p, "attention.qkv", n1).reshape(size, time, 3, HEADS, width // HEADS).transpose(2, 0, 3, 1, 4)
    )
    q, k, v = qkv
    root = np.float32(1 / math.sqrt(width // HEADS))
    scores = q @ k.swapaxes(2, 3) * root
    scores += np.triu(np.full((time, time), -np.inf, np.float32), 1)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    weights = e / e.sum(-1, keepdims=True)
    mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(size, time, width)
    x1 = x0 + _linear(p, "attention.proj", mixed)
    n2, plain2, scale2 = _norm(p, "norm2", x1)
    a = _linear(p, "mlp.0", n2)
    part = HALF * (ONE + _erf(a * np.float32(math.sqrt(0.5))))
    bent = a * part
    x2 = x1 + _linear(p, "mlp.2", bent)
    loss, g = _cross_entropy(_linear(p, "head", x2).reshape(size * time, -1), y)

    g2 = _linear_back(p, grads, "head", x2, g.reshape(size, time, -1))
    g = _linear_back(p, grads, "mlp.2", bent, g2)
    g = g * (part + a * np.exp(-HALF * a * a) * np.float32(1 / math.sqrt(2 * math.pi)))
    g = _linear_back(p, grads, "mlp.0", n2, g)
    g1 = g2 + _norm_back(p, grads, "norm2", plain2, scale2, g)
    g = _linear_back(p, grads, "attention.proj", mixed, g1)
    g = g.reshape(size, time, HEADS, -1).transpose(0, 2, 1, 3)
    ge = g @ v.swapaxes(2, 3)
    gs = weights * (ge - (ge * weights).sum(-1, keepdims=True)) * root
    back = np.stack([gs @ k, gs.swapaxes(2, 3) @ q, weights.swapaxes(2, 3) @ g])
    g = _linear_back(p, grads, "attention.qkv", n1, back.transpose(1, 3, 0, 2, 4).reshape(size, time, -1))
    g0 = g1 + _norm_back(p, grads, "norm1", plain1, scale1, g)
    grads["positions.weight"] = g0.sum(0)
    grads["tokens.weight"] = np.zeros_like(p["tokens.weight"])
    np.add.at(grads["tokens.weight"], tokens.ravel(), g0.reshape(-1, width))
    return loss, grads


BY_HAND: dict[str, Callable[[Arrays, np.ndarray, np.ndarray], tuple[Any, Arrays]]] = {
    "W6": lenet,
    "W7": lstm,
    "W9": gpt,
    "W10": numpy_resnet.resnet,
}
# of parameters, where it is not PyTorch's
LAYOUTS: dict[str, Callable[[Arrays], Arrays]] = {"W10": numpy_resnet.parameters}
