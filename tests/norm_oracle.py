"""Normalisation in NumPy: plain loops, one unit at a time."""

from __future__ import annotations

import numpy as np


def numbers(*shape: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    """Numbers whose mean is not 0 and whose deviation is not 1."""
    rng = np.random.default_rng([seed, *shape])
    return (1.5 * rng.standard_normal(shape) + 0.7).astype(dtype)


def normal(values: np.ndarray, eps: float) -> np.ndarray:
    """All values together to mean 0 and variance 1."""
    return (values - values.mean()) / np.sqrt(((values - values.mean()) ** 2).mean() + eps)


def layer_norm(x, sizes, weight=None, bias=None, eps=1e-5):
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[: x.ndim - len(sizes)]):
        y[index] = normal(x[index], eps)
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def rms_norm(x, sizes, weight=None, eps=1e-7):
    y = np.zeros(x.shape)
    for index in np.ndindex(x.shape[: x.ndim - len(sizes)]):
        y[index] = x[index] / np.sqrt((x[index] ** 2).mean() + eps)
    return y if weight is None else y * weight


def affine(y, weight, bias):
    """Weight and bias of the channels, dimension 1."""
    for c in range(y.shape[1]):
        if weight is not None:
            y[:, c] = y[:, c] * weight[c]
        if bias is not None:
            y[:, c] = y[:, c] + bias[c]
    return y


def batch_norm(x, weight=None, bias=None, mean=None, var=None, eps=1e-5):
    y = np.zeros(x.shape)
    for c in range(x.shape[1]):
        one = x[:, c]
        if mean is None:
            y[:, c] = normal(one, eps)
        else:
            y[:, c] = (one - mean[c]) / np.sqrt(var[c] + eps)
    return affine(y, weight, bias)


def group_norm(x, groups, weight=None, bias=None, eps=1e-5):
    y = np.zeros(x.shape)
    each = x.shape[1] // groups
    for n in range(x.shape[0]):
        for g in range(groups):
            part = slice(g * each, (g + 1) * each)
            y[n, part] = normal(x[n, part], eps)
    return affine(y, weight, bias)
