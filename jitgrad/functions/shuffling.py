"""Channels turned into pixels, pixels into channels, and groups of channels shuffled."""

from __future__ import annotations

from numbers import Integral

from .._tensor import Tensor
from ._call import require_tensors
from ._dims import shape_of
from .shape import copied_as

__all__ = ["channel_shuffle", "pixel_shuffle", "pixel_unshuffle"]


def _check(name: str, input: Tensor, what: str, factor: int) -> None:
    require_tensors(name, input)
    if not isinstance(factor, Integral):
        raise TypeError(f"{name}(): argument '{what}' must be int, not {type(factor).__name__}")
    if input.dim() < 3:
        raise RuntimeError(
            f"{name}: expects input to have at least 3 dimensions, but got input with {input.dim()} dimension(s)"
        )
    if factor <= 0:
        raise RuntimeError(f"{name}: expects a positive {what}, but got {factor}")


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Make an image ``upscale_factor`` times as high and wide from as many channels as that takes.

    Parameters
    ----------
    input : Tensor, shape (..., channels * upscale_factor**2, height, width)
    upscale_factor : int

    Returns
    -------
    Tensor, shape (..., channels, height * upscale_factor, width * upscale_factor)
    """
    _check("pixel_shuffle", input, "upscale_factor", upscale_factor)
    r = upscale_factor
    *lead, c, h, w = shape_of(input)
    if c % (r * r):
        raise RuntimeError(
            f"pixel_shuffle: expects its input's 'channel' dimension to be divisible by the square of "
            f"upscale_factor, but input.size(-3)={c} is not divisible by {r * r}"
        )
    split = input.reshape(*lead, c // (r * r), r, r, h, w)
    n = len(lead)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return copied_as(split.permute(*order), (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Make channels from the pixels of squares: the inverse of `pixel_shuffle`.

    Parameters
    ----------
    input : Tensor, shape (..., channels, height * downscale_factor, width * downscale_factor)
    downscale_factor : int
    """
    _check("pixel_unshuffle", input, "downscale_factor", downscale_factor)
    r = downscale_factor
    *lead, c, h, w = input.shape
    for name, size in (("height", h), ("width", w)):
        if size % r:
            raise RuntimeError(
                f"pixel_unshuffle: expects {name} to be divisible by downscale_factor, but {name} {size} is not "
                f"divisible by {r}"
            )
    split = input.reshape(*lead, c, h // r, r, w // r, r)
    n = len(lead)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    return copied_as(split.permute(*order), (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Take one channel of every group, then the next of every group, and so on.

    Parameters
    ----------
    input : Tensor, shape (images, channels, ...)
    groups : int
        Number of groups that the channels are in; it divides their number.
    """
    _check("channel_shuffle", input, "groups", groups)
    n, c, *inner = input.shape
    if c % groups:
        raise RuntimeError(
            f"channel_shuffle: Number of channels must be divisible by groups. Got {c} channels and {groups} "
            f"groups."
        )
    return copied_as(input.reshape(n, groups, c // groups, *inner).transpose(1, 2), (n, c, *inner))
