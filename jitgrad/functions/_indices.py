"""What stands between the brackets: from an index expression to a view and integer tensors."""

from __future__ import annotations

import operator
from array import array
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from .._tensor import Tensor
from ..dispatch import insist, view_code
from ..dtypes import bool_, int32, int64, uint8
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, MAX_DIMS, S_FLAGS, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import BOOL, COUNT_FROM_END, INT64
from ..kernels.table import Op
from ..store import store
from ..user_frames import warn
from ..ways_out import MASK
from ._call import dtype_code
from ._dims import dims_of, shape_of
from ._launch import launch
from .expansion import expand

ROW_WORDS = 4096  # attribute lists kept ready
_new = Tensor.__new__

_SELECT = view_code("select")
NONZERO, COUNT_NONZERO = BY_NAME["nonzero"], BY_NAME["count_nonzero"]


def is_dense(x: Tensor) -> bool:
    """Whether a tensor is contiguous."""
    return bool(store.slots[x._slot * SLOT_WORDS + S_FLAGS] & CONTIGUOUS)


_row_words: dict[tuple[int, int, int, int], tuple[int, ...]] = {}


def row_words(dims: int, dim: int, flag: int = 0, refusal: int = COUNT_FROM_END) -> tuple[int, ...]:
    """Attribute words for one index tensor along dimension `dim` of `dims`; see `Points.words`."""
    words = _row_words.get((dims, dim, flag, refusal))
    if words is None:
        words = (1, dim, dims - dim - 1, flag, refusal, dim, *(d for d in range(dims) if d != dim))
        if len(_row_words) < ROW_WORDS:
            _row_words[dims, dim, flag, refusal] = words
    return words


def is_plain(x: Tensor) -> bool:
    """Whether an index tensor can be used as it is: of int64, and with dimensions."""
    return dtype_code(x) == INT64 and dims_of(x) > 0


def read_rows(
    op: Op, x: Tensor, dim: int, index: Tensor, refusal: int = COUNT_FROM_END, name: str = ""
) -> Tensor:
    """The slices of `x` along `dim` at an int64 index tensor; for `refusal` see `Points`, for `name` `launch`."""
    if not is_dense(index):
        index = index.contiguous()  # type: ignore[attr-defined]
    own = shape_of(x)
    shape = (*own[:dim], *shape_of(index), *own[dim + 1 :])
    if len(shape) > MAX_DIMS:
        raise IndexError(f"index: the result has {len(shape)} dimensions; at most {MAX_DIMS} are supported")
    result = _new(Tensor)
    result._slot = launch(op, (x, index), shape, row_words(len(own), dim, 0, refusal), 0, name)
    return result


def coordinates(mask: Tensor) -> list[Tensor]:
    """Where a tensor is not zero: an int64 tensor of coordinates for each dimension."""
    table = table_of_nonzero(mask)
    if dims_of(mask) == 1:
        return [table]
    return [insist("selected", _SELECT, table, 0, k) for k in range(dims_of(mask))]


def table_of_nonzero(mask: Tensor) -> Tensor:
    """The same coordinates in one tensor, (dimensions, count); (count,) where there is one dimension."""
    if store.recording is not None:
        store.recording.read("nonzero", MASK)
    made = entries.places(COUNT_NONZERO.code, NONZERO.code, mask)
    return insist("places", COUNT_NONZERO.code, NONZERO.code, mask) if type(made) is int else made


class Plan:
    """An index expression against a shape.

    Attributes
    ----------
    words : array
        The basic part as words of a strided view; None when it changes nothing.
    shape : list of int
        Shape of that view.
    points : list of (int, Tensor or bool)
        The advanced part: dimension of the view (the first of several for a mask), and index.

    Parameters
    ----------
    index : tuple
        The items.
    own : sequence of int
        The shape.
    unread : bool
        Whether integer tensors without dimensions are points, too, and not read as Python's integers are.
    """

    __slots__ = ("_plain", "_starts", "_words", "points", "shape", "words")

    def __init__(self, index: tuple, own: Sequence[int], unread: bool = False) -> None:
        items = [
            x if x is None or type(x) in _PLAIN else _unread(x) if unread and is_number(x) else _normal(x)
            for x in index
        ]
        used = sum(map(_dims_used, items))
        if used > len(own):
            _refuse_number(used, items[0], len(own))
        self.points: list[tuple[int, Any]] = []
        self.shape: list[int] = []
        self._words: list[int] = []
        self._starts = [0] * len(own)
        self._plain = True
        d = 0
        for item in items:
            if item is Ellipsis:
                stop = d + len(own) - used
                used = len(own)  # a second one stands for nothing
                for k in range(d, stop):
                    self._dim(own[k], k, 1)
                d = stop
            else:
                d = self._take(item, own, d)
        for k in range(d, len(own)):
            self._dim(own[k], k, 1)
        if len(self.shape) > MAX_DIMS:
            raise IndexError(
                f"index: the result has {len(self.shape)} dimensions; at most {MAX_DIMS} are supported"
            )
        self.words = None if self._plain else array("q", (len(self.shape), *self._words, *self._starts))

    def _dim(self, size: int, first: int, step: int) -> None:
        self.shape.append(size)
        self._words += (size, first, step, -1)

    def _take(self, item: Any, own: Sequence[int], d: int) -> int:
        """One item of the index, at dimension `d`; returns the next dimension."""
        kind = type(item)
        if kind is int:
            size = own[d]
            if not -size <= item < size:
                refuse_index(item, d, size)
            self._starts[d] = item + size if item < 0 else item
            self._plain = False
            return d + 1
        if kind is slice:
            start, step, count = bounds(item, own[d])
            self._starts[d] = start
            self._plain = self._plain and count == own[d]
            self._dim(count, d, step)
            return d + 1
        if item is None or kind is bool:
            if kind is bool:
                self.points.append((len(self.shape), item))
            self._plain = False
            self._dim(1, -1, 1)
            return d
        self.points.append((len(self.shape), item))
        width = item.ndim if item.dtype is bool_ else 1
        if item.dtype is bool_:
            check_mask(item, own, d)
        for k in range(d, d + width):
            self._dim(own[k], k, 1)
        return d + width


_PLAIN = frozenset((int, slice, type(Ellipsis), bool))
_NUMBERS = (int64.code, int32.code)


def is_number(item: Any) -> bool:
    """Whether an item of an index is an integer tensor without dimensions."""
    return isinstance(item, Tensor) and not dims_of(item) and dtype_code(item) in _NUMBERS


def _unread(item: Tensor) -> Tensor:
    return item if item.dtype is int64 else item.to(int64)  # type: ignore[attr-defined]


def bounds(item: slice, size: int) -> tuple[int, int, int]:
    """First index, step and number of indices of a slice."""
    step = 1 if item.step is None else operator.index(item.step)
    if step <= 0:
        raise ValueError(f"slice step must be positive, got {step}; use flip() to reverse a dimension")
    start, stop, _ = slice(item.start, item.stop, step).indices(size)
    count = max(0, -((start - stop) // step))
    return (start if count else 0), step, count


def _refuse_number(used: int, first: Any, dims: int) -> NoReturn:
    """More indices than the tensor has dimensions."""
    if dims == 0 and isinstance(first, slice):
        raise IndexError("slice() cannot be applied to a 0-dim tensor.")
    if dims == 0:
        raise IndexError(
            "invalid index of a 0-dim tensor. Use `tensor.item()` to convert a 0-dim tensor to a Python number"
        )
    raise IndexError(f"too many indices for tensor of dimension {dims}: got {used}")


def refuse_index(index: int, dim: int, size: int) -> NoReturn:
    """A plain index is out of range."""
    raise IndexError(f"index {index} is out of bounds for dimension {dim} with size {size}")


def _normal(item: Any) -> Any:
    """One item of an index as an int, slice, None, Ellipsis, bool, or a tensor of int64 or bool."""
    if isinstance(item, Tensor):
        return _normal_tensor(item)
    if isinstance(item, (bool, np.bool_)):
        return bool(item)
    if hasattr(item, "__index__") and not isinstance(item, np.ndarray):
        return operator.index(item)
    if isinstance(item, (list, range, tuple, np.ndarray)):
        return _normal_tensor(tensor_of_list(item))
    error = TypeError if isinstance(item, str) else IndexError
    raise error(
        "only integers, slices (`:`), ellipsis (`...`), None and long or bool tensors, arrays or "
        "lists are valid "
        f"indices; got {type(item).__name__}"
    )


def items_of(index: Any) -> tuple:
    """The items of an index; those of a list where it cannot be one array of indices, which PyTorch reads so, too."""
    if type(index) is not list:
        return index if type(index) is tuple else (index,)
    if all(type(item) is int for item in index) or not _is_uneven(index):
        return (index,)
    warn(
        "index: a list of slices, or of arrays whose shapes differ, is read as a tuple; "
        "write x[tuple(...)], which means that always"
    )
    return tuple(index)


def _is_uneven(index: list) -> bool:
    """Whether the items of a list have not all one shape, or are no numbers and arrays of numbers at all."""
    if any(item is None or item is Ellipsis or type(item) is slice for item in index):
        return True
    try:
        shapes = {tuple(item.shape) if isinstance(item, Tensor) else np.shape(item) for item in index}
    except ValueError:  # uneven within an item: no reading helps
        return False
    return len(shapes) > 1


def tensor_of_list(item: Any) -> Tensor:
    """The int64 or bool tensor that a list, range, tuple or array in square brackets stands for."""
    from .from_data import tensor

    if isinstance(item, list):
        item = [x.numpy() if isinstance(x, Tensor) else x for x in item]
    values = np.asarray(item)
    if values.size == 0 and not isinstance(item, np.ndarray):
        values = values.astype(np.int64)
    return tensor(values if values.dtype.kind in "bu" and values.dtype.itemsize == 1 else _whole(values))


def _whole(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "iu":
        raise IndexError(f"arrays used as indices must be of integer or bool type, got {values.dtype}")
    return values.astype(np.int64, copy=False)


def _normal_tensor(x: Tensor) -> Any:
    kind = x.dtype
    if kind.is_floating_point:
        raise IndexError(
            f"tensors used as indices must be long, int, byte or bool tensors; got {kind.name}: "
            "convert with .long()"
        )
    if kind is uint8:
        warn(
            "indexing with dtype torch.uint8 is deprecated, please use torch.bool for a mask or "
            "torch.long for indices",
            UserWarning,
        )
        x, kind = x.to(bool_), bool_
    if not x.ndim:
        return bool(x.item()) if kind is bool_ else int(x.item())
    return x if kind is bool_ or kind is int64 else x.to(int64)


def _dims_used(item: Any) -> int:
    if item is None or item is Ellipsis or type(item) is bool:
        return 0
    return item.ndim if isinstance(item, Tensor) and item.dtype is bool_ else 1


def check_mask(mask: Tensor, own: Sequence[int], d: int) -> None:
    """An IndexError unless a mask has the sizes of the dimensions from `d` on."""
    for k, size in enumerate(shape_of(mask)):
        if size != own[d + k]:
            raise IndexError(
                f"The shape of the mask {list(mask.shape)} at index {k} does not match the shape of "
                "the indexed "
                f"tensor {list(own)} at index {d + k}"
            )


class Points:
    """The advanced part of an index: indexed dimensions, their index tensors, and the shapes around them.

    Parameters
    ----------
    points : sequence of (int, Tensor or bool)
        See `Plan`.
    own : sequence of int
        The shape that is indexed.
    refusal : int
        COUNT_FROM_END, or the error that negative indices are: INDEX_ERROR or RUNTIME_ERROR.

    Attributes
    ----------
    dims : list of int
        Indexed dimensions.
    indices : list of Tensor
        One for each, int64, contiguous, all of one shape.
    outer, inner : list of int
        The other dimensions: those before the index tensors' dimensions in the result, and those after.
    shape : tuple of int
        Shape of the result.
    """

    __slots__ = ("dims", "indices", "inner", "outer", "refusal", "shape")

    def __init__(
        self, points: Sequence[tuple[int, Any]], own: Sequence[int], refusal: int = COUNT_FROM_END
    ) -> None:
        self.refusal = refusal
        self.dims: list[int] = []
        indices: list[Tensor] = []
        for d, item in points:
            if type(item) is bool:
                found = [tensor_of_list([0] if item else [])]
            else:
                found = coordinates(item) if dtype_code(item) == BOOL else [item]
            self.dims += range(d, d + len(found))
            indices += found
        shape = _common_shape(indices)
        self.indices = [_spread(x, shape) for x in indices]
        first, last = self.dims[0], self.dims[-1] + 1
        if last - first == len(indices):
            self.outer, self.inner = [*range(first)], [*range(last, len(own))]
        else:
            self.outer, self.inner = [], [d for d in range(len(own)) if d not in self.dims]
        self.shape = (*(own[d] for d in self.outer), *shape, *(own[d] for d in self.inner))
        if len(self.shape) > MAX_DIMS:
            raise IndexError(
                f"index: the result has {len(self.shape)} dimensions; at most {MAX_DIMS} are supported"
            )

    def words(self, flag: int = 0) -> tuple[int, ...]:
        """Attribute words of an index kernel, without the address of its report.

        `flag` is 1 for a write that adds; for a read it is 1 + the row that takes no gradient, or 0.
        """
        sizes = (len(self.dims), len(self.outer), len(self.inner), flag, self.refusal)
        return (*sizes, *self.dims, *self.outer, *self.inner)


def _spread(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """An index tensor broadcast to a shape and contiguous, as the kernels read it."""
    if shape_of(x) != shape:
        x = expand(x, *shape)
    return x if is_dense(x) else x.contiguous()  # type: ignore[attr-defined]


def _common_shape(indices: Sequence[Tensor]) -> tuple[int, ...]:
    shape = shape_of(indices[0])
    for x in indices[1:]:
        if shape_of(x) != shape:
            try:
                shape = np.broadcast_shapes(shape, shape_of(x))
            except ValueError:
                shapes = ", ".join(str(list(y.shape)) for y in indices)
                raise IndexError(
                    f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
                ) from None
    return shape
