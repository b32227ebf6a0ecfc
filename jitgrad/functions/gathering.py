"""Reading and writing single elements along a dimension, at the places in a tensor of indices: gather and scatter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._tensor import NUMBERS, Tensor, method, wrap
from ..dispatch import view_code
from ..dtypes import bool_, int64, uint8
from ..engine.entry import entries
from ..engine.layout import S_DTYPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import INT64
from ..store import store
from ._call import dtype_code, require_tensors
from ._dims import axis_as_dim, dims_of, one_dim, shape_of
from ._launch import launch, report_cell
from .expansion import expand
from .indexing import (
    as_value,
    recorded,
    refuse_leaf,
)

__all__ = [
    "gather",
    "scatter",
    "scatter_add",
]

_new = Tensor.__new__
_EXPAND = view_code("expand")
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
    """A RuntimeError unless two shapes have as many dimensions; none counts as one, and no index fits everywhere."""
    if 0 not in index and max(len(own), 1) != max(len(index), 1):
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
    if axis is not None:
        dim = axis_as_dim("gather", dim, axis)
    made = entries.gathered(GATHER.code, report_cell(), input, dim, index)
    if type(made) is not int:
        return made
    require_tensors("gather", input, index)
    own, index = shape_of(input), long_index(index, "gather")
    dim = one_dim(dim, len(own), "gather")
    shape = shape_of(index)
    if len(shape) != len(own) or not shape:
        check_dims("gather", own, shape)
        if 0 in shape:
            return input.reshape(-1)[:0].reshape(shape)  # type: ignore[attr-defined]
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
    source, fills = _as_source(name, x, source)
    if not (in_place and recorded(x, source)):
        entry = entries.put_scattered if in_place else entries.scattered
        made = entry(_EXPAND, SCATTER.code, report_cell(), add, fills, x, source, dim, index)
        if type(made) is not int:
            return made
        if in_place and made >= 0:
            return x
    dim = one_dim(dim, dims_of(x), name)
    index = long_index(index, name)
    if fills:
        source = expand(source, *index.shape)
    return _scatter_any(name, x, dim, index, source, add, in_place)


def _as_source(name: str, x: Tensor, source: Any) -> tuple[Tensor, bool]:
    """What is written into `x` as a tensor, and whether it is one number for all places."""
    if isinstance(source, NUMBERS):
        return as_value(source, x.dtype, name), True
    if not isinstance(source, Tensor):
        raise TypeError(f"{name}(): argument 'src' must be Tensor, not {type(source).__name__}")
    return source, False


def _scatter_any(
    name: str, x: Tensor, dim: int, index: Tensor, source: Tensor, add: bool, in_place: bool
) -> Tensor:
    """`_scatter` of whatever the entries do not take."""
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
        out = _scatter_any(name, line, dim, index, source, add, False).reshape(own)  # type: ignore[attr-defined]
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
        raise RuntimeError(f"{name}(): expected reduce to be None, 'add' or 'multiply', got {reduce!r}")
    if (src is None) == (value is None):
        raise TypeError(f"{name}(): expected one of src and value")
    return (value if src is None else src), reduce == "add"


def _multiplied(name: str, x: Tensor, dim: int, index: Tensor, src: Any, value: Any) -> Tensor:
    """`x` with its elements at `index` multiplied by those of a source, or by a number."""
    source, fills = _as_source(name, x, _scatter_source(name, src, value, None)[0])
    if fills:
        source = expand(source, *index.shape)
    return x.scatter_reduce(dim, index, source, "prod")  # type: ignore[attr-defined]


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
        ``"add"`` adds to what is there, ``"multiply"`` multiplies it, repeated indices as often as they occur.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit, or an index is out of range.
    """
    require_tensors("scatter", input, index)
    if reduce == "multiply":
        return _multiplied("scatter", input, dim, index, src, value)
    source, add = _scatter_source("scatter", src, value, reduce)
    return _scatter("scatter", input, dim, index, source, add, False)


@method
def scatter_(
    self: Tensor, dim: int, index: Tensor, src: Any = None, *, value: Any = None, reduce: str | None = None
) -> Tensor:
    """`scatter` in place."""
    if reduce == "multiply":
        require_tensors("scatter_", self, index)
        product = _multiplied("scatter_", self, dim, index, src, value)
        if recorded(self, product):
            refuse_leaf(self, "scatter_")
        return self.copy_(product)  # type: ignore[attr-defined]
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
