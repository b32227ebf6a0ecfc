"""From a list of items to a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jitgrad import functions as T
from jitgrad._tensor import Tensor


def default_collate(batch: Sequence[Any]) -> Any:
    """Make a batch of a list of items.

    Tensors, NumPy arrays and numbers are stacked into a tensor with a new first dimension; of tuples, lists
    and dicts the members are collated one by one; strings stay as they are (those of tuples and lists in a tuple).

    Parameters
    ----------
    batch : sequence
        Items of one kind and structure.

    Returns
    -------
    object
        A tensor, or the structure of an item with tensors in it (a list in place of a tuple).

    Raises
    ------
    RuntimeError
        If the items differ in length or shape.
    TypeError
        If the items are of a kind that is not known here.
    """
    first = batch[0]
    if isinstance(first, Tensor):
        return T.stack(list(batch), 0)
    if isinstance(first, np.ndarray | np.generic):
        return _stack_arrays(batch)
    if isinstance(first, float):
        return T.tensor(batch, dtype=T.float64)
    if isinstance(first, int):  # bools too: the tensor takes its dtype from them
        return T.tensor(batch)
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        entries = {key: default_collate([item[key] for item in batch]) for key in first}
        try:
            return type(first)(entries)  # type: ignore[call-arg]
        except TypeError:  # a mapping that cannot be made from a dict
            return entries
    if isinstance(first, Sequence):
        return _collate_sequences(batch)
    raise TypeError(
        "default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found "
        f"{type(first)}; give the DataLoader a collate_fn"
    )


def _stack_arrays(batch: Sequence[Any]) -> Tensor:
    arrays = [np.asarray(item) for item in batch]
    if arrays[0].dtype.kind not in "bifu":
        raise TypeError(
            f"default_collate: batch must contain arrays of numbers; found dtype {arrays[0].dtype}"
        )
    if any(a.shape != arrays[0].shape for a in arrays):
        shapes = sorted({a.shape for a in arrays})
        raise RuntimeError(f"stack expects each array to be equal size, got shapes {shapes} in one batch")
    return T.from_numpy(np.stack(arrays))


def _collate_sequences(batch: Sequence[Any]) -> Any:
    first = batch[0]
    if any(len(item) != len(first) for item in batch):
        raise RuntimeError("each element in list of batch should be of equal size")
    columns = [default_collate(column) for column in zip(*batch, strict=True)]
    if isinstance(first, tuple):
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    try:
        return type(first)(columns)  # type: ignore[call-arg]
    except TypeError:  # a sequence that cannot be made from a list, such as range
        return columns


def default_convert(item: Any) -> Any:
    """Turn the NumPy arrays in an item into tensors; what a loader without batches does.

    Parameters
    ----------
    item : object
        An item, or a structure of items.

    Returns
    -------
    object
        The same structure (a list in place of a tuple); numbers and strings are left alone.
    """
    if isinstance(item, np.ndarray | np.generic) and np.asarray(item).dtype.kind in "bifu":
        return T.as_tensor(np.asarray(item))
    if isinstance(item, Mapping):
        return type(item)({k: default_convert(v) for k, v in item.items()})  # type: ignore[call-arg]
    if isinstance(item, tuple):
        members = [default_convert(v) for v in item]
        return type(item)(*members) if hasattr(item, "_fields") else members
    if isinstance(item, list):
        return [default_convert(v) for v in item]
    return item
