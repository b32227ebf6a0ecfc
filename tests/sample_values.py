"""Numbers and tensors that tests begin with."""

from __future__ import annotations

import numpy as np

import jitgrad as torch


def numbers(*shape: int, seed: int = 0, dtype: type = np.float64) -> np.ndarray:
    """Normal numbers, the same ones for a shape and a seed."""
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def leaf(*values, dtype=torch.float32) -> torch.Tensor:
    """A tensor of these values that gets a gradient."""
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def draw(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> torch.Tensor:
    """A tensor of normal numbers."""
    return torch.from_numpy(rng.standard_normal(shape).astype(dtype))
