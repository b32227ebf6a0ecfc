"""Padding: dimensions made longer by a constant, by reflection, by repetition, or from the other end; or cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import index
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dtypes import DTYPES
from ._call import dtype_code, is_floating, require_tensors
from .creation import full
from .from_data import from_array
from .indexed_slices import index_select
from .line_maps import ABSENT, LineMap, apply_line_map, line_map
from .slicing import narrow

__all__: list[str] = []

MODES = ("constant", "reflect", "replicate", "circular")


def _sources(mode: str, size: int, before: int, after: int) -> np.ndarray:
    """For every position of the result, the position of the input that it shows."""
    i = np.arange(-before, size + after)
    if mode == "replicate":
        return np.clip(i, 0, size - 1)
    if mode == "reflect":
        i = np.abs(i)
        return np.where(i >= size, 2 * (size - 1) - i, i)
    if mode == "circular":
        # what is cut off one end does not come in at the other
        cut = max(0, -before)
        return cut + (i - cut) % (size - cut - max(0, -after))
    return np.where((i >= 0) & (i < size), i, ABSENT)


@lru_cache(512)
def _padding_map(mode: str, size: int, before: int, after: int, code: int) -> LineMap:
    sources = _sources(mode, size, before, after)[None]
    return line_map(sources, np.ones(sources.shape), size, DTYPES[code])


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Return `input` with dimensions made longer, from the last one on; see ``nn.functional.pad``."""
    require_tensors("pad", input)
    amounts = _amounts(pad)
    shape = tuple(input.shape)
    if mode not in MODES:
        raise NotImplementedError(
            f"pad: Unrecognised padding mode {mode}; expected one of {', '.join(MODES)}"
        )
    if len(amounts) % 2:
        raise RuntimeError(f"pad: Padding length must be divisible by 2, got {len(amounts)}: {list(amounts)}")
    if mode == "constant":
        _check_constant(shape, amounts)
    else:
        if value is not None and value != 0:
            raise RuntimeError(
                f"pad: Padding mode '{mode}' doesn't take in value argument, got value={value}"
            )
        _check_bounded(mode, shape, amounts)
    x = input
    for k in range(0, len(amounts), 2):
        before, after = amounts[k], amounts[k + 1]
        if before or after:
            x = _pad_dim(x, len(shape) - 1 - k // 2, before, after, mode, 0.0 if value is None else value)
    return input.clone() if x is input else x  # type: ignore[attr-defined]


def _pad_dim(x: Tensor, dim: int, before: int, after: int, mode: str, value: float) -> Tensor:
    size = x.shape[dim]
    if is_floating(x):
        mapping = _padding_map(mode, size, before, after, dtype_code(x))
        return apply_line_map(x, dim, mapping, float(value))
    if mode != "constant":
        sources = _sources(mode, size, before, after)
        return index_select(x, dim, from_array(sources, DTYPES[3]))
    shape = list(x.shape)
    shape[dim] = size + before + after
    result = full(shape, value, dtype=x.dtype)
    start, stop = max(0, -before), size - max(0, -after)
    if stop > start:
        window = narrow(result, dim, max(0, before), stop - start)
        window.copy_(narrow(x, dim, start, stop - start))  # type: ignore[attr-defined]
    return result


def _amounts(pad: Any) -> tuple[int, ...]:
    try:
        return tuple(index(p) for p in pad)
    except TypeError:
        raise TypeError(f"pad(): argument 'pad' must be tuple of ints, not {pad!r}") from None


def _check_constant(shape: tuple[int, ...], amounts: tuple[int, ...]) -> None:
    if len(amounts) > 2 * len(shape):
        raise RuntimeError(
            f"pad: Length of pad should be no more than twice the number of dimensions of the input. Pad length "
            f"is {len(amounts)} while the input has {len(shape)} dimensions."
        )
    for k in range(0, len(amounts), 2):
        dim = len(shape) - 1 - k // 2
        if shape[dim] + amounts[k] + amounts[k + 1] < 0:
            raise RuntimeError(
                f"pad: The input size {shape[dim]}, plus negative padding {amounts[k]} and "
                f"{amounts[k + 1]}, resulted in a negative output size, which is invalid. Check dimension "
                f"{dim} of your input."
            )
        if shape[dim] + min(0, amounts[k]) + min(0, amounts[k + 1]) < 0:
            raise RuntimeError(
                f"pad: Negative padding {amounts[k]} and {amounts[k + 1]} cuts more than there is at dimension "
                f"{dim} of input {list(shape)}"
            )


def _check_bounded(mode: str, shape: tuple[int, ...], amounts: tuple[int, ...]) -> None:
    """Refuse what reflection, replication and wrapping cannot do."""
    padded = len(amounts) // 2
    if padded not in (1, 2, 3) or len(shape) not in (padded + 1, padded + 2):
        raise NotImplementedError(
            "pad: Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for now: mode "
            f"'{mode}' pads the last 1, 2 or 3 dimensions of an input with one or two more; got pad "
            f"{list(amounts)} for an input of shape {list(shape)}"
        )
    if 0 in shape[len(shape) - padded - 1 :]:
        raise RuntimeError(
            f"pad: Expected {padded + 1}D or {padded + 2}D (batch mode) tensor with possibly 0 batch size "
            f"and other non-zero dimensions for input, but got: {list(shape)}"
        )
    for k in range(0, len(amounts), 2):
        dim = len(shape) - 1 - k // 2
        size, before, after = shape[dim], amounts[k], amounts[k + 1]
        if mode == "reflect" and max(before, after) >= size:
            raise RuntimeError(
                f"pad: Padding size should be less than the corresponding input dimension, but got: padding "
                f"({before}, {after}) at dimension {dim} of input {list(shape)}; or use mode 'replicate'"
            )
        left = size + min(0, before) + min(0, after)
        if mode == "circular" and left > 0 and max(before, after) > left:
            raise RuntimeError(
                f"pad: Padding value causes wrapping around more than once: padding ({before}, {after}) at "
                f"dimension {dim} of input {list(shape)}"
            )
        if size + before + after < 1 or (mode == "circular" and left < 1):
            raise RuntimeError(
                f"pad: The input size {size}, plus padding {before} and {after} at dimension {dim}, leaves "
                f"an output of size {size + before + after}, which is too small"
            )
