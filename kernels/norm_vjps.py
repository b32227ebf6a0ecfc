"""Gradients of normalisations as formulas on tensors, for gradients of gradients; see `kernels.vjps`.

The statistics are computed anew from x, so that what depends on them is differentiated as well.
"""

from __future__ import annotations

from collections.abc import Callable

from . import abi


def _inner(h, normal, scale, dims):
    """``r (h - mean(h) - x' mean(h x'))`` with means over `dims`."""
    slope = (h * normal).mean(dims, keepdim=True)
    return (h - h.mean(dims, keepdim=True) - normal * slope) * scale


def _normal(x, dims, eps):
    """What is normalised over `dims`, and the reciprocal deviation."""
    left = x - x.mean(dims, keepdim=True)
    scale = ((left * left).mean(dims, keepdim=True) + eps).rsqrt()
    return left * scale, scale


# rows: attributes rows, width, epsilon ----------------------------------------------------------------


def _rows(x, words):
    return x.reshape(words[0], words[1])


def _weighted(g, weight, words):
    return _rows(g, words) if weight is None else _rows(g, words) * weight.reshape(-1)


def layer_norm_x(ops, x, weight, g, words):
    """Gradient of layer normalisation for x."""
    normal, scale = _normal(_rows(x, words), 1, abi.bits_float(words[2]))
    return _inner(_weighted(g, weight, words), normal, scale, 1).reshape(x.shape)


def layer_norm_weight(ops, x, g, words, weight_shape):
    """Gradient of layer normalisation for the weight."""
    normal, _ = _normal(_rows(x, words), 1, abi.bits_float(words[2]))
    return (_rows(g, words) * normal).sum(0).reshape(weight_shape)


def layer_norm_bias(ops, g, words, bias_shape):
    """Gradient of layer normalisation for the bias."""
    return _rows(g, words).sum(0).reshape(bias_shape)


def _root_mean_square(x, words):
    rows = _rows(x, words)
    scale = ((rows * rows).mean(1, keepdim=True) + abi.bits_float(words[2])).rsqrt()
    return rows * scale, scale


def rms_norm_x(ops, x, weight, g, words):
    """Gradient of root-mean-square normalisation for x."""
    normal, scale = _root_mean_square(x, words)
    h = _weighted(g, weight, words)
    return ((h - normal * (h * normal).mean(1, keepdim=True)) * scale).reshape(x.shape)


def rms_norm_weight(ops, x, g, words, weight_shape):
    """Gradient of root-mean-square normalisation for the weight."""
    normal, _ = _root_mean_square(x, words)
    return (_rows(g, words) * normal).sum(0).reshape(weight_shape)


# channels: attributes as `kernels.channel_walk` has them ----------------------------------------------

EPSILON = 8


def _batch_form(words):
    """Four sizes to see x in, those of the weight, the dimensions of a unit, and those outside a channel."""
    units, segments, span = words[0], words[1], words[4]
    return (segments, units, 1, span), (1, units, 1, 1), (0, 2, 3), (0, 2, 3)


def _group_form(words):
    units, segments, span, groups = words[0], words[1], words[4], words[5]
    return (units // groups, groups, segments, span), (1, groups, segments, 1), (2, 3), (0, 3)


def of_channels(form: Callable) -> dict[str, Callable]:
    """The three formulas of a normalisation whose units have the given form."""

    def for_x(ops, x, weight, g, words):
        sizes, like, dims, _ = form(words)
        normal, scale = _normal(x.reshape(sizes), dims, abi.bits_float(words[EPSILON]))
        h = g.reshape(sizes)
        h = h if weight is None else h * weight.reshape(like)
        return _inner(h, normal, scale, dims).reshape(x.shape)

    def for_weight(ops, x, g, words, weight_shape):
        sizes, _, dims, outside = form(words)
        normal, _ = _normal(x.reshape(sizes), dims, abi.bits_float(words[EPSILON]))
        return (g.reshape(sizes) * normal).sum(outside).reshape(weight_shape)

    def for_bias(ops, g, words, bias_shape):
        sizes, _, _, outside = form(words)
        return g.reshape(sizes).sum(outside).reshape(bias_shape)

    return {"x": for_x, "weight": for_weight, "bias": for_bias}


BATCH, GROUP = of_channels(_batch_form), of_channels(_group_form)


def _given_scale(var, words):
    return (var + abi.bits_float(words[EPSILON])).rsqrt()


def given_x(ops, weight, var, g, words):
    """Gradient of a normalisation by given statistics for x."""
    sizes, like, _, _ = _batch_form(words)
    scale = _given_scale(var, words)
    scale = scale if weight is None else scale * weight.reshape(-1)
    return (g.reshape(sizes) * scale.reshape(like)).reshape(g.shape)


def given_weight(ops, x, mean, var, g, words, weight_shape):
    """Gradient of a normalisation by given statistics for the weight."""
    sizes, like, _, outside = _batch_form(words)
    normal = (x.reshape(sizes) - mean.reshape(like)) * _given_scale(var, words).reshape(like)
    return (g.reshape(sizes) * normal).sum(outside).reshape(weight_shape)


GIVEN = {"x": given_x, "weight": given_weight, "bias": BATCH["bias"]}
