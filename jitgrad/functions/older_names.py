"""Names that scripts of PyTorch's earlier years use, and its rarer writes: new, range, put, renorm, index_reduce."""

from __future__ import annotations

import math
from typing import Any

from .._tensor import Tensor, method
from ..dtypes import get_default_dtype, to_dtype
from ..user_frames import warn
from ._call import require_tensors, tensor_of
from ._dims import one_dim
from ._numpy_names import takes_axis
from ._split_names import takes_split_names
from .bounds import where
from .indexing import recorded
from .norms import norm
from .ranges import arange
from .scatter_reduction import scatter_reduce
from .splitting import tensor_split

__all__ = ["detach", "diagonal_scatter", "dsplit", "fill", "index_reduce", "put", "range", "renorm"]


@method
def new(self: Tensor, *args: Any, device: Any = None) -> Tensor:
    """A tensor of this one's dtype: an uninitialised one of sizes, or one of data."""
    from ..typed import from_sizes_or_data

    return from_sizes_or_data("new", args, self.dtype)


def range(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None,
          requires_grad: bool = False) -> Tensor:  # fmt: skip
    """Numbers from `start` up to and including `end`, `step` apart: `arange` leaves the end out, as Python does."""
    warn(
        "range(): its end is part of it, unlike that of Python's range; use arange(), which ends before it",
        UserWarning,
    )
    if end is None:
        start, end = 0, start
    kind = get_default_dtype() if dtype is None else to_dtype(dtype, "range")
    count = math.floor((end - start) / step) + 1 if step else 0
    last = start + count * step if count > 0 else end
    made = arange(start, last, step, dtype=kind, device=device)[: max(count, 0)]
    return made.requires_grad_(requires_grad)


def detach(input: Tensor) -> Tensor:
    """The same values without the history."""
    return tensor_of(input, "detach").detach()


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like `input` of which every element is `value`, a number or a tensor without dimensions."""
    return tensor_of(input, "fill").clone().fill_(value)  # type: ignore[attr-defined]


@method
@takes_split_names
def dsplit(input: Tensor, indices_or_sections: Any) -> tuple[Tensor, ...]:
    """`tensor_split` along the third dimension."""
    require_tensors("dsplit", input)
    if input.ndim < 3:
        raise RuntimeError(
            f"dsplit: requires a tensor with at least 3 dimension, but got a tensor with {input.ndim} dimensions"
        )
    return tensor_split(input, indices_or_sections, 2)


@method
def put(input: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with the elements of `source` at the places `index` of `input`, seen as one dimension.

    Parameters
    ----------
    index : Tensor
        Integers from ``-input.numel()`` to ``input.numel() - 1``, as many as `source` has elements.
    accumulate : bool
        Whether to add to what is there; without it, one of several writes to a place remains.

    Raises
    ------
    RuntimeError
        If `source` has another dtype.
    IndexError
        If it has not as many elements as `index`.
    """
    require_tensors("put", input, index, source)
    if source.dtype is not input.dtype:
        raise RuntimeError(
            f"put(): self and source expected to have the same dtype, but got self.dtype = {input.dtype.name} "
            f"and source.dtype = {source.dtype.name}; convert one with .to()"
        )
    if index.numel() != source.numel():
        raise IndexError(
            f"put(): expected source and index to have the same number of elements, but got {source.numel()} "
            f"for source and {index.numel()} for index"
        )
    flat, places = input.reshape(-1), (index.reshape(-1),)  # type: ignore[attr-defined]
    written = flat.index_put(places, source.reshape(-1), accumulate)  # type: ignore[attr-defined]
    return written.reshape(input.shape)


@method
def put_(self: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """`put` in place."""
    return self.copy_(put(self, index, source, accumulate))  # type: ignore[attr-defined]


@method
def diagonal_scatter(input: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """`input` with `src` for its diagonal; see `diagonal`."""
    require_tensors("diagonal_scatter", input, src)
    made: Any = input.clone()  # type: ignore[attr-defined]
    place = made.diagonal(offset, dim1, dim2)
    if place.shape != src.shape:
        raise RuntimeError(
            f"diagonal_scatter: expected src to have a size equal to the diagonal of self, {tuple(place.shape)}; "
            f"got {tuple(src.shape)}"
        )
    place.copy_(src)
    return made


@method
def index_reduce(input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
                 include_self: bool = True) -> Tensor:  # fmt: skip
    """`input` with slices of `source` reduced into its slices along `dim`: slice k goes to ``index[k]``.

    Parameters
    ----------
    index : Tensor
        Integers, one for each of the slices of `source` along `dim`.
    reduce : {"prod", "mean", "amax", "amin"}
        See `scatter_reduce`; for sums there is `index_add`.
    include_self : bool
        Whether the slice of `input` takes part, too. Where no index points, it stays in any case.
    """
    require_tensors("index_reduce", input, index, source)
    if reduce not in ("prod", "mean", "amax", "amin"):
        raise RuntimeError(
            f"index_reduce(): reduce argument must be either prod, mean, amax or amin, got {reduce}."
        )
    dim = one_dim(dim, input.ndim, "index_reduce")
    if index.ndim != 1 or index.numel() != source.shape[dim]:
        raise RuntimeError(
            f"index_reduce(): expected one index for each of the {source.shape[dim]} slices of source along "
            f"dimension {dim}, got an index of shape {tuple(index.shape)}"
        )
    if [n for d, n in enumerate(source.shape) if d != dim] != [
        n for d, n in enumerate(input.shape) if d != dim
    ]:
        raise IndexError(
            f"index_reduce(): source of shape {tuple(source.shape)} and input of shape {tuple(input.shape)} "
            f"differ in other dimensions than {dim}"
        )
    shape = [1] * input.ndim
    shape[dim] = index.numel()
    places = index.long().view(shape).expand(source.shape)  # type: ignore[attr-defined]
    return scatter_reduce(input, dim, places, source, reduce, include_self=include_self)


@method
def index_reduce_(self: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *,
                  include_self: bool = True) -> Tensor:  # fmt: skip
    """`index_reduce` in place."""
    return self.copy_(index_reduce(self, dim, index, source, reduce, include_self=include_self))  # type: ignore[attr-defined]


@method
@takes_axis
def renorm(input: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """`input` whose slices along `dim` with a `p`-norm above `maxnorm` are scaled down to it.

    Raises
    ------
    RuntimeError
        If `p` is not positive, `maxnorm` is negative, or `input` has fewer than two dimensions.
    """
    require_tensors("renorm", input)
    if p <= 0 or maxnorm < 0:
        raise RuntimeError(f"renorm: expected p > 0 and maxnorm >= 0, got p = {p} and maxnorm = {maxnorm}")
    if input.ndim < 2:
        raise RuntimeError(f"renorm: input needs at least 2 dimensions, got {input.ndim} dimensions")
    dim = one_dim(dim, input.ndim, "renorm")
    others = [d for d, _ in enumerate(input.shape) if d != dim]
    x: Any = input
    length = norm(x.detach(), p, others, True)
    long = length > maxnorm
    if recorded(x):
        # slices that stay get no gradient by way of their norms, which may be nan
        length = norm(where(long, x, 0.0), p, others, True)
    return x * where(long, maxnorm / (length + 1e-7), 1.0)


@method
def renorm_(self: Tensor, p: float, dim: int, maxnorm: float) -> Tensor:
    """`renorm` in place."""
    return self.copy_(renorm(self, p, dim, maxnorm))  # type: ignore[attr-defined]


def _require_plain(name: str, function: Any, *tensors: Tensor) -> None:
    if not callable(function):
        raise TypeError(f"{name}(): expected a function of numbers, got {type(function).__name__}")
    if any(x.requires_grad for x in tensors):
        raise RuntimeError(f"{name}() cannot record what a function of Python does; call it on x.detach()")


@method
def apply_(self: Tensor, function: Any) -> Tensor:
    """Replace each element by what a function of Python makes of it as a number; slow, as in PyTorch."""
    _require_plain("apply_", function, self)
    return self.copy_(self.new_tensor([function(v) for v in self.flatten().tolist()]).reshape(self.shape))  # type: ignore[attr-defined]


@method
def map_(self: Tensor, tensor: Tensor, function: Any) -> Tensor:
    """Replace each element by what a function of Python makes of it and the one of `tensor`, which broadcasts."""
    require_tensors("map_", tensor)
    _require_plain("map_", function, self, tensor)
    others = tensor.expand_as(self).flatten().tolist()  # type: ignore[attr-defined]
    made = [function(v, w) for v, w in zip(self.flatten().tolist(), others, strict=True)]  # type: ignore[attr-defined]
    return self.copy_(self.new_tensor(made).reshape(self.shape))  # type: ignore[attr-defined]
