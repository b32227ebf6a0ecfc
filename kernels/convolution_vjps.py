"""Gradients of convolutions as formulas on tensors; see `kernels.vjps`.

Image, map and weights give one another's gradients.
"""

from __future__ import annotations

from .convolution_shape import PLACE


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
    image = image.reshape(image.shape[0], image.shape[1], *_three(words, *sides))
    out = _three(words, *(f"out_{s}" for s in sides))
    image = _reached(ops, image, out, stride, dilation, padding, kernel).transpose(0, 1)
    field = field.reshape(field.shape[0], field.shape[1], *out).transpose(0, 1)
    made = []
    for x, y in zip(image.chunk(groups), field.chunk(groups), strict=True):
        each = ops.conv3d(x, y, None, dilation, padding, stride)
        for d, size in enumerate(kernel):
            each = each.narrow(2 + d, 0, size)
        made.append(each.transpose(0, 1))
    return (made[0] if groups == 1 else ops.cat(made)).reshape(w_shape)


def _reached(ops, image, out, stride, dilation, padding, kernel):
    """The image, made longer by zeros where windows end behind it and its padding: "same" pads that end more."""
    axes = zip(image.shape[2:], out, stride, dilation, padding, kernel, strict=True)
    sizes = [max(n, (o - 1) * s + (k - 1) * d + 1 - 2 * p) for n, o, s, d, p, k in axes]
    shape = (*image.shape[:2], *sizes)
    return image if shape == tuple(image.shape) else ops.corner(image, shape)
