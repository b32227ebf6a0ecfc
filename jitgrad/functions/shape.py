"""Views: other shapes of the same memory. All of them are differentiable.

The engine works out what they need from plain arguments (`engine/geometry.py`). What it does not take comes back as an
int, and is done step by step, or refused, here.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from .._tensor import Tensor, method, wrap
from ..dispatch import CONTEXT, view_code
from ..dispatch import view as make_view
from ..engine import layout
from ..engine.entry import entries
from ..kernels.abi import MAX_DIMS
from ._call import require_tensors, tensor_of
from ._dims import axis_as_dim, by_name, dims_of, one_dim, shape_of, sizes_of

__all__ = ["atleast_1d", "atleast_2d", "atleast_3d", "flatten", "ravel", "reshape", "squeeze", "unflatten",
           "unsqueeze"]  # fmt: skip

_STRIDED = layout.STRIDED_VIEW
NONE = -1  # an output dimension along no input dimension
_VIEW, _SQUEEZE, _UNSQUEEZE = view_code("view"), view_code("squeeze"), view_code("unsqueeze")
_UNSAFE_VIEW = view_code("_unsafe_view")


# the words of a view: per output dimension (size, input dimension, step, second input dimension) ------------


def view_words(columns: Sequence[tuple[int, int, int, int]], start: Sequence[int], name: str) -> array:
    """What the engine reads about a view: a column for each of its dimensions, and where it starts in the input's."""
    if len(columns) > MAX_DIMS:
        raise RuntimeError(f"{name}: a tensor has at most {MAX_DIMS} dimensions, got {len(columns)}")
    words = array("q", (len(columns),))
    for column in columns:
        words.extend(column)
    words.extend(start)
    return words


def plain_columns(shape: Sequence[int]) -> list[tuple[int, int, int, int]]:
    """The columns of the view that shows a tensor of this shape as it is."""
    return [(size, d, 1, NONE) for d, size in enumerate(shape)]


def strided_view(x: Tensor, words: array, name: str) -> Tensor:
    """The view that `words` tell of, called `name` in ``grad_fn``."""
    return wrap(make_view(_STRIDED, x, words, name))


# reshape ------------------------------------------------------------------------------------------------


def _reshape_words(shape: tuple[int, ...], target: tuple[int, ...], name: str) -> array:
    """The target shape with its -1 worked out, checked against the number of elements."""
    numel = math.prod(shape)
    if -1 in target:
        known = math.prod(size for size in target if size != -1)
        if target.count(-1) > 1:
            raise RuntimeError(f"{name}: only one dimension can be inferred, got {list(target)}")
        if known == 0:
            raise RuntimeError(
                f"{name}: cannot reshape tensor of {numel} elements into shape {list(target)} because the "
                "unspecified dimension size -1 can be any value and is ambiguous"
            )
        if numel % known == 0:
            target = tuple(numel // known if size == -1 else size for size in target)
    if min(target, default=0) < -1:
        raise RuntimeError(f"{name}: invalid shape dimension {min(target)} in {list(target)}")
    if -1 in target or math.prod(target) != numel:
        raise RuntimeError(
            f"{name}: shape '{list(target)}' is invalid for input of size {numel} and shape {list(shape)}; "
            "the product of the sizes must equal the number of elements"
        )
    if len(target) > MAX_DIMS:
        raise RuntimeError(f"{name}: a tensor has at most {MAX_DIMS} dimensions, got {len(target)}")
    return array("q", target)


def reshaped(x: Tensor, target: tuple[int, ...], name: str) -> Tensor:
    """`reshape` to a tuple of sizes, as the operation `name`."""
    made = entries.reshaped(_VIEW, x, target)
    return _reshape_otherwise(made, x, (target,), name) if type(made) is int else made


def copied_as(x: Tensor, target: tuple[int, ...]) -> Tensor:
    """A copy in row-major order with sizes whose product is that of `x`, also where a view would do."""
    made = entries.reshaped(_UNSAFE_VIEW, x.clone(), target)  # type: ignore[attr-defined]
    return _reshape_stepwise(x, target, "reshape") if type(made) is int else made


def _reshape_otherwise(status: int, x: Tensor, args: tuple[Any, ...], name: str) -> Tensor:
    """The reshape to `args` of which the engine has made no view, for the reason that `status` tells."""
    if status == layout.NOT_VIEWABLE:
        made = entries.reshaped(_UNSAFE_VIEW, x.clone(), *args)  # type: ignore[attr-defined]
        if type(made) is not int:
            return made
    return _reshape_stepwise(x, sizes_of(args, name, "shape"), name)


def _reshape_stepwise(x: Tensor, target: tuple[int, ...], name: str) -> Tensor:
    words = _reshape_words(shape_of(x), target, name)
    slot = make_view(layout.RESHAPE, x, words, "view")
    if slot == layout.NOT_VIEWABLE:
        slot = make_view(layout.RESHAPE, x.clone(), words, "_unsafe_view")  # type: ignore[attr-defined]
    return wrap(slot)


def reshape(input: Tensor, *args: Any, shape: Any = None) -> Tensor:
    """The elements in another shape: a view where strides allow, else a copy.

    Parameters
    ----------
    *args : int or tuple of int
        One size may be -1: it follows from the others.
    shape : tuple of int, optional
        The sizes, given by name.

    Raises
    ------
    RuntimeError
        When the number of elements differs.
    """
    if shape is not None:
        args = by_name("reshape", "shape", shape, args)
    made = entries.reshaped(_VIEW, input, *args)
    if type(made) is not int:
        return made
    return _reshape_otherwise(made, tensor_of(input, "reshape"), args, "reshape")


def view(self: Tensor, *shape: Any, size: Any = None) -> Tensor:
    """The elements in another shape, always on the same memory.

    Parameters
    ----------
    *shape : int or tuple of int, or dtype
        One size may be -1: it follows from the others. With a dtype of the same size, the bytes are read as that.
    size : tuple of int, optional
        The sizes, given by name.

    Raises
    ------
    RuntimeError
        When strides cannot express the shape, or the number of elements differs.
    """
    if size is not None:
        shape = by_name("view", "size", size, shape)
    made = entries.reshaped(_VIEW, self, *shape)
    return _view_stepwise(self, shape) if type(made) is int else made


def _view_stepwise(self: Tensor, shape: tuple[Any, ...]) -> Tensor:
    if len(shape) == 1 and not isinstance(shape[0], tuple | list | int):
        from ..dtypes import to_dtype

        return _view_as_dtype(self, to_dtype(shape[0], "view"))
    target = sizes_of(shape, "view", "size")
    slot = make_view(layout.RESHAPE, self, _reshape_words(shape_of(self), target, "view"), "view")
    if slot == layout.NOT_VIEWABLE:
        raise RuntimeError(
            "view: view size is not compatible with input tensor's size and stride (at least one dimension "
            f"spans across two contiguous subspaces): {list(self.shape)} with strides "
            f"{list(self._strides())} as {list(target)}. Use .reshape(...) instead."
        )
    return wrap(slot)


def _view_as_dtype(x: Tensor, kind: Any) -> Tensor:
    if kind is x.dtype:
        return x
    if kind.itemsize != x.dtype.itemsize:
        raise RuntimeError(f"view: dtypes of one size only, got {x.dtype.name} as {kind.name}")
    from .from_data import from_numpy

    return from_numpy(x.numpy(force=True).view(kind.numpy))


def view_as(self: Tensor, other: Tensor) -> Tensor:
    """`view` in the shape of `other`."""
    require_tensors("view_as", self, other)
    return view(self, *other.shape)


def reshape_as(self: Tensor, other: Tensor) -> Tensor:
    """`reshape` to the shape of `other`."""
    require_tensors("reshape_as", self, other)
    return reshaped(self, tuple(other.shape), "reshape")


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Dimensions `start_dim` to `end_dim` as one: a view where strides allow, else a copy.

    Raises
    ------
    RuntimeError
        If `start_dim` comes after `end_dim`.
    IndexError
        If there is no such dimension.
    """
    made = entries.flattened(_VIEW, input, start_dim, end_dim)
    return _flatten_stepwise(input, start_dim, end_dim) if type(made) is int else made


def _flatten_stepwise(input: Tensor, start_dim: int, end_dim: int) -> Tensor:
    shape = shape_of(tensor_of(input, "flatten"))
    first, last = one_dim(start_dim, len(shape), "flatten"), one_dim(end_dim, len(shape), "flatten")
    if first > last:
        raise RuntimeError("flatten: flatten() has invalid args: start_dim cannot come after end_dim")
    if not shape:
        return reshaped(input, (1,), "flatten")
    if first == last:
        return input
    return reshaped(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]), "view")


def ravel(input: Tensor) -> Tensor:
    """All elements in one dimension."""
    require_tensors("ravel", input)
    return reshaped(input, (-1,) if input.numel() else (0,), "reshape")


def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """One dimension as several.

    Parameters
    ----------
    input : Tensor
    dim : int
    sizes : sequence of int
        They multiply to the size of `dim`; one may be -1, and follows from the others.

    Raises
    ------
    RuntimeError
        If they do not.
    """
    made = entries.parted(_VIEW, input, dim, sizes)
    return _unflatten_stepwise(input, dim, sizes) if type(made) is int else made


def _unflatten_stepwise(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    shape = shape_of(tensor_of(input, "unflatten"))
    at = one_dim(dim, len(shape), "unflatten")
    parts = tuple(int(s) for s in sizes)
    if parts.count(-1) == 1:
        known = -math.prod(parts)
        if known and shape[at] % known == 0:
            parts = tuple(shape[at] // known if s == -1 else s for s in parts)
    if math.prod(parts) != shape[at]:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {at} "
            f"({shape[at]}) in the input tensor"
        )
    return reshaped(input, (*shape[:at], *parts, *shape[at + 1 :]), "unflatten")


# sizes of 1 ---------------------------------------------------------------------------------------------


def squeeze(input: Tensor, dim: Any = None, axis: Any = None) -> Tensor:
    """A view without the dimensions of size 1: all of them, or those among `dim` (an int or several)."""
    if axis is not None:
        dim = axis_as_dim("squeeze", dim, axis)
    made = entries.squeezed(_SQUEEZE, input, 0 if dim is None else dim, dim is None)
    return _squeeze_stepwise(input, dim) if type(made) is int else made


def _squeeze_stepwise(input: Tensor, dim: Any) -> Tensor:
    shape = shape_of(tensor_of(input, "squeeze"))
    if dim is None:
        dropped = set(range(len(shape)))
    elif hasattr(dim, "__index__"):
        dropped = {one_dim(dim, len(shape), "squeeze")}
    else:
        dropped = {one_dim(d, len(shape), "squeeze") for d in dim}
    columns = [c for d, c in enumerate(plain_columns(shape)) if shape[d] != 1 or d not in dropped]
    return strided_view(input, view_words(columns, [0] * len(shape), "squeeze"), "squeeze")


def unsqueeze(input: Tensor, dim: int | None = None, axis: int | None = None) -> Tensor:
    """A view with a new dimension of size 1 at `dim`, from ``-input.ndim - 1`` to ``input.ndim``."""
    if axis is not None:
        dim = axis_as_dim("unsqueeze", dim, axis)
    made = entries.unsqueezed(_UNSQUEEZE, input, dim)
    return _unsqueeze_stepwise(input, dim) if type(made) is int else made


def _unsqueeze_stepwise(input: Tensor, dim: Any) -> Tensor:
    shape = shape_of(tensor_of(input, "unsqueeze"))
    columns = plain_columns(shape)
    columns.insert(one_dim(dim, len(shape) + 1, "unsqueeze"), (1, NONE, 0, NONE))
    return strided_view(input, view_words(columns, [0] * len(shape), "unsqueeze"), "unsqueeze")


def _at_least(dims: int, name: str) -> Any:
    def function(*tensors: Any) -> Any:
        if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
            tensors = tuple(tensors[0])
        require_tensors(name, *tensors)
        made = tuple(with_dims(x, dims) for x in tensors)
        return made[0] if len(made) == 1 else made

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Tensors with at least {dims} dimension(s)."
    return function


def with_dims(x: Tensor, dims: int) -> Tensor:
    """A tensor with as many dimensions at least."""
    if dims_of(x) == 0:
        return reshaped(x, (1,) * dims, "reshape")
    while dims_of(x) < dims:
        x = unsqueeze(x, 0 if dims_of(x) == 1 else -1)
    return x


atleast_1d, atleast_2d = _at_least(1, "atleast_1d"), _at_least(2, "atleast_2d")
atleast_3d = _at_least(3, "atleast_3d")


def attach_in_place(name: str, function: Callable[..., Tensor]) -> None:
    """Attach the method `name` that makes the tensor itself the view that `function` makes of it."""

    @wraps(function)
    def run(self: Tensor, *args: Any, **options: Any) -> Tensor:
        made = function(self, *args, **options)
        self._become(entries.retain(CONTEXT, made._slot))
        return self

    run.__name__ = run.__qualname__ = name
    run.__doc__ = f"``{name.removesuffix('_')}`` of the tensor itself."
    setattr(Tensor, name, run)


for _function in (flatten, ravel, reshape, reshape_as, squeeze, unflatten, unsqueeze, view, view_as):
    method(_function)
attach_in_place("squeeze_", squeeze)
attach_in_place("unsqueeze_", unsqueeze)
