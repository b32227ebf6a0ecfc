"""One description for layers that differ in their number of spatial dimensions alone."""

from __future__ import annotations

from typing import Any, TypeVar

Layer = TypeVar("Layer", bound=type[Any])


def described_by_base(cls: Layer) -> Layer:
    """Add to a layer's docstring what its base says behind the first line.

    ``{spatial}`` stands there for the number of dimensions, the layer's attribute ``_spatial``.
    """
    shared = cls.__base__.__doc__
    if cls.__doc__ and shared:  # absent under -OO
        parts = shared.split("\n\n", 1)[1].replace("{spatial}", str(cls._spatial))
        cls.__doc__ = f"{cls.__doc__}\n\n{parts}"
    return cls
