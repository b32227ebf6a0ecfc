"""Tables of vectors: rows at indices, and sums, means and maxima of bags of rows."""

from __future__ import annotations

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.functions._call import require_tensors
from jitgrad.functions.embedding import whole_indices

MODES = ("sum", "mean", "max")
NORM_FLOOR = 1e-7  # PyTorch's, added to a norm before the division


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Return the rows of a table at indices.

    Parameters
    ----------
    input : Tensor of int64 or int32, any shape
        Rows of the table, from 0.
    weight : Tensor, shape (num_embeddings, embedding_dim)
        The table.
    padding_idx : int, optional
        A row that gets no gradient; negative ones count from the end.
    max_norm : float, optional
        Rows that are named and whose norm is larger are first scaled down to it, in place.
    norm_type : float, default 2.0
        The p of that norm.
    scale_grad_by_freq : bool, default False
        Divide each row's gradient by the number of times that the row is named.
    sparse : bool, default False
        Accepted: gradients are dense all the same.

    Returns
    -------
    Tensor, shape (*input.shape, embedding_dim)

    Raises
    ------
    IndexError
        If an index is not a row of the table.
    RuntimeError
        If the table does not have two dimensions or the indices are not integers.
    AssertionError
        If ``padding_idx`` is not a row of the table.
    """
    require_tensors("embedding", input, weight)
    padding = -1
    if padding_idx is not None:
        padding = padding_row("embedding", weight, padding_idx)
    if max_norm is not None:
        shrink_rows("embedding", weight, input, max_norm, norm_type)
    return T.embedding(weight, input, padding, scale_grad_by_freq, sparse)


def padding_row(name: str, weight: Tensor, padding_idx: int) -> int:
    """`padding_idx` counted from the front."""
    rows = weight.shape[0] if weight.ndim else 0
    if not -rows <= padding_idx < rows:
        raise AssertionError(f"{name}: Padding_idx must be within num_embeddings ({rows}), got {padding_idx}")
    return padding_idx % rows


def shrink_rows(name: str, weight: Tensor, input: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale the named rows whose norm is larger than `max_norm` down to it, in place."""
    with no_grad():
        flat = whole_indices(name, input).reshape(-1)
        if not flat.numel():
            return
        rows = T.embedding(weight, flat)
        norms = rows.norm(norm_type, 1, keepdim=True)
        scale = T.where(norms > max_norm, max_norm / (norms + NORM_FLOOR), T.ones_like(norms))
        # a row named twice is written twice with the same numbers
        weight.index_copy_(0, flat, rows * scale)


def embedding_bag(*args, **options):
    raise NotImplementedError
