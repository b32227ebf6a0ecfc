"""Images cut into blocks and put together."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

from jitgrad._tensor import Tensor, wrap
from jitgrad.functions._call import require_tensors
from jitgrad.functions._launch import run
from jitgrad.kernels import BY_NAME
from jitgrad.kernels.convolution_shape import layout

UNFOLD, FOLD = BY_NAME["unfold"], BY_NAME["fold"]

Ints = int | Sequence[int]


def unfold(
    input: Tensor,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Return the blocks of images that a convolution would see, each as a column.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    kernel_size, dilation, padding, stride : int or tuple of int
        As for `conv2d`.

    Returns
    -------
    Tensor, shape (N, C * kernel height * kernel width, L)
        L is the number of blocks.

    Raises
    ------
    RuntimeError
        If a shape or option does not fit.
    """
    require_tensors("unfold", input)
    options = _options("unfold", kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4) or 0 in input.shape[-3:]:
        raise RuntimeError(
            "unfold: Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero "
            f"dimensions for input, but got: {list(input.shape)}"
        )
    if input.ndim == 3:
        return unfold(input.unsqueeze(0), kernel_size, dilation, padding, stride).squeeze(0)
    batch, channels, *size = input.shape
    blocks = _blocks("unfold", size, options, "input with spatial size")
    taps = math.prod(options[0])
    words = _words(input.dtype.code, batch, channels, tuple(size), blocks, options)
    shape = (batch, channels * taps, math.prod(blocks))
    return wrap(run(UNFOLD, (input,), input.dtype, shape, words))


def fold(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Return images in which blocks are added up where `unfold` takes them.

    Parameters
    ----------
    input : Tensor, shape (N, C * kernel height * kernel width, L) or without N
    output_size : int or tuple of int
        Height and width of the images.
    kernel_size, dilation, padding, stride : int or tuple of int
        As for `unfold`.

    Returns
    -------
    Tensor, shape (N, C, H, W) or (C, H, W)

    Raises
    ------
    RuntimeError
        If a shape or option does not fit.
    """
    require_tensors("fold", input)
    options = _options("fold", kernel_size, dilation, padding, stride)
    size = _pair("fold", "output_size", output_size, 1)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            "fold: Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero "
            f"dimensions for input, but got: {list(input.shape)}"
        )
    if input.ndim == 2:
        return fold(input.unsqueeze(0), output_size, kernel_size, dilation, padding, stride).squeeze(0)
    batch, rows, columns = input.shape
    taps = math.prod(options[0])
    if rows % taps:
        raise RuntimeError(
            "fold: Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={rows} and kernel_size={options[0]}"
        )
    blocks = _blocks("fold", size, options, "output_size")
    if columns != math.prod(blocks):
        raise RuntimeError(
            f"fold: Given output_size={size}, {_said(options)}, expected size of input's dimension 2 to match the "
            f"calculated number of sliding blocks {blocks[0]} * {blocks[1]} = {math.prod(blocks)}, but got "
            f"input.size(2)={columns}"
        )
    words = _words(input.dtype.code, batch, rows // taps, size, blocks, options)
    return wrap(run(FOLD, (input,), input.dtype, (batch, rows // taps, *size), words))


Options = tuple[tuple[int, ...], ...]  # kernel size, dilation, padding, stride


def _options(name: str, kernel_size: Ints, dilation: Ints, padding: Ints, stride: Ints) -> Options:
    return (
        _pair(name, "kernel_size", kernel_size, 1),
        _pair(name, "dilation", dilation, 1),
        _pair(name, "padding", padding, 0),
        _pair(name, "stride", stride, 1),
    )


def _pair(name: str, what: str, value: Any, least: int) -> tuple[int, ...]:
    if type(value) is int and value >= least:
        return value, value
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if not all(hasattr(v, "__index__") for v in values):
        raise TypeError(f"{name}(): argument '{what}' must be int or tuple of ints, not {value!r}")
    if len(values) != 2:
        raise RuntimeError(f"{name}: It is expected {what} equals to 2, but got size {len(values)}")
    if min(values) < least:
        rule = "non-negative" if least == 0 else "greater than zero"
        raise RuntimeError(f"{name}: {what} should be {rule}, but got {values}")
    return values


def _blocks(name: str, size: Sequence[int], options: Options, said: str) -> tuple[int, ...]:
    """How many blocks there are down and across."""
    blocks = tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, *options, strict=True)
    )
    if min(blocks) < 1:
        raise RuntimeError(
            f"{name}: Given {said} {tuple(size)}, {_said(options)}, calculated shape of the array of sliding "
            f"blocks as {blocks}, but its components must be at least one"
        )
    return blocks


def _said(options: Options) -> str:
    names = ("kernel_size", "dilation", "padding", "stride")
    return ", ".join(f"{n}={v}" for n, v in zip(names, options, strict=True))


@functools.lru_cache(maxsize=64)
def _words(
    dtype: int,
    batch: int,
    channels: int,
    size: tuple[int, ...],
    blocks: tuple[int, ...],
    options: Options,
) -> tuple[int, ...]:
    kernel, dilation, padding, stride = options
    return layout(dtype, batch, (channels, *size), 1, blocks, kernel, stride, padding, dilation, 1).words
