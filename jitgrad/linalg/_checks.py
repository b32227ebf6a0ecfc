"""What the functions of this package accept, and how NumPy computes for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..functions import from_numpy
from ..functions._call import is_floating, require_tensors
from ..functions._dims import shape_of


class LinAlgError(RuntimeError):
    """A matrix for which there is no result: a singular one, or one that is not positive definite."""


def matrices(name: str, *tensors: Any, square: bool = False) -> None:
    """Check that tensors hold matrices of floating-point numbers.

    Raises
    ------
    TypeError
        If one is no tensor.
    RuntimeError
        If one is not floating, has fewer than two dimensions, or is not square where it has to be.
    """
    require_tensors(f"linalg.{name}", *tensors)
    for x in tensors:
        if not is_floating(x):
            raise RuntimeError(
                f"linalg.{name}: Expected a floating point tensor as input. Got {x.dtype.name}"
            )
        shape = shape_of(x)
        if len(shape) < 2:
            raise RuntimeError(
                f"linalg.{name}: The input tensor A must have at least 2 dimensions, got shape {shape}"
            )
        rows, columns = shape[-2:]
        if square and rows != columns:
            raise RuntimeError(
                f"linalg.{name}: A must be batches of square matrices, but they are {rows} by {columns} matrices"
            )


def raise_info(name: str, info: Tensor, message: str) -> None:
    """Raise a LinAlgError with the first number in `info` that is not 0, in place of the braces of a message."""
    numbers = info.numpy().reshape(-1)
    if numbers.any():
        first = int((numbers != 0).argmax())
        element = f"(Batch element {first}): " if info.ndim else ""
        raise LinAlgError(f"linalg.{name}: {element}{message.format(int(numbers[first]))}")


def by_numpy(name: str, function: Callable[..., Any], *tensors: Tensor) -> Any:
    """Call a function of NumPy's on the values of tensors; a tensor, or a tuple of them.

    Raises
    ------
    LinAlgError
        When NumPy does.
    """
    try:
        found = function(*[x.numpy(force=True) for x in tensors])
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"linalg.{name}: {error}") from None
    return tuple(map(_tensor, found)) if isinstance(found, tuple) else _tensor(found)


def _tensor(values: Any) -> Tensor:
    return from_numpy(np.array(values, order="C"))
