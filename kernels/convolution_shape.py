"""The numbers that describe a convolution, computed once in Python and read by its kernels as attributes.

A convolution has an *image* side, (batch, channels, depth, height, width), and a *map* side, (batch, filters,
out_depth, out_height, out_width). A convolution goes from the image to the map; a transposed convolution, and the
gradient of a convolution, go from the map to the image. One and two spatial dimensions are three with ones in
front. Weights are (filters, channels / groups, kernel depth, height, width) in both directions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

from . import abi
from .batch import Strip
from .host import host

FIELDS = (
    *("batch", "channels", "depth", "height", "width"),
    *("filters", "out_depth", "out_height", "out_width"),
    *("kernel_depth", "kernel_height", "kernel_width"),
    *("stride_depth", "stride_height", "stride_width"),
    *("pad_depth", "pad_height", "pad_width"),
    *("dilation_depth", "dilation_height", "dilation_width"),
    "groups",
    "lanes",  # 1: images lie side by side in vectors, see `convolution_lanes`; 0: see `convolution_columns`
    "vectors",  # vectors of images in a block of them
    "blocks",  # blocks of images
    *("padded_depth", "padded_height", "padded_width"),  # what of the image is read, with its border of zeros
    "kept",  # whether the columns of all images are kept in the workspace, or those of one at a time
    "turned",  # whether columns lie with positions as rows
    "second",  # where the workspace's second region begins, in elements
)
PLACE = {name: k for k, name in enumerate(FIELDS)}

MOST_TAPS = 256  # larger kernels go through columns
# what the two forms take, there and back, in vectors of multiply-adds; the numbers are fitted to the times of 26
# convolutions of 4 to 32 images on a Zen 4, where the form chosen takes 0.3 % longer than the faster one
TURN = 10.0  # to put one element of the images of a vector side by side, or back
FAR = 24.0  # to meet it again outside of the cache
CACHE = 1 << 20  # bytes
PRODUCT = 1.2  # products of matrices beside those of lanes
COLUMN = 14.0  # to write a vector of columns and to sum it again
STRIDED = 3.0  # to gather one of its elements
FEW_POSITIONS = 6  # up to so many, columns lie with positions as rows: products are dot products then
KEPT_ELEMENTS = 1 << 22
GRAIN = 64  # elements to which regions of the workspace are rounded
LINE = 16  # elements that fill a cache line, or two


class Layout(NamedTuple):
    """What a convolution's kernels need: attribute words, and elements of the workspace."""

    words: tuple[int, ...]
    workspace: int


def layout(
    dtype: int,
    batch: int,
    image: Sequence[int],
    filters: int,
    out: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Layout:
    """Describe a convolution.

    Parameters
    ----------
    image : sequence of int
        Channels and spatial sizes of the image side.
    out : sequence of int
        Spatial sizes of the map side.
    """
    channels, size = image[0], _three(image[1:], 1)
    out, kernel, stride = _three(out, 1), _three(kernel, 1), _three(stride, 1)
    padding, dilation = _three(padding, 0), _three(dilation, 1)
    padded = [
        max((o - 1) * s + (k - 1) * d + 1, p + n)
        for o, s, k, d, p, n in zip(out, stride, kernel, dilation, padding, size, strict=True)
    ]
    lanes = host().lanes(abi.ITEM_SIZES[dtype])
    taps, positions = math.prod(kernel), math.prod(out)
    vectors = 1 if -(-batch // lanes) % 2 else 2
    blocks = -(-batch // (lanes * vectors))
    # with one tap and steps of one the image is a matrix as it lies
    plain = taps == 1 and tuple(stride) == (1, 1, 1) and not any(padding) and groups == 1
    products = filters * (channels // groups) * taps * positions
    elements = channels * math.prod(padded) + filters * positions
    in_lanes = _cost_of_lanes(blocks * vectors, products, elements)
    lines, strided = channels * taps * out[0] * out[1], stride[2] > 1
    in_columns = batch * _cost_of_columns(lanes, products, lines, out[2], strided)
    beside = taps <= MOST_TAPS and not plain and in_lanes < in_columns
    columns = channels * taps * positions
    kept = batch * columns <= KEPT_ELEMENTS
    turned = not beside and kept and positions <= FEW_POSITIONS
    if beside:
        first = blocks * vectors * lanes * channels * math.prod(padded)
        second = blocks * vectors * lanes * filters * positions
    else:
        first = columns * (batch if kept else 1)
        second = max(columns // groups, batch * filters * positions if turned else 0)
    first = -(-first // GRAIN) * GRAIN
    words = (
        *(batch, channels, *size, filters, *out, *kernel, *stride, *padding, *dilation, groups),
        *(int(beside), vectors, blocks, *padded, int(kept), int(turned), first),
    )
    # strips of the images have their part of it each, from a cache line on
    images = max(batch, 1)
    each = -(-(first + second + GRAIN * blocks * vectors) // (images * LINE)) * LINE
    return Layout(words, each * images)


def _cost_of_lanes(vectors: int, products: int, elements: int) -> float:
    """What `vectors` of images side by side take, each of so many multiply-adds and elements of image and map."""
    far = max(vectors * elements - CACHE // host().vector_bytes, 0)
    return vectors * (products + TURN * elements) + FAR * far


def _cost_of_columns(lanes: int, products: int, lines: int, width: int, strided: bool) -> float:
    """What one image takes as a matrix of columns, with so many `lines` of `width` positions for all its taps."""
    line = COLUMN * -(-width // lanes) + (STRIDED * width if strided else 0.0)
    return PRODUCT * products / lanes + lines * line


def _three(values: Sequence[int], missing: int) -> tuple[int, ...]:
    return (missing,) * (3 - len(values)) + tuple(values)


# batches ------------------------------------------------------------------------------------------


@functools.lru_cache(maxsize=64)
def _again(words: tuple[int, ...], dtype: int, batch: int) -> Layout:
    """The layout of the same convolution of another number of images."""

    def of(*names: str) -> list[int]:
        return [int(words[PLACE[name]]) for name in names]

    sides = ("depth", "height", "width")

    def each(prefix: str) -> list[int]:
        return of(*(f"{prefix}_{side}" for side in sides))

    filters, groups = of("filters", "groups")
    return layout(
        dtype, batch, of("channels", *sides), filters, each("out"), each("kernel"), each("stride"), each("pad"),
        each("dilation"), groups,
    )  # fmt: skip


def narrowed(words: Sequence[int], strip: Strip) -> list[int]:
    """The attribute words for some of the images."""
    images = int(words[PLACE["batch"]]) // strip.batch * strip.samples
    return list(_again(tuple(words), strip.dtype, images).words)


def workspace_of(words: Sequence[int], dtype: int) -> int:
    """Elements of the workspace, by the attribute words."""
    return _again(tuple(words), dtype, int(words[PLACE["batch"]])).workspace


def images_together(words: Sequence[int], dtype: int) -> int:
    """Images that should stay together: those of a vector, or of two where there are many, as evenly as they go.

    All of them where the last ones, being few, would go another way.
    """
    if not words[PLACE["lanes"]]:
        return 1
    lanes, batch = host().lanes(abi.ITEM_SIZES[dtype]), int(words[PLACE["batch"]])
    strips = -(-batch // (2 * lanes if batch >= 4 * lanes else lanes))
    together = -(-batch // strips)
    sizes = {together, batch % together} - {0}
    alike = all(_again(tuple(words), dtype, n).words[PLACE["lanes"]] for n in sizes)
    return together if alike else batch
