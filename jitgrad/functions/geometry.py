"""Distances, cross products, and the diagonal of a matrix as a whole."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._tensor import Tensor, method, wrap
from ..dtypes import DTYPES, bool_
from ..kernels import BY_NAME
from ._call import dtype_code, is_floating, require_tensors, tensor_of
from ._dims import one_dim, shape_of
from ._launch import run
from ._numpy_names import takes_axis
from ._out import takes_alike_out
from .bounds import where
from .from_data import from_array
from .norms import norm
from .products import broadcast_shape
from .slicing import diagonal

__all__ = ["cdist", "cross", "dist", "trace"]

_CROSS, _ROW_DISTANCES = BY_NAME["cross"], BY_NAME["row_distances"]


@method
def trace(input: Tensor) -> Tensor:
    """The sum of the diagonal of a matrix; integers add up in int64.

    Raises
    ------
    RuntimeError
        If `input` is no matrix.
    NotImplementedError
        For a bool tensor.
    """
    if tensor_of(input, "trace").ndim != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.ndim}")
    if not dtype_code(input):
        raise NotImplementedError('trace: "trace" not implemented for bool; convert it with .long() first')
    return diagonal(input).sum()  # type: ignore[attr-defined]


@method
def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of ``input - other``; see `norm`.

    Raises
    ------
    RuntimeError
        When both hold integers, or the shapes do not broadcast.
    """
    require_tensors("dist", input, other)
    if not is_floating(input) and not is_floating(other):
        raise RuntimeError(
            f"dist: input dtype should be either floating point or complex. Got {input.dtype.name} and "
            f"{other.dtype.name} instead; convert one of them with .float()"
        )
    return norm(input - other, p)  # type: ignore[operator]


_MODES = (
    "",
    "use_mm_for_euclid_dist_if_necessary",
    "use_mm_for_euclid_dist",
    "donot_use_mm_for_euclid_dist",
)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    """The p-norms of the differences of every row of `x1` and every row of `x2`.

    Parameters
    ----------
    x1 : Tensor, shape (..., P, M)
    x2 : Tensor, shape (..., R, M)
        The dimensions in front broadcast.
    p : float
        See `norm`.
    compute_mode : str
        For PyTorch's sake: differences are taken, never products.

    Returns
    -------
    Tensor, shape (..., P, R)
        The gradient of rows that are equal is 0.

    Raises
    ------
    RuntimeError
        If they are no matrices of rows of one size, or not floating, or `p` is negative.
    ValueError
        If there is no such `compute_mode`.
    """
    require_tensors("cdist", x1, x2)
    if compute_mode not in _MODES:
        raise ValueError(f"cdist: compute_mode must be one of {', '.join(_MODES[1:])}, got {compute_mode!r}")
    if min(x1.ndim, x2.ndim) < 2 or x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(
            f"cdist: expected matrices with the same number of columns, got {tuple(x1.shape)} and {tuple(x2.shape)}"
        )
    if not (is_floating(x1) and is_floating(x2)):
        raise RuntimeError(
            f"cdist only supports floating-point dtypes, got {x1.dtype.name} and {x2.dtype.name}"
        )
    if not p >= 0:
        raise RuntimeError(f"cdist only supports non-negative p values, got {p}")
    if p == 2 and x1.dtype is x2.dtype:
        return _euclidean(x1, x2)
    return norm_of_rows(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)  # type: ignore[attr-defined]


def _euclidean(a: Tensor, b: Tensor) -> Tensor:
    """`cdist` of matrices of one dtype for p = 2."""
    left, right = shape_of(a), shape_of(b)
    if left[:-2] != right[:-2]:
        front = broadcast_shape(left[:-2], right[:-2])
        if front is None:
            raise RuntimeError(
                f"cdist: the dimensions {left[:-2]} and {right[:-2]} in front do not broadcast"
            )
        left, right = (*front, *left[-2:]), (*front, *right[-2:])
        a, b = a.expand(left), b.expand(right)  # type: ignore[attr-defined]
    dense = a.contiguous(), b.contiguous()  # type: ignore[attr-defined]
    return wrap(run(_ROW_DISTANCES, dense, a.dtype, (*left[:-1], right[-2]), ()))


def norm_of_rows(x: Tensor, p: float) -> Tensor:
    """The p-norms along the last dimension, differentiable for 0, too: piecewise constant, with a gradient of 0."""
    if p == 0:
        return where(x.abs() > 0, 1.0, x * 0).sum(-1)  # type: ignore[attr-defined, operator]
    return norm(x, p if x.shape[-1] else 1, -1)


@method
@takes_alike_out
@takes_axis
def cross(input: Tensor, other: Tensor, dim: int | None = None) -> Tensor:
    """Return the cross products of vectors along a dimension of size 3; the other dimensions broadcast.

    Parameters
    ----------
    dim : int, optional
        The first dimension of size 3 if not given.

    Raises
    ------
    RuntimeError
        If the numbers of dimensions or the dtypes differ, or there is no dimension of size 3 to multiply along.
    NotImplementedError
        For bool tensors.
    """
    require_tensors("cross", input, other)
    left, right = shape_of(input), shape_of(other)
    if len(left) != len(right):
        raise RuntimeError(
            f"cross: inputs must have the same number of dimensions, got {left} and {right}; unsqueeze one"
        )
    code = dtype_code(input)
    if code != dtype_code(other):
        raise RuntimeError(
            f"cross: expected scalar type {input.dtype.name} but found {other.dtype.name}; convert one with .to()"
        )
    if dim is None and 3 not in left:
        raise RuntimeError(f"cross: no dimension of size 3 in input of shape {left}")
    at = left.index(3) if dim is None else one_dim(dim, len(left), "cross")
    if left[at] != 3 or right[at] != 3:
        raise RuntimeError(f"cross: inputs dimension {at} must have length 3. Got {left[at]} and {right[at]}")
    if left != right:
        common = broadcast_shape(left, right)
        if common is None:
            raise RuntimeError(f"cross: the shapes {left} and {right} do not broadcast")
        input, other, left = input.expand(common), other.expand(common), common  # type: ignore[attr-defined]
    if not code:
        raise NotImplementedError(
            'cross: "cross" not implemented for bool, expected numbers; convert the tensors with .int() first'
        )
    operands = input.contiguous(), other.contiguous()  # type: ignore[attr-defined]
    return wrap(run(_CROSS, operands, DTYPES[code], left, (math.prod(left[at + 1 :]),)))


def _diagonal_mask(shape: tuple[int, ...], wrap: bool) -> np.ndarray:
    """Where all indices are equal; in a tall matrix also where they are after leaving out a row, if `wrap`."""
    mask = np.zeros(shape, dtype=bool)
    if wrap and len(shape) == 2:
        mask.reshape(-1)[:: shape[1] + 1] = True
    else:
        mask[(np.arange(min(shape)),) * len(shape)] = True
    return mask


@method
def fill_diagonal_(self: Tensor, fill_value: Any, wrap: bool = False) -> Tensor:
    """Write a number on the diagonal, in place.

    Parameters
    ----------
    fill_value : float
        Converted to the tensor's dtype.
    wrap : bool
        In a matrix with more rows than columns, begin the diagonal again after each end and one row left out.

    Raises
    ------
    RuntimeError
        If there are fewer than two dimensions, or more than two of different sizes.
    """
    shape = shape_of(tensor_of(self, "fill_diagonal_", "self"))
    if len(shape) < 2:
        raise RuntimeError(f"fill_diagonal_: dimensions must be larger than 1, got {len(shape)}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError(f"fill_diagonal_: all dimensions of input must be of equal length, got {shape}")
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    if not is_floating(self):
        value = int(value) if dtype_code(self) else bool(value)
    return self.masked_fill_(from_array(_diagonal_mask(shape, wrap), bool_), value)  # type: ignore
