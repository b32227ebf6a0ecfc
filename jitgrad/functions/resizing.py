"""Tensors that take another size or other memory in place, and methods that ask where memory is."""

from __future__ import annotations

import math
from typing import Any

from .._tensor import Tensor, method
from ._call import require_tensors
from ._dims import shape_of, sizes_of
from .creation import make_empty
from .slicing import narrow

__all__ = ["narrow_copy"]


@method
def resize_(self: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Give the tensor another shape in place; its first elements stay, and further ones have any values.

    Of another number of elements the tensor gets memory of its own, so views of the old memory keep that.

    Raises
    ------
    RuntimeError
        If the tensor requires grad, or a size is negative.
    """
    shape = sizes_of(sizes, "resize_", "size")
    if self.requires_grad:
        raise RuntimeError("resize_: cannot resize variables that require grad; resize x.detach()")
    if any(size < 0 for size in shape):
        raise RuntimeError(f"resize_: expected sizes of at least 0, got {shape}")
    if shape_of(self) == shape:
        return self
    old, count = self.detach().reshape(-1), math.prod(shape)  # type: ignore[attr-defined]
    if count != old.numel():
        new = make_empty((count,), self.dtype)
        kept = min(count, old.numel())
        new[:kept] = old[:kept]
        old = new
    self.data = old.reshape(shape)
    return self


@method
def resize_as_(self: Tensor, the_template: Tensor, *, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of another tensor."""
    require_tensors("resize_as_", self, the_template)
    return self.resize_(shape_of(the_template))  # type: ignore[attr-defined]


@method
def set_(self: Tensor, source: Tensor) -> Tensor:
    """Let this tensor be on the memory of `source`, with its shape.

    Raises
    ------
    RuntimeError
        If `source` has another dtype.
    """
    require_tensors("set_", self, source)
    if source.dtype is not self.dtype:
        raise RuntimeError(
            f"set_: expected a source of this tensor's dtype {self.dtype.name}, got {source.dtype.name}"
        )
    self.data = source.detach()  # type: ignore[attr-defined]
    return self


@method
def sum_to_size(self: Tensor, *size: Any) -> Tensor:
    """The sum over dimensions that `size` lacks or has as 1: what takes a broadcast tensor's gradient back.

    Raises
    ------
    RuntimeError
        If `size` does not broadcast to this tensor's shape.
    """
    own, shape = shape_of(self), sizes_of(size, "sum_to_size", "size")
    missing = len(own) - len(shape)
    kept = own[missing:] if missing >= 0 else ()
    if missing < 0 or any(b not in (1, a) for a, b in zip(kept, shape, strict=True)):
        raise RuntimeError(f"sum_to_size: size {shape} does not broadcast to this tensor's shape {own}")
    dims = [d for d, n in enumerate(own) if d < missing or (shape[d - missing] == 1 and n != 1)]
    return self.sum(dims, keepdim=True).reshape(shape) if dims else self  # type: ignore[attr-defined]


@method
def narrow_copy(input: Tensor, dim: int, start: Any, length: int) -> Tensor:
    """`narrow` that copies."""
    return narrow(input, dim, start, length).clone()  # type: ignore[attr-defined]


@method
def share_memory_(self: Tensor) -> Tensor:
    """The tensor itself: jitgrad trains in one process, and its threads share all memory."""
    return self


@method
def is_pinned(self: Tensor, device: Any = None) -> bool:
    """False: only memory that another device copies can be pinned."""
    return False


@method
def is_shared(self: Tensor) -> bool:
    """True: see `share_memory_`."""
    return True
