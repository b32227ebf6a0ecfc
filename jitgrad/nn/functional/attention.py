"""Attention with several heads: projections, masks, attention, and the projection of what it found."""

from __future__ import annotations

import math
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dtypes import bool_, dtype
from jitgrad.functions._call import require_tensors
from jitgrad.functions.attention import attend, bias_of, scaled_dot_product_attention
from jitgrad.user_frames import warn

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]

NAME = "multi_head_attention_forward"


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Compute what `nn.MultiheadAttention` computes, from the parameters given.

    Parameters
    ----------
    query : Tensor, shape (L, N, E) or (L, E)
    key, value : Tensor, shape (S, N, E) or (S, E)
    embed_dim_to_check : int
        What E must be.
    num_heads : int
    in_proj_weight, in_proj_bias : Tensor, shapes (3 E, E) and (3 E,)
        The projections of query, key and value, one below the other.
    bias_k, bias_v : Tensor, shape (1, 1, E), optional
        One more key and value for every sequence.
    add_zero_attn : bool
        Whether to add a key and a value of zeros.
    dropout_p : float
        For the attention weights, while `training`.
    out_proj_weight, out_proj_bias : Tensor, shapes (E, E) and (E,)
    key_padding_mask : Tensor, shape (N, S) or (S,), optional
        True (or -inf) for keys that do not count.
    need_weights : bool, default True
        Whether to return the weights; without them the fused kernel runs.
    attn_mask : Tensor, shape (L, S) or (N heads, L, S), optional
        True where a query must not see a key; or numbers to add to the scores.
    use_separate_proj_weight : bool, default False
        Take the projections from `q_proj_weight`, `k_proj_weight` and `v_proj_weight`.
    static_k, static_v : Tensor, shape (N heads, S, E / heads), optional
        Taken in place of the projected key and value.
    average_attn_weights : bool, default True
        Return the mean of the weights over heads.
    is_causal : bool, default False
        A hint that `attn_mask` is the causal one.

    Returns
    -------
    output : Tensor, shape (L, N, E) or (L, E)
    weights : Tensor, shape (N, L, S) or (N, heads, L, S), without N for unbatched operands; or None

    Raises
    ------
    AssertionError, RuntimeError
        As in PyTorch, if shapes do not fit together, or `is_causal` comes without a mask.
    """
    optional = (in_proj_bias, bias_k, bias_v, out_proj_bias, key_padding_mask, attn_mask, static_k, static_v)
    for given in optional:
        require_tensors(NAME, query, optional=given)
    require_tensors(NAME, out_proj_weight)
    projections: Any = in_proj_weight
    if use_separate_proj_weight:
        projections = (q_proj_weight, k_proj_weight, v_proj_weight)
    require_tensors(NAME, *(projections if use_separate_proj_weight else (projections,)))
    return run_heads(
        (query, key, value),
        False,
        (embed_dim_to_check, num_heads),
        (projections, in_proj_bias),
        (out_proj_weight, out_proj_bias),
        (bias_k, bias_v),
        add_zero_attn,
        dropout_p if training else 0.0,
        (key_padding_mask, attn_mask, is_causal),
        (need_weights, average_attn_weights),
        (static_k, static_v),
    )


def run_heads(
    operands: tuple[Tensor, Tensor, Tensor],
    batch_first: bool,
    sizes: tuple[int, int],
    projections: tuple[Any, Tensor | None],
    out_projection: tuple[Tensor, Tensor | None],
    more: tuple[Tensor | None, Tensor | None],
    add_zero: bool,
    dropout_p: float,
    masks: tuple[Tensor | None, Tensor | None, bool],
    weights: tuple[bool, bool],
    static: tuple[Tensor | None, Tensor | None] = (None, None),
) -> tuple[Tensor, Tensor | None]:
    """`multi_head_attention_forward` with batches in either place, its arguments in groups."""
    require_tensors(NAME, *operands)
    width, heads = sizes
    padding, mask, causal = masks
    require_tensors(NAME, *(given for given in (padding, mask) if given is not None))
    need_weights, average = weights
    batched = _check_dims(*operands, padding, mask, heads)
    sequence = 1 if batch_first else 0
    if not batched:
        operands = _batch_of_one(operands, 1 - sequence)
        padding = None if padding is None else padding.unsqueeze(0)
    query, key, value = operands
    _check_sizes(query, key, value, width, heads, isinstance(projections[0], tuple))
    length, batch, keys = query.shape[sequence], query.shape[1 - sequence], key.shape[sequence]
    padding, mask, causal = _as_numbers(padding, mask, causal, query.dtype, need_weights)
    if mask is not None:
        mask = _shaped_mask(mask, batch, heads, length, keys)
    q, k, v = _projected(query, key, value, *projections)
    if more[0] is not None or more[1] is not None:
        k, v = _with_more(k, v, more, static, sequence)
    order = (0, 2, 1, 3) if batch_first else (1, 2, 0, 3)
    q, k, v = (x.unflatten(-1, (heads, -1)).permute(order) for x in (q, k, v))
    k, v = (_static(x, own, batch, heads, width) for x, own in ((k, static[0]), (v, static[1])))
    if add_zero:
        k, v = (T.cat([x, T.zeros((*x.shape[:2], 1, x.shape[3]), dtype=x.dtype)], 2) for x in (k, v))
    mask = _merged(mask, padding, batch, k.shape[2], (more[0] is not None) + add_zero)
    found = None
    if need_weights:
        out, found = _with_weights(q, k, v, mask, dropout_p)
        if average:
            found = found.mean(1)
    else:
        if mask is not None:
            mask = bias_of(q, mask, (batch, heads, length, k.shape[2]))
        out = attend(q, k, v, mask, dropout_p, causal, None, sequence)
    out = out.permute((0, 2, 1, 3) if batch_first else (2, 0, 1, 3)).flatten(-2)
    out = T.linear(out, *out_projection)
    if not batched:
        out = out.squeeze(1 - sequence)
        found = None if found is None else found.squeeze(0)
    return out, found


# operands ---------------------------------------------------------------------------------------------


def _check_dims(query: Tensor, key: Tensor, value: Tensor, padding: Any, mask: Any, heads: int) -> bool:
    """Whether the operands have batches; AssertionError, as in PyTorch, if their dimensions do not fit."""
    dims = query.ndim
    if dims not in (2, 3):
        raise AssertionError(
            f"query should be unbatched 2D or batched 3D tensor but received {dims}-D query tensor"
        )
    kind = f"For {'batched' if dims == 3 else 'unbatched'} ({dims}-D) `query`, expected "
    if key.ndim != dims or value.ndim != dims:
        raise AssertionError(
            f"{kind}`key` and `value` to be {dims}-D but found {key.ndim}-D and {value.ndim}-D tensors "
            "respectively"
        )
    if padding is not None and padding.ndim != dims - 1:
        raise AssertionError(
            f"{kind}`key_padding_mask` to be `None` or {dims - 1}-D but found {padding.ndim}-D tensor instead"
        )
    if mask is not None and mask.ndim not in (2, 3):
        raise AssertionError(
            f"{kind}`attn_mask` to be `None`, 2-D or 3-D but found {mask.ndim}-D tensor instead"
        )
    if dims == 2 and mask is not None and mask.ndim == 3:
        expected = (heads, query.shape[0], key.shape[0])
        if tuple(mask.shape) != expected:
            raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {tuple(mask.shape)}")
    return dims == 3


def _check_sizes(query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, separate: bool) -> None:
    if query.shape[-1] != width:
        raise AssertionError(f"was expecting embedding dimension of {width}, but got {query.shape[-1]}")
    if width % heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {heads}")
    k, v = tuple(key.shape), tuple(value.shape)
    if separate and k[:2] != v[:2]:
        raise AssertionError(f"key's sequence and batch dims {k[:2]} do not match value's {v[:2]}")
    if not separate and k != v:
        raise AssertionError(f"key shape {k} does not match value shape {v}")


def _batch_of_one(operands: tuple[Tensor, Tensor, Tensor], dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value of one sequence each, with a dimension for a batch."""
    query = operands[0].unsqueeze(dim)
    # one tensor in several roles stays one: it is projected once
    key, value = (query if x is operands[0] else x.unsqueeze(dim) for x in operands[1:])
    return query, key, value


def _projected(query: Tensor, key: Tensor, value: Tensor, weight: Any, bias: Tensor | None):
    """Query, key and value after their projections: one product for each different operand."""
    parts = (None, None, None) if bias is None else None
    if isinstance(weight, tuple):
        parts = parts or bias.chunk(3)  # type: ignore[union-attr]
        return tuple(T.linear(*x) for x in zip((query, key, value), weight, parts, strict=True))
    if query is key and key is value:
        return T.linear(query, weight, bias).chunk(3, -1)
    width = weight.shape[-1]
    if key is value:
        above, below = weight.split([width, 2 * width])
        biases = (None, None) if bias is None else bias.split([width, 2 * width])
        return (T.linear(query, above, biases[0]), *T.linear(key, below, biases[1]).chunk(2, -1))
    parts = parts or bias.chunk(3)  # type: ignore[union-attr]
    return tuple(T.linear(*x) for x in zip((query, key, value), weight.chunk(3), parts, strict=True))


def _with_more(k: Tensor, v: Tensor, more: tuple, static: tuple, sequence: int) -> tuple[Tensor, Tensor]:
    """Keys and values with `bias_k` and `bias_v` behind them."""
    for name, x, other in (("bias_k", more[0], "bias_v"), ("bias_v", more[1], "bias_k")):
        if x is None:
            raise AssertionError(f"{other} is set but {name} is None")
    if static[0] is not None or static[1] is not None:
        raise AssertionError("bias cannot be added to static key or value.")
    shape = list(k.shape)
    shape[sequence] = 1
    return tuple(T.cat([x, extra.expand(shape)], sequence) for x, extra in zip((k, v), more, strict=True))  # type: ignore[return-value]


def _static(x: Tensor, own: Tensor | None, batch: int, heads: int, width: int) -> Tensor:
    if own is None:
        return x
    if own.shape[0] != batch * heads or own.shape[2] != width // heads:
        raise AssertionError(
            f"expecting a static key or value of shape ({batch * heads}, S, {width // heads}), but got "
            f"{tuple(own.shape)}"
        )
    return own.unflatten(0, (batch, heads))


# masks ------------------------------------------------------------------------------------------------


def dtype_of(mask: Tensor | None) -> dtype | None:
    """The dtype of a mask that may be missing."""
    return None if mask is None else mask.dtype


def canonical_mask(
    mask: Tensor | None, name: str, other: dtype | None, other_name: str, kind: dtype
) -> Tensor | None:
    """A mask as numbers to be added to scores: bools become 0 and -inf where they are set."""
    if mask is None:
        return None
    require_tensors(NAME, mask)
    own = mask.dtype
    if own is not bool_ and not own.is_floating_point:
        raise AssertionError(f"only bool and floating types of {name} are supported")
    if other is not None and own is not other:
        warn(f"Support for mismatched {name} and {other_name} is deprecated. Use same type for both instead.")
    if own is not bool_:
        return mask
    return T.zeros(mask.shape, dtype=kind).masked_fill(mask, -math.inf)


def _as_numbers(
    padding: Tensor | None, mask: Tensor | None, causal: bool, kind: dtype, need_weights: bool
) -> tuple[Tensor | None, Tensor | None, bool]:
    """The masks as numbers to add to scores; or none, and True, where the kernel itself leaves out what is later."""
    padding = canonical_mask(padding, "key_padding_mask", dtype_of(mask), "attn_mask", kind)
    if causal and mask is None:
        raise RuntimeError(
            "Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
            "`generate_square_subsequent_mask` to create this mask."
        )
    if causal and padding is None and not need_weights:
        return None, None, True
    return padding, canonical_mask(mask, "attn_mask", None, "", kind), False


def _shaped_mask(mask: Tensor, batch: int, heads: int, length: int, keys: int) -> Tensor:
    """A mask whose shape broadcasts to (N, heads, L, S)."""
    expected = (length, keys) if mask.ndim == 2 else (batch * heads, length, keys)
    if tuple(mask.shape) != expected:
        raise RuntimeError(
            f"The shape of the {mask.ndim}D attn_mask is {tuple(mask.shape)}, but should be {expected}."
        )
    return mask if mask.ndim == 2 else mask.unflatten(0, (batch, heads))


def _merged(mask: Tensor | None, padding: Tensor | None, batch: int, keys: int, added: int) -> Tensor | None:
    """Both masks as one; the last `added` of the keys were put behind, and are seen by every query."""
    if mask is not None:
        mask = _longer(mask, added)
    if padding is None:
        return mask
    if tuple(padding.shape) != (batch, keys - added):
        raise AssertionError(
            f"expecting key_padding_mask shape of {(batch, keys - added)}, but got {tuple(padding.shape)}"
        )
    padding = _longer(padding, added).unsqueeze(1).unsqueeze(1)
    return padding if mask is None else mask + padding


def _longer(mask: Tensor, added: int) -> Tensor:
    return T.cat([mask, T.zeros((*mask.shape[:-1], added), dtype=mask.dtype)], -1) if added else mask


def _with_weights(q, k, v, mask: Tensor | None, dropout_p: float) -> tuple[Tensor, Tensor]:
    """Attention operation by operation, with its weights."""
    scores = (q * math.sqrt(1.0 / q.shape[-1])) @ k.transpose(-2, -1)
    weights = T.softmax(scores if mask is None else scores + mask, -1)
    if dropout_p > 0.0:
        weights = T.dropout(weights, dropout_p, True)
    return weights @ v, weights
