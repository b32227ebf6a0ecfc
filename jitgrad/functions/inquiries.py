"""Questions about a tensor that scripts ask by PyTorch's names."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor, method
from ..dispatch import result_type as combined_type
from ..dtypes import bool_, category, dtype, to_dtype, uint8
from ._call import require_tensors, tensor_of

__all__ = ["can_cast", "get_device", "is_complex", "is_floating_point", "is_inference", "is_nonzero",
           "is_same_size", "is_signed", "numel", "result_type", "typename"]  # fmt: skip


def is_floating_point(input: Tensor) -> bool:
    """Whether the elements are floating-point numbers."""
    return tensor_of(input, "is_floating_point").is_floating_point()


@method
def is_complex(input: Tensor) -> bool:
    """False: there are no complex dtypes."""
    tensor_of(input, "is_complex")
    return False


def is_inference(input: Tensor) -> bool:
    """Whether the tensor was made under ``inference_mode``."""
    return tensor_of(input, "is_inference").is_inference()


def numel(input: Tensor) -> int:
    """Number of elements."""
    return tensor_of(input, "numel").numel()


def result_type(tensor1: Any, tensor2: Any) -> dtype:
    """The dtype of the result of arithmetic with two tensors or numbers."""
    return combined_type((tensor1, tensor2))


def can_cast(from_: Any, to: Any) -> bool:
    """Whether a result of dtype `from_` may be written to a tensor of dtype `to`.

    Fractions may not become integers, nor numbers bools.
    """
    return category(to_dtype(from_, "can_cast")) <= category(to_dtype(to, "can_cast"))


def typename(obj: Any, /) -> str:
    """The name of a tensor's type, such as ``torch.FloatTensor``, or that of another object's class with its module."""
    if isinstance(obj, Tensor):
        return obj.type()  # type: ignore[attr-defined]
    kind = obj if hasattr(obj, "__qualname__") else type(obj)
    home = getattr(kind, "__module__", None) or ""
    return kind.__qualname__ if home in ("", "builtins") else f"{home}.{kind.__qualname__}"


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
