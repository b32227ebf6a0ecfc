"""All steps of the models written by hand for Numba, in one compiled function each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numba_loops
import numpy as np
import numpy_resnet
from models import MODELS, batch
from numba import njit
from numba_gpt import gpt, gpt_memory
from numba_models import ZERO, lenet, lenet_memory, lstm, lstm_memory
from numba_resnet import resnet, resnet_memory


@njit(fastmath=True)
def train(gradients, update, n, count, x, y, p, g, m, v, w, gw, memory):
    """`n` steps of a model; returns the last loss."""
    loss = ZERO
    for step in range(count + 1, count + n + 1):
        loss = gradients(x, y, w, gw, memory)
        update(p, g, m, v, step)
    return loss


class Hand(NamedTuple):
    """A model by hand."""

    gradients: Any  # a compiled function that gives the loss, too
    memory: Callable[[np.ndarray], tuple]  # for a batch
    layout: Callable[[dict[str, np.ndarray]], list[np.ndarray]]  # of the parameters
    flat: bool = False  # whether `gradients` takes all parameters in one array


def _turned(given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Weights of linear and recurrent layers as (inputs, outputs)."""
    return [value if value.ndim != 2 or name in TABLES else value.T for name, value in given.items()]


def _turned_matrices(given: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Filters as matrices, too."""
    return [
        value if given[name].ndim == 4 else value.T for name, value in numpy_resnet.parameters(given).items()
    ]


TABLES = ("tokens.weight", "positions.weight")  # of embeddings: rows are read
BY_HAND = {
    "W6": Hand(lenet, lenet_memory, _turned),
    "W7": Hand(lstm, lstm_memory, _turned),
    "W9": Hand(gpt, gpt_memory, _turned),
    "W10": Hand(resnet, resnet_memory, _turned_matrices, flat=True),
}
UPDATES = {"Adam": numba_loops.adam, "SGD": numba_loops.sgd_with_momentum}


def _views(flat: np.ndarray, shapes: Iterable[tuple[int, ...]]) -> tuple:
    """Views of a flat array as all parameters."""
    views, at = [], 0
    for shape in shapes:
        size = math.prod(shape)
        views.append(flat[at : at + size].reshape(shape))
        at += size
    return tuple(views)


def loop(name: str) -> Callable[[int], float]:
    """Train anew; what is returned takes `n` steps in one call and gives the last loss."""
    hand, described = BY_HAND[name], MODELS[name]
    x, y = batch(name)
    values = hand.layout(described.parameters())
    p = np.concatenate([value.ravel() for value in values])
    g, m, v = (np.zeros_like(p) for _ in range(3))
    shapes = [value.shape for value in values]
    w, gw = (p, g) if hand.flat else (_views(p, shapes), _views(g, shapes))
    rest = (x, y, p, g, m, v, w, gw, hand.memory(x))
    update, count = UPDATES[described.optimizer], 0

    def advance(n: int) -> float:
        nonlocal count
        loss = train(hand.gradients, update, n, count, *rest)
        count += n
        return loss

    return advance
