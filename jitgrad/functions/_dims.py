"""Dimensions as scripts name them: checked, and counted from the front."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from .._tensor import Tensor
from ..engine.entry import entries
from ..engine.layout import S_DIMS, S_NUMEL, SLOT_WORDS
from ..store import store

ALL_DIMS = 255  # a mask of every dimension a tensor may have


def refuse_dim(name: str, dim: int, dims: int) -> NoReturn:
    """A dimension is out of range."""
    low, high = (-dims, dims - 1) if dims else (-1, 0)
    raise IndexError(
        f"{name}: Dimension out of range (expected to be in range of [{low}, {high}], but got {dim})"
    )


def one_dim(dim: Any, dims: int, name: str) -> int:
    """A dimension counted from the front; a tensor without dimensions takes 0 and -1."""
    if isinstance(dim, bool) or not hasattr(dim, "__index__"):
        raise TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
    dim = dim.__index__()
    limit = dims or 1
    if not -limit <= dim < limit:
        refuse_dim(name, dim, dims)
    return dim + limit if dim < 0 else dim


def dim_mask(dim: Any, dims: int, name: str) -> int:
    """The bits of one or several dimensions; None and an empty list mean all of them."""
    if dim is None:
        return ALL_DIMS
    if hasattr(dim, "__index__"):
        return 1 << one_dim(dim, dims, name) if dims else (one_dim(dim, dims, name), ALL_DIMS)[1]
    mask = 0
    for d in dim:
        bit = 1 << one_dim(d, dims, name)
        if mask & bit:
            raise RuntimeError(f"{name}: dim {d} appears multiple times in the list of dims {list(dim)}")
        mask |= bit
    return mask or ALL_DIMS


def dims_of(x: Tensor) -> int:
    """Number of dimensions of a tensor."""
    return store.slots[x._slot * SLOT_WORDS + S_DIMS]


def numel_of(x: Tensor) -> int:
    """Number of elements of a tensor."""
    return store.slots[x._slot * SLOT_WORDS + S_NUMEL]


def shape_of(x: Tensor) -> tuple[int, ...]:
    """The shape as a plain tuple."""
    return entries.sizes(x)


def refuse_both(name: str, own: str, value: Any, numpy_name: str, other: Any) -> NoReturn:
    """One argument was given under PyTorch's name and under NumPy's."""
    raise TypeError(
        f"{name}() got both {own!r} ({value!r}) and {numpy_name!r} ({other!r}), which are names of one argument; "
        "give one"
    )


def axis_as_dim(name: str, dim: Any, axis: Any, default: Any = None) -> Any:
    """What was given under NumPy's name `axis`; a TypeError when `dim`, whose default is `default`, was given, too.

    Functions call it only when `axis` is not None, so that the name costs nothing where it is not used.
    """
    if dim is not None and dim != default:
        refuse_both(name, "dim", dim, "axis", axis)
    return axis


def named_dim(name: str, dim: Any, axis: Any) -> Any:
    """A dimension that must be given, as `dim` or under NumPy's name `axis`."""
    if dim is None and axis is None:
        raise TypeError(f"{name}() missing 1 required positional argument: 'dim'")
    return dim if axis is None else axis_as_dim(name, dim, axis)


def by_name(name: str, keyword: str, value: Any, args: tuple[Any, ...]) -> tuple[Any]:
    """What ``f(2, 3)`` takes one by one, given as ``f(keyword=(2, 3))``; a TypeError if both were used."""
    if args:
        raise TypeError(f"{name}() got multiple values for argument '{keyword}'")
    return (value,)


def sizes_of(args: Sequence[Any], name: str, keyword: str, value: Any = None) -> tuple[int, ...]:
    """Sizes or dimensions from ``f(2, 3)``, ``f((2, 3))`` or ``f(keyword=(2, 3))``."""
    if value is not None:
        args = by_name(name, keyword, value, args)
    if len(args) == 1 and not hasattr(args[0], "__index__"):
        args = args[0]
    try:
        return tuple([size.__index__() for size in args])
    except (AttributeError, TypeError):
        raise TypeError(
            f"{name}(): argument '{keyword}' must be ints or a tuple of ints, got {args!r}"
        ) from None
