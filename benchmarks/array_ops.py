"""Operations on whole arrays for the section ``ops``: products, norms, pooling, indexing and the like.

Each is a function ``make(torch, n, rng)`` of a library with PyTorch's front and of the number of elements of its first
operand; it returns the call, the operands, and how many multiply-adds it is, or 0. Rows are `ROW` long, or all of a
smaller array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

ROW = 64


class Case(NamedTuple):
    """A call to be measured."""

    call: Callable[..., Any]  # of the operands
    arrays: list[np.ndarray]
    multiply_adds: int = 0


Make = Callable[[Any, int, np.random.Generator], Case | None]  # nothing for sizes that are too small


def _rows(n: int, rng: np.random.Generator) -> np.ndarray:
    width = min(n, ROW)
    return rng.standard_normal((n // width, width), np.float32)


def _images(n: int, rng: np.random.Generator) -> np.ndarray | None:
    """Images of 16x16 in four channels; nothing where that is more than `n`."""
    return rng.standard_normal((n // 1024, 4, 16, 16), np.float32) if n >= 1024 else None


def _functional(name: str, *more: Any, **options: Any) -> Make:
    """A function of one array of rows."""

    def make(torch: Any, n: int, rng: np.random.Generator) -> Case:
        function = getattr(torch.nn.functional, name, None) or getattr(torch, name)
        return Case(lambda x: function(x, *more, **options), [_rows(n, rng)])

    return make


def _first(name: str, *more: Any) -> Make:
    """As `_functional`, for functions that return values and places."""

    def make(torch: Any, n: int, rng: np.random.Generator) -> Case:
        return Case(lambda x: getattr(torch, name)(x, *more)[0], [_rows(n, rng)])

    return make


def _norm(name: str, with_bias: bool) -> Make:
    def make(torch: Any, n: int, rng: np.random.Generator) -> Case:
        x, function = _rows(n, rng), getattr(torch.nn.functional, name)
        scale = [rng.standard_normal(x.shape[1], np.float32) for _ in range(2 if with_bias else 1)]
        return Case(lambda x, *rest: function(x, x.shape[-1:], *rest), [x, *scale])

    return make


def _batch_norm(torch: Any, n: int, rng: np.random.Generator) -> Case:
    x = _rows(n, rng) if n > ROW else rng.standard_normal((max(n, 2), 1), np.float32)
    scale = [rng.standard_normal(x.shape[1], np.float32) for _ in range(2)]
    function = torch.nn.functional.batch_norm
    return Case(lambda x, w, b: function(x, None, None, w, b, training=True), [x, *scale])


def _linear(torch: Any, n: int, rng: np.random.Generator) -> Case:
    x = _rows(n, rng)
    w, b = rng.standard_normal((ROW, x.shape[1]), np.float32), rng.standard_normal(ROW, np.float32)
    return Case(torch.nn.functional.linear, [x, w, b], x.size * ROW)


def _convolution(torch: Any, n: int, rng: np.random.Generator) -> Case | None:
    x = _images(n, rng)
    if x is None:
        return None
    w, b = rng.standard_normal((8, 4, 3, 3), np.float32), rng.standard_normal(8, np.float32)
    return Case(
        lambda x, w, b: torch.nn.functional.conv2d(x, w, b, padding=1), [x, w, b], x.shape[0] * 256 * w.size
    )


def _pooling(name: str) -> Make:
    def make(torch: Any, n: int, rng: np.random.Generator) -> Case | None:
        x = _images(n, rng)
        return x if x is None else Case(lambda x: getattr(torch.nn.functional, name)(x, 2), [x])

    return make


def _attention(torch: Any, n: int, rng: np.random.Generator) -> Case | None:
    if n < 256:
        return None
    q, k, v = (rng.standard_normal((n // 256, 16, 16), np.float32) for _ in range(3))
    return Case(torch.nn.functional.scaled_dot_product_attention, [q, k, v], 2 * 16 * n)


def _loss(name: str) -> Make:
    def make(torch: Any, n: int, rng: np.random.Generator) -> Case:
        x, function = _rows(n, rng), getattr(torch.nn.functional, name)
        if name == "mse_loss":
            return Case(function, [x, _rows(n, rng)])
        return Case(function, [x, rng.integers(0, x.shape[1], len(x))])

    return make


def _embedding(torch: Any, n: int, rng: np.random.Generator) -> Case:
    table = rng.standard_normal((256, min(n, ROW)), np.float32)
    places = torch.from_numpy(rng.integers(0, 256, max(n // ROW, 1)))
    return Case(lambda w: torch.nn.functional.embedding(places, w), [table])


def _places(name: str) -> Make:
    def make(torch: Any, n: int, rng: np.random.Generator) -> Case:
        x = _rows(n, rng)
        if name == "gather":
            places = torch.from_numpy(rng.integers(0, x.shape[1], x.shape))
            return Case(lambda x: torch.gather(x, 1, places), [x])
        places = torch.from_numpy(rng.integers(0, len(x), len(x)))
        return Case(lambda x: torch.index_select(x, 0, places), [x])

    return make


def _cat(torch: Any, n: int, rng: np.random.Generator) -> Case:
    return Case(lambda a, b: torch.cat([a, b]), [_rows(n, rng), _rows(n, rng)])


ARRAY_OPS: dict[str, Make] = {
    "softmax": _functional("softmax", dim=-1),
    "log_softmax": _functional("log_softmax", dim=-1),
    "layer_norm": _norm("layer_norm", True),
    "rms_norm": _norm("rms_norm", False),
    "batch_norm": _batch_norm,
    "linear": _linear,
    "conv2d": _convolution,
    "max_pool2d": _pooling("max_pool2d"),
    "avg_pool2d": _pooling("avg_pool2d"),
    "scaled_dot_product_attention": _attention,
    "mse_loss": _loss("mse_loss"),
    "cross_entropy": _loss("cross_entropy"),
    "embedding": _embedding,
    "gather": _places("gather"),
    "index_select": _places("index_select"),
    "cat": _cat,
    "flip": _functional("flip", (1,)),
    "dropout": _functional("dropout", 0.5),
    "cumsum": _functional("cumsum", 1),
    "cumprod": _functional("cumprod", 1),
    "logcumsumexp": _functional("logcumsumexp", 1),
    "prod": _functional("prod", 1),
    "max over rows": _first("max", 1),
    "sort": _first("sort", 1),
    "topk": _first("topk", 1),
}
