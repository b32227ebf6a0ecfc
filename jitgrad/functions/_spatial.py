"""What functions over spatial dimensions share: options of one number or several, and their descriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_SIZES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


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
