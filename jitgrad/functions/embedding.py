"""Rows of a table at indices, and bags of them: what `nn.functional.embedding` and its kin run."""

from __future__ import annotations

from typing import Any, NoReturn

from .._tensor import Tensor, wrap
from ..dispatch import arrays
from ..dtypes import int32, int64
from ..engine.layout import S_DTYPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import INT64, MAX_DIMS
from ..store import store
from ._call import require_tensors
from ._dims import shape_of
from ._indices import is_dense
from ._launch import launch, report_cell, take_report

__all__ = ["embedding"]

EMBEDDING, BAG = BY_NAME["embedding"], BY_NAME["embedding_bag"]
SUM, MEAN, MAX = range(3)


def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: int = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of a table at indices; see `nn.functional.embedding`, whose operands stand the other way.

    Parameters
    ----------
    weight : Tensor, shape (num_embeddings, embedding_dim)
    indices : Tensor of int64 or int32, any shape
    padding_idx : int, default -1
        A row that gets no gradient; -1 for none.
    scale_grad_by_freq : bool, default False
        Divide each row's gradient by the number of times that the row is named.
    sparse : bool, default False
        Accepted: gradients are dense all the same.

    Returns
    -------
    Tensor, shape (*indices.shape, embedding_dim)

    Raises
    ------
    IndexError
        If an index is not a row of the table.
    RuntimeError
        If the table does not have two dimensions or the indices are not integers.
    """
    del sparse
    require_tensors("embedding", weight, indices)
    index = whole_indices("embedding", indices)
    table = shape_of(weight)
    if len(table) != 2:
        raise RuntimeError(f"embedding: 'weight' must be 2-D, got shape {table}")
    shape = (*shape_of(index), table[1])
    if len(shape) > MAX_DIMS:
        raise RuntimeError(
            f"embedding: the result has {len(shape)} dimensions; at most {MAX_DIMS} are supported"
        )
    if not table[0] and index.numel():
        _refuse_empty("embedding")
    return wrap(launch(EMBEDDING, (weight, index), shape, (padding_idx + 1, int(scale_grad_by_freq))))


def whole_indices(name: str, indices: Any) -> Tensor:
    """Indices as contiguous int64; other dtypes than int32 and int64 are refused."""
    require_tensors(name, indices)
    if store.slots[indices._slot * SLOT_WORDS + S_DTYPE] != INT64:
        if indices.dtype is not int32:
            raise RuntimeError(
                f"{name}: Expected tensor for argument #1 'indices' to have one of the following scalar types: "
                f"Long, Int; but got {indices.dtype.name} instead; convert it with .long()"
            )
        indices = indices.to(int64)
    return indices if is_dense(indices) else indices.contiguous()


def _refuse_empty(name: str) -> NoReturn:
    raise IndexError(f"{name}: index out of range: the table has no rows")


def bags(
    weight: Tensor,
    index: Tensor,
    offsets: Tensor,
    factors: Tensor | None,
    count: int,
    padding: int,
    by_count: bool,
    mode: int,
) -> Tensor:
    """The sums, means or maxima of `count` bags of rows; operands have been checked and are contiguous."""
    width = weight.shape[1]
    cell = report_cell()
    chosen_shape = (count, width) if mode == MAX else (0,)
    slots = arrays(
        BAG,
        (weight, index, offsets, factors),
        ((weight.dtype, (count, width)), (int64, chosen_shape)),
        (cell, padding + 1, int(by_count), mode),
    )
    chosen = wrap(slots[1])  # the tape keeps it if it must
    result = wrap(slots[0])
    del chosen
    take_report("embedding_bag", cell)
    return result
