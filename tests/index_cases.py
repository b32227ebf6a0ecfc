"""What the tests of indexing share: PyTorch's indexing rules written on NumPy, and numerical derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import jitgrad as torch


def split(index: Any, ndim: int) -> tuple[tuple, tuple]:
    """An index as a basic one, applied first, and an advanced one for what that leaves."""
    items = list(index) if isinstance(index, tuple) else [index]
    items = [np.asarray(x) if isinstance(x, (list, range)) else x for x in items]
    used = sum(_width(x) for x in items)
    rest = [slice(None)] * (ndim - used)
    if not any(x is Ellipsis for x in items):
        items.append(Ellipsis)
    at = next(k for k, x in enumerate(items) if x is Ellipsis)
    items[at : at + 1] = rest
    basic: list[Any] = []
    advanced: list[Any] = []
    for x in items:
        if isinstance(x, (bool, np.bool_)):
            basic.append(None)
            advanced.append(np.zeros(int(x), np.int64))
        elif isinstance(x, np.ndarray) and x.ndim:
            parts = x.nonzero() if x.dtype == bool else (x.astype(np.int64),)
            basic += [slice(None)] * len(parts)
            advanced += parts
        elif isinstance(x, (slice, type(None))):
            basic.append(x)
            advanced.append(slice(None))
        else:
            basic.append(int(x))
    return (*basic, Ellipsis), tuple(advanced)


def _width(x: Any) -> int:
    if x is None or x is Ellipsis or isinstance(x, (bool, np.bool_)):
        return 0
    return x.ndim if isinstance(x, np.ndarray) and x.dtype == bool else 1


def read(a: np.ndarray, index: Any) -> np.ndarray:
    """``a[index]`` by PyTorch's rules."""
    basic, advanced = split(index, a.ndim)
    return a[basic][advanced]


def write(a: np.ndarray, index: Any, value: Any) -> np.ndarray:
    """A copy of `a` after ``a[index] = value`` by PyTorch's rules."""
    a = a.copy()
    basic, advanced = split(index, a.ndim)
    a[basic][advanced] = value
    return a


def is_basic(index: Any) -> bool:
    """Whether an index makes a view."""
    items = index if isinstance(index, tuple) else (index,)
    return all(x is None or x is Ellipsis or type(x) in (int, slice) for x in items)


def numerical(function: Callable, arrays: list[np.ndarray], k: int, cotangent: np.ndarray) -> np.ndarray:
    """The gradient of ``sum(function(*arrays) * cotangent)`` to array `k`, by central differences."""
    step = 1e-5
    gradient = np.zeros_like(arrays[k])
    for at in np.ndindex(arrays[k].shape):
        ends = []
        for sign in (1, -1):
            moved = [a.copy() for a in arrays]
            moved[k][at] += sign * step
            out = function(*(torch.tensor(a) for a in moved)).detach().numpy()
            ends.append(float((out * cotangent).sum()))
        gradient[at] = (ends[0] - ends[1]) / (2 * step)
    return gradient


def check_gradients(function: Callable, *arrays: Any) -> None:
    """Backward agrees with numerical derivatives of a function of float64 tensors."""
    plain = [np.asarray(a, np.float64) for a in arrays]
    tensors = [torch.tensor(a, requires_grad=True) for a in plain]
    out = function(*tensors)
    cotangent = np.random.default_rng(7).standard_normal(tuple(out.shape))
    out.backward(torch.tensor(cotangent))
    for k, x in enumerate(tensors):
        np.testing.assert_allclose(
            x.grad.numpy(), numerical(function, plain, k, cotangent), rtol=1e-5, atol=1e-7
        )
