"""PyTorch's names for where to cut a tensor: ``sections=``, ``indices=`` and ``tensor_indices_or_sections=``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from operator import index
from typing import Any

from .._tensor import Tensor
from ._dims import refuse_both

_OWN = "indices_or_sections"
_NAMES = ("sections", "indices", "tensor_indices_or_sections")


def takes_split_names(function: Callable[..., Any], *, tensors: bool = False) -> Callable[..., Any]:
    """The function with PyTorch's names of its second argument, one of which says what the argument is.

    Parameters
    ----------
    function : callable
        Takes a tensor and `indices_or_sections`.
    tensors : bool, default False
        Whether indices may stand in a tensor, under a name of their own.
    """
    name = function.__name__
    names = _NAMES if tensors else _NAMES[:2]
    signature = inspect.signature(function)
    by_name = [
        inspect.Parameter(new, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any) for new in names
    ]
    own = [
        p.replace(default=None) if p.name == _OWN or p.default is not p.empty else p
        for p in signature.parameters.values()
    ]

    @wraps(function)
    def named(*args: Any, **options: Any) -> Any:
        for new in names:
            if new in options:
                value = options.pop(new)
                if _OWN in options or len(args) > 1:
                    refuse_both(name, _OWN, options.get(_OWN, args[1] if len(args) > 1 else None), new, value)
                options[_OWN] = _checked(name, new, value)
        return function(*args, **options)

    changed: Any = named
    changed.__signature__ = signature.replace(parameters=[*own, *by_name])
    return changed


def _checked(name: str, new: str, value: Any) -> Any:
    """The value, if it is what its name says; else a TypeError."""
    if new == "tensor_indices_or_sections":
        fits, expected = isinstance(value, Tensor), "a Tensor of int64"
    elif new == "indices":
        fits, expected = isinstance(value, list | tuple), "a tuple or list of ints"
    else:
        fits, expected = _is_integer(value), "an int"
    if not fits:
        raise TypeError(
            f"{name}(): expected {expected} for {new!r}, got {type(value).__name__}; "
            f"{_OWN!r}, without a name, takes all of them"
        )
    return value


def _is_integer(value: Any) -> bool:
    try:
        index(value)
    except TypeError:
        return False
    return not isinstance(value, Tensor)
