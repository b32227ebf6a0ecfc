"""Gradients of attention and of embeddings as formulas on tensors; see `kernels.vjps` for the parameters."""

from __future__ import annotations

import math

import numpy as np

from .abi import bits_float

# attribute words, in the order of `kernels.attention` and of `kernels.embedding_bag`
SCALE, CAUSAL, ROW_DIM, KEEP_SCALE, OPERAND_ROW_DIM = range(5)
PADDING, BY_COUNT, MODE = range(1, 4)
MEAN, MAX = 1, 2


# attention --------------------------------------------------------------------------------------------


class _Attention:
    """The weights of attention and the cotangents of its scores, made again from the operands."""

    def __init__(self, ops, operands, g, words) -> None:
        q, k, v, bias, keep = operands
        self.dim = words[OPERAND_ROW_DIM]
        self.q, self.k, self.v = (x.movedim(self.dim, -2) for x in (q, k, v))
        self.g, self.scale = g.movedim(words[ROW_DIM], -2), bits_float(words[SCALE])
        scores = self.q.matmul(self.k.transpose(-1, -2)) * self.scale
        if bias is not None:
            scores = scores + bias
        if words[CAUSAL]:
            later = ops.constant(~np.tri(*scores.shape[-2:], dtype=bool))
            scores = scores.masked_fill(later, -math.inf)
        # a query without keys has no weights at all
        empty = (scores == -math.inf).all(-1, keepdim=True)
        weights = scores.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)
        factor = None if keep is None else keep.to(g.dtype) * bits_float(words[KEEP_SCALE])
        self.weights = weights if factor is None else weights * factor
        back = self.g.matmul(self.v.transpose(-1, -2))
        back = back if factor is None else back * factor
        self.scores = weights * (back - (weights * back).sum(-1, keepdim=True))

    def laid_out(self, gradient):
        """A gradient with its rows where the operand has them."""
        return gradient.movedim(-2, self.dim)


def attention_q(ops, operands, g, words):
    """Gradient of attention for the queries."""
    a = _Attention(ops, operands, g, words)
    return a.laid_out(a.scores.matmul(a.k) * a.scale)


def attention_k(ops, operands, g, words):
    """Gradient of attention for the keys."""
    a = _Attention(ops, operands, g, words)
    return a.laid_out(a.scores.transpose(-1, -2).matmul(a.q) * a.scale)


def attention_v(ops, operands, g, words):
    """Gradient of attention for the values."""
    a = _Attention(ops, operands, g, words)
    return a.laid_out(a.weights.transpose(-1, -2).matmul(a.g))


def attention_bias(ops, operands, g, words):
    """Gradient of attention for what is added to the scores."""
    return _Attention(ops, operands, g, words).scores


# embeddings -------------------------------------------------------------------------------------------


def _added_rows(ops, index, g, shape, words):
    """Rows of `g`, one an index, added where the indices say."""
    g = g * (index != words[PADDING] - 1).to(g.dtype).unsqueeze(-1)
    if words[BY_COUNT]:
        often = ops.zeros(g, shape[:1]).index_add(0, index, ops.zeros(g, index.shape) + 1.0)
        g = g / often.index_select(0, index).unsqueeze(-1)
    return ops.zeros(g, shape).index_add(0, index, g)


def embedding_weight(ops, index, g, weight_shape, words):
    """Gradient of rows of a table for the table."""
    return _added_rows(ops, index.reshape(-1), g.reshape(-1, weight_shape[1]), weight_shape, words)


def _bag_of(ops, index, offsets, bags):
    """The bag of each index: how many bags begin at it or before it, less one."""
    places = ops.constant(np.arange(index.shape[0]))
    return (places.unsqueeze(1) >= offsets[:bags].unsqueeze(0)).sum(1) - 1


def embedding_bag_weight(ops, index, offsets, factors, y1, g, weight_shape, words):
    """Gradient of bags of rows for the table."""
    if words[MODE] == MAX:
        g = g * (y1 >= 0).to(g.dtype)
        return ops.zeros(g, weight_shape).scatter_add(0, y1 * (y1 >= 0).to(y1.dtype), g)
    bag = _bag_of(ops, index, offsets, g.shape[0])
    rows = g.index_select(0, bag)
    if factors is not None:
        rows = rows * factors.unsqueeze(-1)
    if words[MODE] == MEAN:
        counts = (index != words[PADDING] - 1).to(g.dtype)
        size = ops.zeros(g, g.shape[:1]).index_add(0, bag, counts).clamp(min=1.0)
        rows = rows / size.index_select(0, bag).unsqueeze(-1)
    return _added_rows(ops, index, rows, weight_shape, words)


def embedding_bag_factors(ops, weight, index, offsets, g, words):
    """Gradient of bags of rows for the rows' factors."""
    rows = g.index_select(0, _bag_of(ops, index, offsets, g.shape[0]))
    found = (rows * weight.index_select(0, index)).sum(-1)
    return found * (index != words[PADDING] - 1).to(g.dtype)
