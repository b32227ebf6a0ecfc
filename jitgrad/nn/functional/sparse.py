"""Tables of vectors: rows at indices, and sums, means and maxima of bags of rows."""

from __future__ import annotations

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.functions._call import require_tensors
from jitgrad.functions.embedding import bags, whole_indices
from jitgrad.store import store

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


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Return the sum, mean or maximum of every bag of rows of a table.

    Parameters
    ----------
    input : Tensor of int64 or int32, shape (B, n) or (N,)
        Rows of the table: a bag of n in each line, or all bags one after the other.
    weight : Tensor, shape (num_embeddings, embedding_dim)
    offsets : Tensor of int64 or int32, shape (B,)
        For an input of one dimension, where each bag begins.
    mode : {'mean', 'sum', 'max'}
    per_sample_weights : Tensor, shape of input, optional
        Factors of the rows; only with ``mode='sum'``.
    include_last_offset : bool, default False
        Whether the offsets have one more element, the end of the last bag.
    padding_idx : int, optional
        Rows named by this index do not count in their bag and get no gradient.
    max_norm, norm_type, scale_grad_by_freq, sparse
        As for `embedding`.

    Returns
    -------
    Tensor, shape (B, embedding_dim)
        Zeros for an empty bag.

    Raises
    ------
    IndexError
        If an index is not a row of the table.
    ValueError, RuntimeError, NotImplementedError
        As in PyTorch, if shapes, dtypes or options do not fit.
    """
    for given in (offsets, per_sample_weights):
        require_tensors("embedding_bag", input, weight, optional=given)
    weights = per_sample_weights
    if weights is not None and input.shape != weights.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({tuple(weights.shape)}) is not None, then it must have the "
            f"same shape as the input ({tuple(input.shape)})"
        )
    if weight.ndim != 2:
        raise ValueError(f"weight has to be a 2D Tensor, but got Tensor of dimension {weight.ndim}")
    if mode not in MODES:
        raise ValueError(f"mode has to be one of sum, mean or max, got {mode!r}")
    if mode == "max" and (scale_grad_by_freq or sparse):
        what = "scaling the gradient by the frequency" if scale_grad_by_freq else "sparse weights"
        raise ValueError(f"max mode does not support {what}")
    if weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for "
            f"mode='sum' (got mode='{mode}')"
        )
    if weights is not None and weights.dtype is not weight.dtype:
        raise RuntimeError(
            f"embedding_bag: expected per_sample_weights of dtype {weight.dtype.name}, the weight's, got "
            f"{weights.dtype.name}"
        )
    offsets, include_last_offset = _bag_offsets(input, offsets, include_last_offset)
    padding = -1 if padding_idx is None else padding_row("embedding_bag", weight, padding_idx)
    index = whole_indices("embedding_bag", input).reshape(-1)
    starts = whole_indices("embedding_bag", offsets)
    count = starts.shape[0] - include_last_offset
    _check_offsets(starts, index.shape[0], count)
    if max_norm is not None:
        shrink_rows("embedding_bag", weight, index, max_norm, norm_type)
    factors = None if weights is None else weights.reshape(-1).contiguous()
    return bags(weight, index, starts, factors, count, padding, scale_grad_by_freq, MODES.index(mode))


def _bag_offsets(input: Tensor, offsets: Tensor | None, include_last: bool) -> tuple[Tensor, bool]:
    """Where bags begin, and whether the end of the last one is among it."""
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length "
                f"sequences. However, found offsets of type {type(offsets).__name__}"
            )
        bags_, size = input.shape
        return T.arange(bags_) * size, False
    if input.ndim != 1:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if offsets is None:
        raise ValueError("offsets has to be a 1D Tensor but got None")
    if offsets.ndim != 1:
        raise ValueError(f"offsets has to be a 1D Tensor, got {offsets.ndim} dimensions")
    return offsets, include_last


def _check_offsets(starts: Tensor, indices: int, count: int) -> None:
    """RuntimeError for offsets that no bags can have; while a program is recorded its replays tell."""
    if count < 0:
        raise RuntimeError("include_last_offset: number of offset should be at least 1")
    if store.recording is not None or not starts.shape[0]:
        return
    values = starts.numpy(force=True)
    if values[0] != 0:
        raise RuntimeError(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
            f"However, got {values[0]}"
        )
    if values[-1] > indices:
        raise RuntimeError(
            f"offsets[-1] can not be greater than input's length({indices}), but got offsets[-1] of {values[-1]}"
        )
    if (values[1:] < values[:-1]).any():
        raise RuntimeError(f"offsets must not decrease, got {values.tolist()}")
