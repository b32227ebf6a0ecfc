"""Windows: weights that taper towards the ends of a signal (Harris, 1978)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dtypes import check_device, dtype
from ._random import floating_dtype
from .from_data import from_array

__all__ = ["bartlett_window", "blackman_window", "hamming_window", "hann_window"]


def _cosines(
    name: str,
    length: int,
    periodic: bool,
    weights: Sequence[float],
    kind: dtype | None,
    device: Any,
    grad: bool,
) -> Tensor:
    """The sum of ``(-1)**k weights[k] cos(k x)`` over a turn; a periodic window leaves its last element out."""
    turns = _places(name, length, periodic, device)
    x = 2 * math.pi * turns
    values = sum((-1) ** k * w * np.cos(k * x) for k, w in enumerate(weights))
    return _made(name, values, length, kind, grad)


def _places(name: str, length: int, periodic: bool, device: Any) -> np.ndarray:
    if device is not None:
        check_device(device)
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    return np.arange(length) / max(length - (not periodic), 1)


def _made(name: str, values: Any, length: int, kind: dtype | None, grad: bool) -> Tensor:
    values = np.ones(1) if length == 1 else np.broadcast_to(values, (length,))
    return from_array(values, floating_dtype(name, kind)).requires_grad_(grad)


def hann_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The window ``(1 - cos(x)) / 2``.

    Parameters
    ----------
    window_length : int
    periodic : bool, default True
        Whether the element after the last one would be the first again; otherwise both ends are alike.
    dtype : dtype, optional
        A floating one.

    Raises
    ------
    RuntimeError
        If the length is negative or the dtype is not floating.
    """
    return _cosines("hann_window", window_length, periodic, (0.5, 0.5), dtype, device, requires_grad)


def hamming_window(
    window_length: int,
    periodic: bool = True,
    alpha: float = 0.54,
    beta: float = 0.46,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The window ``alpha - beta cos(x)``; see `hann_window`."""
    return _cosines("hamming_window", window_length, periodic, (alpha, beta), dtype, device, requires_grad)


def blackman_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The window ``0.42 - 0.5 cos(x) + 0.08 cos(2 x)``; see `hann_window`."""
    weights = (0.42, 0.5, 0.08)
    return _cosines("blackman_window", window_length, periodic, weights, dtype, device, requires_grad)


def bartlett_window(
    window_length: int,
    periodic: bool = True,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The window of two straight lines; see `hann_window`."""
    turns = _places("bartlett_window", window_length, periodic, device)
    return _made("bartlett_window", 1 - np.abs(2 * turns - 1), window_length, dtype, requires_grad)
