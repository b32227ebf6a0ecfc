"""Slopes of sampled functions, and divisors of integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._tensor import NUMBERS, Tensor
from ..dispatch import result_type
from ._call import is_floating, require_tensors, tensor_of
from ._dims import one_dim
from ._numpy_names import takes_axis
from ._out import takes_out
from .arithmetic_in_place import in_place_of
from .from_data import from_numpy
from .joining import cat

__all__ = ["gcd", "gradient", "lcm"]


@takes_axis
def gradient(input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Slopes along dimensions, by central differences of the second order of accuracy.

    Parameters
    ----------
    input : Tensor
        Samples of a function; integers become floats.
    spacing : number, sequence of numbers, or sequence of Tensor
        The distance between samples, that of each dimension, or for each the coordinates of the samples.
    dim : int or sequence of int, optional
        The dimensions, by default all.
    edge_order : {1, 2}
        The order of accuracy of the slopes at both ends.

    Returns
    -------
    tuple of Tensor
        For each dimension a tensor of the shape of `input`. With unequal distances a before and b after a sample, the
        slope is ``(a**2 f(x + b) + (b**2 - a**2) f(x) - b**2 f(x - a)) / (a b (a + b))``.

    Raises
    ------
    RuntimeError
        If a dimension has no more samples than `edge_order`, or spacings and dimensions differ in number.
    """
    x = tensor_of(input, "gradient")
    x = x if is_floating(x) else x.float()  # type: ignore[attr-defined]
    dims = list(range(x.ndim)) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    dims = [one_dim(d, x.ndim, "gradient") for d in dims]
    if edge_order not in (1, 2):
        raise RuntimeError(f"gradient: only supports edge_order=1 and edge_order=2, got {edge_order}")
    spacings = [spacing] * len(dims) if isinstance(spacing, NUMBERS) else list(spacing)
    if len(spacings) != len(dims):
        raise RuntimeError(
            f"gradient: expected spacing to be a number or a list of length {len(dims)}, one for each of the "
            f"dimensions {dims}, but got a list of length {len(spacings)}"
        )
    return tuple(_slope(x, s, d, edge_order) for s, d in zip(spacings, dims, strict=True))


def _slope(x: Tensor, spacing: Any, dim: int, edge_order: int) -> Tensor:
    size = x.shape[dim]
    if size <= edge_order:
        raise RuntimeError(
            f"gradient: expected each dimension size to be at least edge_order+1, got {size} samples along "
            f"dimension {dim} for edge_order={edge_order}"
        )
    if isinstance(spacing, Tensor) and spacing.ndim:
        if tuple(spacing.shape) != (size,):
            raise RuntimeError(
                f"gradient: expected {size} coordinates for dimension {dim}, got shape {tuple(spacing.shape)}"
            )
        steps = (spacing[1:] - spacing[:-1]).to(x.dtype).reshape(-1, *[1] * (x.ndim - 1 - dim))  # type: ignore
    else:
        steps = None

    def samples(first: int, count: int) -> Any:
        return x.narrow(dim, first, count)  # type: ignore[attr-defined]

    def step(first: int, count: int = 1) -> Any:
        return spacing if steps is None else steps[first : first + count]

    parts = [_edge(samples, step, 0, 1, edge_order)]
    if size > 2:
        a, b = step(0, size - 2), step(1, size - 2)
        before, here, after = (samples(k, size - 2) for k in range(3))
        if steps is None:
            parts.append((after - before) / (2 * a))
        else:
            parts.append((a * a * after + (b * b - a * a) * here - b * b * before) / (a * b * (a + b)))
    parts.append(_edge(samples, step, size - 1, -1, edge_order))
    return cat(parts, dim)


def _edge(samples: Callable, step: Callable, at: int, way: int, order: int) -> Any:
    """The slope at the first sample, or seen backwards at the last."""
    near, far = (at, at + 1) if way > 0 else (at - 1, at - 2)
    first, second = samples(at, 1), samples(at + way, 1)
    a = step(near)
    if order == 1:
        return (second - first) / a * way
    b = step(far)
    third = samples(at + 2 * way, 1)
    return (
        second * ((a + b) / (a * b)) - third * (a / (b * (a + b))) - first * ((2 * a + b) / (a * (a + b)))
    ) * way


def _of_integers(name: str, compute: Callable, summary: str) -> Callable[..., Tensor]:
    def function(input: Tensor, other: Tensor) -> Tensor:
        require_tensors(name, input, other)
        kind = result_type((input, other))
        if kind.is_floating_point or kind.name == "bool":
            raise NotImplementedError(
                f'{name}: "{name}_cpu" not implemented for {kind.name}; expected tensors of integers'
            )
        a, b = (x.to(kind).numpy() for x in (input, other))  # type: ignore[attr-defined]
        return from_numpy(np.array(compute(a, b), dtype=kind.numpy))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"{summary}, never negative; NumPy computes it.\n\nRaises\n------\nNotImplementedError\n"
        "    When the tensors hold no integers.\n"
    )
    return takes_out(function)


gcd = _of_integers("gcd", np.gcd, "The greatest common divisor of two integers")
lcm = _of_integers("lcm", np.lcm, "The least common multiple of two integers")
Tensor.gcd, Tensor.lcm = gcd, lcm
Tensor.gcd_, Tensor.lcm_ = in_place_of(gcd), in_place_of(lcm)
