"""scatter_reduce: elements that share an index, reduced to one.

Extremes have a kernel (`kernels.scatter_extremes`), the rest is made of scatter and gather. In a product the elements
of `input` are sources too, each at its own place; one that ``include_self=False`` leaves out has a place beyond all.
"""

from __future__ import annotations

from .._tensor import Tensor, method, wrap
from ..dtypes import bool_, int64
from ..kernels import BY_NAME
from ._arrays import run_arrays
from ._call import is_floating, require_tensors
from ._dims import one_dim, shape_of
from ._launch import report_cell, take_report
from .arithmetic_in_place import in_place_of
from .gathering import check_dims, check_sizes, lines_of, long_index
from .indexing import recorded
from .joining import cat
from .ranges import arange
from .scans import line_words

__all__ = ["scatter_reduce"]

REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")
_EXTREME = BY_NAME["scatter_extreme"]


@method
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """`input` with the elements of `src` that have one index along `dim` reduced to one element there.

    Parameters
    ----------
    reduce : {"sum", "prod", "mean", "amax", "amin"}
        Of equal extremes each gets its share of the gradient. The product takes memory for every pair of an
        element and a place along `dim`.
    include_self : bool
        Whether the element of `input` takes part, too. Where no index points, it stays in any case.

    Raises
    ------
    RuntimeError
        If the dtypes differ, shapes or `reduce` do not fit, or an index is out of range.
    """
    require_tensors("scatter_reduce", input, index, src)
    if reduce not in REDUCTIONS:
        raise RuntimeError(
            f"scatter_reduce: reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"
        )
    if input.dtype is not src.dtype:
        raise RuntimeError(
            f"scatter_reduce: Expected self.dtype to be equal to src.dtype, got {input.dtype.name} and "
            f"{src.dtype.name}; convert one with .to()"
        )
    index = long_index(index, "scatter_reduce")
    at = one_dim(dim, input.ndim, "scatter_reduce")
    own, places = shape_of(input), shape_of(index)
    alike = own[:at] == places[:at] and own[at + 1 :] == places[at + 1 :]
    if own and alike and 0 not in places and shape_of(src) == places and input.dtype is not bool_:
        return _reduced(input, at, index, src, reduce, include_self)
    check_dims("scatter_reduce", own, places)
    check_dims("scatter_reduce", shape_of(src), places, "src")
    if not index.numel():
        return input.clone()  # type: ignore[attr-defined]
    x, index, src = lines_of(input, index, src)
    check_sizes("scatter_reduce", shape_of(x), shape_of(index), at, "self")
    check_sizes("scatter_reduce", shape_of(src), shape_of(index), -1, "src")
    if x.dtype is bool_:
        kind = {"sum": "amax", "prod": "amin"}.get(reduce, reduce)
        whole = scatter_reduce(x.long(), at, index, src.long(), kind, include_self=include_self)  # type: ignore
        return whole.bool().reshape(input.shape)  # type: ignore[attr-defined]
    if src.shape != index.shape:
        src = src[tuple(slice(n) for n in index.shape)]  # type: ignore[index]
    sizes = zip(shape_of(x), shape_of(index), strict=True)
    if all(d == at or n == own for d, (n, own) in enumerate(sizes)):
        reduced = _reduced(x, at, index, src, reduce, include_self)
    else:
        part = tuple(slice(None if d == at else n) for d, n in enumerate(index.shape))
        reduced = x.clone()  # type: ignore[attr-defined]
        reduced[part] = _reduced(x[part], at, index, src, reduce, include_self)  # type: ignore[index]
    return reduced.reshape(input.shape)  # type: ignore[attr-defined]


def _reduced(x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, include_self: bool) -> Tensor:
    """The reduction where `index` has the shape of `src`, and that of `x` but for `dim`."""
    if reduce == "sum" and include_self:
        return x.scatter_add(dim, index, src)  # type: ignore[attr-defined]
    if reduce in ("amax", "amin"):
        return _extremes(x, dim, index, src, reduce == "amax", include_self)
    # this reports an index out of range, before one could be taken for the place behind the last
    hits = index.new_zeros(x.shape).scatter_add(dim, index, index.new_ones(index.shape))
    if reduce in ("sum", "mean"):
        total = (x if include_self else x.masked_fill(hits > 0, 0)).scatter_add(dim, index, src)  # type: ignore
        if reduce == "sum":
            return total
        counts = (hits + 1 if include_self else hits.clamp(min=1)).to(x.dtype)
        return total / counts if is_floating(x) else total // counts
    places = x.shape[dim]
    own = arange(places, dtype=int64).reshape([-1 if d == dim else 1 for d in range(x.ndim)])
    own = own.expand(*x.shape)
    if not include_self:
        own = own.masked_fill(hits > 0, places)
    everything, target = cat([x, src], dim), cat([own, index], dim)
    return _products(everything, dim, target, places)


def _products(x: Tensor, dim: int, target: Tensor, places: int) -> Tensor:
    """For every place the product of all elements, of which those elsewhere count as 1."""
    lines, at = x.movedim(dim, -1).unsqueeze(-2), target.movedim(dim, -1).unsqueeze(-2)  # type: ignore
    elsewhere = at != arange(places, dtype=int64).unsqueeze(-1)  # type: ignore[attr-defined]
    factors = lines.expand(*elsewhere.shape).masked_fill(elsewhere, 1)
    return factors.prod(-1).to(x.dtype).movedim(-1, dim)


def _extremes(x: Tensor, dim: int, index: Tensor, src: Tensor, greatest: bool, include_self: bool) -> Tensor:
    """The extreme of each place; of equal ones each gets its share of the gradient."""
    shape, cell = shape_of(x), report_cell()
    outer, places, inner = line_words(shape, dim)
    counting = recorded(x, src)
    sizes = (outer, places, index.shape[dim], inner)
    words = (cell, dim, *sizes, int(greatest), int(include_self), int(counting))
    operands = [t.contiguous() for t in (x, index, src)]  # type: ignore[attr-defined]
    best, _counts = map(wrap, run_arrays(_EXTREME, operands, [(x.dtype, shape), (x.dtype, shape)], words))
    take_report("scatter_reduce", cell)
    return best


Tensor.scatter_reduce_ = in_place_of(scatter_reduce)
