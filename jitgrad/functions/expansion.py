"""Broadcasting made explicit: expanded views, and the shapes that tensors share."""

from __future__ import annotations

from array import array
from typing import Any

from .._tensor import Tensor
from ..dispatch import view_code
from ..engine.entry import entries
from ..user_frames import called_as
from ._call import require_tensors, tensor_of
from ._dims import by_name, shape_of, sizes_of
from .shape import NONE, strided_view, view_words

__all__ = ["broadcast_shapes", "broadcast_tensors", "broadcast_to"]  # fmt: skip

_EXPAND = view_code("expand")


def _expand_words(shape: tuple[int, ...], target: tuple[int, ...], name: str) -> array:
    ahead = len(target) - len(shape)
    if ahead < 0:
        raise RuntimeError(
            f"{name}: the number of sizes provided ({len(target)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({len(shape)})"
        )
    columns = []
    for d, size in enumerate(target):
        own = shape[d - ahead] if d >= ahead else None
        if size == -1 and own is not None:
            size = own
        if size < 0:
            raise RuntimeError(
                f"{name}: The expanded size of the tensor ({size}) isn't allowed in a leading, non-existing "
                f"dimension {d}"
            )
        if own is not None and own == size:
            columns.append((size, d - ahead, 1, NONE))
        elif own is None or own == 1:
            columns.append((size, NONE, 0, NONE))
        else:
            raise RuntimeError(
                f"{name}: The expanded size of the tensor ({size}) must match the existing size ({own}) at "
                f"non-singleton dimension {d}.  Target sizes: {list(target)}.  Tensor sizes: {list(shape)}"
            )
    return view_words(columns, [0] * len(shape), name)


def expand(self: Tensor, *args: Any, size: Any = None) -> Tensor:
    """Dimensions of size 1 repeated without a copy; -1 keeps a size.

    Raises
    ------
    RuntimeError
        When a dimension of another size would have to change.
    """
    if size is not None:
        args = by_name("expand", "size", size, args)
    made = entries.expanded(_EXPAND, self, *args)
    return _expand_stepwise(self, args) if type(made) is int else made


def _expand_stepwise(self: Tensor, size: tuple[Any, ...]) -> Tensor:
    target = sizes_of(size, "expand", "size")
    return strided_view(self, _expand_words(shape_of(self), target, "expand"), "expand")


def expand_as(self: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of `other`."""
    require_tensors("expand_as", self, other)
    return expand(self, *other.shape)


def broadcast_to(input: Tensor, size: Any) -> Tensor:
    """`expand` as a function."""
    return expand(tensor_of(input, "broadcast_to"), *size)


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape to which shapes broadcast together."""
    from ..dtypes import Size

    plain = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    out: list[int] = []
    for back in range(1, max((len(s) for s in plain), default=0) + 1):
        found = {s[-back] for s in plain if len(s) >= back} - {1}
        if len(found) > 1:
            raise RuntimeError(
                f"{called_as('broadcast_shapes')}: Shape mismatch: objects cannot be broadcast to a single shape: "
                f"{' and '.join(map(str, plain))}"
            )
        out.insert(0, found.pop() if found else 1)
    return Size(out)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Tensors expanded to their common shape."""
    if len(tensors) == 1 and isinstance(tensors[0], list | tuple):
        tensors = tuple(tensors[0])
    require_tensors("broadcast_tensors", *tensors)
    shapes = [shape_of(x) for x in tensors]
    if len(set(shapes)) == 1:
        return tensors
    shape = tuple(broadcast_shapes(*shapes))
    return tuple(x if own == shape else expand(x, *shape) for x, own in zip(tensors, shapes, strict=True))


Tensor.broadcast_to, Tensor.expand, Tensor.expand_as = broadcast_to, expand, expand_as
