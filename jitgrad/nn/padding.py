"""Layers that pad."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

from jitgrad._tensor import Tensor

from ._calls import call_with_one
from .functional import pad
from .module import Module

Padding = int | Sequence[int]


class _Pad(Module):
    """What the padding layers have in common: an amount for every side, or one for all."""

    _spatial: int
    _mode: str

    def __init__(self, padding: Padding) -> None:
        super().__init__()
        self.padding = self._amounts(padding)

    def _amounts(self, padding: Padding) -> tuple[int, ...]:
        return (padding,) * (2 * self._spatial) if isinstance(padding, Integral) else tuple(padding)

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


class ConstantPad2d(_ConstantPad):
    """Surround the last two dimensions with ``value``; ``padding`` begins with the last one."""

    _spatial = 2


class ConstantPad3d(_ConstantPad):
    """Surround the last three dimensions with ``value``; ``padding`` begins with the last one."""

    _spatial = 3


class ReflectionPad1d(_Pad):
    """Surround the last dimension with what is inside, mirrored; ``padding`` begins with the last one."""

    _spatial, _mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """Surround the last two dimensions with what is inside, mirrored; ``padding`` begins with the last one."""

    _spatial, _mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """Surround the last three dimensions with what is inside, mirrored; ``padding`` begins with the last one."""

    _spatial, _mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """Surround the last dimension with the edges repeated; ``padding`` begins with the last one."""

    _spatial, _mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """Surround the last two dimensions with the edges repeated; ``padding`` begins with the last one."""

    _spatial, _mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """Surround the last three dimensions with the edges repeated; ``padding`` begins with the last one."""

    _spatial, _mode = 3, "replicate"


class CircularPad1d(_Pad):
    """Surround the last dimension with the other end; ``padding`` begins with the last one."""

    _spatial, _mode = 1, "circular"


class CircularPad2d(_Pad):
    """Surround the last two dimensions with the other end; ``padding`` begins with the last one."""

    _spatial, _mode = 2, "circular"


class CircularPad3d(_Pad):
    """Surround the last three dimensions with the other end; ``padding`` begins with the last one."""

    _spatial, _mode = 3, "circular"


class ZeroPad1d(_Pad):
    """Surround the last dimension with zeros; ``padding`` begins with the last one."""

    _spatial, _mode = 1, "constant"


class ZeroPad2d(_Pad):
    """Surround the last two dimensions with zeros; ``padding`` begins with the last one."""

    _spatial, _mode = 2, "constant"


class ZeroPad3d(_Pad):
    """Surround the last three dimensions with zeros; ``padding`` begins with the last one."""

    _spatial, _mode = 3, "constant"
