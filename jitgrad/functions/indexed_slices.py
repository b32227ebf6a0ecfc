"""Reading and writing the slices of a dimension that indices name: index_select, index_add and their kin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor, method, wrap
from ..dispatch import view_code
from ..engine.entry import entries
from ..kernels.abi import COUNT_FROM_END, INDEX_ERROR, RUNTIME_ERROR
from ._call import dtype_code, require_tensors
from ._dims import axis_as_dim, dims_of, numel_of, one_dim, shape_of
from ._indices import Plan, is_dense, read_rows, row_words
from ._launch import report_cell
from .gathering import long_index, written
from .indexing import (
    INDEX,
    INDEX_PUT,
    as_value,
    plain_points,
    recorded,
    refuse_leaf,
    write_at,
    write_indexed,
    write_points,
)

_EXPAND = view_code("expand")

__all__ = ["index_add", "index_copy", "index_fill", "index_put", "index_select"]


def _line_at(name: str, x: Tensor, dim: int, index: Tensor) -> tuple[Tensor, int, Tensor]:
    """A tensor, a dimension of it, and an index tensor along that; those without dimensions as ones of one element."""
    dims = dims_of(x)
    dim = one_dim(dim, dims, name)
    index = long_index(index, name)
    if dims_of(index) > 1:
        raise IndexError(f"{name}(): Index is supposed to be a vector, got shape {tuple(index.shape)}")
    if not dims_of(index):
        index = index.reshape(1)  # type: ignore[attr-defined]
    elif not is_dense(index):
        index = index.contiguous()  # type: ignore[attr-defined]
    return x if dims else x.reshape(1), dim, index  # type: ignore[attr-defined]


@method
def index_select(input: Tensor, dim: int | None = None, index: Tensor | None = None,
                 axis: int | None = None) -> Tensor:  # fmt: skip
    """The slices of `input` along `dim` that `index` names, in its order; the gradients of repeated ones add up.

    Parameters
    ----------
    input : Tensor
    dim : int
    index : Tensor of int64 or int32, shape (n,)
    axis : int, optional
        NumPy's name of `dim`.

    Returns
    -------
    Tensor
        A copy, in the shape of `input` but n along `dim`.

    Raises
    ------
    IndexError, RuntimeError
        If an index is out of range: IndexError along the first dimension, RuntimeError along others.
    """
    if axis is not None:
        dim = axis_as_dim("index_select", dim, axis)
    made = entries.rows_at(_EXPAND, INDEX.code, report_cell(), input, dim, index)
    if type(made) is not int:
        return made
    require_tensors("index_select", input, index)
    x, dim, index = _line_at("index_select", input, dim, index)
    out = read_rows(INDEX, x, dim, index, RUNTIME_ERROR if dim else INDEX_ERROR, "index_select")
    return out if x is input else out.reshape(())  # type: ignore[attr-defined]


def _write_line(
    name: str,
    x: Tensor,
    dim: int,
    index: Tensor,
    source: Any,
    accumulate: bool,
    in_place: bool,
    refusal: int = INDEX_ERROR,
) -> Tensor:
    value = source if isinstance(source, Tensor) else as_value(source, x.dtype, name)
    if not (in_place and recorded(x, value)):
        entry = entries.put_rows if in_place else entries.with_rows
        made = entry(_EXPAND, INDEX_PUT.code, report_cell(), accumulate, refusal, x, value, dim, index)
        if type(made) is not int:
            return made
        if in_place and made >= 0:
            return x
    line, dim, index = _line_at(name, x, dim, index)
    own = shape_of(line)
    shape = (*own[:dim], numel_of(index), *own[dim + 1 :])
    if isinstance(source, Tensor):
        if dtype_code(source) != dtype_code(x):
            raise RuntimeError(
                f"{name}(): self ({x.dtype.name}) and source ({source.dtype.name}) expected to have "
                "the same dtype"
            )
        if dims_of(source) and shape_of(source) != shape:
            error = RuntimeError if accumulate else IndexError
            raise error(
                f"{name}(): source of shape {tuple(source.shape)} does not fit; expected {shape} for "
                f"self {tuple(x.shape)}, dim {dim} and {numel_of(index)} indices"
            )
    words = row_words(len(own), dim, int(accumulate), refusal)

    def write(into: int) -> int:
        return write_indexed(line, (index,), shape, words, value, into, name)

    return written(name, x, line, value, write, in_place)


def _index_add(
    name: str, x: Tensor, dim: int, index: Tensor, source: Tensor, alpha: float, in_place: bool
) -> Tensor:
    source = source if alpha == 1 else source * alpha  # type: ignore[operator]
    return _write_line(
        name, x, dim, index, source, True, in_place, RUNTIME_ERROR if dims_of(x) > 1 else INDEX_ERROR
    )


@method
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """`input` with ``alpha * source`` added to the slices that `index` names; repeated indices all count."""
    require_tensors("index_add", input, index, source)
    return _index_add("index_add", input, dim, index, source, alpha, False)


@method
def index_add_(self: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """`index_add` in place."""
    require_tensors("index_add_", self, index, source)
    return _index_add("index_add_", self, dim, index, source, alpha, True)


@method
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`input` with the slices that `index` names replaced by those of `source`."""
    require_tensors("index_copy", input, index, source)
    return _write_line("index_copy", input, dim, index, source, False, False)


@method
def index_copy_(self: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """`index_copy` in place."""
    require_tensors("index_copy_", self, index, source)
    return _write_line("index_copy_", self, dim, index, source, False, True)


@method
def index_fill(input: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`input` with the slices that `index` names filled with one number."""
    require_tensors("index_fill", input, index)
    return _write_line(
        "index_fill", input, dim, index, _scalar("index_fill", input, value), False, False, COUNT_FROM_END
    )


@method
def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`index_fill` in place."""
    return _write_line(
        "index_fill_", self, dim, index, _scalar("index_fill_", self, value), False, True, COUNT_FROM_END
    )


def _scalar(name: str, x: Tensor, value: Any) -> Any:
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"{name}(): value must have no dimensions, got shape {tuple(value.shape)}")
    return value.to(x.dtype) if isinstance(value, Tensor) else value  # type: ignore[attr-defined]


def _index_put(name: str, x: Tensor, indices: Any, values: Any, accumulate: bool, in_place: bool) -> Tensor:
    items = tuple(indices)
    points = plain_points(x, items)
    plan = Plan(items, x.shape) if points is None else None
    if plan is not None and (plan.words is not None or not plan.points):
        raise IndexError(
            f"{name}(): indices must be tensors of integers or masks, one a dimension from the first on"
        )
    if isinstance(values, Tensor) and values.dtype is not x.dtype:
        raise RuntimeError(
            f"{name}(): Index put requires the source and destination dtypes match, got "
            f"{x.dtype.name} for the "
            f"destination and {values.dtype.name} for the source"
        )
    value = as_value(values, x.dtype, name)
    if in_place and recorded(x, value):
        refuse_leaf(x, name)
    into = x._slot if in_place else 0
    if plan is not None:
        slot = write_at(x, plan, value, accumulate, into)
    else:
        slot = write_points(x, points, value, accumulate, into)
    if in_place:
        x._become(slot)
        return x
    return wrap(slot)


@method
def index_put(input: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """`input` with `values` written, or added with `accumulate`, at ``input[indices]``."""
    require_tensors("index_put", input, *indices, values)
    return _index_put("index_put", input, indices, values, accumulate, False)


@method
def index_put_(self: Tensor, indices: Sequence[Tensor], values: Tensor, accumulate: bool = False) -> Tensor:
    """`index_put` in place."""
    require_tensors("index_put_", self, *indices, values)
    return _index_put("index_put_", self, indices, values, accumulate, True)
