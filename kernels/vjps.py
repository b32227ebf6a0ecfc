"""Gradients of array operations as formulas on tensors: what ``create_graph=True`` records.

A kernel cannot be differentiated, a formula can. Each function here gives the gradient of one operand. Its first
parameter is `ops`, the functions that formulas are written in (see `jitgrad.autograd.formulas`); the names of
the others say what it reads, as in `kernels.table`: operands, ``y`` and ``y1`` .. for outputs, ``g`` and ``g1`` ..
for their cotangents (None where there is none), ``x_shape`` for the shape of operand x, ``words`` for the
attribute words, ``operands`` for all operands, and of operations with any number of them ``position`` for
which one it is and ``shapes`` for the shapes of all. One that reads ``wanted``, the names of the operands whose
gradients are asked for, serves all operands at once: it gives a dict of gradients by name. What they give is summed
over the dimensions along which the operand was broadcast. Elementwise operations need nothing here: their gradient
formulas serve for both.
"""

from __future__ import annotations

import math

import numpy as np

from . import abi

FLAG = 4  # attribute word of "index" and "index_put": the row that takes no gradient, or whether to add


# products ---------------------------------------------------------------------------------------------


def linear_x(ops, w, g):
    """Gradient of ``x @ w.T + bias`` for x."""
    return g.matmul(w)


def linear_w(ops, x, g):
    """Gradient of ``x @ w.T + bias`` for w: one product over all rows."""
    if g.ndim != 2:
        rows = math.prod(g.shape[:-1])
        g, x = g.reshape(rows, g.shape[-1]), x.reshape(rows, x.shape[-1])
    return g.transpose(0, 1).matmul(x)


def linear_bias(ops, g):
    """Gradient of ``x @ w.T + bias`` for the bias: summed over all rows, as what is broadcast is."""
    return g


def matmul_a(ops, b, g):
    """Gradient of ``a @ b`` for a, before the sum over what was broadcast; one matrix b lies as a layer's weights."""
    return ops.linear(g, b) if b.ndim == 2 else g.matmul(b.transpose(-1, -2))


def matmul_b(ops, a, g):
    """Gradient of ``a @ b`` for b, before the sum over what was broadcast."""
    return a.transpose(-1, -2).matmul(g)


# softmax and losses -----------------------------------------------------------------------------------


def softmax_x(ops, y, g, words):
    """Gradient of a softmax along dimension ``words[0]``."""
    gy = g * y
    return gy - y * gy.sum(words[0], keepdim=True)


def log_softmax_x(ops, y, g, words):
    """Gradient of a logarithm of a softmax along dimension ``words[0]``."""
    return g - y.exp() * g.sum(words[0], keepdim=True)


def multi_margin_x(ops, x, target, y1, g, words):
    """Gradient of margins to one class of each sample: constant but for the squares of margins."""
    if words[2] == 1:
        return g.unsqueeze(1) * y1.detach()
    own = ops.one_hot(target, x.shape[1], x)
    gap = (abi.bits_float(words[3]) - (x * own).sum(1, keepdim=True) + x).clamp(min=0) * (1 - own)
    return g.unsqueeze(1) * (gap - own * gap.sum(1, keepdim=True)) * (2 / x.shape[1])


def multilabel_margin_x(ops, y1, g):
    """Gradient of margins to several classes of each sample, which is constant."""
    return g.unsqueeze(1) * y1.detach()


def mse_x(ops, x, t, g):
    """Gradient of the mean squared error for the prediction."""
    return (x - t) * (g * (2 / max(x.numel(), 1)))


def mse_t(ops, x, t, g):
    """Gradient of the mean squared error for the target."""
    return (t - x) * (g * (2 / max(x.numel(), 1)))


def cross_entropy_x(ops, x, target, g, words):
    """Gradient of the mean cross-entropy of the rows whose target is not ``words[0]``."""
    counts = target != words[0]
    hot = ops.one_hot(target.where(counts, ops.zeros(target, target.shape)), x.shape[1], x)
    weight = counts.to(x.dtype)
    return (x.softmax(1) - hot) * (g * weight / weight.sum()).unsqueeze(1)


def cross_entropy_weighted_x(ops, x, target, weight, g, words):
    """Gradient of the cross-entropy with weights of classes and smoothed targets; ``words`` as its attributes."""
    counts = target != words[0]
    smoothing, classes = abi.bits_float(words[2]), x.shape[1]
    hot = ops.one_hot(target.where(counts, ops.zeros(target, target.shape)), classes, x)
    shares = hot * (1 - smoothing) + smoothing / classes
    own = hot if weight is None else hot * weight
    shares = shares if weight is None else shares * weight
    kept = counts.to(x.dtype)
    scale = g * kept / (own.sum(1) * kept).sum() if words[3] else g * kept
    return (x.softmax(1) * shares.sum(1).unsqueeze(1) - shares) * scale.unsqueeze(1)


def nll_logp(ops, target, g, logp_shape, words):
    """Gradient of ``-logp[n, target[n, s], s]`` for targets that are not ``words[0]``."""
    return _of_classes(ops, target, -g, logp_shape[1], words[0])


def nll_mean_logp(ops, target, g, logp_shape, words):
    """Gradient of the mean of ``-logp[n, target[n]]`` over the rows whose target is not ``words[0]``."""
    count = (target != words[0]).sum().to(g.dtype)
    return _of_classes(ops, target, (-g / count).expand(target.shape), logp_shape[1], words[0])


def _of_classes(ops, target, g, classes, ignored):
    """Zeros but for `g` at the target, where that is not the ignored one; classes are the second dimension."""
    counts = target != ignored
    hot = ops.one_hot(target.where(counts, ops.zeros(target, target.shape)), classes, g)
    return hot * g.where(counts, ops.zeros(g, g.shape)).unsqueeze(1)


def dropout_x(ops, y, g1, words):
    """Gradient of dropout: output 0 is the mask, ``words[1]`` holds the bits of the scale."""
    return g1 * (y.to(g1.dtype) * abi.bits_float(words[1]))


def cross_a(ops, b, g, words):
    """Gradient of the cross products ``a x b`` for a: ``b x g``."""
    return ops.crosses(b, g, words)


def cross_b(ops, a, g, words):
    """Gradient of the cross products ``a x b`` for b: ``g x a``."""
    return ops.crosses(g, a, words)


def pair_distances_x(ops, x, g):
    """Gradient of the distances of all pairs of rows, through their differences."""
    return ops.gradients([(ops.distances_of_pairs(x), g)], [x])[0]


def row_distances_x(ops, x, z, g):
    """Gradient of the distances of the rows of two matrices for the first, through their differences."""
    return ops.gradients([(ops.distances_of_rows(x, z), g)], [x])[0]


def row_distances_z(ops, x, z, g):
    """The same for the second."""
    return ops.gradients([(ops.distances_of_rows(x, z), g)], [z])[0]


# reading and writing at indices -------------------------------------------------------------------------


def _with_flag(words, flag):
    changed = list(words)
    changed[FLAG] = flag
    return changed


def _indices(operands, first):
    return [i for i in operands[first:] if i is not None]


def index_x(ops, operands, g, x_shape, words):
    """Gradient of ``x[indices]``: what was read several times adds up; a padding row takes none."""
    indices = _indices(operands, 1)
    if words[FLAG]:
        keep = indices[0] != words[FLAG] - 1
        g = g * keep.reshape(*keep.shape, *(1,) * (g.ndim - keep.ndim)).to(g.dtype)
    return ops.at_indices("index_put", (ops.zeros(g, x_shape), g, *indices), x_shape, _with_flag(words, 1))


def index_put_x(ops, operands, g, value_shape, words):
    """Gradient of a write at indices for what was written into: none where it was overwritten."""
    if words[FLAG]:
        return g
    return ops.at_indices("index_put", (g, ops.zeros(g, value_shape), *_indices(operands, 2)), g.shape, words)


def index_put_value(ops, operands, g, value_shape, words):
    """Gradient of a write at indices for the values."""
    return ops.at_indices("index", (g, *_indices(operands, 2)), value_shape, _with_flag(words, 0))


def gather_x(ops, index, g, x_shape, words):
    """Gradient of ``gather`` along dimension ``words[1]``."""
    return ops.zeros(g, x_shape).scatter_add(words[1], index, g)


def scatter_x(ops, index, g, words):
    """Gradient of ``scatter`` for what was written into; ``words[2]`` tells whether it was added to."""
    if words[2]:
        return g
    return g.scatter(words[1], index, ops.zeros(g, index.shape))


def scatter_source(ops, index, g, source_shape, words):
    """Gradient of ``scatter`` for the source, of which a part may not have been read."""
    part = g.gather(words[1], index)
    if tuple(index.shape) == tuple(source_shape):
        return part
    return ops.corner(part, source_shape)


def slice_put_x(ops, g, value_shape, words):
    """Gradient of a write into the view that `words` describe, for what was written into."""
    return ops.put(g, ops.zeros(g, value_shape), words)


def slice_put_value(ops, g, words):
    """Gradient of a write into the view that `words` describe, for the values."""
    return ops.window(g, words)


# moving -----------------------------------------------------------------------------------------------


def cat_operand(ops, g, words, position, shapes):
    """Gradient of the operand at a position of a concatenation along dimension ``words[0]``."""
    start = sum(shape[words[0]] for shape in shapes[:position])
    return g.narrow(words[0], start, shapes[position][words[0]])


def triangle_x(ops, g, words):
    """Gradient of keeping a triangle: the cotangent's."""
    return g.triu(words[1]) if words[0] else g.tril(words[1])


def flip_x(ops, g, words):
    """Gradient of a reversal of the dimensions whose bits are set in ``words[0]``."""
    return g.flip([d for d in range(g.ndim) if words[0] >> d & 1])


def max_x(ops, y, g1, x_shape, words):
    """Gradient of the extreme along dimension ``words[0]``; output 0 is its index."""
    dim = words[0]
    if y.ndim < len(x_shape):
        y, g1 = y.unsqueeze(dim), g1.unsqueeze(dim)
    return ops.zeros(g1, x_shape).scatter(dim, y, g1)


# scans and products: exact also where an element is zero, by all pairs of places -------------------------------


def _lines(x, words):
    outer, n, inner = words[:3]
    return x.reshape(outer, n, inner).transpose(1, 2)


def _back(lines, shape):
    return lines.transpose(1, 2).reshape(shape)


def extreme_along_x(ops, y1, g, x_shape, words):
    """Gradient of cumulative extremes: cotangents added where the extremes stand."""
    zeros = ops.zeros(g, words)
    return zeros.scatter_add(1, y1.reshape(words), g.reshape(words)).reshape(x_shape)


def _alike(a, b):
    """Where two tensors have the same numbers, or both none."""
    return (a == b) | ((a != a) & (b != b))


def scatter_extreme_x(ops, x, y, y1, g, words):
    """Gradient of extremes at places for what stood there: of equal ones each gets its share."""
    counts = y1.detach()
    wins = _alike(x.detach(), y.detach()) if words[7] else counts < 0
    return g * (wins | (counts == 0)).to(g.dtype) / counts.clamp(min=1)


def scatter_extreme_source(ops, index, source, y, y1, g, words):
    """Gradient of extremes at places for the sources: of equal ones each gets its share."""
    outer, n, m, inner = words[2:6]
    at = index.reshape(outer, m, inner)
    best, shares = (
        t.reshape(outer, n, inner).gather(1, at) for t in (y.detach(), g / y1.detach().clamp(min=1))
    )
    wins = _alike(source.detach().reshape(outer, m, inner), best).to(g.dtype)
    return (shares * wins).reshape(source.shape)


def masked_scatter_x(ops, mask, g):
    """Gradient of a scatter under a mask for what stood there: that outside the mask."""
    return g.masked_fill(mask, 0)


def masked_scatter_source(ops, mask, g, source_shape):
    """Gradient of a scatter under a mask for the source: that inside, in order."""
    flags, zeros = mask.reshape(-1), ops.zeros(g, (math.prod(source_shape),))
    if not zeros.numel():
        return zeros.reshape(source_shape)
    at = (flags.cumsum(0) - 1).clamp(0, zeros.numel() - 1)
    return zeros.scatter_add(0, at, g.reshape(-1).masked_fill(~flags, 0)).reshape(source_shape)


def cumsum_x(ops, g, words, x_shape):
    """Gradient of a running sum: the running sum from the other end."""
    lines = _lines(g, words).flip([-1])
    return _back(lines.cumsum(-1).flip([-1]), x_shape)


def _others(ops, lines):
    """``[..., k, j]``: element j, or 1 where j is k."""
    n = lines.shape[-1]
    own = ops.constant(np.eye(n, dtype=bool))
    return lines.unsqueeze(-2).expand(*lines.shape[:-1], n, n).masked_fill(own, 1.0)


def cumprod_x(ops, x, g, words, x_shape):
    """Gradient of a running product."""
    lines, cotangents = _lines(x, words), _lines(g, words)
    n = lines.shape[-1]
    after = ops.constant(np.triu(np.ones((n, n)))).to(g.dtype)
    slopes = _others(ops, lines).cumprod(-1) * after
    return _back((slopes * cotangents.unsqueeze(-2)).sum(-1), x_shape)


def logcumsumexp_x(ops, x, y, g, words, x_shape):
    """Gradient of a running ``log(sum(exp))``: ``exp(x[k] - y[i])`` of every i from k on."""
    lines, sums, cotangents = (_lines(t, words) for t in (x, y, g))
    n = lines.shape[-1]
    before = ops.constant(np.tril(np.ones((n, n), dtype=bool), -1))
    slopes = (lines.unsqueeze(-1) - sums.unsqueeze(-2)).masked_fill(before, -np.inf).exp()
    return _back((slopes * cotangents.unsqueeze(-2)).sum(-1), x_shape)


def prod_x(ops, x, g, words):
    """Gradient of a product along dimension ``words[0]``."""
    dim = words[0]
    if g.ndim < x.ndim:
        g = g.unsqueeze(dim)
    slopes = ops.product(_others(ops, x.transpose(dim, -1)))
    return slopes.transpose(dim, -1) * g


# windows and lines ----------------------------------------------------------------------------------------


def max_pool_x(ops, y1, g, x_shape, words):
    """Gradient of max pooling over ``words[0]`` dimensions: each cotangent goes to the place that was largest."""
    lead = len(x_shape) - words[0]
    planes, inner = x_shape[:lead], x_shape[lead:]
    places = y1.long().flatten(lead)
    flat = ops.zeros(g, (*planes, math.prod(inner)))
    return flat.scatter_add(lead, places, g.flatten(lead)).reshape(x_shape)


def avg_pool_x(ops, g, x_shape, words):
    """Gradient of mean pooling."""
    return ops.spread_means(g, x_shape, words)


def pad_x(ops, g, x_shape, words):
    """Gradient of a padded array: cotangents added where their elements come from."""
    return ops.run_op("unpad", (g,), (g, x_shape), (0, *words[1:]))[0]


def unpad_x(ops, g, x_shape, words):
    """Gradient of the transpose of padding: padding, with zeros where nothing is shown."""
    return ops.run_op("pad", (g,), (g, x_shape), (0, *words[1:]))[0]


def grid_sample_both(ops, x, grid, g, words, wanted):
    """Gradients of samples of images, derived from the same samples made of gathers and arithmetic."""
    operands = {"x": x, "grid": grid}
    found = ops.gradients([(ops.sampled(x, grid, words), g)], [operands[name] for name in wanted])
    return dict(zip(wanted, found, strict=True))


def line_map_x(ops, places, weights, back_places, back_weights, g, x_shape, words):
    """Gradient of a map along lines: the transposed map."""
    return ops.line_map(g, (back_places, back_weights, places, weights), x_shape, (words[0], 0))
