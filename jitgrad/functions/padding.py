"""Padding: dimensions made longer by a constant, by reflection, by repetition, or from the other end; or cut."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from operator import index
from sys import byteorder
from typing import Any

import numpy as np

from .._tensor import NUMBERS, Tensor, wrap
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32, NUMPY_DTYPES
from ..kernels.padding import MODES
from ..operators import whole_number
from ._call import dtype_code, require_tensors
from ._launch import run

__all__: list[str] = []

_PAD = BY_NAME["pad"]


@lru_cache(512)
def _words(
    mode: str, shape: tuple[int, ...], amounts: tuple[int, ...], rest: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The shape of the result, and the attribute words; see `kernels.padding`."""
    missing = len(shape) - len(amounts) // 2
    widths = [(0, 0)] * missing + list(zip(amounts[-2::-2], amounts[::-2], strict=True))
    kept = next((d for d, width in enumerate(widths) if any(width)), len(shape))
    made = tuple(n + before + after for n, (before, after) in zip(shape, widths, strict=True))
    return made, (rest, MODES.index(mode), kept, *(n for width in widths for n in width))


def _bits(value: Any, code: int) -> int:
    """The bits of a number in a dtype; one that is too great for float32 is inf.

    Raises
    ------
    TypeError
        If `value` is no number.
    RuntimeError
        If the dtype has no such number.
    """
    if isinstance(value, (Tensor, np.generic)):
        value = value.item()
    if not isinstance(value, NUMBERS):
        raise TypeError(f"pad(): argument 'value' must be float, not {type(value).__name__}")
    if code < FLOAT32:
        value = whole_number("pad", value, code)
    with np.errstate(over="ignore"):
        number = np.asarray(value).astype(NUMPY_DTYPES[code])
    return int.from_bytes(number.tobytes(), byteorder, signed=True)


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
    if len(amounts) > 2 * len(shape):
        raise RuntimeError(
            f"pad: Length of pad should be no more than twice the number of dimensions of the input. Pad length "
            f"is {len(amounts)} while the input has {len(shape)} dimensions."
        )
    if mode == "constant":
        _check_constant(shape, amounts)
    else:
        if value is not None and value != 0:
            raise RuntimeError(
                f"pad: Padding mode '{mode}' doesn't take in value argument, got value={value}"
            )
        _check_bounded(mode, shape, amounts)
    if not any(amounts):
        return input.clone()  # type: ignore[attr-defined]
    rest = _bits(value, dtype_code(input)) if value is not None else 0
    made, words = _words(mode, shape, amounts, rest)
    return wrap(run(_PAD, (input,), input.dtype, made, words))


def _amounts(pad: Any) -> tuple[int, ...]:
    try:
        return tuple(index(p) for p in pad)
    except TypeError:
        raise TypeError(f"pad(): argument 'pad' must be tuple of ints, not {pad!r}") from None


def _check_constant(shape: tuple[int, ...], amounts: tuple[int, ...]) -> None:
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
    if mode != "circular" and 0 in shape[len(shape) - padded - 1 :]:
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
