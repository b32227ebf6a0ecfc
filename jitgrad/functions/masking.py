"""Choosing elements by masks and places: masked_select, nonzero, take, one_hot and their kin."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tensor import Tensor, method, wrap
from ..dispatch import view_code
from ..dtypes import bool_, int64
from ..engine.entry import entries
from ..kernels import BY_NAME
from ..kernels.abi import INT64
from ..operators import number_tensor
from ..store import store
from ..ways_out import GIVE_CLASSES
from ._call import dtype_code, require_tensors
from ._dims import axis_as_dim, dims_of, one_dim, shape_of
from ._indices import Plan, coordinates, is_dense, read_rows, table_of_nonzero
from ._launch import launch, report_cell, run
from ._numpy_names import takes_axis
from .bounds import where
from .creation import make_empty, zeros
from .expansion import expand
from .gathering import SCATTER, gather, lines_of, long_index, written
from .indexing import INDEX, SLICE_PUT, as_value, whole_words

__all__ = [
    "argwhere",
    "masked_scatter",
    "masked_select",
    "nonzero",
    "one_hot",
    "select_scatter",
    "slice_scatter",
    "take",
    "take_along_dim",
]

_MASKED_SCATTER = BY_NAME["masked_scatter"]
_EXPAND = view_code("expand")


def _mask_of(name: str, mask: Any) -> Tensor:
    if not isinstance(mask, Tensor):
        raise TypeError(f"{name}(): argument 'mask' must be Tensor, not {type(mask).__name__}")
    if mask.dtype is not bool_:
        raise RuntimeError(f"{name}: expected BoolTensor for mask, got {mask.dtype.name}; use mask.bool()")
    return mask


def _broadcast(name: str, *tensors: Tensor) -> list[Tensor]:
    shapes = [shape_of(x) for x in tensors]
    if len(set(shapes)) == 1:
        return list(tensors)
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        texts = " and ".join(map(str, shapes))
        raise RuntimeError(f"{name}: shapes {texts} do not broadcast; sizes must be equal or 1") from None
    return [x if own == shape else expand(x, *shape) for x, own in zip(tensors, shapes, strict=True)]


@method
def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements of `input` where `mask` is set, in one dimension; the two broadcast."""
    require_tensors("masked_select", input, mask)
    x, mask = _broadcast("masked_select", input, _mask_of("masked_select", mask))
    if is_dense(x):  # one index for each element, however many dimensions
        x, mask = x.reshape(-1), mask.reshape(-1)  # type: ignore[attr-defined]
    x, mask = lines_of(x, mask)
    return x[mask]  # type: ignore[index]


def _masked_scatter(name: str, x: Tensor, mask: Tensor, source: Tensor, in_place: bool) -> Tensor:
    require_tensors(name, x, mask, source)
    if source.dtype is not x.dtype:
        raise RuntimeError(
            f"{name}: expected self and source to have same dtypes but got {x.dtype.name} and "
            f"{source.dtype.name}"
        )
    like, mask = _broadcast(name, x, _mask_of(name, mask))
    if in_place and like is not x:
        raise RuntimeError(
            f"{name}: mask of shape {tuple(mask.shape)} does not broadcast to {tuple(x.shape)}"
        )
    line, mask = lines_of(like, mask)
    values = source.contiguous()  # type: ignore[attr-defined]

    def write(into: int) -> int:
        try:
            return launch(_MASKED_SCATTER, (line, mask, values), line.shape, (0,), into, name)
        except RuntimeError:
            count = int(mask.sum())  # type: ignore[attr-defined]
            if count <= source.numel():
                raise
            raise RuntimeError(
                f"{name}: expected source to have at least {count} elements, got {source.numel()}"
            ) from None

    return written(name, like, line, values, write, in_place)


@method
def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`input` with the first elements of `source`, in order, where `mask` is set."""
    return _masked_scatter("masked_scatter", input, mask, source, False)


@method
def masked_scatter_(self: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """`masked_scatter` in place."""
    return _masked_scatter("masked_scatter_", self, mask, source, True)


@method
def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of `input`, seen as one dimension, at `index`; the result has the shape of `index`."""
    require_tensors("take", input, index)
    flat = input.reshape(-1)  # type: ignore[attr-defined]
    if dims_of(index):
        made = entries.at_points(_EXPAND, INDEX.code, report_cell(), flat, index)
        if type(made) is not int:
            return made
    index = long_index(index, "take")
    return read_rows(INDEX, flat, 0, index, name="take")


@method
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None, axis: int | None = None) -> Tensor:
    """`gather` whose operands broadcast along the other dimensions; without `dim`, of the flattened ones."""
    require_tensors("take_along_dim", input, indices)
    if axis is not None:
        dim = axis_as_dim("take_along_dim", dim, axis)
    if dim is None:
        return gather(input.reshape(-1), 0, indices.reshape(-1))  # type: ignore[attr-defined]
    dim = one_dim(dim, input.ndim, "take_along_dim")
    if input.ndim != indices.ndim:
        raise RuntimeError(
            f"take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.ndim} dimensions for input, and {indices.ndim} dimensions for indices"
        )
    own, shape = list(input.shape), list(indices.shape)
    for d in range(len(own)):
        if d != dim and own[d] != shape[d]:
            if 1 not in (own[d], shape[d]):
                raise RuntimeError(
                    f"take_along_dim(): shapes {tuple(input.shape)} and {tuple(indices.shape)} do not "
                    "broadcast at "
                    f"dimension {d}"
                )
            own[d] = shape[d] = max(own[d], shape[d]) if own[d] and shape[d] else 0
    indices = where(indices < 0, indices + own[dim], indices)  # type: ignore[operator]  # gather refuses negative ones
    return gather(expand(input, *own), dim, expand(indices, *shape))


@method
def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """Coordinates of the elements that are not zero: one row each, or a tensor for each dimension."""
    require_tensors("nonzero", input)
    dims = dims_of(input)
    if not dims:
        line = coordinates(input.reshape(1))[0]  # type: ignore[attr-defined]
        return (line,) if as_tuple else zeros((line.numel(), 0), dtype=int64)
    if as_tuple:
        return tuple(coordinates(input))
    table = table_of_nonzero(input)
    return table.reshape(-1, 1) if dims == 1 else table.t().contiguous()  # type: ignore[attr-defined]


@method
def argwhere(input: Tensor) -> Tensor:
    """Coordinates of the elements that are not zero, one row each."""
    return nonzero(input)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Int64 tensor with a new last dimension that is 1 at the class that `tensor` names and 0 elsewhere.

    Parameters
    ----------
    tensor : Tensor of int64, shape (...)
        Classes, from 0.
    num_classes : int, default -1
        Size of the new dimension; by default the greatest class and one more.

    Returns
    -------
    Tensor of int64, shape (..., num_classes)

    Raises
    ------
    RuntimeError
        If the dtype is another, or a class is negative or not below `num_classes`.
    """
    require_tensors("one_hot", tensor)
    if dtype_code(tensor) != INT64:
        raise RuntimeError(
            "one_hot is only applicable to index tensor of type LongTensor; convert it with .long()"
        )
    if num_classes <= 0:
        num_classes = _classes_of(tensor, num_classes)
    own = shape_of(tensor)
    out = make_empty((*own, num_classes), int64, True)
    if tensor.numel():
        index = tensor.unsqueeze(-1)  # type: ignore[attr-defined]
        one = expand(number_tensor(1, int64), *own, 1)
        try:
            launch(SCATTER, (out, index, one), (*own, num_classes), (len(own), 0), out._slot)
        except RuntimeError:
            low, high = _range(tensor)
            if low < 0:
                raise _negative_class(low) from None
            raise RuntimeError(
                f"one_hot: Class values must be smaller than num_classes ({num_classes}), got {high}"
            ) from None
    return out


def _classes_of(x: Tensor, given: int) -> int:
    """The number of classes when it is not given."""
    if store.recording is not None:
        store.recording.read("one_hot", GIVE_CLASSES)
    low, high = _range(x) if x.numel() else (0, -1)
    if low < 0:
        raise _negative_class(low)
    if given != -1 or high < 0:
        raise RuntimeError(f"one_hot: cannot infer the number of classes, got num_classes={given}")
    return high + 1


def _negative_class(low: int) -> RuntimeError:
    return RuntimeError(f"one_hot: Class values must be non-negative, got {low}")


def _range(x: Tensor) -> tuple[int, int]:
    values = x.numpy()
    return int(values.min()), int(values.max())


@method
@takes_axis
def slice_scatter(
    input: Tensor, src: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    """`input` with the slice ``start:end:step`` of `dim` replaced by `src`."""
    require_tensors("slice_scatter", input, src)
    dim = one_dim(dim, input.ndim, "slice_scatter")
    return _region_put("slice_scatter", input, (*(slice(None),) * dim, slice(start, end, step)), src)


@method
def select_scatter(input: Tensor, src: Tensor, dim: int, index: int) -> Tensor:
    """`input` with the slice `index` of `dim` replaced by `src`."""
    require_tensors("select_scatter", input, src)
    dim = one_dim(dim, input.ndim, "select_scatter")
    return _region_put("select_scatter", input, (*(slice(None),) * dim, index), src)


def _region_put(name: str, x: Tensor, index: tuple, source: Tensor) -> Tensor:
    plan = Plan(index, x.shape)
    if tuple(source.shape) != tuple(plan.shape):
        raise RuntimeError(
            f"{name}: expected src to have a size equal to the slice of self: {tuple(plan.shape)}, got "
            f"{tuple(source.shape)}"
        )
    words = whole_words(x.shape) if plan.words is None else plan.words
    return wrap(run(SLICE_PUT, (x, as_value(source, x.dtype, name)), x.dtype, x.shape, words))
