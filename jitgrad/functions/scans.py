"""Cumulative sums, products and extremes along a dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor, method, wrap
from ..dtypes import DTYPES, dtype, int64
from ..kernels import BY_NAME
from ..kernels.table import Op
from ._arrays import run_arrays
from ._call import dtype_code, is_floating, require_tensors
from ._dims import axis_as_dim, named_dim, one_dim, shape_of
from ._launch import run_alike
from ._numpy_names import takes_axis
from ._pairs import pair
from .indexing import recorded

__all__ = ["cummax", "cummin", "cumprod", "cumsum", "diff", "logcumsumexp"]

CUMSUM, CUMPROD, LOGCUMSUMEXP, CUMMAX, CUMMIN = (
    BY_NAME[name] for name in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")
)


cummax_result, cummin_result = pair("cummax"), pair("cummin")


def line_words(shape: Sequence[int], dim: int) -> tuple[int, int, int]:
    """A shape as (outer, n, inner) around a dimension."""
    return math.prod(shape[:dim]), shape[dim] if shape else 1, math.prod(shape[dim + 1 :])


def _scan(op: Op, name: str, x: Tensor, dim: Any, kind: dtype | None) -> Tensor:
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(x).__name__}")
    shape = shape_of(x)
    dim = one_dim(dim, len(shape), name)
    own = DTYPES[dtype_code(x)]
    if kind is None:
        kind = own if is_floating(x) else int64
    if kind is not own:
        x = x.to(kind)  # type: ignore[attr-defined]
        own = DTYPES[dtype_code(x)]
        if own.code not in op.dtypes:
            return _scan(op, name, x, dim, int64).to(kind)  # type: ignore[attr-defined]
    return run_alike(op, (x.contiguous(),), line_words(shape, dim))  # type: ignore[attr-defined]


@method
def cumsum(
    input: Tensor, dim: int | None = None, *, dtype: dtype | None = None, axis: int | None = None
) -> Tensor:
    """Sums of the elements up to each, along `dim`; integers are summed as int64.

    Parameters
    ----------
    input : Tensor
    dim : int
    dtype : dtype, optional
        Convert to this before summing; the result has it, too.
    axis : int, optional
        NumPy's name of `dim`.

    Returns
    -------
    Tensor, shape of input
    """
    return _scan(CUMSUM, "cumsum", input, named_dim("cumsum", dim, axis), dtype)


@method
def cumprod(
    input: Tensor, dim: int | None = None, *, dtype: dtype | None = None, axis: int | None = None
) -> Tensor:
    """Products of the elements up to each, along `dim`; integers are multiplied as int64. Else as `cumsum`."""
    return _scan(CUMPROD, "cumprod", input, named_dim("cumprod", dim, axis), dtype)


@method
@takes_axis
def logcumsumexp(input: Tensor, dim: int) -> Tensor:
    """Logarithms of the cumulative sums of exponentials, along `dim`."""
    require_tensors("logcumsumexp", input)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"logcumsumexp: expected a floating dtype, got {input.dtype.name}; use .float()")
    return _scan(LOGCUMSUMEXP, "logcumsumexp", input, dim, None)


def _in_place(name: str, function: Any) -> None:
    def in_place(self: Tensor, dim: int) -> Tensor:
        # the walk back may want the values from before
        return self.copy_(function(self.clone() if recorded(self) else self, dim))  # type: ignore[attr-defined]

    in_place.__name__ = in_place.__qualname__ = name + "_"
    in_place.__doc__ = f"`{name}` in place."
    method(in_place)


_in_place("cumsum", cumsum)
_in_place("cumprod", cumprod)


def _extreme(op: Op, name: str, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    require_tensors(name, x)
    dim = one_dim(dim, x.ndim, name)
    shape = shape_of(x)
    made = [(x.dtype, shape), (int64, shape)]
    values, indices = run_arrays(op, (x.contiguous(),), made, line_words(shape, dim))  # type: ignore[attr-defined]
    return wrap(values), wrap(indices)


@method
@takes_axis
def cummax(input: Tensor, dim: int) -> cummax_result:
    """The greatest element up to each along `dim`, and its index: the last of equal ones."""
    return cummax_result(*_extreme(CUMMAX, "cummax", input, dim))


@method
@takes_axis
def cummin(input: Tensor, dim: int) -> cummin_result:
    """The least element up to each along `dim`, and its index: the last of equal ones."""
    return cummin_result(*_extreme(CUMMIN, "cummin", input, dim))


@method
def diff(
    input: Tensor,
    n: int = 1,
    dim: int = -1,
    prepend: Tensor | None = None,
    append: Tensor | None = None,
    axis: int | None = None,
) -> Tensor:
    """Differences of neighbours along `dim`, taken `n` times."""
    require_tensors("diff", input)
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"diff: order must be non-negative but got {n}")
    if axis is not None:
        dim = axis_as_dim("diff", dim, axis, -1)
    dim = one_dim(dim, input.ndim, "diff")
    parts = [x for x in (prepend, input, append) if x is not None]
    x = input
    if len(parts) > 1:
        from .joining import cat

        x = cat(parts, dim)
    before = (slice(None),) * dim
    for _ in range(n):
        late, early = x[(*before, slice(1, None))], x[(*before, slice(None, -1))]  # type: ignore[index]
        x = late ^ early if x.dtype.code == 0 else late - early  # type: ignore[operator]
    return x.clone() if x is input else x  # type: ignore[attr-defined]
