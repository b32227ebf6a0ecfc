"""Search in lines in order, and counts of values: searchsorted, isin, bincount."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tensor import Tensor, method
from ..dispatch import result_type
from ..dtypes import DTYPES, bool_, int32, int64
from ..kernels import BY_NAME
from ._call import as_tensors, dtype_code, is_floating, refuse_operand, require_tensors
from ._dims import dims_of, shape_of
from ._launch import run_alike
from .conversion import cast
from .from_data import from_array
from .gathering import gather
from .sorting import sort

__all__ = ["bincount", "bucketize", "isin", "searchsorted"]

PLACE, IS_AMONG = BY_NAME["place_in_order"], BY_NAME["is_among"]


@method
def isin(elements: Any, test_elements: Any, *, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Whether each element is among others, or is not with `invert`; either side may be a number.

    Parameters
    ----------
    assume_unique : bool
        Accepted as in PyTorch; it changes nothing.
    """
    if not isinstance(elements, Tensor) and not isinstance(test_elements, Tensor):
        refuse_operand("isin", elements, "elements")
    x, known = _in_one_dtype("isin", elements, test_elements)
    line = sort(known if dims_of(known) == 1 else known.reshape(-1))[0]  # type: ignore[attr-defined]
    found = run_alike(IS_AMONG, (x, line), (0,), bool_)
    return ~found if invert else found


def searchsorted(
    sorted_sequence: Tensor,
    input: Any,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where values belong in sorted sequences: the first place that keeps the order; with `right` the last.

    Parameters
    ----------
    sorted_sequence : Tensor
        One sequence, or sequences in the last dimension with the leading sizes of `input`.
    input : Tensor or number
        The values.
    sorter : Tensor, optional
        Indices that sort the sequences.
    """
    require_tensors("searchsorted", sorted_sequence, optional=sorter)
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted(): side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(
            "searchsorted(): side and right can't be set to opposites, got side='left' and right=True"
        )
    x, line = _in_one_dtype("searchsorted", input, sorted_sequence)
    if sorter is not None:
        if tuple(sorter.shape) != tuple(sorted_sequence.shape):
            raise RuntimeError(
                f"searchsorted(): sorter must have the sequences' shape {tuple(sorted_sequence.shape)}, "
                f"got {tuple(sorter.shape)}"
            )
        line = gather(line, -1, sorter)
    if dims_of(line) != 1:
        own, shape = shape_of(line), shape_of(x)
        if not isinstance(input, Tensor) or not own or own[:-1] != shape[:-1]:
            raise RuntimeError(
                "searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions "
                f"must match: sequences {own}, values {shape}"
            )
    found = run_alike(PLACE, (x, line), (int(right or side == "right"),), int64)
    return found.to(int32) if out_int32 else found  # type: ignore[attr-defined]


def _in_one_dtype(name: str, *values: Any) -> tuple[Tensor, ...]:
    """Tensors and numbers as tensors of the dtype in which they combine."""
    if all(isinstance(x, Tensor) for x in values) and len({dtype_code(x) for x in values}) == 1:
        return values
    given = as_tensors(name, *values)
    common = result_type(given)
    return tuple(cast(x, common) for x in given)


@method
def bucketize(input: Any, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """For each value the number of boundaries below it (or, with `right`, not above it)."""
    if not isinstance(boundaries, Tensor):
        refuse_operand("bucketize", boundaries, "boundaries")
    if boundaries.ndim != 1:
        raise RuntimeError(
            f"bucketize(): boundaries must be 1 dimension, got shape {tuple(boundaries.shape)}"
        )
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


@method
def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each whole number occurs, or the sums of its weights."""
    require_tensors("bincount", input, optional=weights)
    if dims_of(input) != 1 or is_floating(input):
        raise RuntimeError(
            f"bincount: only supports 1-d non-negative integral inputs, got {input.dtype.name} "
            f"{tuple(input.shape)}"
        )
    if minlength < 0:
        raise RuntimeError(f"bincount: minlength should be >= 0, got {minlength}")
    values = input.numpy()
    if weights is None:
        return from_array(_counts(values, None, minlength), int64)
    if tuple(weights.shape) != tuple(input.shape):
        raise RuntimeError(
            "bincount: weights should be 1-d and have the same length as input, got "
            f"{tuple(weights.shape)} and "
            f"{tuple(input.shape)}"
        )
    kind = weights.dtype if weights.dtype in (DTYPES[4],) else DTYPES[5]
    return from_array(_counts(values, weights.numpy(force=True), minlength), kind)


def _counts(values: np.ndarray, weights: np.ndarray | None, minlength: int) -> np.ndarray:
    try:
        return np.bincount(values, weights, minlength)
    except ValueError:
        raise RuntimeError(f"bincount: only supports non-negative inputs, got {values.min()}") from None
