"""What code that also takes complex tensors asks: every tensor here is real, and so its own real part and conjugate."""

from __future__ import annotations

from typing import NoReturn

from .._tensor import Tensor, method
from ._call import require_tensors

__all__ = ["conj", "conj_physical", "imag", "is_conj", "is_neg", "real", "resolve_conj", "resolve_neg"]


@method
def conj(input: Tensor) -> Tensor:
    """`input` itself: real numbers are their own conjugates."""
    require_tensors("conj", input)
    return input


@method
def resolve_conj(input: Tensor) -> Tensor:
    """`input` itself: no conjugate waits to be taken."""
    require_tensors("resolve_conj", input)
    return input


@method
def resolve_neg(input: Tensor) -> Tensor:
    """`input` itself: no sign waits to be changed."""
    require_tensors("resolve_neg", input)
    return input


@method
def conj_physical(input: Tensor) -> Tensor:
    """`input` itself: real numbers are their own conjugates."""
    require_tensors("conj_physical", input)
    return input


@method
def is_conj(input: Tensor) -> bool:
    """False: no conjugate waits to be taken."""
    require_tensors("is_conj", input)
    return False


@method
def is_neg(input: Tensor) -> bool:
    """False: no sign waits to be changed."""
    require_tensors("is_neg", input)
    return False


def real(input: Tensor) -> Tensor:
    """`input` itself, which is real."""
    require_tensors("real", input)
    return input


def imag(input: Tensor) -> NoReturn:
    """Not available, as in PyTorch: real tensors have no imaginary part.

    Raises
    ------
    RuntimeError
        Always.
    """
    require_tensors("imag", input)
    raise RuntimeError(
        f"imag: is not implemented for tensors with non-complex dtypes; got {input.dtype.name}, whose imaginary part "
        "is zeros_like(x)"
    )


Tensor.real = property(real)
Tensor.imag = property(imag)
