"""Norms, and the logarithm of a sum of exponentials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import reduce as run_reduction
from ..kernels import BY_NAME
from ._call import is_floating, refuse_operand, tensor_of
from ._dims import axis_as_dim, dim_mask, dims_of
from ._launch import run
from ._out import write_out
from .bounds import where
from .extremes import extreme_with_ties, refuse_empty
from .indexing import recorded
from .reduce import converted, square_root, without_dims

__all__ = ["logsumexp", "norm"]

_TOTAL = BY_NAME["total_norm"]
_SUM, _AMAX, _AMIN, _SQUARES, _ABSOLUTES = (
    BY_NAME[name] for name in ("sum", "amax", "amin", "sum_of_squares", "sum_of_absolutes")
)


def norm(input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None,
         dtype: Any = None) -> Tensor:  # fmt: skip
    """The p-norm of all elements or along dimensions: ``(sum |x| ** p) ** (1 / p)``.

    Parameters
    ----------
    p : float or {"fro"}
        2 (the default), 1, any other number, inf (greatest magnitude), -inf (smallest) or
        0 (count of nonzeros).

    Raises
    ------
    RuntimeError
        When the tensor is not floating point.
    """
    if not isinstance(input, Tensor):
        refuse_operand("norm", input)
    if out is not None:
        return write_out("norm", norm(input, p, dim, keepdim, dtype=dtype), out, same_dtype=True)
    x = converted(input, dtype, "norm")
    if not is_floating(x):
        raise RuntimeError(
            f"norm: Expected a floating point tensor as input. Got {x.dtype.name}; use .float() or dtype="
        )
    mask = dim_mask(dim, dims_of(x), "norm")
    order = 2.0 if p is None or p == "fro" else float(p)
    if order == 2:
        return square_root(wrap(run_reduction(_SQUARES, x, mask, keepdim)))
    if order == 1:
        return wrap(run_reduction(_ABSOLUTES, x, mask, keepdim))
    if order == 0:
        # the zeros keep the graph: a count has a gradient, which is 0
        return wrap(run_reduction(_SUM, where(x != 0, 1.0, x * 0.0), mask, keepdim))
    magnitude = x.abs()  # type: ignore[attr-defined]
    if math.isinf(order):
        _refuse_empty_dim(x, mask)
        return extreme_with_ties(_AMAX if order > 0 else _AMIN, magnitude, mask, keepdim)
    if not recorded(x):
        return wrap(run_reduction(_SUM, magnitude**order, mask, keepdim)) ** (1 / order)
    # powers have no finite slope at 0, or an infinite one: there the gradient is 0, as in PyTorch
    # what a zero is worth in the sum is also the sum that makes a norm of 0
    none = 0.0 if order > 0 else math.inf
    total = wrap(run_reduction(_SUM, _power_but(magnitude, order, 0.0, none), mask, keepdim))
    return _power_but(total, 1 / order, none, 0.0)


def _refuse_empty_dim(x: Tensor, mask: int) -> None:
    try:
        refuse_empty(x, mask, "norm")
    except IndexError as error:
        raise RuntimeError(str(error)) from None  # where amax has an IndexError, PyTorch's norm has this


def _power_but(x: Tensor, order: float, where_it_is: float, result: float) -> Tensor:
    """``x ** order``, but where `x` is a certain number a constant with a gradient of 0."""
    there = x == where_it_is
    return where(there, result, where(there, 1.0, x) ** order)


def logsumexp(input: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None,
              keepdims: bool = False) -> Tensor:  # fmt: skip
    """``log(sum(exp(x)))`` along dimensions, without overflow."""
    x = tensor_of(input, "logsumexp")
    if axis is not None:
        dim = axis_as_dim("logsumexp", dim, axis)
    if not is_floating(x):
        x = x.float()  # type: ignore[attr-defined]
    keepdim = keepdim or keepdims
    mask = dim_mask(dim, dims_of(x), "logsumexp")
    if not x.numel():
        return wrap(run_reduction(_SUM, x.exp(), mask, keepdim)).log()  # type: ignore[attr-defined]
    top = wrap(run_reduction(_AMAX, x.detach(), mask, True))
    # an infinite maximum is the answer itself, and would make nan of the difference
    top = top.masked_fill(top.abs() == math.inf, 0)  # type: ignore[attr-defined]
    total = wrap(run_reduction(_SUM, (x - top).exp(), mask, True)).log() + top  # type: ignore[attr-defined]
    return total if keepdim else without_dims(total, mask)


def total_norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the 2-norm of the elements of contiguous tensors of one floating-point dtype; it has no gradient."""
    return wrap(run(_TOTAL, tensors, tensors[0].dtype, (), ()))


Tensor.norm, Tensor.logsumexp = norm, logsumexp
