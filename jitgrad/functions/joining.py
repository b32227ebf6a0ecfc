"""Joining tensors, and repeating them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from numbers import Integral
from typing import Any, NoReturn

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, result_type, view_code
from ..dtypes import DTYPES, int64
from ..engine.entry import entries
from ..engine.layout import S_DTYPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import MAX_DIMS
from ..store import store
from ..told import numbers_in
from ._call import require_tensors, tensor_of
from ._dims import axis_as_dim, dims_of, one_dim, shape_of, sizes_of
from ._launch import run
from ._numpy_names import takes_axis
from ._out import write_out
from .conversion import cast
from .expansion import expand
from .shape import copied_as, reshaped, unsqueeze, with_dims
from .transposing import movedim

__all__ = ["cat", "column_stack", "concat", "concatenate", "dstack", "hstack", "meshgrid", "repeat_interleave",
           "row_stack", "stack", "tile", "vstack"]  # fmt: skip

_CAT = BY_NAME["cat"]
_VIEW = view_code("view")
MOST_OPERANDS = 500  # what one call record has room for; longer lists are joined in rounds


# joining ------------------------------------------------------------------------------------------------


def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Any = None, axis: int | None = None) -> Tensor:
    """Tensors one after the other along a dimension; other sizes must be equal.

    Raises
    ------
    ValueError
        When the list is empty.
    RuntimeError
        When shapes do not fit.
    """
    if axis is not None:
        dim = axis_as_dim("cat", dim, axis, 0)
    if out is not None:
        return write_out("cat", cat(tensors, dim), out, refusal=TypeError)
    joined = _joined(tensors, dim)
    return _cat_any(_list_of("cat", tensors), dim) if joined is None else joined


def _joined(tensors: Any, dim: int) -> Tensor | None:
    """`cat` of a few tensors of one dtype that fit, in one compiled call; None for others."""
    try:
        joined = entries.along(_CAT.code, tensors, dim)
    except TypeError:
        return None
    return None if type(joined) is int else joined


def _list_of(name: str, tensors: Any) -> list[Tensor]:
    """The tensors in a list or tuple; a TypeError for anything else, and where there are none PyTorch's error."""
    if not isinstance(tensors, list | tuple):
        raise TypeError(
            f"{name}(): argument 'tensors' must be tuple of Tensors, not {type(tensors).__name__}; "
            "put the tensors into a list"
        )
    for k, x in enumerate(tensors):
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{name}: expected Tensor as element {k} in argument 0, but got {type(x).__name__}"
            )
    if not tensors:
        error = ValueError if name == "cat" else RuntimeError
        raise error(f"{name}: expected a non-empty list of Tensors")
    return list(tensors)


def _join(parts: list[Tensor], at: int, shape: tuple[int, ...]) -> Tensor:
    """Tensors of one dtype that fit, along dimension `at`."""
    if len(parts) > MOST_OPERANDS:
        groups = [parts[k : k + MOST_OPERANDS] for k in range(0, len(parts), MOST_OPERANDS)]
        return cat([cat(group, at) for group in groups], at)
    kind = DTYPES[store.slots[parts[0]._slot * SLOT_WORDS + S_DTYPE]]
    return wrap(run(_CAT, parts, kind, shape, (at,)))


def _cat_any(parts: list[Tensor], dim: int) -> Tensor:
    """`cat` of any number of tensors, which may have to be converted first."""
    if len({x.dtype for x in parts}) > 1:
        kind = result_type(parts)
        parts = [cast(x, kind) for x in parts]
    shapes = [shape_of(x) for x in parts]
    if any(len(s) != 1 for s in shapes):
        # an empty vector joins with anything, as it always did in PyTorch
        parts = [x for x, s in zip(parts, shapes, strict=True) if s != (0,)]
        shapes = [shape_of(x) for x in parts]
    first = shapes[0]
    if not first:
        raise RuntimeError("cat: zero-dimensional tensor (at position 0) cannot be concatenated; use stack")
    at = one_dim(dim, len(first), "cat")
    before, after = first[:at], first[at + 1 :]
    if any(len(s) != len(first) or s[:at] != before or s[at + 1 :] != after for s in shapes):
        _refuse_cat(shapes, at)
    return _join(parts, at, (*before, sum(s[at] for s in shapes), *after))


def _refuse_cat(shapes: list[tuple[int, ...]], at: int) -> NoReturn:
    first = shapes[0]
    k, shape = next(
        (k, s) for k, s in enumerate(shapes) if s[:at] != first[:at] or s[at + 1 :] != first[at + 1 :]
    )
    if len(shape) != len(first):
        raise RuntimeError(
            f"cat: Tensors must have same number of dimensions: got {len(first)} and {len(shape)}"
        )
    d = next(d for d, size in enumerate(shape) if d != at and size != first[d])
    raise RuntimeError(
        f"cat: Sizes of tensors must match except in dimension {at}. Expected size {first[d]} but got size "
        f"{shape[d]} for tensor number {k} in the list."
    )


concat = concatenate = cat


def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Any = None, axis: int | None = None) -> Tensor:
    """Tensors of one shape along a new dimension.

    Parameters
    ----------
    tensors : sequence of Tensor
        Their dtypes are promoted.
    dim : int, default 0
        Where the new dimension goes; its size is the number of tensors.
    out : Tensor, optional
        Takes the result and is returned.
    axis : int, optional
        NumPy's name of `dim`.

    Raises
    ------
    RuntimeError
        When the list is empty or shapes differ.
    """
    if axis is not None:
        dim = axis_as_dim("stack", dim, axis, 0)
    if out is not None:
        return write_out("stack", stack(tensors, dim), out, refusal=TypeError)
    made = entries.stacked(_CAT.code, _VIEW, tensors, dim)
    return _stack_stepwise(tensors, dim) if type(made) is int else made


def _stack_stepwise(tensors: Sequence[Tensor], dim: int) -> Tensor:
    given = _list_of("stack", tensors)
    shape, slots = shape_of(given[0]), array("q", [x._slot for x in given])
    if entries.alike(CONTEXT, *slots.buffer_info()) < len(given):
        k = next((k for k, x in enumerate(given) if shape_of(x) != shape), None)
        if k is not None:
            raise RuntimeError(
                f"stack: stack expects each tensor to be equal size, but got {list(shape)} at entry 0 and "
                f"{list(given[k].shape)} at entry {k}"
            )
    at = one_dim(dim, len(shape) + 1, "stack")
    if shape and at == 0 and shape[0]:
        # joined along their first dimension and cut again: one row instead of one for each tensor
        return reshaped(cat(given, 0), (len(given), *shape), "stack")
    return cat([unsqueeze(x, at) for x in given], at)


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors side by side: along the first dimension of vectors, else the second."""
    given = [with_dims(x, 1) for x in _list_of("hstack", tensors)]
    return cat(given, 0 if dims_of(given[0]) == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors one below the other; vectors are rows."""
    return cat([with_dims(x, 2) for x in _list_of("vstack", tensors)], 0)


row_stack = vstack


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors along the third dimension."""
    return cat([with_dims(x, 3) for x in _list_of("dstack", tensors)], 2)


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Vectors as the columns of a matrix; matrices side by side."""
    given = _list_of("column_stack", tensors)
    return cat([reshaped(x, (x.numel(), 1), "reshape") if dims_of(x) < 2 else x for x in given], 1)


# repeating ----------------------------------------------------------------------------------------------


def repeat(self: Tensor, *args: Any, repeats: Any = None) -> Tensor:
    """The tensor so many times along each dimension; more numbers than dimensions add dimensions in front.

    Raises
    ------
    RuntimeError
        When there are fewer numbers than dimensions.
    """
    times, shape = sizes_of(args, "repeat", "repeats", repeats), shape_of(self)
    if len(times) < len(shape):
        raise RuntimeError(
            "repeat: Number of dimensions of repeat dims can not be smaller than number of dimensions of "
            f"tensor: {len(times)} numbers for shape {shape}"
        )
    if min(times, default=0) < 0:
        raise RuntimeError(f"repeat: Trying to create tensor with negative dimension: repeats {times}")
    shape = (1,) * (len(times) - len(shape)) + shape
    if all(n == 1 for n in times):
        return expand(self, *shape).clone()  # type: ignore[attr-defined]
    # (n, size) beside each other for every dimension that is repeated, expanded and copied once
    apart: list[int] = []
    wide: list[int] = []
    for n, size in zip(times, shape, strict=True):
        if n != 1:
            apart.append(1)
            wide.append(n)
        apart.append(size)
        wide.append(size)
    if len(apart) > MAX_DIMS:
        x = reshaped(self, shape, "repeat")
        for d, n in enumerate(times):
            x = cat([x] * n, d) if n else x.narrow(d, 0, 0)  # type: ignore[attr-defined]
        return x
    result = tuple(n * size for n, size in zip(times, shape, strict=True))
    return copied_as(expand(reshaped(self, tuple(apart), "reshape"), *wide), result)


def tile(input: Tensor, *args: Any, dims: Any = None) -> Tensor:
    """`repeat` that puts ones in front of too few numbers."""
    require_tensors("tile", input)
    times = sizes_of(args, "tile", "dims", dims)
    return repeat(input, *(1,) * (dims_of(input) - len(times)), *times)


@takes_axis
def repeat_interleave(
    input: Tensor, repeats: Any, dim: int | None = None, *, output_size: Any = None
) -> Tensor:
    """Every index of a dimension so many times in a row; without `dim`, of the flattened tensor.

    Raises
    ------
    RuntimeError
        When a tensor of repeats does not have the dimension's size, or `output_size` is not the result's.
    """
    x = tensor_of(input, "repeat_interleave")
    if dim is None:
        x, dim = reshaped(x, (x.numel(),), "reshape"), 0
    at = one_dim(dim, dims_of(x), "repeat_interleave")
    found = _repeated(x, repeats, at)
    size = (shape_of(found) or (1,))[at]
    if output_size is not None and output_size != size:
        raise RuntimeError(f"repeat_interleave: expected an output_size of {size}, got {output_size}")
    return found


def _repeated(x: Tensor, repeats: Any, at: int) -> Tensor:
    shape = shape_of(x)
    if isinstance(repeats, Tensor) and repeats.numel() == 1:
        repeats = int(repeats.item())
    if isinstance(repeats, Integral):
        if repeats < 0:
            raise RuntimeError(f"repeat_interleave: repeats can not be negative, got {repeats}")
        wide = unsqueeze(x, at + 1).expand(*shape[: at + 1], repeats, *shape[at + 1 :])  # type: ignore[attr-defined]
        return copied_as(wide, (*shape[:at], shape[at] * repeats, *shape[at + 1 :]))
    if isinstance(repeats, Tensor) and repeats.ndim != 1:
        raise RuntimeError(
            f"repeat_interleave: repeats must be 0-dim or 1-dim tensor, got shape {tuple(repeats.shape)}"
        )
    counts = [int(n) for n in (numbers_in(repeats, "repeats") if isinstance(repeats, Tensor) else repeats)]
    if len(counts) != shape[at]:
        raise RuntimeError(
            f"repeat_interleave: repeats must have the same size as input along dim, but got "
            f"repeats.size(0) = {len(counts)} and input.size({at}) = {shape[at]}"
        )
    if min(counts, default=0) < 0:
        raise RuntimeError(f"repeat_interleave: repeats can not be negative, got {min(counts)}")
    from .from_data import tensor

    index = tensor([k for k, n in enumerate(counts) for _ in range(n)], dtype=int64)
    return x.index_select(at, index)  # type: ignore[attr-defined]


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Coordinates of the grid that vectors span: one tensor for each, expanded without copies."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    require_tensors("meshgrid", *tensors)
    if not tensors:
        raise RuntimeError("meshgrid: expects a non-empty TensorList")
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f"meshgrid: indexing must be one of 'xy' or 'ij', but received: {indexing!r}")
    if any(dims_of(x) > 1 for x in tensors):
        raise RuntimeError("meshgrid: Expected 0D or 1D tensors; flatten them first")
    if len({x.dtype for x in tensors}) > 1:
        raise RuntimeError("meshgrid: expects all tensors to have the same dtype")
    count = len(tensors)
    lengths = [x.numel() for x in tensors]
    grids = tuple(
        expand(reshaped(x, tuple(-1 if d == k else 1 for d in range(count)), "view"), *lengths)
        for k, x in enumerate(tensors)
    )
    if indexing == "xy" and count > 1:
        return tuple(movedim(g, 0, 1) for g in grids)
    return grids


Tensor.repeat, Tensor.repeat_interleave, Tensor.tile = repeat, repeat_interleave, tile
