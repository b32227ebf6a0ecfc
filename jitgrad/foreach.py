"""Operations on lists of tensors, as optimizers of scripts call them: ``torch._foreach_mul_(moments, 0.9)``.

``_foreach_<name>`` calls the tensors' method of that name, one after the other; further arguments that are lists or
tuples have one element for each tensor, all others are for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._tensor import Tensor

# PyTorch's names of arguments, where the methods have others
_NAMES = {"scalars": "value", "scalar": "other", "tensors1": "end", "weights": "weight", "ord": "p"}
# methods that take a third tensor's place by name only
_VALUED = ("addcdiv", "addcmul")
_NEW = frozenset(
    """abs acos add addcdiv addcmul asin atan ceil clamp_max clamp_min clone cos cosh div erf erfc exp expm1 floor frac
    lerp lgamma log log10 log1p log2 max maximum minimum mul neg norm pow reciprocal round rsqrt sigmoid sign sin sinh
    sqrt sub tan tanh trunc""".split()  # noqa: SIM905
)
_IN_PLACE = (_NEW - {"clone", "max", "norm"}) | {"copy", "zero"}


def _method(name: str) -> Callable[..., Any]:
    if name in ("maximum", "minimum"):
        from . import functions

        return getattr(functions, name)
    if name in ("maximum_", "minimum_"):  # tensors have no such methods
        larger = _method(name[:-1])
        return lambda x, other: x.copy_(larger(x, other))
    return getattr(Tensor, name)


def _each(name: str, given: Any, count: int) -> list[Any]:
    """What an argument gives to each of the tensors."""
    if not isinstance(given, list | tuple):
        return [given] * count
    if len(given) != count:
        raise RuntimeError(
            f"{name}: expected a list of {count}, one for each tensor, got one of {len(given)}"
        )
    return list(given)


def function(name: str) -> Callable[..., Any]:
    """``_foreach_<operation>``, or the function in place, ``_foreach_<operation>_``.

    Raises
    ------
    AttributeError
        If there is none of this name.
    """
    operation = name.removeprefix("_foreach_")
    plain = operation.removesuffix("_")
    if plain not in (_IN_PLACE if operation.endswith("_") else _NEW):
        raise AttributeError(
            f"module 'jitgrad' has no attribute '{name}'; call the tensors' methods one by one"
        )
    call = _method(operation)

    def foreach(self: Any, *args: Any, **options: Any) -> Any:
        if not isinstance(self, list | tuple):
            if plain != "pow" or not args or not isinstance(args[0], list | tuple):
                raise TypeError(f"{name}(): expected a list or tuple of tensors, got {type(self).__name__}")
            return tuple(self**exponent for exponent in args[0])  # one number to the power of each
        named = {_NAMES.get(key, key): value for key, value in options.items()}
        if plain in _VALUED and len(args) > 2:
            named["value"], args = args[2], args[:2]
        count = len(self)
        columns = [_each(name, value, count) for value in args]
        keywords = {key: _each(name, value, count) for key, value in named.items()}
        made = tuple(
            call(x, *(c[i] for c in columns), **{key: value[i] for key, value in keywords.items()})
            for i, x in enumerate(self)
        )
        return None if operation.endswith("_") else made

    foreach.__name__ = foreach.__qualname__ = name
    foreach.__doc__ = f"``{operation}`` of each of a list's tensors; see `jitgrad.foreach`."
    return foreach
