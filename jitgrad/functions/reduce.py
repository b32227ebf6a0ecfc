"""Sums, products, means and variances over all elements or some dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

from .._tensor import Tensor, wrap
from ..dispatch import reduce as run_reduction
from ..dtypes import to_dtype, uint8
from ..engine.entry import entries
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32
from ..kernels.arguments import UNFIT
from ..kernels.table import Op
from ._call import dtype_code, is_floating, tensor_of, unary
from ._dims import axis_as_dim, dim_mask, dims_of, numel_of, one_dim, shape_of
from ._launch import run
from ._out import write_out
from .conversion import cast
from .shape import reshaped

__all__ = ["all", "any", "count_nonzero", "mean", "nanmean", "nansum", "prod", "std", "std_mean", "sum", "var",
           "var_mean"]  # fmt: skip

_SUM, _MEAN, _PROD, _ANY, _ALL, _COUNT, _SQUARES, _PROD_ALONG = (
    BY_NAME[name]
    for name in ("sum", "mean", "prod", "any", "all", "count_nonzero", "sum_of_squares", "prod_along")
)
_ROOT, _NANSUM = BY_NAME["root"], BY_NAME["nansum"]
_VARIANCE = [BY_NAME[name].code for name in ("mean", "sub", "sum_of_squares", "div")]


def reduced(op: Op, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    """Run a reduction along `dim`, as a script names it: None for all dimensions, one, or several."""
    if dim is None and not keepdim:
        made = entries.reduced_whole(op.code, input)
    else:
        made = entries.reduced(op.code, input, bool(keepdim), dim)
    if type(made) is not int:
        return made
    return wrap(run_reduction(op, input, dim_mask(dim, dims_of(input), op.name), keepdim))


def converted(input: Tensor, dtype: Any, name: str) -> Tensor:
    """A tensor in the dtype that was asked for, if any was."""
    return input if dtype is None else cast(input, to_dtype(dtype, name))


def _within(fold: Callable[..., Tensor], input: Tensor, dtype: Any, *where: Any) -> Tensor:
    """A sum or product that is computed in a dtype: narrow integers wrap around, bools are logic."""
    kind = to_dtype(dtype, fold.__name__)
    return cast(fold(cast(input, kind), *where), kind)


# sums and products --------------------------------------------------------------------------------------


def sum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
        keepdims: bool = False, out: Any = None) -> Tensor:  # fmt: skip
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
    out : Tensor, optional
        Takes the result and is returned, here and in other functions.
    """
    if out is not None:
        return write_out("sum", sum(input, dim, keepdim or keepdims, dtype=dtype, axis=axis), out)
    x = input if type(input) is Tensor else tensor_of(input, "sum")
    keepdim = keepdim or keepdims
    if axis is not None:
        dim = axis_as_dim("sum", dim, axis)
    if dtype is not None:
        return _within(sum, x, dtype, dim, keepdim)
    return reduced(_SUM, x, dim, keepdim)


def mean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
         keepdims: bool = False, out: Any = None) -> Tensor:  # fmt: skip
    """The mean over all elements or some dimensions; of nothing it is nan. See `sum` for the parameters.

    Raises
    ------
    RuntimeError
        When the tensor is not floating point and no `dtype` is given.
    """
    if out is not None:
        return write_out("mean", mean(input, dim, keepdim or keepdims, dtype=dtype, axis=axis), out)
    x = input if type(input) is Tensor else tensor_of(input, "mean")
    if axis is not None:
        dim = axis_as_dim("mean", dim, axis)
    if dtype is not None:
        x = converted(x, dtype, "mean")
    if dtype_code(x) < FLOAT32:
        _refuse_integers(x)
    return reduced(_MEAN, x, dim, keepdim or keepdims)


def _refuse_integers(x: Tensor) -> NoReturn:
    raise RuntimeError(
        "mean: could not infer output dtype. Input dtype must be either a floating point or complex "
        f"dtype. Got: {x.dtype.name}; use .float() or dtype="
    )


def prod(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
         keepdims: bool = False, out: Any = None) -> Tensor:  # fmt: skip
    """The product of all elements or along one dimension; integers and bools give int64 unless a `dtype` is given.

    Parameters
    ----------
    dim : int, optional
        The dimension; all elements when left out.
    keepdim : bool
        Keep it with size 1.
    dtype : dtype, optional
        Convert to this before multiplying; the result has it, too.
    """
    if out is not None:
        return write_out("prod", prod(input, dim, keepdim or keepdims, dtype=dtype, axis=axis), out)
    x = tensor_of(input, "prod")
    keepdim = keepdim or keepdims
    if axis is not None:
        dim = axis_as_dim("prod", dim, axis)
    if dtype is not None:
        return _within(prod, x, dtype, dim, keepdim)
    if not x.requires_grad:
        if dim is not None:
            one_dim(dim, dims_of(x), "prod")
        return reduced(_PROD, x, dim, keepdim)
    if dim is None:
        line = reshaped(x, (numel_of(x),), "reshape")
        made = wrap(run(_PROD_ALONG, (line,), x.dtype, (), (0,)))
        return reshaped(made, (1,) * dims_of(x), "reshape") if keepdim else made
    x, shape, at = line_along(x, dim, keepdim, "prod")
    return wrap(run(_PROD_ALONG, (x,), x.dtype, shape, (at,)))


def line_along(x: Tensor, dim: Any, keepdim: bool, name: str) -> tuple[Tensor, tuple[int, ...], int]:
    """A tensor with dimensions, the result's shape and the dimension, for kernels along one dimension."""
    shape = shape_of(x)
    at = one_dim(dim, len(shape), name)
    if not shape:
        return reshaped(x, (1,), "reshape"), (), 0
    return x, (*shape[:at], *((1,) if keepdim else ()), *shape[at + 1 :]), at


def nansum(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
           keepdims: bool = False, out: Any = None) -> Tensor:  # fmt: skip
    """The sum of the elements that are not nan; see `sum` for the parameters."""
    if out is not None:
        return write_out("nansum", nansum(input, dim, keepdim or keepdims, dtype=dtype, axis=axis), out)
    x = tensor_of(input, "nansum")
    keepdim = keepdim or keepdims
    if axis is not None:
        dim = axis_as_dim("nansum", dim, axis)
    if dtype is not None:
        return _within(nansum, x, dtype, dim, keepdim)
    return reduced(_NANSUM, x, dim, keepdim) if is_floating(x) else sum(x, dim, keepdim)


def nanmean(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, axis: Any = None,
            keepdims: bool = False, out: Any = None) -> Tensor:  # fmt: skip
    """The mean of the elements that are not nan; see `sum` for the parameters."""
    if out is not None:
        return write_out("nanmean", nanmean(input, dim, keepdim or keepdims, dtype=dtype, axis=axis), out)
    x = converted(tensor_of(input, "nanmean"), dtype, "nanmean")
    keepdim = keepdim or keepdims
    if axis is not None:
        dim = axis_as_dim("nanmean", dim, axis)
    return nansum(x, dim, keepdim) / sum(~x.isnan(), dim, keepdim)  # type: ignore[attr-defined]


def count_nonzero(input: Tensor, dim: Any = None, axis: Any = None) -> Tensor:
    """How many elements are not zero, over all of them or the dimensions `dim`: int64."""
    if axis is not None:
        dim = axis_as_dim("count_nonzero", dim, axis)
    return reduced(_COUNT, tensor_of(input, "count_nonzero"), dim, False)


def any(input: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None,
        keepdims: bool = False, *, out: Any = None) -> Tensor:  # fmt: skip
    """Whether any element is not zero: bool, but uint8 of uint8; `dim` and `keepdim` as of `sum`."""
    if axis is not None:
        dim = axis_as_dim("any", dim, axis)
    made = _truth(_ANY, input, dim, keepdim or keepdims)
    return made if out is None else write_out("any", made, out, same_dtype=True)


def all(input: Tensor, dim: Any = None, keepdim: bool = False, axis: Any = None,
        keepdims: bool = False, *, out: Any = None) -> Tensor:  # fmt: skip
    """Whether no element is zero: bool, but uint8 of uint8; `dim` and `keepdim` as of `sum`."""
    if axis is not None:
        dim = axis_as_dim("all", dim, axis)
    made = _truth(_ALL, input, dim, keepdim or keepdims)
    return made if out is None else write_out("all", made, out, same_dtype=True)


def _truth(op: Op, input: Tensor, dim: Any, keepdim: bool) -> Tensor:
    x = tensor_of(input, op.name)
    # along no dimensions PyTorch reduces nothing here, where sums reduce everything
    nowhere = isinstance(dim, tuple | list) and not dim
    made = x != 0 if nowhere else reduced(op, x, dim, keepdim)
    return cast(made, uint8) if dtype_code(input) == uint8.code else made


square_root = unary("root")  # its gradient is 0 at 0


# variance -----------------------------------------------------------------------------------------------


def _corrected(dim: Any, unbiased: Any, correction: Any) -> tuple[Any, Any]:
    """The dimensions and the correction, which may have been given by its older name, or in the dimensions' place."""
    if isinstance(dim, bool):  # var(input, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(bool(unbiased))
    return dim, correction


def _moments(
    name: str, input: Tensor, dim: Any, unbiased: Any, correction: Any, keepdim: bool
) -> tuple[Tensor, Tensor, int]:
    """The variance, the mean with all dimensions kept, and the mask of the reduced ones."""
    x = tensor_of(input, name)
    dim, correction = _corrected(dim, unbiased, correction)
    if dtype_code(x) < FLOAT32:
        raise RuntimeError(
            f"{name}: std and var only support floating point dtypes, got {x.dtype.name}; use .float()"
        )
    dims = dims_of(x)
    mask = dim_mask(dim, dims, name)
    count = math.prod(size for d, size in enumerate(shape_of(x)) if mask >> d & 1)
    center = wrap(run_reduction(_MEAN, x, mask, True))
    total = wrap(run_reduction(_SQUARES, x - center, mask, keepdim))
    left = count - correction
    # 0 / 0 is nan: of nothing no variance is known, whatever the correction
    return total / (left if left > 0 and count else 0), center, mask


def _at_once(input: Any, dim: Any, unbiased: Any, correction: Any, keepdim: bool, root: int) -> Any:
    """`var`, or `std` where `root` is the code of its root, in one compiled call; an int where that does not fit."""
    dim, correction = _corrected(dim, unbiased, correction)
    if type(correction) is not int:
        return UNFIT
    named = () if dim is None else dim
    return entries.variance(*_VARIANCE, root, correction, bool(keepdim), input, named)


def without_dims(x: Tensor, mask: int) -> Tensor:
    """A tensor without the dimensions of a mask, whose sizes are 1."""
    kept = tuple(size for d, size in enumerate(shape_of(x)) if not mask >> d & 1)
    return reshaped(x, kept, "reshape") if dims_of(x) else x


def var(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: Any = None, axis: Any = None, keepdims: bool = False, out: Any = None) -> Tensor:  # fmt: skip
    """The variance over all elements or some dimensions: ``sum((x - mean)**2) / (n - correction)``, n elements each.

    Parameters
    ----------
    dim : int or tuple of int, optional
        Dimensions; all when left out.
    unbiased : bool, optional
        PyTorch's older name: True is a `correction` of 1, False of 0.
    keepdim : bool
        Keep the dimensions with size 1.
    correction : int, optional
        1 by default (Bessel's correction).
    axis, keepdims
        NumPy's names of `dim` and `keepdim`.

    Raises
    ------
    RuntimeError
        When the tensor is not floating point.
    """
    if out is not None:
        made = var(input, dim, unbiased, keepdim or keepdims, correction=correction, axis=axis)
        return write_out("var", made, out, same_dtype=True)
    if axis is not None:
        dim = axis_as_dim("var", dim, axis)
    made = _at_once(input, dim, unbiased, correction, keepdim or keepdims, 0)
    if type(made) is not int:
        return made
    return _moments("var", input, dim, unbiased, correction, keepdim or keepdims)[0]


def std(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
        correction: Any = None, axis: Any = None, keepdims: bool = False, out: Any = None) -> Tensor:  # fmt: skip
    """The standard deviation: the root of `var`, and with its parameters. Where it is 0, so is its gradient."""
    if out is not None:
        made = std(input, dim, unbiased, keepdim or keepdims, correction=correction, axis=axis)
        return write_out("std", made, out, same_dtype=True)
    if axis is not None:
        dim = axis_as_dim("std", dim, axis)
    made = _at_once(input, dim, unbiased, correction, keepdim or keepdims, _ROOT.code)
    if type(made) is not int:
        return made
    return square_root(_moments("std", input, dim, unbiased, correction, keepdim or keepdims)[0])


def var_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
             correction: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # fmt: skip
    """The variance and the mean, as a pair; see `var` for the parameters."""
    keepdim = keepdim or keepdims
    if axis is not None:
        dim = axis_as_dim("var_mean", dim, axis)
    variance, center, mask = _moments("var_mean", input, dim, unbiased, correction, keepdim)
    return variance, center if keepdim else without_dims(center, mask)


def std_mean(input: Tensor, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *,
             correction: Any = None, axis: Any = None, keepdims: bool = False) -> Any:  # fmt: skip
    """The standard deviation and the mean, as a pair; see `var` for the parameters."""
    keepdim = keepdim or keepdims
    if axis is not None:
        dim = axis_as_dim("std_mean", dim, axis)
    variance, center, mask = _moments("std_mean", input, dim, unbiased, correction, keepdim)
    return square_root(variance), center if keepdim else without_dims(center, mask)


for _name in __all__:
    if _name not in ("var_mean", "std_mean"):
        setattr(Tensor, _name, globals()[_name])
