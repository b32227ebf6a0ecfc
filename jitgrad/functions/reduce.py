"""Sums, means, extremes and norms over all elements or some dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

from .._tensor import Tensor, wrap
from ..dispatch import call
from ..dispatch import reduce as run_reduction
from ..dtypes import int64, to_dtype, uint8
from ..engine.entry import entries
from ..engine.layout import S_NUMEL, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32
from ..kernels.table import Op
from ..store import store
from ._arrays import run_arrays
from ._call import dtype_code, is_floating, tensor_of, unary
from ._dims import ALL_DIMS, dim_mask, dims_of, one_dim, shape_of
from ._pairs import pair
from .bounds import maximum, minimum
from .conversion import cast
from .shape import _reshape, flatten

__all__ = ["all", "amax", "amin", "aminmax", "any", "argmax", "argmin", "count_nonzero", "max", "mean", "min",
           "nanmean", "nansum", "prod", "std", "std_mean", "sum", "var", "var_mean"]  # fmt: skip

_SUM, _MEAN, _PROD, _AMAX, _AMIN, _ANY, _ALL, _COUNT, _SQUARES, _ABSOLUTES = (
    BY_NAME[name]
    for name in ("sum", "mean", "prod", "amax", "amin", "any", "all", "count_nonzero", "sum_of_squares",
                 "sum_of_absolutes")
)  # fmt: skip
_PROD_ALONG, _TIED = BY_NAME["prod_along"], BY_NAME["scale_tied"]
_ARGMAX, _ARGMIN = BY_NAME["argmax"], BY_NAME["argmin"]
_EXTREME = {True: BY_NAME["max_along"], False: BY_NAME["min_along"]}
_Max, _Min = pair("max"), pair("min")
_AMinMax = pair("aminmax", ("min", "max"))


def _numel(x: Tensor) -> int:
    return store.slots[x._slot * SLOT_WORDS + S_NUMEL]


def _reduced(op: Op, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    if dim is None and not keepdim:
        made = entries.reduced_whole(op.code, input)
    else:
        made = entries.reduced(op.code, input, bool(keepdim), dim)
    if type(made) is not int:
        return made
    return wrap(run_reduction(op, input, dim_mask(dim, dims_of(input), op.name), keepdim))


def converted(input: Tensor, dtype: Any, name: str) -> Tensor:
    return input if dtype is None else cast(input, to_dtype(dtype, name))


def _within(fold: Callable[..., Tensor], input: Tensor, dtype: Any, *where: Any) -> Tensor:
    """A sum or product that is computed in a dtype: narrow integers wrap around, bools are logic."""
    kind = to_dtype(dtype, fold.__name__)
    return cast(fold(cast(input, kind), *where), kind)


# sums and products --------------------------------------------------------------------------------------


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
        keepdims: bool = False) -> Tensor:  # fmt: skip
    """The sum over all elements or some dimensions; integers and bools give int64 unless a `dtype` is given.

    Parameters
    ----------
    dim : int or tuple of int, optional
        Dimensions to sum over; all when left out.
    keepdim : bool
        Keep them with size 1.
    dtype : dtype, optional
        Convert to this before summing; the result has it, too.
    axis, keepdims
        NumPy's names of `dim` and `keepdim`, here and in other functions.
    """
    x = input if type(input) is Tensor else tensor_of(input, "sum")
    keepdim = keepdim or keepdims
    if dtype is not None:
        return _within(sum, x, dtype, axis if dim is None else dim, keepdim)
    return _reduced(_SUM, x, axis if dim is None else dim, keepdim)


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
         keepdims: bool = False) -> Tensor:  # fmt: skip
    """The mean over all elements or some dimensions; of nothing it is nan.

    Raises
    ------
    RuntimeError
        When the tensor is not floating point and no `dtype` is given.
    """
    x = input if type(input) is Tensor else tensor_of(input, "mean")
    keepdim = keepdim or keepdims
    if dtype is not None:
        x = converted(x, dtype, "mean")
    if dtype_code(x) < FLOAT32:
        _refuse_integers(x)
    return _reduced(_MEAN, x, axis if dim is None else dim, keepdim)


def _refuse_integers(x: Tensor) -> NoReturn:
    raise RuntimeError(
        "mean: could not infer output dtype. Input dtype must be either a floating point or complex "
        f"dtype. Got: {x.dtype.name}; use .float() or dtype="
    )


def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
         keepdims: bool = False) -> Tensor:  # fmt: skip
    """The product of all elements or along one dimension; integers and bools give int64 unless a `dtype` is given."""
    x = tensor_of(input, "prod")
    dim, keepdim = dim if axis is None else axis, keepdim or keepdims
    if dtype is not None:
        return _within(prod, x, dtype, dim, keepdim)
    if not x.requires_grad:
        if dim is not None:
            one_dim(dim, dims_of(x), "prod")
        return _reduced(_PROD, x, dim, keepdim)
    if dim is None:
        made = wrap(
            run_arrays(_PROD_ALONG, (_reshape(x, (_numel(x),), "reshape"),), [(x.dtype, ())], (0,))[0]
        )
        return _reshape(made, (1,) * dims_of(x), "reshape") if keepdim else made
    x, shape, at = _line(x, dim, keepdim, "prod")
    return wrap(run_arrays(_PROD_ALONG, (x,), [(x.dtype, shape)], (at,))[0])


def _line(x: Tensor, dim: Any, keepdim: bool, name: str) -> tuple[Tensor, tuple[int, ...], int]:
    """A tensor with dimensions, the result's shape and the dimension, for kernels along one dimension."""
    shape = shape_of(x)
    at = one_dim(dim, len(shape), name)
    if not shape:
        return _reshape(x, (1,), "reshape"), (), 0
    return x, (*shape[:at], *((1,) if keepdim else ()), *shape[at + 1 :]), at


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
           keepdims: bool = False) -> Tensor:  # fmt: skip
    """The sum without nan."""
    x = tensor_of(input, "nansum")
    dim, keepdim = dim if axis is None else axis, keepdim or keepdims
    if dtype is not None:
        return _within(nansum, x, dtype, dim, keepdim)
    return sum(x.masked_fill(x.isnan(), 0) if is_floating(x) else x, dim, keepdim)  # type: ignore[attr-defined]


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
            keepdims: bool = False) -> Tensor:  # fmt: skip
    """The mean without nan."""
    x = converted(tensor_of(input, "nanmean"), dtype, "nanmean")
    dim, keepdim = dim if axis is None else axis, keepdim or keepdims
    return nansum(x, dim, keepdim) / sum(~x.isnan(), dim, keepdim)  # type: ignore[attr-defined]


def count_nonzero(input: Tensor, dim: Any = None, axis: Any = None) -> Tensor:
    """How many elements are not zero."""
    return _reduced(_COUNT, tensor_of(input, "count_nonzero"), dim if axis is None else axis, False)


def any(input: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None,
        keepdims: bool = False) -> Tensor:  # fmt: skip
    """Whether any element is not zero: bool, but uint8 of uint8."""
    return _truth(_ANY, input, dim if axis is None else axis, keepdim or keepdims)


def all(input: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None,
        keepdims: bool = False) -> Tensor:  # fmt: skip
    """Whether no element is zero: bool, but uint8 of uint8."""
    return _truth(_ALL, input, dim if axis is None else axis, keepdim or keepdims)


def _truth(op: Op, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    x = tensor_of(input, op.name)
    # along no dimensions PyTorch reduces nothing here, where sums reduce everything
    nowhere = isinstance(dim, tuple | list) and not dim
    made = x != 0 if nowhere else _reduced(op, x, dim, keepdim)
    return cast(made, uint8) if dtype_code(input) == uint8.code else made


# variance -----------------------------------------------------------------------------------------------


def _moments(
    name: str, input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> tuple[Tensor, Tensor, int]:
    """The variance, the mean with all dimensions kept, and the mask of the reduced ones."""
    x = tensor_of(input, name)
    if isinstance(dim, bool):  # var(input, unbiased)
        dim, unbiased = None, dim
    if dtype_code(x) < FLOAT32:
        raise RuntimeError(
            f"{name}: std and var only support floating point dtypes, got {x.dtype.name}; use .float()"
        )
    if correction is None:
        correction = 1 if unbiased is None else int(bool(unbiased))
    dims = dims_of(x)
    mask = dim_mask(dim, dims, name)
    count = math.prod(size for d, size in enumerate(shape_of(x)) if mask >> d & 1)
    center = wrap(run_reduction(_MEAN, x, mask, True))
    total = wrap(run_reduction(_SQUARES, x - center, mask, keepdim))
    left = count - correction
    return total / (left if left > 0 else 0), center, mask


def dropped(x: Tensor, mask: int, dims: int) -> Tensor:
    return (
        _reshape(x, tuple(s for d, s in enumerate(shape_of(x)) if not mask >> d & 1), "reshape")
        if dims
        else x
    )


def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:  # fmt: skip
    """The variance; sums of squares are divided by the count less `correction` (default 1)."""
    return _moments("var", input, dim if axis is None else axis, unbiased, correction, keepdim or keepdims)[0]


def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: Any = None, axis: Any = None, keepdims: bool = False) -> Tensor:  # fmt: skip
    """The standard deviation: the root of `var`."""
    dim = dim if axis is None else axis
    return square_root(_moments("std", input, dim, unbiased, correction, keepdim or keepdims)[0])


def var_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
             correction: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # fmt: skip
    """The variance and the mean."""
    dim, keepdim = dim if axis is None else axis, keepdim or keepdims
    variance, center, mask = _moments("var_mean", input, dim, unbiased, correction, keepdim)
    return variance, center if keepdim else dropped(center, mask, dims_of(input))


def std_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
             correction: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # fmt: skip
    """The standard deviation and the mean."""
    dim, keepdim = dim if axis is None else axis, keepdim or keepdims
    variance, center, mask = _moments("std_mean", input, dim, unbiased, correction, keepdim)
    return square_root(variance), center if keepdim else dropped(center, mask, dims_of(input))


square_root = unary("root")  # its gradient is 0 at 0


# extremes -----------------------------------------------------------------------------------------------


def refuse_empty(x: Tensor, mask: int, name: str) -> None:
    if _numel(x):
        return
    for d, size in enumerate(shape_of(x)):
        if mask >> d & 1 and size == 0:
            raise IndexError(
                f"{name}: Expected reduction dim {d} to have non-zero size, got shape {tuple(x.shape)}; "
                "there is no extreme of nothing"
            )


def extreme_with_ties(op: Op, input: Tensor, mask: int, keepdim: bool) -> Tensor:
    """An extreme whose gradient is shared evenly by the elements that have it."""
    y = wrap(run_reduction(op, input, mask, keepdim))
    return _share_ties(op, y, input, mask, keepdim) if y.requires_grad else y


def _share_ties(op: Op, y: Tensor, input: Tensor, mask: int, keepdim: bool) -> Tensor:
    plain = input.detach()
    kept = y.detach() if keepdim else wrap(run_reduction(op, plain, mask, True))
    count = cast(wrap(run_reduction(_COUNT, plain == kept, mask, keepdim)), y.dtype)
    return wrap(call(_TIED, (y, count)))


def amax(input: Tensor, dim: Any = (), keepdim: bool = False, axis: Any = None,
         keepdims: bool = False) -> Tensor:  # fmt: skip
    """The greatest values; elements that tie share the gradient evenly.

    Raises
    ------
    IndexError
        When a dimension has no elements.
    """
    return _amost("amax", _AMAX, input, dim if axis is None else axis, keepdim or keepdims)


def amin(input: Tensor, dim: Any = (), keepdim: bool = False, axis: Any = None,
         keepdims: bool = False) -> Tensor:  # fmt: skip
    """The smallest values; elements that tie share the gradient evenly.

    Raises
    ------
    IndexError
        When a dimension has no elements.
    """
    return _amost("amin", _AMIN, input, dim if axis is None else axis, keepdim or keepdims)


def _amost(name: str, op: Op, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    x = tensor_of(input, name)
    if not _numel(x):
        refuse_empty(x, dim_mask(dim, dims_of(x), name), name)
    y = _reduced(op, x, dim, keepdim)
    return _share_ties(op, y, x, dim_mask(dim, dims_of(x), name), keepdim) if y.requires_grad else y


def aminmax(input: Tensor, *, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest and the greatest value."""
    named = () if dim is None else dim
    return _AMinMax(amin(input, named, keepdim), amax(input, named, keepdim))


def _extreme(name: str, greatest: bool) -> Callable[..., Any]:
    op, along = (_AMAX if greatest else _AMIN), _EXTREME[greatest]
    elementwise, result = (maximum, _Max) if greatest else (minimum, _Min)

    def function(
        input: Tensor,
        dim: Any = None,
        keepdim: bool = False,
        *,
        other: Any = None,
        axis: Any = None,
        keepdims: bool = False,
    ) -> Any:
        x = tensor_of(input, name)
        if isinstance(dim, Tensor):
            dim, other = None, dim
        if other is not None:
            return elementwise(x, other)
        dim = axis if dim is None else dim
        if dim is None:
            if not _numel(x):
                raise RuntimeError(
                    f"{name}: {name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            return extreme_with_ties(op, x, ALL_DIMS, False)
        at = one_dim(dim, dims_of(x), name)
        refuse_empty(x, 1 << at, name)
        x, shape, at = _line(x, at, keepdim or keepdims, name)
        indices, values = run_arrays(along, (x,), [(int64, shape), (x.dtype, shape)], (at,))
        return result(wrap(values), wrap(indices))

    function.__name__ = function.__qualname__ = name
    extreme = "greatest" if greatest else "smallest"
    function.__doc__ = f"""The {extreme} element; along `dim` values and indices; of two tensors elementwise.

    Parameters
    ----------
    dim : int or Tensor, optional
        A dimension, or the second tensor.

    Raises
    ------
    RuntimeError, IndexError
        When there are no elements to choose from.
    """
    return function


max, min = _extreme("max", True), _extreme("min", False)


def _argument(name: str, op: Op) -> Callable[..., Tensor]:
    def function(input: Tensor, dim: Any = None, keepdim: bool = False, *, axis: Any = None,
                 keepdims: bool = False) -> Tensor:  # fmt: skip
        x = tensor_of(input, name)
        if dtype_code(x) == 0:
            raise RuntimeError(f"{name}: {name}(): does not support bool input; convert it with .int() first")
        dim, keepdim = axis if dim is None else dim, keepdim or keepdims
        if dim is None:
            if not _numel(x):
                raise IndexError(
                    f"{name}: {name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            line = x if dims_of(x) == 1 else flatten(x)
            made = wrap(run_arrays(op, (line,), [(int64, ())], (0,))[0])
            return _reshape(made, (1,) * dims_of(x), "reshape") if keepdim else made
        at = one_dim(dim, dims_of(x), name)
        refuse_empty(x, 1 << at, name)
        x, shape, at = _line(x, at, keepdim, name)
        return wrap(run_arrays(op, (x,), [(int64, shape)], (at,))[0])

    function.__name__ = function.__qualname__ = name
    function.__doc__ = (
        f"The index of the {'greatest' if op is _ARGMAX else 'smallest'} element (the first, if many)."
    )
    return function


argmax, argmin = _argument("argmax", _ARGMAX), _argument("argmin", _ARGMIN)


for _name in __all__:
    if _name not in ("var_mean", "std_mean"):
        setattr(Tensor, _name, globals()[_name])
