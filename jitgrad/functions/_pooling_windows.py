"""Windows of pooling: their sizes, what may be wrong with them, and the words that describe a call."""

from __future__ import annotations

from array import array
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

from ..dispatch import described
from ..kernels.abi import INT32
from ._spatial import sizes

AXES = 3
NO_AXIS = (1, 1, 0, 1)  # kernel, stride, padding and dilation of an axis that is not there


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows fit; with `ceil_mode` also one that begins inside and sticks out at the end."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


def _check_windows(name: str, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple) -> None:
    if min(kernel) <= 0:
        raise RuntimeError(f"{name}: kernel size should be greater than zero, but got {kernel}")
    if min(stride) <= 0:
        raise RuntimeError(f"{name}: stride should be greater than zero, but got {stride}")
    if min(dilation) <= 0:
        raise RuntimeError(f"{name}: dilation should be greater than zero, but got {dilation}")
    if min(padding) < 0:
        raise RuntimeError(f"{name}: pad must be non-negative, but got pad: {padding}")
    for k, p, d in zip(kernel, padding, dilation, strict=True):
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError(
                f"{name}: pad should be at most half of effective kernel size, but got pad={p}, "
                f"kernel_size={k} and dilation={d}"
            )


def _check_input(name: str, shape: tuple[int, ...], spatial: int, no_channels: bool = False) -> None:
    batched = len(shape) == spatial + 2
    if not batched and len(shape) != spatial + 1:
        raise RuntimeError(
            f"{name}: Expected {spatial + 1}D or {spatial + 2}D (batch mode) tensor with optional 0 dim batch "
            f"size for input, but got: {list(shape)}"
        )
    if 0 in shape[int(batched) + int(no_channels) :]:
        raise RuntimeError(
            f"{name}: Expected {spatial + 1}D or {spatial + 2}D (batch mode) tensor with optional 0 dim batch "
            f"size for input, but got: {list(shape)}; only the batch may be empty"
        )


class Plan(NamedTuple):
    """What a call hands to the engine: the attribute words, where they are, and the outputs' descriptions."""

    words: array
    place: int
    length: int
    outputs: array
    pairs: bool


def _plan(words: list[int], outputs: array, pairs: bool = False) -> Plan:
    held = array("q", words)
    return Plan(held, *held.buffer_info(), outputs, pairs)


def _axis_words(spatial: int, *values: tuple[int, ...]) -> list[int]:
    """Kernel, stride, padding and dilation of every axis; those that are not there have a window of 1."""
    rows = [NO_AXIS] * (AXES - spatial) + list(zip(*values, strict=True))
    return [spatial, *(v for row in rows for v in row)]


@lru_cache(1024, typed=True)  # True is no size, though it equals one
def window_plan(
    name: str,
    spatial: int,
    shape: tuple[int, ...],
    code: int,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    mean: tuple[int, int] | None,
) -> Plan:
    """Check a pooling with windows and describe it; `mean` is ``count_include_pad`` and divisor, None for a maximum."""
    kernel = sizes(name, "kernel_size", kernel_size, spatial)
    step = kernel if stride is None or stride == () else sizes(name, "stride", stride, spatial)
    pad, gap = sizes(name, "padding", padding, spatial), sizes(name, "dilation", dilation, spatial)
    _check_windows(name, kernel, step, pad, gap)
    _check_input(name, shape, spatial)
    inner = shape[-spatial:]
    result = tuple(
        output_size(*values, ceil_mode) for values in zip(inner, kernel, step, pad, gap, strict=True)
    )
    if min(result) < 1:
        planes = shape[-spatial - 1]
        before, after = ("x".join(map(str, (planes, *s))) for s in (inner, result))
        raise RuntimeError(
            f"{name}: Given input size: ({before}). Calculated output size: ({after}). Output size is too small; "
            f"the window {kernel} with dilation {gap} must not be larger than the input with its padding {pad}"
        )
    words = _axis_words(spatial, kernel, step, pad, gap)
    whole = (*shape[:-spatial], *result)
    if mean is None:
        # windows of 2x2 side by side, none of which sticks out
        pairs = spatial == 2 and kernel == step == (2, 2) and pad == (0, 0) and gap == (1, 1)
        pairs = pairs and all(2 * o <= n for o, n in zip(result, inner, strict=True))
        return _plan(words, described([(code, whole), (INT32, whole)]), pairs)
    padded, divisor = mean
    # without windows that stick out, all counts are the same
    complete = all(
        (o - 1) * s + k <= n + 2 * p for o, s, k, n, p in zip(result, step, kernel, inner, pad, strict=True)
    )
    if not divisor and complete and (padded or not any(pad)):
        divisor = prod(kernel)
    return _plan([*words, padded, divisor], described([(code, whole)]))


@lru_cache(1024, typed=True)
def adaptive_sizes(
    name: str, spatial: int, shape: tuple[int, ...], output: Any, no_channels: bool
) -> tuple[int, ...]:
    """The spatial sizes of a result."""
    _check_input(name, shape, spatial, no_channels)
    inner = shape[-spatial:]
    if output is None:
        output = (None,) * spatial
    wanted = output if isinstance(output, tuple) else sizes(name, "output_size", output, spatial)
    if len(wanted) != spatial:
        raise RuntimeError(f"{name}: output_size must be {spatial} integers, got {output!r}")
    filled = tuple(n if w is None else w for n, w in zip(inner, wanted, strict=True))
    result = sizes(name, "output_size", filled, spatial)
    if min(result) < 0:
        raise RuntimeError(
            f"{name}: elements of output_size must be greater than or equal to 0 but received {result}"
        )
    return result


@lru_cache(1024)
def adaptive_plan(spatial: int, shape: tuple[int, ...], code: int, result: tuple[int, ...]) -> Plan:
    """Describe a pooling into a result of these spatial sizes."""
    words = [spatial] + [0] * (AXES * len(NO_AXIS))  # windows follow from the sizes
    pooled = (*shape[:-spatial], *result)
    return _plan(words, described([(code, pooled), (INT32, pooled)]))
