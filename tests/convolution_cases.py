"""Convolutions in NumPy, tap by tap, and the shapes and options that the tests try."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

# batch, input channels, input size, output channels, kernel, options; channels are per group
SHAPES: dict[str, tuple[int, int, tuple[int, ...], int, tuple[int, ...]]] = {
    "2 images": (2, 3, (6, 7), 4, (3, 2)),
    "1 image": (1, 20, (4, 4), 18, (3, 3)),
    "1 image, few positions": (1, 33, (2, 2), 40, (3, 3)),
    "1 image, many positions": (1, 2, (11, 13), 5, (3, 3)),
    "8 images": (8, 4, (5, 6), 6, (3, 3)),
    "17 images": (17, 2, (5, 7), 9, (2, 3)),
    "32 images": (32, 3, (6, 6), 5, (3, 3)),
    "40 images": (40, 1, (7, 5), 11, (3, 3)),
    "no images": (0, 3, (6, 7), 4, (3, 2)),
    "one tap, 3 images": (3, 20, (4, 5), 33, (1, 1)),
    "one tap, 20 images": (20, 20, (4, 5), 33, (1, 1)),
    "1-d, 3 images": (3, 4, (20,), 6, (5,)),
    "1-d, 16 images": (16, 4, (20,), 6, (5,)),
    "3-d, 2 images": (2, 2, (4, 5, 6), 3, (2, 3, 2)),
    "3-d, 18 images": (18, 2, (3, 5, 4), 3, (2, 3, 2)),
    "long kernel, 16 images": (16, 1, (150,), 2, (140,)),
    "many channels, 17 images": (17, 120, (3, 3), 3, (3, 3)),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride": {"stride": 2},
    "padding": {"padding": 1},
    "mixed": {"stride": 3, "padding": 2, "dilation": 2},
    "groups": {"groups": 3, "padding": 1},
}


def cases(transposed: bool):
    """Label, shapes of input and weight, and options of every case that exists."""
    for (shape, (batch, c, size, o, kernel)), (label, options) in itertools.product(
        SHAPES.items(), OPTIONS.items()
    ):
        groups = options.get("groups", 1)
        x = (batch, c * groups, *size)
        w = (c * groups, o, *kernel) if transposed else (o * groups, c, *kernel)
        if min(output_size(x, w, transposed, **options)) > 0 and not (transposed and "long" in shape):
            yield f"{shape}, {label}", x, w, options


def _each(value: int | tuple[int, ...], spatial: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * spatial


def output_size(x, w, transposed, stride=1, padding=0, dilation=1, groups=1, output_padding=0):
    spatial = len(x) - 2
    values = zip(
        x[2:], w[2:], *(_each(v, spatial) for v in (stride, padding, dilation, output_padding)), strict=True
    )
    if transposed:
        return tuple((n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, d, e in values)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in values)


def _flat(x):
    return x.reshape(*x.shape[:2], -1) if x.size else np.zeros((*x.shape[:2], 0))


class Reference:
    """One convolution from an image to a map: forward, and the gradients for a cotangent of the map."""

    def __init__(self, image, maps, w, stride=1, padding=0, dilation=1, groups=1):
        spatial = len(w) - 2
        self.image, self.maps, self.w, self.groups = image, maps, w, groups
        self.stride, self.dilation = _each(stride, spatial), _each(dilation, spatial)
        self.padding = _each(padding, spatial)

    def _padded(self, x):
        return np.pad(x, [(0, 0), (0, 0), *((p, p) for p in self.padding)])

    def _taps(self, padded):
        """For each group and tap its channels, filters, place in the weights, and what it sees."""
        c, o = self.image[1] // self.groups, self.maps[1] // self.groups
        for q in range(self.groups):
            channels, filters = slice(q * c, (q + 1) * c), slice(q * o, (q + 1) * o)
            for tap in np.ndindex(*self.w[2:]):
                window = tuple(
                    slice(t * d, t * d + (n - 1) * s + 1, s)
                    for t, d, s, n in zip(tap, self.dilation, self.stride, self.maps[2:], strict=True)
                )
                yield (filters, slice(None), *tap), filters, padded[(slice(None), channels, *window)]

    def down(self, x, w):
        y = np.zeros(self.maps)
        for place, filters, seen in self._taps(self._padded(x)):
            y[:, filters] += np.einsum("nc...,oc->no...", seen, w[place])
        return y

    def up(self, y, w):
        padded = self._padded(np.zeros(self.image))
        for place, filters, seen in self._taps(padded):
            seen += np.einsum("no...,oc->nc...", y[:, filters], w[place])  # a view of padded
        inside = tuple(slice(p, p + n) for p, n in zip(self.padding, self.image[2:], strict=True))
        return padded[(slice(None), slice(None), *inside)]

    def weights(self, x, y):
        w = np.zeros(self.w)
        for place, filters, seen in self._taps(self._padded(x)):
            w[place] = np.einsum("ncp,nop->oc", _flat(seen), _flat(y[:, filters]))
        return w


def expected(transposed, x, w, bias, cotangent, options):
    """Output and gradients of a convolution or transposed convolution."""
    options = dict(options)
    options.pop("output_padding", None)
    image, maps = (cotangent.shape, x.shape) if transposed else (x.shape, cotangent.shape)
    r = Reference(image, maps, w.shape, **options)
    column = bias.reshape(-1, *[1] * (x.ndim - 2))
    axes = (0, *range(2, x.ndim))
    if transposed:
        y, gx, gw = r.up(x, w), r.down(cotangent, w), r.weights(cotangent, x)
    else:
        y, gx, gw = r.down(x, w), r.up(cotangent, w), r.weights(x, cotangent)
    return y + column, gx, gw, cotangent.sum(axes)
