"""Gradients of convolution, attention and embedding as formulas on tensors; see `kernels.vjps`."""

from __future__ import annotations

import math

from . import abi
from .convolution_shape import PLACE

# convolution: the three roles of image, map and weights give one another's gradients -----------------------


def convolution_x(ops, w, y1, g, x_shape, words):
    """Gradient of a convolution for the image: the transposed convolution of the map."""
    return _other_way(ops, "convolution_transpose", g, w, y1, x_shape, words)


def convolution_w(ops, x, g, w_shape, words):
    """Gradient of a convolution for the weights."""
    return _weights(ops, x, g, w_shape, words)


def transposed_x(ops, w, y1, g, x_shape, words):
    """Gradient of a transposed convolution for the map: the convolution of the image."""
    return _other_way(ops, "convolution", g, w, y1, x_shape, words)


def transposed_w(ops, x, g, w_shape, words):
    """Gradient of a transposed convolution for the weights."""
    return _weights(ops, g, x, w_shape, words)


def convolution_bias(ops, g):
    """Gradient of a convolution for the bias."""
    return g.sum([0, *range(2, g.ndim)])


def _other_way(ops, name, g, w, workspace, shape, words):
    made, _workspace = ops.run_op(name, (g, w, None), (g, shape), (g, tuple(workspace.shape)), words)
    return made


def _three(words, *names):
    return tuple(words[PLACE[n]] for n in names)


def _weights(ops, image, field, w_shape, words):
    """``sum x[n, c, p s + k d - pad] g[n, o, p]``: a convolution of the image, with its batch as channels, by the map.

    Steps and dilation change places.
    """
    sides = ("depth", "height", "width")
    stride = _three(words, *(f"stride_{s}" for s in sides))
    dilation = _three(words, *(f"dilation_{s}" for s in sides))
    padding = _three(words, *(f"pad_{s}" for s in sides))
    kernel = _three(words, *(f"kernel_{s}" for s in sides))
    groups = words[PLACE["groups"]]
    image = image.reshape(image.shape[0], image.shape[1], *_three(words, *sides)).transpose(0, 1)
    field = field.reshape(field.shape[0], field.shape[1], *_three(words, *(f"out_{s}" for s in sides)))
    field = field.transpose(0, 1)
    made = []
    for x, y in zip(image.chunk(groups), field.chunk(groups), strict=True):
        each = ops.conv3d(x, y, None, dilation, padding, stride)
        for d, size in enumerate(kernel):
            each = each.narrow(2 + d, 0, size)
        made.append(each.transpose(0, 1))
    return (made[0] if groups == 1 else ops.cat(made)).reshape(w_shape)


# attention ----------------------------------------------------------------------------------------------


def _probabilities(ops, q, k, bias, words):
    scores = q.matmul(k.transpose(-1, -2)) * abi.bits_float(words[0])
    if bias is not None:
        scores = scores + bias
    if words[1]:
        queries, keys = scores.shape[-2:]
        scores = scores.masked_fill(ops.above_diagonal(queries, keys), -math.inf)
    p = scores.softmax(-1)
    return p.masked_fill(p != p, 0.0)  # a query that sees no key


def _cotangents(ops, q, k, v, bias, keep, g, words):
    """Probabilities as they multiply the values, the result's cotangent, and that of the scores."""
    g = g.movedim(words[2], -2)
    p = _probabilities(ops, q, k, bias, words)
    to_p, kept = g.matmul(v.transpose(-1, -2)), p
    if keep is not None:
        factor = keep.to(g.dtype) * abi.bits_float(words[3])
        to_p, kept = to_p * factor, p * factor
    return kept, g, p * (to_p - (to_p * p).sum(-1, keepdim=True))


def attention_q(ops, q, k, v, bias, keep, g, words):
    """Gradient of attention for the queries."""
    return _cotangents(ops, q, k, v, bias, keep, g, words)[2].matmul(k) * abi.bits_float(words[0])


def attention_k(ops, q, k, v, bias, keep, g, words):
    """Gradient of attention for the keys."""
    to_scores = _cotangents(ops, q, k, v, bias, keep, g, words)[2]
    return to_scores.transpose(-1, -2).matmul(q) * abi.bits_float(words[0])


def attention_v(ops, q, k, v, bias, keep, g, words):
    """Gradient of attention for the values."""
    kept, g, _ = _cotangents(ops, q, k, v, bias, keep, g, words)
    return kept.transpose(-1, -2).matmul(g)


def attention_bias(ops, q, k, v, bias, keep, g, words):
    """Gradient of attention for what is added to the scores."""
    return _cotangents(ops, q, k, v, bias, keep, g, words)[2]


ATTENTION = {"q": attention_q, "k": attention_k, "v": attention_v, "bias": attention_bias}


# embedding: attributes report, 1 + padding row or 0, by count, and for bags the mode (0 sum, 1 mean, 2 max) -------


def _used(ops, index, rows, like, words):
    """The factor of each index: 0 for padding, and with `by_count` one over how often its row occurs."""
    factor = ops.ones(like, index.shape)
    if words[1]:
        factor = (index != words[1] - 1).to(like.dtype)
    if words[2]:
        counts = ops.zeros(like, (rows,)).index_add(0, index, ops.ones(like, index.shape))
        factor = factor / counts.index_select(0, index)
    return factor


def embedding_weight(ops, index, g, weight_shape, words):
    """Gradient of reading rows of a table."""
    index = index.reshape(-1)
    rows = g.reshape(index.numel(), weight_shape[1])
    rows = rows * _used(ops, index, weight_shape[0], g, words).unsqueeze(1)
    return ops.zeros(g, weight_shape).index_add(0, index, rows)


def _bags_of(ops, index, offsets, bags):
    """The bag of each index: how many begin at or before it."""
    begun = ops.counting(index.numel()).unsqueeze(1) >= offsets[:bags].unsqueeze(0)
    return begun.sum(1) - 1


def _shares(ops, index, bag, bags, like, words):
    """What each index counts for in its bag: nothing for padding, and in a mean one over the bag's size."""
    share = (index != words[1] - 1).to(like.dtype) if words[1] else ops.ones(like, index.shape)
    if words[3] == 1:
        sizes = ops.zeros(like, (bags,)).index_add(0, bag, share)
        share = share / sizes.clamp(min=1.0).index_select(0, bag)
    return share


def embedding_bag_weight(ops, index, offsets, factors, y1, g, weight_shape, words):
    """Gradient of bags of rows for the table; of maxima to the rows that `y1` says were chosen."""
    if words[3] == 2:
        return ops.zeros(g, weight_shape).scatter_add(0, y1.clamp(min=0), g * (y1 >= 0).to(g.dtype))
    bag = _bags_of(ops, index, offsets, g.shape[0])
    share = _shares(ops, index, bag, g.shape[0], g, words)
    if words[2]:
        share = share * _used(ops, index, weight_shape[0], g, words)
    if factors is not None:
        share = share * factors
    return ops.zeros(g, weight_shape).index_add(0, index, g.index_select(0, bag) * share.unsqueeze(1))


def embedding_bag_factors(ops, weight, index, offsets, g, words):
    """Gradient of weighted sums of rows for the weights."""
    bag = _bags_of(ops, index, offsets, g.shape[0])
    share = _shares(ops, index, bag, g.shape[0], g, words)
    return (g.index_select(0, bag) * weight.index_select(0, index)).sum(1) * share
