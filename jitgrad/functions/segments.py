"""Reductions of runs of rows: segment_reduce."""

from __future__ import annotations

import math
from typing import Any

from .._tensor import Tensor
from ._call import require_tensors
from ._dims import one_dim
from .joining import repeat_interleave
from .ranges import arange

__all__ = ["segment_reduce"]

# PyTorch's names, those of scatter_reduce, and what is there of an empty segment
_REDUCTIONS = {
    "sum": ("sum", 0.0),
    "mean": ("sum", 0.0),
    "prod": ("prod", 1.0),
    "max": ("amax", -math.inf),
    "min": ("amin", math.inf),
}


def segment_reduce(data: Tensor, reduce: str, lengths: Tensor | None = None, *, offsets: Tensor | None = None,
                   axis: int = 0, unsafe: bool = False, initial: float | None = None) -> Tensor:  # fmt: skip
    """Reduce runs of rows that follow one another.

    Parameters
    ----------
    data : Tensor, shape (rows, ...)
    reduce : {"sum", "mean", "prod", "max", "min"}
    lengths : Tensor of integers, shape (segments,), optional
        The rows of each segment, `rows` together.
    offsets : Tensor of integers, shape (segments + 1,), optional
        In place of `lengths`: where each segment begins, and where the last ends.
    axis : int
        Only the first dimension can be reduced.
    unsafe : bool
        Accepted; lengths are always checked.
    initial : float, optional
        Reduced with each segment; otherwise an empty segment's sum is 0, its product 1, its mean nan, its greatest
        number -inf and its least inf.

    Returns
    -------
    Tensor, shape (segments, ...)

    Raises
    ------
    RuntimeError
        If the lengths do not fit the rows, or neither or both of `lengths` and `offsets` are given.
    """
    require_tensors("segment_reduce", data)
    if reduce not in _REDUCTIONS:
        raise RuntimeError(
            f"segment_reduce(): expected reduce to be one of {', '.join(_REDUCTIONS)}, got {reduce!r}"
        )
    if (lengths is None) == (offsets is None):
        raise RuntimeError("segment_reduce(): expected one of lengths and offsets")
    counts: Any = lengths if offsets is None else offsets.diff()  # type: ignore[attr-defined]
    require_tensors("segment_reduce", counts)
    x: Any = data
    if counts.dim() != 1 or one_dim(axis, x.dim(), "segment_reduce"):
        raise RuntimeError(
            f"segment_reduce(): expected segments of the first dimension, with lengths of one dimension, got "
            f"axis={axis} and lengths of shape {tuple(counts.shape)}"
        )
    rows = int(counts.sum())
    if rows != x.shape[0] or (counts < 0).any():
        raise RuntimeError(f"segment_reduce(): lengths of {rows} rows do not fit data of {x.shape[0]} rows")
    kind, start = _REDUCTIONS[reduce]
    segment: Any = repeat_interleave(arange(len(counts)), counts.long())
    index = segment.reshape(-1, *[1] * (x.dim() - 1)).expand(x.shape)
    begin = x.new_full((len(counts), *x.shape[1:]), start if initial is None else initial)
    made = begin.scatter_reduce(0, index, x, kind)
    if reduce == "mean":
        number = counts.reshape(-1, *[1] * (x.dim() - 1))
        made = made / (number if initial is None else number.clamp(min=1))
    return made
