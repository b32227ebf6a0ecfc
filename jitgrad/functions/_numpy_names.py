"""NumPy's names of arguments, ``axis=`` and ``keepdims=``, for functions that do not read them on their own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from ._dims import refuse_both

NAMES = (("axis", "dim"), ("keepdims", "keepdim"))


def takes_axis(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with `axis` as a name of `dim`, and `keepdims` of `keepdim` where it has one.

    For functions that are not so fast that one more call would show. The new function raises a TypeError when an
    argument is given under both of its names.
    """
    name = function.__name__
    signature = inspect.signature(function)
    order = list(signature.parameters)
    names = [(new, old, order.index(old)) for new, old in NAMES if old in order]
    by_name = [
        inspect.Parameter(new, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Any)
        for new, _, _ in names
    ]

    @wraps(function)
    def named(*args: Any, **options: Any) -> Any:
        for new, old, place in names:
            if new in options:
                value = options.pop(new)
                if old in options or len(args) > place:
                    refuse_both(
                        name, old, options.get(old, args[place] if len(args) > place else None), new, value
                    )
                options[old] = value
        return function(*args, **options)

    changed: Any = named
    changed.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *by_name])
    return changed
