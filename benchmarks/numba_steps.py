"""All steps of the models of ``numba_models.py`` and ``numba_gpt.py``, in one compiled function each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numba_loops
import numpy as np
from models import MODELS, batch
from numba import njit
from numba_gpt import gpt, gpt_memory
from numba_models import ZERO, lenet, lenet_memory, lstm, lstm_memory

adam = numba_loops.adam


@njit(fastmath=True)
def train(gradients, n, count, x, y, p, g, m, v, w, gw, memory):
    """`n` steps of a model; returns the last loss."""
    loss = ZERO
    for step in range(count + 1, count + n + 1):
        loss = gradients(x, y, w, gw, memory)
        adam(p, g, m, v, step)
    return loss


def _laid_out(name: str, value: np.ndarray) -> np.ndarray:
    """A parameter as the loops want it: weights of linear and recurrent layers (inputs, outputs)."""
    return value if value.ndim != 2 or name in TABLES else value.T


def _views(flat: np.ndarray, shapes: Iterable[tuple[int, ...]]) -> tuple:
    """Views of a flat array as all parameters."""
    views, at = [], 0
    for shape in shapes:
        size = math.prod(shape)
        views.append(flat[at : at + size].reshape(shape))
        at += size
    return tuple(views)


TABLES = ("tokens.weight", "positions.weight")  # of embeddings: rows are read
BY_HAND: dict[str, tuple[Any, Callable[[np.ndarray], tuple]]] = {
    "W6": (lenet, lenet_memory),
    "W7": (lstm, lstm_memory),
    "W9": (gpt, gpt_memory),
}


def loop(name: str) -> Callable[[int], float]:
    """Train anew; what is returned takes `n` steps in one call and gives the last loss."""
    gradients, memory = BY_HAND[name]
    x, y = batch(name)
    values = [_laid_out(key, value) for key, value in MODELS[name].parameters().items()]
    p = np.concatenate([value.ravel() for value in values])
    g, m, v = (np.zeros_like(p) for _ in range(3))
    shapes = [value.shape for value in values]
    rest = (x, y, p, g, m, v, _views(p, shapes), _views(g, shapes), memory(x))
    count = 0

    def advance(n: int) -> float:
        nonlocal count
        loss = train(gradients, n, count, *rest)
        count += n
        return loss

    return advance
