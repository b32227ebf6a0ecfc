"""Order: sort, topk, medians and unique values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._tensor import Tensor, method, wrap
from ..dispatch import view_code
from ..dtypes import dtype, int64, numpy_to_dtype
from ..engine.entry import entries
from ..engine.layout import HALF, WHOLE_LINE
from ..kernels import BY_NAME
from ..kernels.table import Op
from ..limits import iinfo
from ._arrays import LOWER_HALF, run_arrays
from ._call import is_floating, require_tensors
from ._dims import axis_as_dim, dims_of, numel_of, one_dim, shape_of
from ._indices import is_dense
from ._launch import REPORTS_AT
from ._numpy_names import takes_axis
from ._pairs import pair
from .bounds import where
from .from_data import from_array
from .gathering import GATHER, gather, picked
from .scans import line_words

__all__ = [
    "argsort",
    "kthvalue",
    "median",
    "mode",
    "msort",
    "nanmedian",
    "sort",
    "topk",
    "unique",
    "unique_consecutive",
]

ARGSORT, TOPK, RANK = (BY_NAME[name] for name in ("argsort", "topk_index", "rank_index"))
KTH, MEDIAN, NANMEDIAN, MODE = range(4)  # of the kernel
SORT_WORDS_EACH, SORT_WORDS = (
    4,
    256,
)  # of working memory, for each element of a line and in all: see the loops
_SQUEEZE = view_code("squeeze")
FEW = 64  # up to here keeping the best so far beats sorting everything


sort_result, topk_result, kthvalue_result = pair("sort"), pair("topk"), pair("kthvalue")
median_result, nanmedian_result, mode_result = pair("median"), pair("nanmedian"), pair("mode")


def _at_once(op: Op, x: Tensor, dim: Any, least: Any, size: int, keep: bool, first: int, second: int,
             per_element: int, more: int) -> int:  # fmt: skip
    """The slots of indices and values, of which `_pair` makes a pair, in one call; negative where it takes several."""
    return entries.ordered(
        op.code,
        GATHER.code,
        _SQUEEZE,
        REPORTS_AT,
        x,
        dim,
        least,
        size,
        keep,
        first,
        second,
        per_element,
        more,
    )


def _pair(result: Any, slots: int) -> Any:
    return result(wrap(slots >> HALF), wrap(slots & LOWER_HALF))


def _indices(op: Op, x: Tensor, dim: int, size: int, words: tuple[int, ...], work: int) -> Tensor:
    """Indices from a sorting kernel, `size` along `dim`."""
    own = shape_of(x)
    shape = (*own[:dim], size, *own[dim + 1 :]) if own else ()
    plain = x if is_dense(x) else x.detach().contiguous()  # type: ignore[attr-defined]
    outputs: list[tuple[dtype, Any]] = [(int64, shape), (int64, (work,))]
    slots = run_arrays(op, (plain,), outputs, (*line_words(own, dim), *words))
    wrap(slots[1])
    return wrap(slots[0])


def _values_at(x: Tensor, dim: int, indices: Tensor) -> Tensor:
    """The elements of `x` at indices from a kernel, which are those of elements."""
    shape = shape_of(indices)
    return picked(x, dim, indices, shape) if shape else gather(x, dim, indices)


def _order(x: Tensor, dim: int, descending: bool) -> Tensor:
    own = shape_of(x)
    n = own[dim] if own else 1
    return _indices(ARGSORT, x, dim, n, (int(descending), 0), SORT_WORDS_EACH * n + SORT_WORDS)


@method
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False,
         axis: int | None = None) -> sort_result:  # fmt: skip
    """Values in order along `dim`, and their indices. Nan is the greatest; equal ones keep their order.

    Parameters
    ----------
    input : Tensor
    dim : int, default -1
    descending : bool, default False
        The greatest first.
    stable : bool
        For PyTorch's sake: every sort is stable.
    axis : int, optional
        NumPy's name of `dim`.

    Returns
    -------
    values : Tensor, shape of input
        The gradient of each goes to the element that it was.
    indices : Tensor of int64, shape of input

    Raises
    ------
    IndexError
        If there is no such dimension.
    """
    if axis is not None:
        dim = axis_as_dim("sort", dim, axis, -1)
    slots = _at_once(
        ARGSORT, input, dim, 0, WHOLE_LINE, True, bool(descending), 0, SORT_WORDS_EACH, SORT_WORDS
    )
    if slots >= 0:
        return _pair(sort_result, slots)
    require_tensors("sort", input)
    dim = one_dim(dim, dims_of(input), "sort")
    indices = _order(input, dim, descending)
    return sort_result(_values_at(input, dim, indices), indices)


@method
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False,
            axis: int | None = None) -> Tensor:  # fmt: skip
    """Indices that put the elements in order along `dim`: those of `sort`, which has the same parameters."""
    if axis is not None:
        dim = axis_as_dim("argsort", dim, axis, -1)
    made = entries.places_in_order(ARGSORT.code, input, dim, bool(descending), SORT_WORDS_EACH, SORT_WORDS)
    if type(made) is not int:
        return made
    require_tensors("argsort", input)
    return _order(input, one_dim(dim, dims_of(input), "argsort"), descending)


@method
def msort(input: Tensor) -> Tensor:
    """Values in order along the first dimension."""
    return sort(input, 0)[0]


@method
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True,
         axis: int | None = None) -> topk_result:  # fmt: skip
    """The `k` greatest (or least) elements along `dim`, best first, and their indices.

    Parameters
    ----------
    input : Tensor
    k : int
    dim : int, default -1
    largest : bool, default True
        The greatest; else the least.
    sorted : bool
        For PyTorch's sake: they always come in order.
    axis : int, optional
        NumPy's name of `dim`.

    Returns
    -------
    values, indices : Tensor
        In the shape of input, but `k` along `dim`.

    Raises
    ------
    RuntimeError
        If `k` is negative or more than the dimension has.
    """
    if axis is not None:
        dim = axis_as_dim("topk", dim, axis, -1)
    if type(k) is int and 0 < k <= FEW:
        slots = _at_once(TOPK, input, dim, k, k, True, bool(largest), k, 0, 2 * k + 1)
        if slots >= 0:
            return _pair(topk_result, slots)
    require_tensors("topk", input)
    own = shape_of(input)
    dim = one_dim(dim, len(own), "topk")
    size = own[dim] if own else 1
    if isinstance(k, bool) or not 0 <= k <= size:
        raise RuntimeError(f"topk: selected index k out of range: k={k}, size {size} along dimension {dim}")
    if k > FEW:
        order = _order(input, dim, largest)
        indices = order[(*(slice(None),) * dim, slice(0, k))].contiguous()  # type: ignore[index]
    else:
        indices = _indices(TOPK, input, dim, k, (int(largest), k), 2 * k + 1)
    return topk_result(_values_at(input, dim, indices), indices)


def _ranked(result: Any, name: str, x: Tensor, dim: int, keepdim: bool, kind: int, rank: int = 0) -> Any:
    slots = _at_once(
        RANK,
        x,
        dim,
        rank + 1 if rank >= 0 else -1,
        1,
        bool(keepdim),
        kind,
        rank,
        SORT_WORDS_EACH,
        SORT_WORDS,
    )
    if slots >= 0:
        return _pair(result, slots)
    require_tensors(name, x)
    own = shape_of(x)
    at = one_dim(dim, len(own), name)
    n = own[at] if own else 1
    if kind == KTH and not 0 <= rank < n:
        raise RuntimeError(
            f"{name}(): selected number k out of range for dimension {dim}: k={rank + 1}, size {n}"
        )
    dim = at
    if n == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size")
    indices = _indices(RANK, x, dim, 1, (kind, rank), SORT_WORDS_EACH * n + SORT_WORDS)
    values = _values_at(x, dim, indices)
    if keepdim or not own:
        return result(values, indices)
    return result(values.squeeze(dim), indices.squeeze(dim))  # type: ignore[attr-defined]


@method
@takes_axis
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> kthvalue_result:
    """The `k`-th smallest element (from 1) along `dim`, and its index.

    Raises
    ------
    RuntimeError
        If `k` is not between 1 and the size of the dimension.
    """
    return _ranked(kthvalue_result, "kthvalue", input, dim, keepdim, KTH, k - 1)


def _median(name: str, kind: int, result: Any, x: Tensor, dim: int | None, keepdim: bool) -> Any:
    if dim is not None:
        return _ranked(result, name, x, dim, keepdim, kind)
    require_tensors(name, x)
    if not numel_of(x):
        # of integers, which have no nan, the least
        return x.sum() + math.nan if is_floating(x) else x.new_full((), iinfo(x.dtype).min)  # type: ignore[attr-defined]
    line = x if dims_of(x) == 1 else x.reshape(-1)  # type: ignore[attr-defined]
    found = _ranked(result, name, line, 0, False, kind)[0]
    if not found.requires_grad:
        return found
    # elements that are equal to it share the gradient, as each could be the median
    value = found.detach()
    return where(value.isnan(), found, where(line == value, line, -math.inf).amax())


@method
def median(input: Tensor, dim: int | None = None, keepdim: bool = False, axis: int | None = None,
           keepdims: bool = False) -> Any:  # fmt: skip
    """The lower median of all elements; with `dim`, along it, and its index.

    Nan when there is any nan, or no element.

    Parameters
    ----------
    input : Tensor
    dim : int, optional
    keepdim : bool, default False
        Keep the dimension with size 1.
    axis, keepdims
        NumPy's names of `dim` and `keepdim`.

    Returns
    -------
    Tensor, or with `dim` a pair of values and int64 indices
    """
    if axis is not None:
        dim = axis_as_dim("median", dim, axis)
    return _median("median", MEDIAN, median_result, input, dim, keepdim or keepdims)


@method
@takes_axis
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` that passes over nan."""
    return _median("nanmedian", NANMEDIAN, nanmedian_result, input, dim, keepdim)


@method
@takes_axis
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> mode_result:
    """The most frequent value along `dim` (the least of several), and the index of its last occurrence.

    A nan equals no other value.
    """
    return _ranked(mode_result, "mode", input, dim, keepdim, MODE)


def _unique_outputs(values: np.ndarray, inverse: np.ndarray | None, counts: np.ndarray | None) -> Any:
    outputs = [from_array(values, numpy_to_dtype(values.dtype, "unique"))]
    outputs += [from_array(extra, int64) for extra in (inverse, counts) if extra is not None]
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


@method
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Values that occur, in order: of all elements, or of the slices along `dim`.

    Parameters
    ----------
    return_inverse : bool
        Also return, for each element, where its value stands in the result.
    return_counts : bool
        Also return how often each value occurs.
    """
    require_tensors("unique", input)
    values = input.numpy(force=True)
    axis = None if dim is None else one_dim(dim, input.ndim, "unique")
    found = np.unique(
        values, return_inverse=return_inverse, return_counts=return_counts, axis=axis, equal_nan=False
    )
    if not return_inverse and not return_counts:
        return _unique_outputs(found, None, None)
    found, *extras = found
    inverse = extras[0].reshape(values.shape if axis is None else (-1,)) if return_inverse else None
    return _unique_outputs(found, inverse, extras[-1] if return_counts else None)


@method
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The first of every run of equal neighbours: of the flattened elements, or of the slices along `dim`."""
    require_tensors("unique_consecutive", input)
    values = input.numpy(force=True)
    axis = 0 if dim is None else one_dim(dim, input.ndim, "unique_consecutive")
    lines = values.reshape(-1) if dim is None else np.moveaxis(values, axis, 0)
    first = np.ones(len(lines), bool)
    if len(lines) > 1:
        differs = lines[1:] != lines[:-1]
        first[1:] = differs if dim is None else differs.reshape(len(differs), -1).any(1)
    inverse = counts = None
    if return_inverse:
        inverse = (np.cumsum(first) - 1).reshape(values.shape if dim is None else (-1,))
    if return_counts:
        counts = np.diff(np.flatnonzero(first), append=len(lines))
    kept = lines[first]
    return _unique_outputs(kept if dim is None else np.moveaxis(kept, 0, axis), inverse, counts)
