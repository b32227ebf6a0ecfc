"""Scaled dot-product attention, one kernel for all heads."""

from __future__ import annotations

import math
from array import array
from functools import lru_cache

import numpy as np

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, OUTPUT_WORDS, arrays, described
from ..dtypes import bool_
from ..engine.entry import entries
from ..engine.layout import S_DIMS, S_STRIDES, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import MAX_DIMS, float_bits
from ..kernels.attention import MAX_QUERIES, MAX_WIDTH
from ..store import store
from ._call import is_floating, require_tensors
from ._dims import shape_of
from ._random import make_random, threshold_of
from .draws import BERNOULLI
from .expansion import expand

ATTENTION = BY_NAME["attention"]
NAME = "scaled_dot_product_attention"

__all__: list[str] = []


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return ``softmax(scale * query @ key.T + mask) @ value``, head by head.

    Parameters
    ----------
    query : Tensor, shape (..., L, E)
    key : Tensor, shape (..., S, E)
    value : Tensor, shape (..., S, Ev)
        The leading dimensions of the three broadcast.
    attn_mask : Tensor, broadcasting to (..., L, S), optional
        Added to the scores; or of bools, where False takes a key away from a query.
    dropout_p : float, default 0.0
        The probability with which a weight is dropped; applied whether a module trains or not.
    is_causal : bool, default False
        Let query i see keys up to number i only.
    scale : float, optional
        By default ``1 / sqrt(E)``.
    enable_gqa : bool, default False
        Let query have a multiple of the heads (dimension -3) of key and value, neighbours sharing one of them.

    Returns
    -------
    Tensor, shape (..., L, Ev)
        With four dimensions or more it lies in memory as (..., L, heads, Ev), so that ``transpose(-3, -2)`` followed
        by a reshape copies nothing. A query that sees no key gets zeros.

    Raises
    ------
    RuntimeError
        If shapes or dtypes do not fit together, ``dropout_p`` is not a probability, or both ``attn_mask`` and
        ``is_causal`` are given.
    """
    require_tensors(NAME, query, key, value)
    shapes = [shape_of(x) for x in (query, key, value)]
    _check(query, key, value, *shapes)
    if not 0.0 <= dropout_p <= 1.0:
        raise RuntimeError(f"{NAME}: dropout probability has to be between 0 and 1, but got {dropout_p}")
    if enable_gqa and len({s[-3] if len(s) > 2 else 1 for s in shapes}) > 1:
        return _grouped(query, key, value, attn_mask, dropout_p, is_causal, scale)
    lead = shapes[0][:-2]
    if not shapes[1][:-2] == shapes[2][:-2] == lead:
        lead = _common_lead(shapes)
        query, key, value = (
            x if s[:-2] == lead else expand(x, *lead, *s[-2:])
            for x, s in zip((query, key, value), shapes, strict=True)
        )
    if attn_mask is not None:
        if is_causal:
            raise RuntimeError(
                f"{NAME}: Explicit attn_mask should not be set when is_causal=True; leave one of them out, or "
                "put the causal part into the mask"
            )
        attn_mask = bias_of(query, attn_mask, (*lead, shapes[0][-2], shapes[1][-2]))
    # the heads of a position side by side: what a projection of all heads reads
    row_dim = len(lead) - 1 if len(lead) > 1 else len(lead)
    return attend(query, key, value, attn_mask, dropout_p, is_causal, scale, row_dim)


def _check(query: Tensor, key: Tensor, value: Tensor, q: tuple, k: tuple, v: tuple) -> None:
    if not (query.dtype is key.dtype is value.dtype):
        raise RuntimeError(
            f"{NAME}: Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{query.dtype.name} key.dtype: {key.dtype.name} and value.dtype: {value.dtype.name} instead"
        )
    if not is_floating(query):
        raise RuntimeError(
            f"{NAME}: expected query, key and value of a floating dtype, got {query.dtype.name}; "
            "convert them with .float()"
        )
    if len(q) < 2 or len(k) < 2 or len(v) < 2:
        raise RuntimeError(
            f"{NAME}: Expected query, key, and value to all be at least 2 dimensional, but got query.dim: "
            f"{len(q)} key.dim: {len(k)} and value.dim: {len(v)} instead"
        )
    if q[-1] != k[-1] or k[-2] != v[-2]:
        raise RuntimeError(
            f"{NAME}: expected query (..., L, E), key (..., S, E) and value (..., S, Ev), got {q}, {k} and {v}"
        )


def _common_lead(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*(s[:-2] for s in shapes))
    except ValueError:
        texts = ", ".join(map(str, shapes))
        raise RuntimeError(
            f"{NAME}: the leading dimensions of query, key and value must broadcast: sizes must be equal or 1, "
            f"got {texts}; for heads that share keys pass enable_gqa=True"
        ) from None


def bias_of(query: Tensor, mask: Tensor, scores: tuple[int, ...]) -> Tensor:
    """A mask as numbers to be added to the scores, and of their shape."""
    require_tensors(NAME, mask)
    if mask.dtype is bool_:
        mask = added_mask(mask, query)
    elif mask.dtype is not query.dtype:
        if not is_floating(mask):
            raise RuntimeError(
                f"{NAME}: Expected attn_mask dtype to be bool or float or to match query dtype, but got "
                f"attn_mask.dtype: {mask.dtype.name} and query.dtype: {query.dtype.name} instead"
            )
        mask = mask.to(query.dtype)  # type: ignore[attr-defined]
    own = shape_of(mask)
    if own == scores:
        return mask
    fits = len(own) <= len(scores) and all(a in (b, 1) for a, b in zip(own[::-1], scores[::-1], strict=False))
    if not fits:
        raise RuntimeError(
            f"{NAME}: The size of attn_mask {own} must match the size of the scores {scores}, or broadcast to it"
        )
    return expand(mask, *scores)


def added_mask(allowed: Tensor, like: Tensor) -> Tensor:
    """Zero where `allowed` is set and -inf elsewhere, with the dtype of `like`."""
    from .creation import zeros

    nothing = zeros(shape_of(allowed), dtype=like.dtype)
    return nothing.masked_fill(~allowed, -math.inf)  # type: ignore[attr-defined]


def _causal_bias(bias: Tensor) -> Tensor:
    from .ranges import arange

    queries, keys = shape_of(bias)[-2:]
    later = arange(keys) > arange(queries).unsqueeze(1)  # type: ignore[attr-defined, operator]
    return bias.masked_fill(later, -math.inf)  # type: ignore[attr-defined]


@lru_cache(1024)
def _words(scale: float, causal: bool, row_dim: int, dropout_p: float, operand_dim: int) -> array:
    """Attribute words; not to be written to."""
    kept = 1.0 if dropout_p == 1.0 else 1.0 / (1.0 - dropout_p)
    return array("q", (float_bits(scale), int(causal), row_dim, float_bits(kept), operand_dim))


@lru_cache(1024)
def _results(code: int, *shapes: tuple[int, ...]) -> array:
    """The description of the results; to be copied, as the engine writes into it."""
    return described([(code, shape) for shape in shapes])


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: Tensor | None,
    dropout_p: float,
    causal: bool,
    scale: float | None,
    row_dim: int,
) -> Tensor:
    """Attention of operands that have been checked and have the same leading dimensions.

    `bias` has the shape of the scores. In memory the result's rows are dimension `row_dim`, before the leading
    dimensions from there on; it is returned as a view with the rows where they belong.
    """
    q, width, keys = shape_of(query), shape_of(value)[-1], shape_of(key)[-2]
    lead, queries, inner = q[:-2], q[-2], q[-1]
    scores = (*lead, queries, keys)
    if scale is None:
        scale = 1.0 / math.sqrt(inner) if inner else 1.0
    if inner > MAX_WIDTH or width > MAX_WIDTH or queries > MAX_QUERIES:
        return _composed(query, key, value, bias, dropout_p, causal, scale, scores)
    keep = None
    if dropout_p:
        words = (threshold_of(NAME, 1.0 - dropout_p),)
        keep = make_random(BERNOULLI, None, bool_, scores, words)
    kind, operand_dim = query.dtype, len(lead)
    if lead and _rows_first(query) and _rows_first(key) and _rows_first(value):
        # heads beside one another in memory: so are they in the gradients, which then need no copy
        operand_dim -= 1
        query, key, value = (x.transpose(-3, -2) for x in (query, key, value))  # type: ignore[attr-defined]
    words = _words(float(scale), causal, row_dim, float(dropout_p), operand_dim)
    outputs = ((kind, (*lead[:row_dim], queries, *lead[row_dim:], width)), (kind, (*lead, queries)))
    results = _results(kind.code, outputs[0][1], outputs[1][1])[:]
    ids = array(
        "q",
        (
            query._slot,
            key._slot,
            value._slot,
            0 if bias is None else bias._slot,
            0 if keep is None else keep._slot,
        ),
    )
    slot = entries.apply_arrays(
        CONTEXT, ATTENTION.code, kind.code, 0, 5, ids.buffer_info()[0], 2, results.buffer_info()[0],
        *words.buffer_info(),
    )  # fmt: skip
    other = results[OUTPUT_WORDS]
    if slot < 0:
        slot, other = arrays(ATTENTION, (query, key, value, bias, keep), outputs, words)
    statistics = wrap(other)  # the tape keeps it if it must
    result = wrap(slot)
    del statistics
    if row_dim == len(lead):
        return result
    # one dimension further on is a plain exchange
    return result.transpose(-3, -2) if row_dim == len(lead) - 1 else result.movedim(row_dim, -2)  # type: ignore[attr-defined]


def _rows_first(x: Tensor) -> bool:
    """Whether rows lie further apart in memory than heads."""
    at = x._slot * SLOT_WORDS
    last = at + S_STRIDES + store.slots[at + S_DIMS] - 1
    return store.slots[last - 1] > store.slots[last - 2] > 0


def _composed(query, key, value, bias, dropout_p: float, causal: bool, scale: float, scores) -> Tensor:
    """The same, operation by operation: for sizes that the kernel has no room for."""
    from .creation import zeros
    from .dropout import dropout
    from .losses import softmax

    weights = (query * scale) @ key.transpose(-2, -1)
    if causal:
        bias = _causal_bias(zeros(scores[-2:], dtype=query.dtype))
    if bias is not None:
        weights = weights + bias
    # a row without any key is all nan after softmax; its weights are zero
    empty = (weights == -math.inf).all(-1, keepdim=True)
    weights = softmax(weights.masked_fill(empty, 0.0), -1).masked_fill(empty, 0.0)
    return dropout(weights, dropout_p, dropout_p > 0.0) @ value


def _grouped(query, key, value, mask, dropout_p: float, causal: bool, scale: float | None) -> Tensor:
    """Heads that share keys and values: a group is a dimension of its own, along which these are repeated."""
    q, k, v = (shape_of(x) for x in (query, key, value))
    if min(len(q), len(k), len(v)) < 3 or k[-3] == 0 or v[-3] == 0 or q[-3] % k[-3] or q[-3] % v[-3]:
        raise RuntimeError(
            f"{NAME}: Number of heads in key and value must divide the number of heads in query, got {q}, "
            f"{k} and {v}"
        )
    groups = k[-3]
    if v[-3] != groups or len(q) >= MAX_DIMS:
        key, value = (
            x.repeat_interleave(q[-3] // x.shape[-3], -3) if x.shape[-3] != q[-3] else x for x in (key, value)
        )
        return scaled_dot_product_attention(query, key, value, mask, dropout_p, causal, scale)
    together = q[-3] // groups
    if mask is not None and mask.ndim > 2:
        heads = mask.shape[-3]
        mask = mask.unflatten(-3, (groups, together)) if heads != 1 else mask.unsqueeze(-3)
    query = query.unflatten(-3, (groups, together))
    out = scaled_dot_product_attention(
        query, key.unsqueeze(-3), value.unsqueeze(-3), mask, dropout_p, causal, scale
    )
    return out.flatten(-4, -3)
