"""Order: sort, topk, medians, unique values, and search in sorted ones."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np

from .._tensor import NUMBERS, Tensor, method, wrap
from ..dispatch import result_type
from ..dtypes import DTYPES, bool_, dtype, int64, numpy_to_dtype
from ..kernels import BY_NAME
from ..kernels.table import Op
from ._arrays import run_arrays
from ._call import as_tensors, is_floating, refuse_operand, require_tensors
from ._dims import axis_as_dim, dims_of, one_dim, shape_of
from ._indices import is_dense
from ._pairs import pair
from .creation import zeros
from .from_data import from_array, tensor
from .gathering import gather, picked
from .scans import line_words

__all__ = [
    "argsort",
    "bincount",
    "bucketize",
    "histc",
    "isin",
    "kthvalue",
    "median",
    "mode",
    "msort",
    "nanmedian",
    "searchsorted",
    "sort",
    "topk",
    "unique",
    "unique_consecutive",
]

ARGSORT, TOPK, RANK = (BY_NAME[name] for name in ("argsort", "topk_index", "rank_index"))
KTH, MEDIAN, NANMEDIAN = range(3)  # of the kernel
SORT_WORDS = 256  # of working memory, beside four a line's element: see kernels.sorting_loops
FEW = 64  # up to here keeping the best so far beats sorting everything


sort_result, topk_result, kthvalue_result = pair("sort"), pair("topk"), pair("kthvalue")
median_result, nanmedian_result, mode_result = pair("median"), pair("nanmedian"), pair("mode")


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
    return _indices(ARGSORT, x, dim, n, (int(descending),), 4 * n + SORT_WORDS)


@method
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False,
         axis: int | None = None) -> sort_result:  # fmt: skip
    """Values in order along `dim`, and their indices. Nan is the greatest; equal ones keep their order."""
    require_tensors("sort", input)
    if axis is not None:
        dim = axis_as_dim("sort", dim, axis, -1)
    dim = one_dim(dim, dims_of(input), "sort")
    indices = _order(input, dim, descending)
    return sort_result(_values_at(input, dim, indices), indices)


@method
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False,
            axis: int | None = None) -> Tensor:  # fmt: skip
    """Indices that put the elements in order along `dim`."""
    require_tensors("argsort", input)
    if axis is not None:
        dim = axis_as_dim("argsort", dim, axis, -1)
    return _order(input, one_dim(dim, dims_of(input), "argsort"), descending)


@method
def msort(input: Tensor) -> Tensor:
    """Values in order along the first dimension."""
    return sort(input, 0)[0]


@method
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True,
         axis: int | None = None) -> topk_result:  # fmt: skip
    """The `k` greatest (or least) elements along `dim`, best first, and their indices."""
    require_tensors("topk", input)
    own = shape_of(input)
    if axis is not None:
        dim = axis_as_dim("topk", dim, axis, -1)
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


def _ranked(name: str, x: Tensor, dim: int, keepdim: bool, kind: int, rank: int = 0) -> tuple[Tensor, Tensor]:
    own = shape_of(x)
    dim = one_dim(dim, len(own), name)
    n = own[dim] if own else 1
    if n == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size")
    indices = _indices(RANK, x, dim, 1, (kind, rank), 4 * n + SORT_WORDS)
    values = _values_at(x, dim, indices)
    if keepdim or not own:
        return values, indices
    return values.squeeze(dim), indices.squeeze(dim)  # type: ignore[attr-defined]


@method
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> kthvalue_result:
    """The `k`-th smallest element (from 1) along `dim`, and its index."""
    require_tensors("kthvalue", input)
    size = input.shape[one_dim(dim, input.ndim, "kthvalue")] if input.ndim else 1
    if not 1 <= k <= size:
        raise RuntimeError(
            f"kthvalue(): selected number k out of range for dimension {dim}: k={k}, size {size}"
        )
    return kthvalue_result(*_ranked("kthvalue", input, dim, keepdim, KTH, k - 1))


def _median(name: str, kind: int, result: Any, x: Tensor, dim: int | None, keepdim: bool) -> Any:
    require_tensors(name, x)
    if dim is not None:
        return result(*_ranked(name, x, dim, keepdim, kind))
    if not x.numel():
        raise RuntimeError(f"{name}(): expected at least one element, got shape {tuple(x.shape)}")
    return _ranked(name, x.reshape(-1), 0, False, kind)[0]  # type: ignore[attr-defined]


@method
def median(input: Tensor, dim: int | None = None, keepdim: bool = False, axis: int | None = None,
           keepdims: bool = False) -> Any:  # fmt: skip
    """The lower median of all elements; with `dim`, along it, and its index. Nan when there is any nan."""
    if axis is not None:
        dim = axis_as_dim("median", dim, axis)
    return _median("median", MEDIAN, median_result, input, dim, keepdim or keepdims)


@method
def nanmedian(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """`median` that passes over nan."""
    return _median("nanmedian", NANMEDIAN, nanmedian_result, input, dim, keepdim)


@method
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> mode_result:
    """The most frequent value along `dim` (the least of several), and the index of its last occurrence."""
    require_tensors("mode", input)
    dim = one_dim(dim, input.ndim, "mode")
    lines = np.moveaxis(np.atleast_1d(input.detach().numpy()), dim, -1)
    found = np.empty((*lines.shape[:-1], 1), np.int64)
    for at in np.ndindex(lines.shape[:-1]):
        values, counts = np.unique(lines[at], return_counts=True)
        found[at] = np.flatnonzero(lines[at] == values[counts.argmax()])[-1]
    indices = tensor(np.moveaxis(found, -1, dim) if input.ndim else found[0])
    values_ = gather(input, dim, indices)
    if not keepdim and input.ndim:
        values_, indices = values_.squeeze(dim), indices.squeeze(dim)  # type: ignore[attr-defined]
    return mode_result(values_, indices)


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
    values = input.detach().numpy()
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
    values = input.detach().numpy()
    axis = 0 if dim is None else one_dim(dim, input.ndim, "unique_consecutive")
    lines = values.reshape(-1) if dim is None else np.moveaxis(values, axis, 0)
    first = np.ones(len(lines), bool)
    if len(lines) > 1:
        first[1:] = (lines[1:] != lines[:-1]).reshape(len(lines) - 1, -1).any(1)
    starts = np.flatnonzero(first)
    counts = np.diff(np.append(starts, len(lines)))
    kept = np.moveaxis(lines[first], 0, axis)
    inverse = (np.cumsum(first) - 1).reshape(values.shape if dim is None else (-1,))
    return _unique_outputs(kept, inverse if return_inverse else None, counts if return_counts else None)


def _values(x: Any) -> np.ndarray:
    return x.detach().numpy() if isinstance(x, Tensor) else np.asarray(x)


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
    given = as_tensors("isin", elements, test_elements)
    common = result_type(given)
    x, known = (y.detach().to(common) for y in given)  # type: ignore[attr-defined]
    if known.numel():
        line = known.reshape(-1).sort().values
        found = line.take(searchsorted(line, x).clamp(max=line.numel() - 1)) == x
    else:
        found = zeros(x.shape, dtype=bool_)
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
    which = "right" if right or side == "right" else "left"
    sequences, values = _values(sorted_sequence), _values(input)
    if sorter is not None:
        sequences = np.take_along_axis(sequences, _values(sorter), -1)
    kind = np.int32 if out_int32 else np.int64
    if sequences.ndim == 1:
        return tensor(np.asarray(np.searchsorted(sequences, values, which)).astype(kind))
    if not isinstance(input, Tensor) or sequences.shape[:-1] != values.shape[:-1]:
        raise RuntimeError(
            "searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions "
            "must match: "
            f"sequences {sequences.shape}, values {values.shape}"
        )
    found = np.empty(values.shape, kind)
    for at in np.ndindex(sequences.shape[:-1]):
        found[at] = np.searchsorted(sequences[at], values[at], which)
    return tensor(found)


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
    return from_array(_counts(values, weights.detach().numpy(), minlength), kind)


def _counts(values: np.ndarray, weights: np.ndarray | None, minlength: int) -> np.ndarray:
    try:
        return np.bincount(values, weights, minlength)
    except ValueError:
        raise RuntimeError(f"bincount: only supports non-negative inputs, got {values.min()}") from None


@method
def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """Counts of elements in `bins` equal parts of ``[min, max]``; of their own range when both are equal."""
    require_tensors("histc", input)
    if not input.dtype.is_floating_point:
        raise RuntimeError(f"histc: expected a floating dtype, got {input.dtype.name}; use .float()")
    if not isinstance(bins, Integral) or bins <= 0:
        raise RuntimeError(f"histc: bins must be > 0, got {bins}")
    if not all(isinstance(x, NUMBERS) for x in (min, max)) or min > max:
        raise RuntimeError(f"histc: max must be larger than min, got min={min} and max={max}")
    values = input.detach().numpy().reshape(-1)
    low, high = float(min), float(max)
    if low == high and values.size:
        low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise RuntimeError(f"histc: range of [{low}, {high}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    counts, _edges = np.histogram(values, bins, (low, high))
    return tensor(counts.astype(input.dtype.numpy))
