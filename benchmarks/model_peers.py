"""LeNet-5 (W6), the LSTM (W7), the small GPT (W9) and ResNet-18 (W10) in libraries that differentiate on a tape.

Each library is described by the few functions in which they differ (`Library`); the models are written on those, in
the order of PyTorch's numbers, from the same first parameters. What a library has no function for, it does not run.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from models import HEADS, MODELS, STAGES, batch
from windows import gather, windows

Parameters = dict[str, Any]
EPSILON = 1e-5  # of a norm


class Library(NamedTuple):
    """What the models need that libraries name or write differently."""

    np: Any  # a module with matmul, exp, tanh, maximum and so on, as NumPy names them
    convolve: Callable[..., Any]  # x, weight, stride, edge of zeros
    pool: Callable[
        ..., Any
    ]  # x, size, stride, edge: the largest of each window, of numbers that are not negative
    sigmoid: Callable[..., Any]
    erf: Callable[..., Any] | None
    cross_entropy: Callable[..., Any]
    constant: Callable[[np.ndarray], Any] = np.asarray
    batch_norm: Callable[..., Any] | None = None  # x, weight, bias; where the library brings one
    settled: Callable[[Any], Any] = lambda x: (
        x
    )  # computed by itself, where a library would put all into one kernel


def _linear(lib: Library, p: Parameters, name: str, x: Any) -> Any:
    return lib.np.matmul(x, p[f"{name}.weight"].T) + p[f"{name}.bias"]


def _lenet(lib: Library, p: Parameters, x: Any, y: Any) -> Any:
    for name in ("0", "3"):
        x = lib.convolve(x, p[f"{name}.weight"], 1, 0) + p[f"{name}.bias"].reshape(1, -1, 1, 1)
        x = lib.pool(lib.np.maximum(x, 0), 2, 2, 0)
    x = x.reshape(x.shape[0], -1)
    for name in ("7", "9"):
        x = lib.np.maximum(_linear(lib, p, name, x), 0)
    return lib.cross_entropy(_linear(lib, p, "11", x), y)


def _lstm(lib: Library, p: Parameters, x: Any, y: Any) -> Any:
    wide, width = p["lstm.weight_hh_l0"].shape
    bias = p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"]
    inputs = lib.settled(lib.np.matmul(x, p["lstm.weight_ih_l0"].T) + bias)
    turned = p["lstm.weight_hh_l0"].T
    h = c = lib.constant(np.zeros((x.shape[1], width), np.float32))
    for t in range(x.shape[0]):
        gates = lib.settled(inputs[t] + lib.np.matmul(h, turned))
        i, f, g, o = (gates[:, k : k + width] for k in range(0, wide, width))
        c = lib.settled(lib.sigmoid(f) * c + lib.sigmoid(i) * lib.np.tanh(g))
        h = lib.settled(lib.sigmoid(o) * lib.np.tanh(c))
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


def _batch_norm(lib: Library, p: Parameters, name: str, x: Any) -> Any:
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    if lib.batch_norm:
        return lib.batch_norm(x, weight, bias)
    centred = x - lib.np.mean(x, axis=(0, 2, 3), keepdims=True)
    variance = lib.np.mean(centred * centred, axis=(0, 2, 3), keepdims=True)
    scale = weight.reshape(1, -1, 1, 1) / lib.np.sqrt(variance + EPSILON)
    return centred * scale + bias.reshape(1, -1, 1, 1)


def _block(lib: Library, p: Parameters, name: str, x: Any, stride: int) -> Any:
    def normed(conv: str, norm: str, x: Any, step: int, edge: int) -> Any:
        return _batch_norm(lib, p, f"{name}.{norm}", lib.convolve(x, p[f"{name}.{conv}.weight"], step, edge))

    y = lib.np.maximum(normed("conv1", "bn1", x, stride, 1), 0)
    y = normed("conv2", "bn2", y, 1, 1)
    if f"{name}.downsample.0.weight" in p:
        x = normed("downsample.0", "downsample.1", x, stride, 0)
    return lib.np.maximum(y + x, 0)


def _resnet(lib: Library, p: Parameters, x: Any, y: Any) -> Any:
    x = _batch_norm(lib, p, "bn1", lib.convolve(x, p["conv1.weight"], 2, 3))
    x = lib.pool(lib.np.maximum(x, 0), 3, 2, 1)
    for k, (_, stride) in enumerate(STAGES, 1):
        x = _block(lib, p, f"layer{k}.0", x, stride)
        x = _block(lib, p, f"layer{k}.1", x, 1)
    return lib.np.sum(_linear(lib, p, "fc", lib.np.mean(x, axis=(2, 3))) - y)


MODEL_LOSSES = {"W6": _lenet, "W7": _lstm, "W9": _gpt, "W10": _resnet}


def start(name: str) -> tuple[Parameters, np.ndarray, np.ndarray, Callable[..., Any]]:
    """First parameters, in memory of their own, inputs, targets, and the loss."""
    parameters = {key: value.copy() for key, value in MODELS[name].parameters().items()}
    return parameters, *batch(name), MODEL_LOSSES[name]


# libraries ------------------------------------------------------------------------------------------


def autograd() -> Library:
    """HIPS autograd; the windows that convolutions and pooling are made of are a primitive, with its gradient."""
    import autograd.numpy as anp
    from autograd.extend import defvjp, primitive
    from autograd.scipy.special import erf, logsumexp

    @primitive
    def columns(x: Any, size: int, stride: int, edge: int) -> np.ndarray:
        """Windows as (images, channels, size * size, places)."""
        seen = windows(x, size, stride, edge).transpose(0, 1, 4, 5, 2, 3)
        return seen.reshape(*x.shape[:2], size * size, -1)

    def columns_back(_: Any, x: Any, size: int, stride: int, edge: int) -> Callable[[np.ndarray], np.ndarray]:
        high, wide = ((side + 2 * edge - size) // stride + 1 for side in x.shape[2:])

        def back(g: np.ndarray) -> np.ndarray:
            spread = g.reshape(*x.shape[:2], size, size, high, wide).transpose(0, 1, 4, 5, 2, 3)
            return gather(spread, x.shape, stride, edge)

        return back

    defvjp(columns, columns_back, argnums=(0,))

    def convolve(x: Any, weight: Any, stride: int, edge: int) -> Any:
        outputs, inputs, size, _ = weight.shape
        side = (x.shape[2] + 2 * edge - size) // stride + 1
        seen = columns(x, size, stride, edge).reshape(len(x), inputs * size * size, side * side)
        return anp.matmul(weight.reshape(outputs, -1), seen).reshape(len(x), outputs, side, side)

    def pool(x: Any, size: int, stride: int, edge: int) -> Any:
        n, channels, side, _ = x.shape
        side = (side + 2 * edge - size) // stride + 1
        return anp.max(columns(x, size, stride, edge), axis=2).reshape(n, channels, side, side)

    def sigmoid(x: Any) -> Any:
        return 0.5 * (anp.tanh(0.5 * x) + 1)

    def cross_entropy(logits: Any, target: Any) -> Any:
        return anp.mean(logsumexp(logits, axis=1) - logits[np.arange(len(target)), target])

    return Library(anp, convolve, pool, sigmoid, erf, cross_entropy)


def mygrad() -> Library:
    """MyGrad, whose convolution and pooling are its own."""
    import mygrad as mg
    from mygrad.nnet.activations import sigmoid
    from mygrad.nnet.layers import batchnorm, conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    def fitted(x: Any, size: int, stride: int, edge: int) -> Any:
        """With its edge, and without what no window reaches: MyGrad wants windows that come out even."""
        n, channels, side, _ = x.shape
        whole = (side + 2 * edge - size) // stride * stride + size
        if not edge:
            return x[:, :, :whole, :whole] if whole < side else x
        kept = min(side, whole - edge)
        y = mg.zeros((n, channels, whole, whole), np.float32)
        y[:, :, edge : edge + kept, edge : edge + kept] = x[:, :, :kept, :kept]
        return y

    return Library(
        mg,
        lambda x, weight, stride, edge: conv_nd(
            fitted(x, weight.shape[-1], stride, edge), weight, stride=stride
        ),
        lambda x, size, stride, edge: max_pool(fitted(x, size, stride, edge), (size, size), stride),
        sigmoid,
        None,
        softmax_crossentropy,
        batch_norm=lambda x, weight, bias: batchnorm(x, gamma=weight, beta=bias, eps=EPSILON),
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
        lambda x, weight, stride, edge: x.conv2d(weight, stride=stride, padding=edge),
        lambda x, size, stride, edge: x.max_pool2d((size, size), stride, padding=edge),
        Tensor.sigmoid,
        Tensor.erf,
        lambda logits, target: logits.sparse_categorical_crossentropy(target),
        Tensor,
        settled=Tensor.contiguous,  # else the first step compiles for minutes
    )
