"""Reversing, rolling and masking by position: flip, roll, rot90, tril, triu, diag."""

from __future__ import annotations

from functools import lru_cache
from numbers import Integral
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, insist, view_code
from ..dtypes import int64, to_dtype
from ..engine.entry import entries
from ..kernels import BY_NAME
from ._call import require_tensors, tensor_of
from ._dims import by_name, dim_mask, dims_of, one_dim, shape_of
from ._launch import run, run_alike
from .creation import make_empty
from .joining import cat
from .shape import plain_columns, reshaped, view_words
from .slicing import diagonal, narrow
from .transposing import movedim, transpose

__all__ = ["diag", "diag_embed", "diagflat", "flip", "fliplr", "flipud", "roll", "rot90", "tril",
           "tril_indices", "triu", "triu_indices"]  # fmt: skip

_FLIP, _TRIANGLE, _SLICE_PUT, _CAT = (BY_NAME[name] for name in ("flip", "triangle", "slice_put", "cat"))
_SLICE = view_code("slice")


def flip(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """The given dimensions in reverse; a copy."""
    shape = shape_of(tensor_of(input, "flip"))
    if dims is not None:
        args = by_name("flip", "dims", dims, args)
    named = args[0] if len(args) == 1 else args
    if not hasattr(named, "__index__") and not len(named):
        return input.clone()  # type: ignore[attr-defined]
    mask = dim_mask(named, len(shape), "flip")
    return run_alike(_FLIP, (input,), (mask,))


def fliplr(input: Tensor) -> Tensor:
    """The second dimension in reverse."""
    require_tensors("fliplr", input)
    if dims_of(input) < 2:
        raise RuntimeError("fliplr: Input must be >= 2-d.")
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """The first dimension in reverse."""
    require_tensors("flipud", input)
    if dims_of(input) < 1:
        raise RuntimeError("flipud: Input must be >= 1-d.")
    return flip(input, 0)


def roll(input: Tensor, shifts: Any, dims: Any = None) -> Tensor:
    """Elements shifted along dimensions; what leaves at the end comes in at the start.

    Raises
    ------
    RuntimeError
        When the numbers of shifts and dimensions differ.
    """
    made = entries.rolled(_SLICE, _CAT.code, input, shifts, dims)
    if type(made) is not int:
        return made
    shape = shape_of(tensor_of(input, "roll"))
    steps = [shifts] if isinstance(shifts, Integral) else list(shifts)
    if dims is None or (not isinstance(dims, Integral) and not len(dims)):
        if len(steps) != 1:
            raise RuntimeError(f"roll: shifts and dimensions must align. shifts: {len(steps)}, dims: 0")
        if len(shape) == 1:
            return roll(input, steps[0], 0)
        flat = roll(reshaped(input, (input.numel(),), "reshape"), steps[0], 0)
        return reshaped(flat, shape, "reshape")
    where_to = [dims] if isinstance(dims, Integral) else list(dims)
    if len(steps) != len(where_to):
        raise RuntimeError(
            f"roll: shifts and dimensions must align. shifts: {len(steps)}, dims: {len(where_to)}"
        )
    x = input
    for step, dim in zip(steps, where_to, strict=True):
        at = one_dim(dim, len(shape), "roll")
        step = step % shape[at] if shape and shape[at] else 0
        if step:
            x = cat([narrow(x, at, shape[at] - step, step), narrow(x, at, 0, shape[at] - step)], at)
    return input.clone() if x is input else x  # type: ignore[attr-defined]


def rot90(input: Tensor, k: int = 1, dims: Any = (0, 1)) -> Tensor:
    """A quarter turn, `k` times, in the plane of two dimensions, from the first towards the second.

    Parameters
    ----------
    input : Tensor, of two dimensions or more
    k : int, default 1
        Negative turns go the other way.
    dims : two ints, default (0, 1)

    Raises
    ------
    TypeError
        If `k` is no integer.
    RuntimeError
        If `input` has fewer than two dimensions, or `dims` are not two different ones.
    """
    count = dims_of(tensor_of(input, "rot90"))
    if not isinstance(k, Integral):
        raise TypeError(f"rot90(): argument 'k' must be int, not {type(k).__name__}")
    if len(dims) != 2:
        raise RuntimeError(f"rot90: expected total rotation dims == 2, but got dims = {len(dims)}")
    if count < 2:
        raise RuntimeError(
            f"rot90: expected total dims >= 2, but got total dims = {count}; flip() reverses a vector"
        )
    first, second = (one_dim(d, count, "rot90") for d in dims)
    if first == second:
        raise RuntimeError("rot90: expected rotation dims to be different")
    k %= 4
    if k == 0:
        return input.clone()  # type: ignore[attr-defined]
    if k == 2:
        return flip(input, (first, second))
    # reversed as it lies in memory; the exchange of dimensions is a view, as in PyTorch
    return transpose(flip(input, second if k == 1 else first), first, second)


def _triangle(name: str, input: Tensor, upper: int, diagonal: int) -> Tensor:
    if dims_of(tensor_of(input, name)) < 2:
        raise RuntimeError(
            f"{name}: input tensor must have at least 2 dimensions, got shape {shape_of(input)}"
        )
    return run_alike(_TRIANGLE, (input,), (upper, diagonal))


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """Zeros above a diagonal of the last two dimensions."""
    return _triangle("tril", input, 0, diagonal)


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """Zeros below a diagonal of the last two dimensions."""
    return _triangle("triu", input, 1, diagonal)


def _indices(name: str, row: int, col: int, offset: int, upper: int, dtype: Any) -> Tensor:
    kind = int64 if dtype is None else to_dtype(dtype, name)
    if row < 0 or col < 0:
        raise RuntimeError(f"{name}: row and col must be non-negative, got {row} and {col}")
    return insist("triangle_places", CONTEXT, kind.code, row, col, offset, upper)


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Row and column indices of the lower triangle of a matrix."""
    return _indices("tril_indices", row, col, offset, 0, dtype)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Row and column indices of the upper triangle of a matrix."""
    return _indices("triu_indices", row, col, offset, 1, dtype)


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """The diagonal of a matrix, or the matrix with a vector as its diagonal."""
    dims = dims_of(tensor_of(input, "diag"))
    if dims == 2:
        return _diagonal(input, diagonal).contiguous().clone()  # type: ignore[attr-defined]
    if dims != 1:
        raise RuntimeError(f"diag: matrix or a vector expected, got {dims} dimension(s)")
    return diag_embed(input, diagonal)


_diagonal = diagonal


@lru_cache(1024)
def _diagonal_words(shape: tuple[int, ...], offset: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The sizes of matrices with lines of this shape as their diagonals, and the words of the view of these."""
    below, right = max(-offset, 0), max(offset, 0)
    size = shape[-1] + below + right
    rows, columns = len(shape) - 1, len(shape)
    column = (shape[-1], rows, 1, columns)
    words = view_words([*plain_columns(shape)[:-1], column], [*(0,) * rows, below, right], "diag_embed")
    return (*shape[:-1], size, size), tuple(words)


def diag_embed(input: Tensor, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """Matrices with the last dimension as their diagonals."""
    shape = shape_of(tensor_of(input, "diag_embed"))
    first, second = one_dim(dim1, len(shape) + 1, "diag_embed"), one_dim(dim2, len(shape) + 1, "diag_embed")
    if first == second:
        raise RuntimeError(f"diag_embed: diagonal dimensions cannot be identical {dim1}, {dim2}")
    kind = input.dtype
    sizes, words = _diagonal_words(shape, offset)
    matrix = wrap(run(_SLICE_PUT, (make_empty(sizes, kind, True), input), kind, sizes, words))
    if (first, second) == (len(shape) - 1, len(shape)):
        return matrix
    return movedim(matrix, (-2, -1), (first, second))


def diagflat(input: Tensor, offset: int = 0) -> Tensor:
    """The matrix with all elements of a tensor as its diagonal."""
    require_tensors("diagflat", input)
    return diag_embed(reshaped(input, (input.numel(),), "reshape"), offset)


for _name in __all__:
    if _name not in ("tril_indices", "triu_indices"):
        setattr(Tensor, _name, globals()[_name])


def _in_place(name: str) -> None:
    function = globals()[name]

    def run(self: Tensor, diagonal: int = 0) -> Tensor:
        return self.copy_(function(self, diagonal))  # type: ignore[attr-defined]

    run.__name__ = run.__qualname__ = name + "_"
    run.__doc__ = f"``{name}`` in place."
    setattr(Tensor, name + "_", run)


_in_place("tril")
_in_place("triu")
