"""Memory shared with other libraries by the DLPack protocol (https://dmlc.github.io/dlpack/latest/)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dtypes import BY_NUMPY, check_device, numpy_to_dtype
from .from_data import from_array, tensor_on

__all__ = ["from_dlpack", "to_dlpack"]

CPU = 1  # as DLPack numbers it


class _Capsule:
    """What gives a capsule to a consumer that asks an object for one."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **options: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return CPU, 0


def to_dlpack(tensor: Tensor) -> Any:
    """A capsule of DLPack's with a tensor's memory, which one consumer may take over.

    Parameters
    ----------
    tensor : Tensor
        Its history does not go with it.
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"to_dlpack: expected a Tensor, got {type(tensor).__name__}")
    return tensor.detach().numpy().__dlpack__()


def from_dlpack(ext_tensor: Any, *, device: Any = None, copy: bool | None = None) -> Tensor:
    """A tensor on the memory of another library's: writes to one are seen in the other.

    Parameters
    ----------
    ext_tensor : object or capsule
        An array or tensor in the CPU's memory with a method ``__dlpack__``, such as NumPy's and PyTorch's, or a capsule
        that `to_dlpack` or such a method has made. Its memory is kept as long as it is shown.
    device : device or str, optional
        The CPU.
    copy : bool, optional
        True for memory of its own; False refuses what can be had as a copy only. By default numbers that tensors
        cannot have, but that one of their dtypes holds (float16 as float32), are copied, and nothing else is.

    Returns
    -------
    Tensor
        Without a history.

    Raises
    ------
    RuntimeError
        If the object has no ``__dlpack__``, or the capsule has been taken over before.
    BufferError
        If the memory is not the CPU's, the tensor asks for gradients, or a copy is needed and refused.
    TypeError
        If tensors cannot hold such numbers.
    ValueError
        If a stride is negative.
    """
    if device is not None:
        check_device(device)
    if isinstance(ext_tensor, Tensor):
        _refuse_history(ext_tensor)
        made = ext_tensor.detach()
        return made.clone() if copy else made  # type: ignore[attr-defined]
    values = ext_tensor if isinstance(ext_tensor, np.ndarray) else _array_of(ext_tensor)
    if values.dtype not in BY_NUMPY:
        kind = numpy_to_dtype(values.dtype, "from_dlpack")
        if copy is False:
            raise BufferError(
                f"from_dlpack: tensors have no {values.dtype.name}, and copy=False forbids to convert it; leave it out"
            )
        return from_array(values, kind)
    return tensor_on(values.copy() if copy else values, "from_dlpack")


def _array_of(source: Any) -> np.ndarray:
    """An array on the memory of an object or a capsule."""
    if type(source).__name__ == "PyCapsule":
        source = _Capsule(source)
    elif not hasattr(source, "__dlpack__"):
        raise RuntimeError(
            f"from_dlpack: expected a capsule or an object with a method __dlpack__, got {type(source).__name__}; "
            "tensor() makes a tensor from other data"
        )
    elif (kind := int(source.__dlpack_device__()[0])) != CPU:
        raise BufferError(
            f"from_dlpack: expected memory of the CPU (1), got that of device type {kind}; copy it to the CPU first"
        )
    try:
        return np.from_dlpack(source)
    except ValueError as error:  # what NumPy raises for a capsule of another name, as used ones have
        raise RuntimeError(
            "from_dlpack: received an invalid capsule: each can be consumed only once; make another with to_dlpack"
        ) from error
    except RuntimeError as error:
        raise TypeError(f"from_dlpack: NumPy, which reads the memory, cannot: {error}") from None


def _refuse_history(x: Tensor) -> None:
    if x.requires_grad:
        raise BufferError(
            "from_dlpack: Can't export tensors that require gradient: other libraries do not know its history. "
            "Use tensor.detach()"
        )
