"""Reading and writing at indices by name: gather, scatter, index_select, masked_select and their kin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._tensor import NUMBERS, Tensor, method, wrap
from ..dtypes import bool_, int64, uint8
from ..engine.layout import S_DTYPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import INT64
from ..kernels.indexing import COUNT_FROM_END, INDEX_ERROR, RUNTIME_ERROR
from ..store import store
from ._call import dtype_code, require_tensors
from ._dims import axis_as_dim, dims_of, numel_of, one_dim, shape_of
from ._indices import Plan, is_dense, read_rows, row_words
from ._launch import launch
from .expansion import expand
from .indexing import (
    INDEX,
    as_value,
    plain_points,
    recorded,
    refuse_leaf,
    write_at,
    write_indexed,
    write_points,
)

__all__ = [
    "gather",
    "index_add",
    "index_copy",
    "index_fill",
    "index_put",
    "index_select",
    "scatter",
    "scatter_add",
]

_new = Tensor.__new__
GATHER, SCATTER = BY_NAME["gather"], BY_NAME["scatter"]


def long_index(index: Any, name: str) -> Tensor:
    """An index as int64; a TypeError or RuntimeError for what is no tensor of whole numbers."""
    if not isinstance(index, Tensor):
        raise TypeError(f"{name}(): argument 'index' must be Tensor, not {type(index).__name__}")
    if store.slots[index._slot * SLOT_WORDS + S_DTYPE] == INT64:
        return index
    if index.dtype.is_floating_point or index.dtype is bool_ or index.dtype is uint8:
        raise RuntimeError(
            f"{name}(): Expected dtype int64 for index, got {index.dtype.name}; convert it with .long()"
        )
    return index.to(int64)  # type: ignore[attr-defined]


def check_dims(name: str, own: tuple[int, ...], index: tuple[int, ...], what: str = "input") -> None:
    """A RuntimeError unless two shapes have as many dimensions; none counts as one."""
    if max(len(own), 1) != max(len(index), 1):
        raise RuntimeError(
            f"{name}(): Index tensor must have the same number of dimensions as {what} tensor: index "
            f"has shape {index}, {what} {own}"
        )


def check_sizes(name: str, own: tuple[int, ...], index: tuple[int, ...], dim: int, what: str) -> None:
    """A RuntimeError when an index is larger than what it points into, but for dimension `dim`."""
    for d, size in enumerate(index):
        if size > own[d] and d != dim:
            raise RuntimeError(
                f"{name}(): Size does not match at dimension {d}: expected index {list(index)} to be "
                f"no larger than {what} {list(own)}" + (f" apart from dimension {dim}" if dim >= 0 else "")
            )


def lines_of(*tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, those without dimensions as ones of one element."""
    return tuple(x if x.ndim else x.reshape(1) for x in tensors)  # type: ignore[attr-defined]


@method
def gather(input: Tensor, dim: int | None = None, index: Tensor | None = None, *, sparse_grad: bool = False,
           axis: int | None = None) -> Tensor:  # fmt: skip
    """Elements of `input` at `index` along `dim`: ``out[i][j] = input[index[i][j]][j]`` for ``dim=0``.

    Parameters
    ----------
    input : Tensor
    dim : int
    index : Tensor of int64 or int32
        It has as many dimensions, and sizes no larger than those of `input`, but along `dim`.
    sparse_grad : bool
        For PyTorch's sake: gradients are dense.
    axis : int, optional
        NumPy's name of `dim`.

    Returns
    -------
    Tensor, shape of index

    Raises
    ------
    RuntimeError
        If the shapes do not fit, or an index is out of range.
    """
    require_tensors("gather", input, index)
    own, index = shape_of(input), long_index(index, "gather")
    if axis is not None:
        dim = axis_as_dim("gather", dim, axis)
    dim = one_dim(dim, len(own), "gather")
    shape = shape_of(index)
    if len(shape) != len(own) or not shape:
        check_dims("gather", own, shape)
        out = wrap(launch(GATHER, lines_of(input, index), shape or (1,), (0,)))
        return out if shape else out.reshape(())  # type: ignore[attr-defined]
    check_sizes("gather", own, shape, dim, "self")
    return picked(input, dim, index, shape)


def picked(x: Tensor, dim: int, index: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`gather` of operands that fit; `shape`, which is not empty, is that of `index`."""
    result = _new(Tensor)
    result._slot = launch(GATHER, (x, index), shape, (dim,))
    return result


def _scatter(name: str, x: Tensor, dim: int, index: Tensor, source: Any, add: bool, in_place: bool) -> Tensor:
    dim = one_dim(dim, dims_of(x), name)
    index = long_index(index, name)
    if isinstance(source, NUMBERS):
        source = expand(as_value(source, x.dtype, name), *index.shape)
    elif not isinstance(source, Tensor):
        raise TypeError(f"{name}(): argument 'src' must be Tensor, not {type(source).__name__}")
    if dtype_code(source) != dtype_code(x):
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, got {x.dtype.name} and "
            f"{source.dtype.name}"
        )
    own, shape, given = shape_of(x), shape_of(index), shape_of(source)
    check_dims(name, own, shape)
    check_dims(name, given, shape, "src")
    if 0 in shape:
        return x if in_place else x.clone()  # type: ignore[attr-defined]
    if not (own and shape and given):
        line, index, source = lines_of(x, index, source)
        out = _scatter(name, line, dim, index, source, add, False).reshape(own)  # type: ignore[attr-defined]
        return x.copy_(out) if in_place else out  # type: ignore[attr-defined]
    check_sizes(name, own, shape, dim, "self")
    check_sizes(name, given, shape, -1, "src")
    into = x._slot if in_place else 0
    if in_place and recorded(x, source):
        refuse_leaf(x, name)
    slot = launch(SCATTER, (x, index, source), own, (dim, int(add)), into)
    if in_place:
        x._become(slot)
        return x
    return wrap(slot)


def _scatter_source(name: str, src: Any, value: Any, reduce: str | None) -> tuple[Any, bool]:
    if reduce not in (None, "add"):
        raise RuntimeError(f"{name}(): reduce={reduce!r} is not supported; expected None or 'add'")
    if (src is None) == (value is None):
        raise TypeError(f"{name}(): expected one of src and value")
    return (value if src is None else src), reduce == "add"


@method
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """`input` with the elements of `src` written at `index`: ``out[index[i][j]][j] = src[i][j]`` for ``dim=0``.

    Parameters
    ----------
    input : Tensor
    dim : int
    index : Tensor of int64 or int32
        Its sizes are no larger than those of `src`, nor, but along `dim`, of `input`.
    src : Tensor or number
        Of the dtype of `input`. Where an index repeats, the last write stays.
    value : number, optional
        In place of `src`.
    reduce : str, optional
        ``"add"`` adds to what is there.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit, or an index is out of range.
    """
    require_tensors("scatter", input, index)
    source, add = _scatter_source("scatter", src, value, reduce)
    return _scatter("scatter", input, dim, index, source, add, False)


@method
def scatter_(
    self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """`scatter` in place."""
    source, add = _scatter_source("scatter_", src, value, reduce)
    return _scatter("scatter_", self, dim, index, source, add, True)


@method
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`input` with the elements of `src` added at `index` along `dim`; repeated indices all count."""
    require_tensors("scatter_add", input, index, src)
    return _scatter("scatter_add", input, dim, index, src, True, False)


@method
def scatter_add_(self: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`scatter_add` in place."""
    require_tensors("scatter_add_", self, index, src)
    return _scatter("scatter_add_", self, dim, index, src, True, True)


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
    """The slices of `input` along `dim` that `index` names, in its order."""
    require_tensors("index_select", input, index)
    if axis is not None:
        dim = axis_as_dim("index_select", dim, axis)
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
    value = source if isinstance(source, Tensor) else as_value(source, x.dtype, name)
    words = row_words(len(own), dim, int(accumulate), refusal)

    def write(into: int) -> int:
        return write_indexed(line, (index,), shape, words, value, into, name)

    return written(name, x, line, value, write, in_place)


def written(
    name: str, x: Tensor, line: Tensor, value: Tensor, write: Callable[[int], int], in_place: bool
) -> Tensor:
    """What ``write(into)`` makes of `x`, seen as `line` when it has no dimensions, and of a value."""
    if in_place and recorded(x, value):
        refuse_leaf(x, name)
    if line is not x:
        out = wrap(write(0)).reshape(x.shape)  # type: ignore[attr-defined]
        return x.copy_(out) if in_place else out  # type: ignore[attr-defined]
    slot = write(x._slot if in_place else 0)
    if in_place:
        x._become(slot)
        return x
    return wrap(slot)


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
        "index_fill", input, dim, index, _scalar("index_fill", value), False, False, COUNT_FROM_END
    )


@method
def index_fill_(self: Tensor, dim: int, index: Tensor, value: Any) -> Tensor:
    """`index_fill` in place."""
    return _write_line(
        "index_fill_", self, dim, index, _scalar("index_fill_", value), False, True, COUNT_FROM_END
    )


def _scalar(name: str, value: Any) -> Any:
    if isinstance(value, Tensor) and value.ndim:
        raise RuntimeError(f"{name}(): value must have no dimensions, got shape {tuple(value.shape)}")
    return value


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
