"""What functions over spatial dimensions share: options of one number or several, and their descriptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

Sizes = int | Sequence[int]  # an option: one number for all spatial dimensions, or one for each

_SIZES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


def sizes(name: str, what: str, value: Any, spatial: int) -> tuple[int, ...]:
    """The option `what` as one integer for each spatial dimension.

    Raises
    ------
    TypeError
        When it is neither an integer nor a list or tuple of integers.
    RuntimeError
        When there are neither one nor `spatial` of them.
    """
    given = value if isinstance(value, (tuple, list)) else (value,)
    try:
        if value is True or value is False:
            raise TypeError
        found = tuple(map(index, given))
    except (TypeError, RuntimeError):  # a tensor of several elements is no index either
        raise TypeError(
            f"{name}(): argument '{what}' must be int or tuple of ints, not {type(value).__name__}: {value!r}"
        ) from None
    if len(found) == 1:
        return found * spatial
    if len(found) != spatial:
        raise RuntimeError(
            f"{name}: {what} must either be a single int, or a tuple of {spatial} ints, got {value!r}"
        )
    return found


def hashable(value: Any) -> Any:
    """An option in a form that can be looked up."""
    return tuple(value) if isinstance(value, list) else value


def over(spatial: int, name: str) -> Callable[[Function], Function]:
    """Name a function, and fill in what its docstring leaves open for the number of dimensions.

    That is ``{spatial}`` (2), ``{dimensions}`` (2 spatial dimensions), and the sizes of an image in full
    ``{sizes}`` (height, width), as letters ``{letters}`` (H, W), and of a kernel ``{taps}`` (kH, kW).
    """
    sizes = _SIZES[spatial]
    letters = [size[0].upper() for size in sizes]
    filled = {
        "{spatial}": str(spatial),
        "{dimensions}": f"{spatial} spatial dimension{'s' if spatial > 1 else ''}",
        "{sizes}": ", ".join(sizes),
        "{letters}": ", ".join(letters),
        "{taps}": ", ".join("k" + letter for letter in letters),
    }

    def fill(function: Function) -> Function:
        function.__name__ = function.__qualname__ = name
        text = function.__doc__  # absent under -OO
        for mark, value in filled.items():
            text = text and text.replace(mark, value)
        function.__doc__ = text
        return function

    return fill
