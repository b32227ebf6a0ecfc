"""The windows of images in NumPy, of which convolutions and pooling are made, and the way back."""

from __future__ import annotations

import numpy as np


def windows(
    x: np.ndarray, size: int, stride: int = 1, edge: int = 0, fill: float = 0, axis: int = 2
) -> np.ndarray:
    """All windows of images with an edge around them; a view.

    Parameters
    ----------
    x : ndarray
        Four dimensions, of which `axis` and the next are height and width.

    Returns
    -------
    ndarray
        As `x`, with the windows' places in place of height and width, and last the windows themselves, (size, size).
    """
    if edge:
        widths = [(0, 0)] * 4
        widths[axis] = widths[axis + 1] = (edge, edge)
        x = np.pad(x, widths, constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), (axis, axis + 1))
    return seen[(slice(None),) * axis + (slice(None, None, stride),) * 2]


def gather(
    back: np.ndarray, shape: tuple[int, ...], stride: int = 1, edge: int = 0, axis: int = 2
) -> np.ndarray:
    """The sum of gradients of windows, laid out as `windows` gives them, at the places of images of a shape."""
    size, (h, w), (height, width) = back.shape[-1], back.shape[axis : axis + 2], shape[axis : axis + 2]
    gx = np.zeros((*shape[:axis], height + 2 * edge, width + 2 * edge, *shape[axis + 2 :]), np.float32)
    first = (slice(None),) * axis
    for i in range(size):
        for j in range(size):
            gx[(*first, slice(i, i + stride * h, stride), slice(j, j + stride * w, stride))] += back[
                ..., i, j
            ]
    return gx[(*first, slice(edge, edge + height), slice(edge, edge + width))]
