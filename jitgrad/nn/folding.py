"""Layers that cut images into blocks and put them together."""

# ruff: noqa: D102 - what a layer's forward does is said by its class

from __future__ import annotations

from collections.abc import Sequence

from jitgrad._tensor import Tensor

from ._calls import call_with_one
from .functional.folding import fold, unfold
from .module import Module

Ints = int | Sequence[int]


class _Blocks(Module):
    """What both layers have: how the blocks lie."""

    def __init__(self, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, "
            f"stride={self.stride}"
        )


class Unfold(_Blocks):
    """Cut an image into blocks, each a column: see `functional.unfold`."""

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Blocks):
    """Add up blocks where they came from: see `functional.fold`."""

    def __init__(
        self,
        output_size: Ints,
        kernel_size: Ints,
        dilation: Ints = 1,
        padding: Ints = 0,
        stride: Ints = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    __call__ = call_with_one

    def forward(self, input: Tensor) -> Tensor:
        return fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
