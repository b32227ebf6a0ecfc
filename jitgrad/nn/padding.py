"""Layers that pad."""

from __future__ import annotations

from collections.abc import Sequence

from jitgrad._tensor import Tensor

from .functional import pad
from .module import Module, call_with_one

Padding = int | Sequence[int]


class _Pad(Module):
    """What the padding layers have in common: an amount for every side, or one for all."""

    _spatial: int
    _mode: str

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        self.padding = self._amounts(padding)

    def _amounts(self, padding: Padding) -> tuple[int, ...]:
        return (padding,) * (2 * self._spatial) if isinstance(padding, int) else tuple(padding)

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    """Padding with a number of one's choice."""

    def __init__(self, padding: Padding, value: float) -> None:
        super().__init__(padding)
        self.value = value

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Surround the last dimension with ``value``; ``padding`` begins with the last one."""

    _spatial = 1
    __call__ = call_with_one


class ConstantPad2d(_ConstantPad):
    """Surround the last two dimensions with ``value``; ``padding`` begins with the last one."""

    _spatial = 2
    __call__ = call_with_one


class ConstantPad3d(_ConstantPad):
    """Surround the last three dimensions with ``value``; ``padding`` begins with the last one."""

    _spatial = 3
    __call__ = call_with_one


class ReflectionPad1d(_Pad):
    """Surround the last dimension with what is inside, mirrored; ``padding`` begins with the last one."""

    _spatial, _mode = 1, "reflect"
    __call__ = call_with_one


class ReflectionPad2d(_Pad):
    """Surround the last two dimensions with what is inside, mirrored; ``padding`` begins with the last one."""

    _spatial, _mode = 2, "reflect"
    __call__ = call_with_one


class ReflectionPad3d(_Pad):
    """Surround the last three dimensions with what is inside, mirrored; ``padding`` begins with the last one."""

    _spatial, _mode = 3, "reflect"
    __call__ = call_with_one


class ReplicationPad1d(_Pad):
    """Surround the last dimension with the edges repeated; ``padding`` begins with the last one."""

    _spatial, _mode = 1, "replicate"
    __call__ = call_with_one


class ReplicationPad2d(_Pad):
    """Surround the last two dimensions with the edges repeated; ``padding`` begins with the last one."""

    _spatial, _mode = 2, "replicate"
    __call__ = call_with_one


class ReplicationPad3d(_Pad):
    """Surround the last three dimensions with the edges repeated; ``padding`` begins with the last one."""

    _spatial, _mode = 3, "replicate"
    __call__ = call_with_one


class CircularPad1d(_Pad):
    """Surround the last dimension with the other end; ``padding`` begins with the last one."""

    _spatial, _mode = 1, "circular"
    __call__ = call_with_one


class CircularPad2d(_Pad):
    """Surround the last two dimensions with the other end; ``padding`` begins with the last one."""

    _spatial, _mode = 2, "circular"
    __call__ = call_with_one


class CircularPad3d(_Pad):
    """Surround the last three dimensions with the other end; ``padding`` begins with the last one."""

    _spatial, _mode = 3, "circular"
    __call__ = call_with_one


class ZeroPad1d(_Pad):
    """Surround the last dimension with zeros; ``padding`` begins with the last one."""

    _spatial, _mode = 1, "constant"
    __call__ = call_with_one


class ZeroPad2d(_Pad):
    """Surround the last two dimensions with zeros; ``padding`` begins with the last one."""

    _spatial, _mode = 2, "constant"
    __call__ = call_with_one


class ZeroPad3d(_Pad):
    """Surround the last three dimensions with zeros; ``padding`` begins with the last one."""

    _spatial, _mode = 3, "constant"
    __call__ = call_with_one
