"""The models of ``models.py`` in JAX: pure functions from parameters, a batch and targets to the loss.

Written as a JAX user writes them: images and kernels in the order that XLA prefers (channels last), the LSTM as a
``lax.scan`` over time behind one product for all inputs, attention by ``einsum``. ResNet-18 normalises by the batch
as in training; the running averages, which the loss does not depend on, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from models import HEADS, MODELS, STAGES, WIDTH, batch

Parameters = dict[str, Any]


class JaxModel(NamedTuple):
    """First parameters from those of PyTorch, the batch likewise, and the loss."""

    parameters: Callable[[dict[str, np.ndarray]], Parameters]
    data: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    loss: Callable[[Parameters, Any, Any], Any]


def _cross_entropy(logits: Any, target: Any) -> Any:
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), target[:, None], axis=1)
    return -jnp.mean(chosen)


def _linear(p: Parameters, name: str, x: Any) -> Any:
    return x @ p[f"{name}.weight"] + p[f"{name}.bias"]


def _turned(given: dict[str, np.ndarray]) -> Parameters:
    """Weights of linear layers as (inputs, outputs)."""
    keep = ("tokens.weight", "positions.weight")
    return {k: v.T if v.ndim == 2 and k not in keep else v for k, v in given.items()}


# W6 -------------------------------------------------------------------------------------------------


def _lenet_parameters(given: dict[str, np.ndarray]) -> Parameters:
    p = _turned(given)
    for name in ("0.weight", "3.weight"):
        p[name] = given[name].transpose(2, 3, 1, 0)
    # the images come flattened with their channels last
    first = given["7.weight"].reshape(120, 16, 4, 4).transpose(2, 3, 1, 0)
    return p | {"7.weight": first.reshape(256, 120)}


def _lenet_loss(p: Parameters, x: Any, y: Any) -> Any:
    for name in ("0", "3"):
        kernel = p[f"{name}.weight"]
        x = lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + p[f"{name}.bias"])
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.reshape(len(x), -1)
    x = jax.nn.relu(_linear(p, "7", x))
    x = jax.nn.relu(_linear(p, "9", x))
    return _cross_entropy(_linear(p, "11", x), y)


# W7 -------------------------------------------------------------------------------------------------


def _lstm_loss(p: Parameters, x: Any, y: Any) -> Any:
    inputs = x @ p["lstm.weight_ih_l0"] + (p["lstm.bias_ih_l0"] + p["lstm.bias_hh_l0"])
    weight = p["lstm.weight_hh_l0"]

    def tick(state: Any, gates: Any) -> Any:
        h, c = state
        i, f, g, o = jnp.split(gates + h @ weight, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((x.shape[1], weight.shape[0]), x.dtype)
    (h, _), _ = lax.scan(tick, (zeros, zeros), inputs)
    return jnp.mean((_linear(p, "head", h) - y) ** 2)


# W9 -------------------------------------------------------------------------------------------------


def _norm(p: Parameters, name: str, x: Any) -> Any:
    mean = x.mean(-1, keepdims=True)
    variance = x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"] + p[f"{name}.bias"]


def _attention(p: Parameters, x: Any) -> Any:
    batch_size, time, width = x.shape
    qkv = _linear(p, "attention.qkv", x).reshape(batch_size, time, 3, HEADS, width // HEADS)
    q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    scores = jnp.einsum("bthd,bshd->bhts", q, k) / np.sqrt(width // HEADS)
    scores = jnp.where(np.tri(time, dtype=bool), scores, -jnp.inf)
    y = jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(scores), v)
    return _linear(p, "attention.proj", y.reshape(batch_size, time, width))


def _gpt_loss(p: Parameters, tokens: Any, y: Any) -> Any:
    x = p["tokens.weight"][tokens] + p["positions.weight"]
    x = x + _attention(p, _norm(p, "norm1", x))
    h = jax.nn.gelu(_linear(p, "mlp.0", _norm(p, "norm2", x)), approximate=False)
    x = x + _linear(p, "mlp.2", h)
    return _cross_entropy(_linear(p, "head", x).reshape(-1, p["head.bias"].size), y)


# W10 ------------------------------------------------------------------------------------------------


def _filters_last(given: dict[str, np.ndarray]) -> Parameters:
    return {k: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v for k, v in _turned(given).items()}


def _convolve(x: Any, kernel: Any, stride: int) -> Any:
    edge = (kernel.shape[0] // 2,) * 2
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, (stride, stride), (edge, edge), dimension_numbers=layout)


def _batch_norm(p: Parameters, name: str, x: Any) -> Any:
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * (lax.rsqrt(variance + 1e-5) * p[f"{name}.weight"]) + p[f"{name}.bias"]


def _block(p: Parameters, name: str, x: Any, stride: int) -> Any:
    h = jax.nn.relu(_batch_norm(p, f"{name}.bn1", _convolve(x, p[f"{name}.conv1.weight"], stride)))
    h = _batch_norm(p, f"{name}.bn2", _convolve(h, p[f"{name}.conv2.weight"], 1))
    if (down := f"{name}.downsample.0.weight") in p:
        x = _batch_norm(p, f"{name}.downsample.1", _convolve(x, p[down], stride))
    return jax.nn.relu(h + x)


def _resnet_loss(p: Parameters, x: Any, y: Any) -> Any:
    x = jax.nn.relu(_batch_norm(p, "bn1", _convolve(x, p["conv1.weight"], 2)))
    around = ((0, 0), (1, 1), (1, 1), (0, 0))
    x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), around)
    for k, (_, stride) in enumerate(STAGES, 1):
        x = _block(p, f"layer{k}.0", x, stride)
        x = _block(p, f"layer{k}.1", x, 1)
    return (_linear(p, "fc", x.mean((1, 2))) - y).sum()


JAX_MODELS = {
    "W6": JaxModel(
        _lenet_parameters, lambda x, y: (x.transpose(0, 2, 3, 1), y.astype(np.int32)), _lenet_loss
    ),
    "W7": JaxModel(_turned, lambda x, y: (x, y), _lstm_loss),
    "W9": JaxModel(_turned, lambda x, y: (x.astype(np.int32), y.astype(np.int32)), _gpt_loss),
    "W10": JaxModel(_filters_last, lambda x, y: (x.transpose(0, 2, 3, 1), y), _resnet_loss),
}
assert WIDTH % HEADS == 0


def start(name: str) -> Parameters:
    """First parameters, in memory of their own."""
    values = JAX_MODELS[name].parameters(MODELS[name].parameters())
    return {key: jnp.array(np.ascontiguousarray(value)) for key, value in values.items()}


def data(name: str) -> tuple[Any, Any]:
    """Inputs and targets."""
    x, y = JAX_MODELS[name].data(*batch(name))
    return jnp.array(x), jnp.array(y)
