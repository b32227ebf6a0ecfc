"""The greatest and the smallest elements, and where they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._tensor import Tensor, wrap
from ..dispatch import call
from ..dispatch import reduce as run_reduction
from ..dtypes import int64
from ..engine.entry import entries
from ..kernels import BY_NAME
from ..kernels.abi import INT64
from ..kernels.table import Op
from ._arrays import run_arrays
from ._call import dtype_code, tensor_of
from ._dims import ALL_DIMS, axis_as_dim, dim_mask, dims_of, numel_of, one_dim, shape_of
from ._launch import run
from ._numpy_names import takes_axis
from ._out import write_out
from ._pairs import pair
from .bounds import maximum, minimum
from .conversion import cast
from .reduce import line_along, reduced
from .shape import flatten, reshaped

__all__ = ["amax", "amin", "aminmax", "argmax", "argmin", "max", "min"]

_AMAX, _AMIN, _COUNT, _TIED, _ARGMAX, _ARGMIN, _TIES, _EQUAL = (
    BY_NAME[name]
    for name in ("amax", "amin", "count_nonzero", "scale_tied", "argmax", "argmin", "ties", "eq")
)
_EXTREME = {True: BY_NAME["max_along"], False: BY_NAME["min_along"]}
_Max, _Min = pair("max"), pair("min")
_AMinMax = pair("aminmax", ("min", "max"))


def refuse_empty(x: Tensor, mask: int, name: str) -> None:
    """An IndexError where a dimension of the mask is empty: there is nothing to choose from."""
    if numel_of(x):
        return
    for d, size in enumerate(shape_of(x)):
        if mask >> d & 1 and size == 0:
            raise IndexError(
                f"{name}: Expected reduction dim {d} to have non-zero size, got shape {tuple(x.shape)}; "
                "there is no extreme of nothing"
            )


def extreme_with_ties(op: Op, input: Tensor, mask: int, keepdim: bool) -> Tensor:
    """An extreme whose gradient is shared evenly by the elements that have it; a nan ties with other nans."""
    y = wrap(run_reduction(op, input, mask, keepdim))
    return _share_ties(op, y, input, mask, keepdim, True) if y.requires_grad else y


def _share_ties(op: Op, y: Tensor, input: Tensor, mask: int, keepdim: bool, nan_ties: bool) -> Tensor:
    """The extreme `y` with its gradient shared; without `nan_ties` that of nan is nan, as PyTorch's amax has it."""
    plain = input.detach()
    kept = y.detach() if keepdim else wrap(run_reduction(op, plain, mask, True))
    tied = wrap(call(_TIES if nan_ties else _EQUAL, (plain, kept)))
    count = cast(wrap(run_reduction(_COUNT, tied, mask, keepdim)), y.dtype)
    return wrap(call(_TIED, (y, count)))


def _values_only(name: str, op: Op) -> Callable[..., Tensor]:
    """The functions that give the extremes along any dimensions, without indices."""

    def function(input: Tensor, dim: Any = (), keepdim: bool = False, axis: Any = None,
                 keepdims: bool = False, *, out: Any = None) -> Tensor:  # fmt: skip
        if out is not None:
            return write_out(name, function(input, dim, keepdim or keepdims, axis), out, same_dtype=True)
        if axis is not None:
            dim = axis_as_dim(name, dim, axis, ())
        keepdim = keepdim or keepdims
        x = tensor_of(input, name)
        if not numel_of(x):
            refuse_empty(x, dim_mask(dim, dims_of(x), name), name)
        y = reduced(op, x, dim, keepdim)
        return (
            _share_ties(op, y, x, dim_mask(dim, dims_of(x), name), keepdim, False) if y.requires_grad else y
        )

    function.__name__ = function.__qualname__ = name
    extreme = "greatest" if op is _AMAX else "smallest"
    function.__doc__ = f"""The {extreme} values; elements that tie share the gradient evenly.

    Raises
    ------
    IndexError
        When a dimension has no elements.
    """
    return function


amax, amin = _values_only("amax", _AMAX), _values_only("amin", _AMIN)


@takes_axis
def aminmax(input: Tensor, *, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest and the greatest value."""
    named = () if dim is None else dim
    both = entries.folded_twice(_AMIN.code, _AMAX.code, bool(keepdim), input, named)
    if type(both) is int:
        both = amin(input, named, keepdim), amax(input, named, keepdim)
    return _AMinMax(*both)


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
        if axis is not None:
            dim = axis_as_dim(name, dim, axis)
        if dim is None:
            if not numel_of(x):
                raise RuntimeError(
                    f"{name}: {name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            return extreme_with_ties(op, x, ALL_DIMS, False)
        at = one_dim(dim, dims_of(x), name)
        refuse_empty(x, 1 << at, name)
        x, shape, at = line_along(x, at, keepdim or keepdims, name)
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
                 keepdims: bool = False, out: Any = None) -> Tensor:  # fmt: skip
        if out is not None:
            return write_out(name, function(input, dim, keepdim or keepdims, axis=axis), out, same_dtype=True)
        if type(dim) is int and axis is None:
            made = entries.without_dim(op.code, INT64, input, dim, keepdim or keepdims)
            if type(made) is not int:
                return made
        x = tensor_of(input, name)
        if dtype_code(x) == 0:
            raise RuntimeError(f"{name}: {name}(): does not support bool input; convert it with .int() first")
        keepdim = keepdim or keepdims
        if axis is not None:
            dim = axis_as_dim(name, dim, axis)
        if dim is None:
            if not numel_of(x):
                raise IndexError(
                    f"{name}: {name}(): Expected reduction dim to be specified for input.numel() == 0. "
                    "Specify the reduction dim with the 'dim' argument."
                )
            line = x if dims_of(x) == 1 else flatten(x)
            made = wrap(run(op, (line,), int64, (), (0,)))
            return reshaped(made, (1,) * dims_of(x), "reshape") if keepdim else made
        at = one_dim(dim, dims_of(x), name)
        refuse_empty(x, 1 << at, name)
        x, shape, at = line_along(x, at, keepdim, name)
        return wrap(run(op, (x,), int64, shape, (at,)))

    function.__name__ = function.__qualname__ = name
    extreme = "greatest" if op is _ARGMAX else "smallest"
    function.__doc__ = f"""The index of the {extreme} element (the first, if many), as int64.

    Parameters
    ----------
    input : Tensor
        Of numbers; nan counts as the {extreme}.
    dim : int, optional
        The dimension; when left out, the index is that of the flattened elements.
    keepdim : bool
        Keep the dimension with size 1.
    axis, keepdims
        NumPy's names of `dim` and `keepdim`.

    Raises
    ------
    IndexError
        When there are no elements to choose from.
    RuntimeError
        When the tensor is of bools.
    """
    return function


argmax, argmin = _argument("argmax", _ARGMAX), _argument("argmin", _ARGMIN)


for _name in __all__:
    setattr(Tensor, _name, globals()[_name])
