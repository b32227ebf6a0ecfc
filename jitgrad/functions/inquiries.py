"""Questions about a tensor that scripts ask by PyTorch's names."""

from __future__ import annotations

from .._tensor import Tensor, method
from ..dtypes import bool_, uint8
from ._call import require_tensors, tensor_of

__all__ = ["get_device", "is_nonzero", "is_same_size", "is_signed"]


@method
def is_signed(input: Tensor) -> bool:
    """Whether the dtype holds negative numbers."""
    return tensor_of(input, "is_signed").dtype not in (bool_, uint8)


@method
def is_nonzero(input: Tensor) -> bool:
    """Whether the only element is not zero; a RuntimeError if there are none or several."""
    return bool(tensor_of(input, "is_nonzero"))


@method
def get_device(input: Tensor) -> int:
    """-1: the number of no GPU."""
    tensor_of(input, "get_device")
    return -1


@method
def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have the same shape."""
    require_tensors("is_same_size", input, other)
    return input.shape == other.shape
