"""LeNet-5 (W6), the LSTM (W7) and the small GPT (W9) in libraries that differentiate on a tape.

Each library is described by the few functions in which they differ (`Library`); the models are written on those, in
the order of PyTorch's numbers, from the same first parameters. What a library has no function for, it does not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from models import HEADS, MODELS, batch

Parameters = dict[str, Any]
EPSILON = 1e-5  # of a norm


class Library(NamedTuple):
    """What the models need that libraries name or write differently."""

    np: Any  # a module with matmul, exp, tanh, maximum and so on, as NumPy names them
    convolve: Callable[..., Any]  # x, weight
    pool: Callable[..., Any]  # the largest of each 2x2
    sigmoid: Callable[..., Any]
    erf: Callable[..., Any] | None
    cross_entropy: Callable[..., Any]
    constant: Callable[[np.ndarray], Any] = np.asarray


def _linear(lib: Library, p: Parameters, name: str, x: Any) -> Any:
    return lib.np.matmul(x, p[f"{name}.weight"].T) + p[f"{name}.bias"]


def _lenet(lib: Library, p: Parameters, x: Any, y: Any) -> Any:
    for name in ("0", "3"):
        x = lib.convolve(x, p[f"{name}.weight"]) + p[f"{name}.bias"].reshape(1, -1, 1, 1)
        x = lib.pool(lib.np.maximum(x, 0))
    x = x.reshape(x.shape[0], -1)
    for name in ("7", "9"):
        x = lib.np.maximum(_linear(lib, p, name, x), 0)
    return lib.cross_entropy(_linear(lib, p, "11", x), y)


def _lstm(lib: Library, p: Parameters, x: Any, y: Any) -> Any:
    wide, width = p["lstm.weight_hh_l0"].shape
    bias = p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]
    inputs = lib.np.matmul(x, p["lstm.weight_ih_l0"].T) + bias
    turned = p["lstm.weight_hh_l0"].T
    h = c = lib.constant(np.zeros((x.shape[1], width), np.float32))
    for t in range(x.shape[0]):
        gates = inputs[t] + lib.np.matmul(h, turned)
        i, f, g, o = (gates[:, k : k + width] for k in range(0, wide, width))
        c = lib.sigmoid(f) * c + lib.sigmoid(i) * lib.np.tanh(g)
        h = lib.sigmoid(o) * lib.np.tanh(c)
    return lib.np.mean((_linear(lib, p, "head", h) - y) ** 2)


def _norm(lib: Library, p: Parameters, name: str, x: Any) -> Any:
    centred = x - lib.np.mean(x, axis=-1, keepdims=True)
    variance = lib.np.mean(centred * centred, axis=-1, keepdims=True)
    return centred / lib.np.sqrt(variance + EPSILON) * p[f"{name}.weight"] + p[f"{name}.bias"]


def _attention(lib: Library, p: Parameters, x: Any) -> Any:
    size, time, width = x.shape
    qkv = _linear(lib, p, "attention.qkv", x).reshape(size, time, 3, HEADS, width // HEADS)
    q, k, v = (lib.np.transpose(qkv[:, :, n], (0, 2, 1, 3)) for n in range(3))
    scores = lib.np.matmul(q, lib.np.transpose(k, (0, 1, 3, 2))) / math.sqrt(width // HEADS)
    # scores are of the order of one: their exponentials need not be those of differences from the largest
    weights = lib.np.exp(scores) * lib.constant(np.tri(time, dtype=np.float32))
    weights = weights / lib.np.sum(weights, axis=-1, keepdims=True)
    y = lib.np.transpose(lib.np.matmul(weights, v), (0, 2, 1, 3)).reshape(size, time, width)
    return _linear(lib, p, "attention.proj", y)


def _gpt(lib: Library, p: Parameters, tokens: Any, y: Any) -> Any:
    assert lib.erf is not None
    x = p["tokens.weight"][tokens] + p["positions.weight"]
    x = x + _attention(lib, p, _norm(lib, p, "norm1", x))
    h = _linear(lib, p, "mlp.0", _norm(lib, p, "norm2", x))
    h = 0.5 * h * (lib.erf(h * math.sqrt(0.5)) + 1)
    x = x + _linear(lib, p, "mlp.2", h)
    logits = _linear(lib, p, "head", x)
    return lib.cross_entropy(logits.reshape(-1, logits.shape[-1]), y)


MODEL_LOSSES = {"W6": _lenet, "W7": _lstm, "W9": _gpt}


def start(name: str) -> tuple[Parameters, np.ndarray, np.ndarray, Callable[..., Any]]:
    """First parameters, in memory of their own, inputs, targets, and the loss."""
    parameters = {key: value.copy() for key, value in MODELS[name].parameters().items()}
    return parameters, *batch(name), MODEL_LOSSES[name]


# libraries ------------------------------------------------------------------------------------------


def autograd() -> Library:
    """HIPS autograd: convolutions and pooling are made of slices, products and reshapes."""
    import autograd.numpy as anp
    from autograd.scipy.special import erf, logsumexp

    def convolve(x: Any, weight: Any) -> Any:
        outputs, _, high, wide = weight.shape
        h, w = x.shape[2] - high + 1, x.shape[3] - wide + 1
        slices = [x[:, :, i : i + h, j : j + w] for i in range(high) for j in range(wide)]
        columns = anp.stack(slices, 2).reshape(x.shape[0], -1, h * w)
        return anp.matmul(weight.reshape(outputs, -1), columns).reshape(x.shape[0], outputs, h, w)

    def pool(x: Any) -> Any:
        a = anp.maximum(x[:, :, ::2], x[:, :, 1::2])
        return anp.maximum(a[..., ::2], a[..., 1::2])

    def sigmoid(x: Any) -> Any:
        return 0.5 * (anp.tanh(0.5 * x) + 1)

    def cross_entropy(logits: Any, target: Any) -> Any:
        return anp.mean(logsumexp(logits, axis=1) - logits[np.arange(len(target)), target])

    return Library(anp, convolve, pool, sigmoid, erf, cross_entropy)


def mygrad() -> Library:
    """MyGrad, whose convolution and pooling are its own."""
    import mygrad as mg
    from mygrad.nnet.activations import sigmoid
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    return Library(
        mg,
        lambda x, weight: conv_nd(x, weight, stride=1),
        lambda x: max_pool(x, (2, 2), 2),
        sigmoid,
        None,
        softmax_crossentropy,
    )


def tinygrad() -> Library:
    """tinygrad, with the names of NumPy."""
    from types import SimpleNamespace

    from tinygrad import Tensor

    def kept(name: str) -> Callable[..., Any]:
        return lambda x, axis=None, keepdims=False: getattr(x, name)(axis=axis, keepdim=keepdims)

    names = SimpleNamespace(
        matmul=lambda a, b: (a if isinstance(a, Tensor) else Tensor(a)).matmul(b),
        maximum=lambda a, b: a.maximum(b),
        tanh=Tensor.tanh,
        exp=Tensor.exp,
        sqrt=Tensor.sqrt,
        mean=kept("mean"),
        sum=kept("sum"),
        transpose=lambda x, order: x.permute(order),
    )
    return Library(
        names,
        lambda x, weight: x.conv2d(weight),
        lambda x: x.max_pool2d((2, 2)),
        Tensor.sigmoid,
        Tensor.erf,
        lambda logits, target: logits.sparse_categorical_crossentropy(target),
        Tensor,
    )
