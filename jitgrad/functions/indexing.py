"""Reading and writing with square brackets."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._tensor import NUMBERS, Tensor, wrap
from ..autograd.modes import records
from ..dispatch import CONTEXT, call, complete, view, view_code
from ..dtypes import dtype
from ..engine import layout
from ..engine.entry import entries
from ..engine.layout import S_DTYPE, S_FLAGS, S_STORAGE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import BOOL
from ..operators import exact_number, overwrite
from ..store import store
from ._call import dtype_code
from ._dims import dims_of, shape_of
from ._indices import (
    Plan,
    Points,
    check_mask,
    coordinates,
    is_dense,
    is_number,
    is_plain,
    items_of,
    tensor_of_list,
)
from ._launch import launch, report_cell, run
from .expansion import expand

__all__: list[str] = []

INDEX, INDEX_PUT, SLICE_PUT, OVERWRITE, MASKED_FILL, MASKED_SCATTER = (
    BY_NAME[name]
    for name in ("index", "index_put", "slice_put", "overwrite", "masked_fill", "masked_scatter")
)
STRIDED_VIEW = layout.STRIDED_VIEW
WHOLE = slice(None)
_SELECT, _SLICE, _ALIAS = map(view_code, ("select", "slice", "alias"))


def _plain_view(self: Tensor, index: Any) -> Tensor | int:
    """The view that ints, slices, None and Ellipsis take; an int for every other index, and those out of range."""
    return entries.indexed(_SELECT if type(index) is int else _SLICE, _ALIAS, self, index)


def _getitem(self: Tensor, index: Any) -> Tensor:
    if type(index) is not Tensor:
        made = _plain_view(self, index)
        if type(made) is not int:
            return made
    elif store.recording is None and is_number(index):
        made = _plain_view(self, index.item())
        if type(made) is not int:
            return made
    made = entries.at_points(_SLICE, INDEX.code, report_cell(), self, index)
    return _read(self, index) if type(made) is int else made


def plain_points(self: Tensor, index: Any) -> Points | None:
    """The points that index tensors alone name, which can be used as they are; None for every other index."""
    items, own = items_of(index), shape_of(self)
    if 0 < len(items) <= len(own) and all(type(item) is Tensor and is_plain(item) for item in items):
        return Points([*enumerate(items)], own)
    return None


def _read(self: Tensor, index: Any) -> Tensor:
    """Any index expression."""
    own, x = shape_of(self), self
    if type(index) is list:
        items = items_of(index)
        return _getitem(self, items if items[0] is not index else tensor_of_list(index))
    if type(index) is Tensor and dtype_code(index) == BOOL and 0 < dims_of(index) <= len(own):
        check_mask(index, own, 0)
        return _getitem(self, tuple(coordinates(index)))
    items = items_of(index)
    recording = store.recording_here
    if recording is not None and not (any(map(is_number, items)) and _takes_a_block(self, items)):
        recording = None
    copies = recording is not None and recording.picks()
    if copies and recorded(self):  # the way back reads the numbers as they are now
        items = [item.clone() if is_number(item) else item for item in items]
    plan = Plan(items, own, copies)
    if plan.words is not None:
        x = wrap(view(STRIDED_VIEW, self, plan.words, "select" if type(index) is int else "slice"))
    elif not plan.points:
        return wrap(view(STRIDED_VIEW, self, whole_words(own), "alias"))
    made = read_points(x, Points(plan.points, plan.shape)) if plan.points else x
    if recording is not None:  # a view shows later writes into it, and a copy does not
        recording.held.add(self, made if copies else x, copies)
    return made


def whole_words(shape: tuple[int, ...]) -> array:
    """The words of a strided view of all of a tensor, as it is."""
    words = [len(shape)]
    for j, n in enumerate(shape):
        words += (n, j, 1, -1)
    return array("q", (*words, *(0,) * len(shape)))


def read_points(x: Tensor, points: Points, padding: int = -1, name: str = "") -> Tensor:
    """The elements at the given points. Row `padding` of `x`, if any, takes no gradient; for `name` see `launch`."""
    return wrap(launch(INDEX, (x, *points.indices), points.shape, points.words(padding + 1), 0, name))


def write_points(
    x: Tensor, points: Points, value: Tensor, accumulate: bool, into: int, name: str = ""
) -> int:
    """`x` with `value` (of its dtype) at the given points, as a slot; `into` is the slot of `x`, or 0."""
    return write_indexed(x, points.indices, points.shape, points.words(int(accumulate)), value, into, name)


def write_indexed(
    x: Tensor,
    indices: Sequence[Tensor],
    shape: Sequence[int],
    words: Sequence[int],
    value: Tensor,
    into: int,
    name: str,
) -> int:
    """`write_points` of index tensors that are as kernels read them, with the shape and the words of their points."""
    value = _fitted(value, shape)
    if not is_dense(value) and any(value._strides()):
        value = value.contiguous()  # type: ignore[attr-defined]
    return launch(INDEX_PUT, (x, value, *indices), shape_of(x), words, into, name)


def write_at(x: Tensor, plan: Plan, value: Tensor, accumulate: bool, into: int) -> int:
    """`x` with `value` (of its dtype) at the points of a plan for its shape; see `write_points`.

    A mask's elements are only counted where that saves a pass over all of `x`: a recording cannot count them, and with
    gradients there is such a pass anyway.
    """
    if not accumulate and (store.recording is not None or recorded(x, value)):
        spread = _under_mask(plan, value)
        if spread is not None:
            return call(MASKED_FILL, (x, *spread), (), into)
        mask = None if store.recording is None else _one_for_each(x, plan, value)
        if mask is not None:
            try:
                return launch(MASKED_SCATTER, (x, mask, value.contiguous()), shape_of(x), (1,), into)  # type: ignore[attr-defined]
            except RuntimeError:
                pass  # another number of elements: what follows says so
    return write_points(x, Points(plan.points, plan.shape), value, accumulate, into)


def _only_mask(plan: Plan) -> tuple[int, Tensor | None]:
    """The mask that alone names the points of a plan, and its first dimension; None for any other points."""
    (at, mask), *others = plan.points
    return at, None if others or type(mask) is bool or dtype_code(mask) != BOOL else mask


def _under_mask(plan: Plan, value: Tensor) -> tuple[Tensor, Tensor] | None:
    """Mask and value that broadcast to a plan's shape; None unless it is one mask, with one value for all of it."""
    at, mask = _only_mask(plan)
    if mask is None:
        return None
    width, own = dims_of(mask), shape_of(value)
    after = len(plan.shape) - at - width
    extra = len(own) - (at + 1 + after)
    if extra > 0 and all(n == 1 for n in own[:extra]):
        own = own[extra:]
    if len(own) > after:  # one of its dimensions is that of the mask's elements
        k = len(own) - after - 1
        if own[k] != 1:
            return None
        own = (*own[:k], *(1,) * width, *own[k + 1 :])
    pad = len(plan.shape) - len(own)
    if pad < 0 or any(n not in (1, plan.shape[pad + k]) for k, n in enumerate(own)):
        return None
    return mask.reshape((*shape_of(mask), *(1,) * after)), value.reshape(own)  # type: ignore[attr-defined]


def _one_for_each(x: Tensor, plan: Plan, value: Tensor) -> Tensor | None:
    """The mask of all of `x` whose places take the elements of a value in order; None where they do not do so."""
    at, mask = _only_mask(plan)
    if mask is None:
        return None
    own, given, after = shape_of(x), shape_of(value), at + dims_of(mask)
    # one element for several places is broadcast to them
    if len(given) <= at or given[at] == 1 or given[:at] + given[at + 1 :] != own[:at] + own[after:]:
        return None
    return expand(mask.reshape((*shape_of(mask), *(1,) * (len(own) - after))), *own)  # type: ignore[attr-defined]


def _fitted(value: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A value broadcast to the shape of the place it is written to."""
    own = shape_of(value)
    if own == tuple(shape):
        return value
    extra = len(own) - len(shape)
    if extra > 0 and all(n == 1 for n in own[:extra]):
        value = value.reshape(own[extra:])  # type: ignore[attr-defined]
        own = own[extra:]
    pad = len(shape) - len(own)
    if pad < 0 or any(n not in (1, shape[pad + k]) for k, n in enumerate(own)):
        raise RuntimeError(
            f"shape mismatch: value tensor of shape {list(own)} cannot be broadcast to indexing "
            "result of shape "
            f"{list(shape)}"
        )
    return expand(value, *shape)


def as_value(value: Any, kind: dtype, name: str) -> Tensor:
    """What is to be written, as a tensor of dtype `kind`."""
    if type(value) in NUMBERS:
        return _number(value, kind)
    from .from_data import tensor

    if isinstance(value, Tensor):
        return value if value.dtype is kind else value.to(kind)  # type: ignore[attr-defined]
    if isinstance(value, np.ndarray):
        return tensor(value, dtype=kind)
    if isinstance(value, np.generic):
        value = value.item()
    if not isinstance(value, NUMBERS):
        raise TypeError(
            f"{name}: can't assign a {type(value).__name__} to a torch tensor of {kind.name}; "
            "expected a tensor, an array or a number"
        )
    return _number(value, kind)


def _number(value: Any, kind: dtype) -> Tensor:
    return exact_number("__setitem__", float(value) if kind.is_floating_point else value, kind)


def _setitem(self: Tensor, index: Any, value: Any) -> None:
    if type(value) in NUMBERS:
        if _set_number(self, index, value):
            return
        value = _number(value, self.dtype)
    if type(value) is Tensor and _set_plain(self, index, value):
        return
    items = items_of(index)
    plan = Plan(items, shape_of(self), store.recording is not None and _has_only_numbers(items))
    if not isinstance(value, Tensor):
        value = as_value(value, self.dtype, "__setitem__")
    if _share_storage(self, value):
        value = value.clone()  # type: ignore[attr-defined]
    if value.dtype is not self.dtype:
        value = value.to(self.dtype)  # type: ignore[attr-defined]
    if recorded(self, value):
        refuse_leaf(self, "__setitem__")
        self._become(_write_recorded(self, plan, value))
        return
    target = self
    if plan.words is not None:
        target = wrap(view(STRIDED_VIEW, self, plan.words, "slice"))
    if plan.points:
        write_at(target, plan, value, False, target._slot)
        return
    if value.ndim > target.ndim:
        value = _fitted(value, plan.shape)
    slot = target._slot
    status = entries.apply(CONTEXT, OVERWRITE.code, slot, slot, value._slot, 0, 0, 0, 0)
    if status < 0:
        if status == layout.BAD_SHAPE:
            _fitted(value, plan.shape)
        complete(OVERWRITE, (target, value), None, slot, status)


def _has_only_numbers(items: tuple) -> bool:
    """Whether an index is a plain one but for tensors that stand for an integer each.

    Where there are other tensors the dimensions of what is written would be in another order.
    """
    return all(x is None or type(x) in (int, slice, type(Ellipsis)) or is_number(x) for x in items)


def _takes_a_block(x: Tensor, items: tuple) -> bool:
    """Whether an index takes contiguous memory: a copy is computed with in the same order as the view then."""
    first = next(
        (k for k, item in enumerate(items) if not (type(item) is int or is_number(item))), len(items)
    )
    rest = items[first:]
    if rest and type(rest[0]) is slice and rest[0].step in (None, 1):
        rest = rest[1:]
    return is_dense(x) and all(item is Ellipsis or (type(item) is slice and item == WHOLE) for item in rest)


def _set_plain(self: Tensor, index: Any, value: Tensor) -> bool:
    """Write a tensor where no history is, if it fits as it is, into a plain view or points; whether it is written."""
    if recorded(self, value):
        return False
    target: Any = 0
    if type(index) is not Tensor:
        target = _plain_view(self, index)
    elif not dims_of(value) and _is_mask_of(self, index):
        self.masked_fill_(index, value)  # type: ignore[attr-defined]
        return True
    if _share_storage(self, value):
        return False
    if isinstance(target, int):
        return entries.put_at_points(_SLICE, INDEX_PUT.code, report_cell(), self, value, index) >= 0
    slot = target._slot
    return entries.apply(CONTEXT, OVERWRITE.code, slot, slot, value._slot, 0, 0, 0, 0) >= 0


def _share_storage(a: Tensor, b: Tensor) -> bool:
    return store.slots[a._slot * SLOT_WORDS + S_STORAGE] == store.slots[b._slot * SLOT_WORDS + S_STORAGE]


def _set_number(self: Tensor, index: Any, value: Any) -> bool:
    """Write a number without making a tensor of it, where index and history allow; whether it is written."""
    if isinstance(index, Tensor):
        if not _is_mask_of(self, index):
            return False
        self.masked_fill_(index, value)  # type: ignore[attr-defined]
        return True
    if recorded(self):
        return False
    target = _plain_view(self, index)
    if isinstance(target, int):
        return False
    overwrite("__setitem__", target, value)
    return True


def _is_mask_of(x: Tensor, index: Tensor) -> bool:
    """Whether an index is a mask of all elements, so that its true ones need not be counted."""
    return (
        store.slots[index._slot * SLOT_WORDS + S_DTYPE] == BOOL
        and dims_of(x) != 0
        and shape_of(index) == shape_of(x)
    )


def _write_recorded(self: Tensor, plan: Plan, value: Tensor) -> int:
    """A write that gradients flow through: one operation on the whole of `self`; returns the slot."""
    if plan.points:
        if plan.words is None:
            return write_at(self, plan, value, False, self._slot)
        part = wrap(view(STRIDED_VIEW, self, plan.words, "slice"))
        value = wrap(write_at(part, plan, value, False, 0))
    words = whole_words(self.shape) if plan.words is None else plan.words
    return run(SLICE_PUT, (self, _fitted(value, plan.shape)), self.dtype, self.shape, words, self._slot)


def recorded(*operands: Tensor) -> bool:
    """Whether an operation on these operands is recorded now."""
    slots = store.slots
    for x in operands:
        if slots[x._slot * SLOT_WORDS + S_FLAGS] & layout.REQUIRES_GRAD:
            return records()
    return False


def refuse_leaf(x: Tensor, name: str) -> None:
    """A recorded write into a leaf that requires grad is an error."""
    if x.requires_grad and x.is_leaf:
        raise RuntimeError(
            f"{name}: a leaf Variable that requires grad is being used in an in-place operation; "
            "do it under torch.no_grad(), or write into a clone()"
        )


Tensor.__getitem__ = _getitem  # type: ignore[attr-defined]
Tensor.__setitem__ = _setitem  # type: ignore[attr-defined]
