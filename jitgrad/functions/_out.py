"""``out=`` arguments: results that are written into a tensor which the caller brings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from .._tensor import Tensor
from ..autograd.modes import records
from ..dtypes import category, dtype, to_dtype
from ._refusals import refuse_operand


def write_out(
    name: str, result: Tensor, out: Any, *, same_dtype: bool = False, refusal: type[Exception] = RuntimeError
) -> Tensor:
    """Copy a result into `out`, and return `out`, which takes the result's shape if it has no elements.

    Parameters
    ----------
    same_dtype : bool
        Whether `out` must have the result's dtype; otherwise one of its category or a higher one will do.
    refusal : type
        What PyTorch raises for a wrong dtype.

    Raises
    ------
    TypeError
        If `out` is not a tensor.
    RuntimeError
        If operations are recorded and the result or `out` requires grad, or if shape or dtype do not fit.
    """
    _check_fit(name, result, out, same_dtype, refusal)
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)  # type: ignore[attr-defined]


def _check_fit(name: str, result: Tensor, out: Any, same_dtype: bool, refusal: type[Exception]) -> None:
    """Refuse an `out` into which a result cannot be written."""
    if not isinstance(out, Tensor):
        refuse_operand(name, out, "out")
    if (result.requires_grad or out.requires_grad) and records():
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, but one of "
            "the arguments requires grad; leave out= away, or call it under torch.no_grad()"
        )
    unlike = out.dtype is not result.dtype if same_dtype else category(out.dtype) < category(result.dtype)
    if unlike:
        raise refusal(
            f"{name}: result type {result.dtype.name} can't be cast to the desired output type "
            f"{out.dtype.name}; expected an out= of {result.dtype.name}"
        )
    if out.shape != result.shape and out.numel():
        raise RuntimeError(
            f"{name}: expected an out= of shape {tuple(result.shape)}, got {tuple(out.shape)}; only one "
            "without elements is resized: make it with torch.empty(0)"
        )


def takes_out(
    function: Callable[..., Tensor], *, same_dtype: bool = False, name: str = ""
) -> Callable[..., Any]:
    """The function with an argument ``out=``; for those that are not so fast that one more call would show."""
    name = name or function.__name__

    @wraps(function)
    def with_out(*args: Any, out: Any = None, **options: Any) -> Tensor:
        made = function(*args, **options)
        return made if out is None else write_out(name, made, out, same_dtype=same_dtype)

    return _with_parameter(with_out, function)


takes_alike_out = partial(takes_out, same_dtype=True)


def takes_outs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with an argument ``out=``: one tensor for each of its results, or one where there is one."""
    name = function.__name__

    @wraps(function)
    def with_outs(*args: Any, out: Any = None, **options: Any) -> Any:
        made = function(*args, **options)
        if out is None:
            return made
        if isinstance(made, Tensor):
            return write_out(name, made, out, same_dtype=True)
        if not isinstance(out, (tuple, list)) or len(out) != len(made):
            raise TypeError(f"{name}(): argument 'out' must be a tuple of {len(made)} tensors")
        for result, into in zip(made, out, strict=True):
            _check_fit(name, result, into, True, RuntimeError)
        return type(made)(*[write_out(name, result, into) for result, into in zip(made, out, strict=True)])

    return _with_parameter(with_outs, function)


def _with_parameter(changed: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Let `changed` have the signature of `function` and ``out=``."""
    signature = inspect.signature(function)
    into = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any)
    changed.__signature__ = signature.replace(parameters=[*signature.parameters.values(), into])
    return changed


def make_out(
    name: str, make: Callable[[dtype], Tensor], out: Any, kind: Any, requires_grad: bool = False
) -> Tensor:
    """`write_out` of what a function that makes tensors makes in the dtype of `out`; `kind` is its ``dtype=``.

    Raises
    ------
    RuntimeError
        If `kind` is given and is not the dtype of `out`.
    """
    if not isinstance(out, Tensor):
        refuse_operand(name, out, "out")
    if kind is not None and to_dtype(kind, name) is not out.dtype:
        raise RuntimeError(
            f"{name}: dtype {to_dtype(kind, name).name} does not match dtype of out parameter "
            f"({out.dtype.name}); leave dtype= away to get that of out="
        )
    written = write_out(name, make(out.dtype), out)
    return written.requires_grad_() if requires_grad else written
