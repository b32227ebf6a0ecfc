"""``autograd.Variable``: what scripts wrapped tensors in before tensors recorded their history themselves."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor


class _AnyTensor(type):
    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, Tensor)


class Variable(metaclass=_AnyTensor):
    """A tensor on the same memory, without its history; every tensor is an instance.

    Parameters
    ----------
    data : Tensor, optional
        An empty one if left out.
    requires_grad : bool
        Whether operations on it are recorded.

    Raises
    ------
    TypeError
        If `data` is not a tensor.
    """

    def __new__(cls, data: Any = None, requires_grad: bool = False) -> Tensor:  # type: ignore[misc]
        """See the class."""
        if data is None:
            data = Tensor()
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)  # type: ignore[attr-defined]
