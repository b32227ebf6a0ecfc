"""Tensors that a module owns: parameters, which are trained, and buffers, which are only kept."""

from __future__ import annotations

from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dispatch import demand


def _rebuild(cls: type, data: Tensor, *options: Any) -> Tensor:
    """Make a parameter or buffer again from what ``__reduce_ex__`` wrote."""
    return cls(data, *options)


def _alias(cls: type, data: Tensor, require_grad: bool = False) -> Any:
    """Make a leaf of a subclass on the memory of ``data``."""
    made = Tensor.__new__(cls)
    made._slot = demand("detach", data._slot)
    if require_grad:
        made.requires_grad_()
    return made


Tensor._make_subclass = staticmethod(_alias)  # type: ignore[attr-defined]  # with which others write such classes


def _checked(name: str, data: Tensor | None) -> Tensor:
    """Return the tensor to wrap; None stands for an empty one."""
    if data is None:
        return T.empty(0)
    if not isinstance(data, Tensor):
        raise TypeError(
            f"{name}: expected a Tensor, got {type(data).__name__}; make one with tensor(...) first"
        )
    return data


class Parameter(Tensor):
    """A tensor that a `Module` lists among its parameters as soon as it is made an attribute.

    Parameters
    ----------
    data : Tensor, optional
        The values. The parameter shares their memory; None makes an empty parameter.
    requires_grad : bool, default True
        Whether gradients are recorded for it.

    Raises
    ------
    TypeError
        If ``data`` is not a tensor.
    RuntimeError
        If gradients are asked for and the dtype is not a floating-point one.
    """

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Parameter:
        """Wrap a tensor; see the class."""
        return _alias(cls, _checked("Parameter", data), requires_grad)

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.detach(), self.requires_grad)


class Buffer(Tensor):
    """A tensor that a `Module` lists among its buffers as soon as it is made an attribute.

    Parameters
    ----------
    data : Tensor, optional
        The values, with whose memory the buffer is shared; None makes an empty buffer.
    persistent : bool, default True
        Whether the buffer is part of the module's ``state_dict``.

    Raises
    ------
    TypeError
        If ``data`` is not a tensor.
    """

    persistent: bool

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Buffer:
        """Wrap a tensor; see the class."""
        data = _checked("Buffer", data)
        buffer = _alias(cls, data, data.requires_grad)
        buffer.persistent = persistent
        return buffer

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.detach().clone(), persistent=self.persistent)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _rebuild_buffer, (type(self), self.detach(), self.persistent)


def _rebuild_buffer(cls: type, data: Tensor, persistent: bool) -> Tensor:
    return cls(data, persistent=persistent)


def __getattr__(name: str) -> Any:
    """Parameters and buffers without a shape, which `lazy` defines and PyTorch has here."""
    if name in ("UninitializedBuffer", "UninitializedParameter"):
        from . import lazy

        return getattr(lazy, name)
    raise AttributeError(f"module 'jitgrad.nn.parameter' has no attribute '{name}'")
