"""Max and mean pooling over one, two or three spatial dimensions."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from math import prod
from operator import index
from typing import Any, NamedTuple, NoReturn

import numpy as np

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, refuse
from ..dtypes import dtype
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, S_DIMS, S_DTYPE, S_FLAGS, S_SHAPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32, INT32, MAX_DIMS
from ..kernels.table import Op
from ..store import store
from ._call import require_tensors
from .line_maps import ABSENT, LineMap, apply_line_map, line_map
from .resampling import resample
from .slicing import narrow

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_max_pool1d",
    "avg_pool1d",
    "max_pool1d",
    "max_pool1d_with_indices",
    "max_pool2d",
    "max_pool3d",
]

MAX_POOL_PAIRS = BY_NAME["max_pool_pairs"]
MAX_POOL, AVG_POOL, ADAPTIVE_MAX_POOL = (BY_NAME[n] for n in ("max_pool", "avg_pool", "adaptive_max_pool"))
AXES = 3
_NO_AXIS = (1, 1, 0, 1)  # kernel, stride, padding and dilation of an axis that is not there

Sizes = int | Sequence[int]


# geometry -------------------------------------------------------------------------------------------------


def sizes(name: str, what: str, value: Any, spatial: int) -> tuple[int, ...]:
    """One integer for each spatial dimension, from one for all or a sequence."""
    given = value if isinstance(value, (tuple, list)) else (value,)
    try:
        found = tuple(map(index, given))
    except (TypeError, RuntimeError):  # a tensor of several elements is no index either
        raise TypeError(
            f"{name}(): argument '{what}' must be int or tuple of ints, not {type(value).__name__}: {value!r}"
        ) from None
    if len(found) == 1:
        return found * spatial
    if len(found) != spatial:
        raise RuntimeError(
            f"{name}: {what} must either be a single int, or a tuple of {spatial} ints, got {value!r}"
        )
    return found


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


def _described(shape: tuple[int, ...], *kinds: int) -> bytes:
    words = array("q")
    for kind in kinds:
        words.extend((kind, len(shape), *shape, *[0] * (MAX_DIMS - len(shape))))
    return words.tobytes()


class Plan(NamedTuple):
    """What a call hands to the engine: the attribute words, where they are, and the outputs' descriptions."""

    words: array
    place: int
    length: int
    outputs: bytes
    pairs: bool


def _plan(words: list[int], outputs: bytes, pairs: bool = False) -> Plan:
    held = array("q", words)
    return Plan(held, *held.buffer_info(), outputs, pairs)


def _axis_words(spatial: int, *values: tuple[int, ...]) -> list[int]:
    """Kernel, stride, padding and dilation of every axis; those that are not there have a window of 1."""
    rows = [_NO_AXIS] * (AXES - spatial) + list(zip(*values, strict=True))
    return [spatial, *(v for row in rows for v in row)]


@lru_cache(1024)
def _window_plan(
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
        return _plan(words, _described(whole, code, INT32), pairs)
    padded, divisor = mean
    # without windows that stick out, all counts are the same
    complete = all(
        (o - 1) * s + k <= n + 2 * p for o, s, k, n, p in zip(result, step, kernel, inner, pad, strict=True)
    )
    if not divisor and complete and (padded or not any(pad)):
        divisor = prod(kernel)
    return _plan([*words, padded, divisor], _described(whole, code))


@lru_cache(1024)
def _adaptive_sizes(
    name: str, spatial: int, shape: tuple[int, ...], output: Any, no_channels: bool
) -> tuple[int, ...]:
    """The spatial sizes of a result."""
    _check_input(name, shape, spatial, no_channels)
    inner = shape[-spatial:]
    wanted = output if isinstance(output, tuple) else (output,) * spatial
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
def _adaptive_plan(spatial: int, shape: tuple[int, ...], code: int, result: tuple[int, ...]) -> Plan:
    words = [spatial] + [0] * (AXES * len(_NO_AXIS))  # windows follow from the sizes
    return _plan(words, _described((*shape[:-spatial], *result), code, INT32))


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


# calls ----------------------------------------------------------------------------------------------------


def _read(name: str, input: Tensor) -> tuple[tuple[int, ...], int]:
    """Shape and dtype code of an input that can be pooled."""
    try:
        at = input._slot * SLOT_WORDS
    except AttributeError:
        require_tensors(name, input)
        raise
    slots = store.slots
    code = slots[at + S_DTYPE]
    if code < FLOAT32:
        _refuse_dtype(name, input)
    return tuple(slots[at + S_SHAPE : at + S_SHAPE + slots[at + S_DIMS]]), code


def _refuse_dtype(name: str, input: Tensor) -> NoReturn:
    raise NotImplementedError(
        f'"{name}" not implemented for {input.dtype.name}; expected float32 or float64: convert the input with '
        ".float()"
    )


def _run(op: Op, input: Tensor, code: int, plan: Plan, outputs: int) -> array:
    """Run a pooling operation; the first word of each description is then an output's slot."""
    _words, place, count, described, _pairs = plan
    shapes = array("q", described)
    ids = array("q", (input._slot,))
    while True:
        slot = entries.apply_arrays(
            CONTEXT, op.code, code, 0, 1, ids.buffer_info()[0], outputs, shapes.buffer_info()[0], place, count
        )
        if slot >= 0:
            return shapes
        if not store.mend(slot):
            refuse(op, (input,), slot, 0, None)


def _largest(op: Op, input: Tensor, code: int, plan: Plan, return_indices: bool) -> Any:
    shapes = _run(op, input, code, plan, 2)
    result, places = wrap(shapes[0]), wrap(shapes[2 + MAX_DIMS])
    return (result, places.long()) if return_indices else result  # type: ignore[attr-defined]


def largest(
    name: str,
    spatial: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Any,
    padding: Sizes,
    dilation: Sizes,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    """Max pooling; the result, or a pair of it and the places within the planes."""
    shape, code = _read(name, input)
    try:
        plan = _window_plan(
            name, spatial, shape, code, kernel_size, stride, padding, dilation, bool(ceil_mode), None
        )
    except TypeError:  # lists are sizes too, but no keys
        given = (_hashable(v) for v in (kernel_size, stride, padding, dilation))
        plan = _window_plan(name, spatial, shape, code, *given, bool(ceil_mode), None)
    if plan.pairs:
        if store.slots[input._slot * SLOT_WORDS + S_FLAGS] & CONTIGUOUS == 0:
            input = input.contiguous()  # type: ignore[attr-defined]
        return _largest(MAX_POOL_PAIRS, input, code, plan, return_indices)
    return _largest(MAX_POOL, input, code, plan, return_indices)


def means(
    name: str,
    spatial: int,
    input: Tensor,
    kernel_size: Sizes,
    stride: Any,
    padding: Sizes,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Tensor:
    """Mean pooling."""
    shape, code = _read(name, input)
    if divisor_override == 0:
        raise RuntimeError(f"{name}: divisor must be not zero, got divisor_override=0")
    mean = (int(bool(count_include_pad)), divisor_override or 0)
    given = (_hashable(v) for v in (kernel_size, stride, padding))
    plan = _window_plan(name, spatial, shape, code, *given, 1, bool(ceil_mode), mean)
    return wrap(_run(AVG_POOL, input, code, plan, 1)[0])


def adaptive_largest(name: str, spatial: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    """Max pooling to a given size."""
    shape, code = _read(name, input)
    result = _adaptive_sizes(name, spatial, shape, _hashable(output_size), False)
    plan = _adaptive_plan(spatial, shape, code, result)
    return _largest(ADAPTIVE_MAX_POOL, input, code, plan, return_indices)


def adaptive_means(name: str, spatial: int, input: Tensor, output_size: Any) -> Tensor:
    """Mean pooling to a given size."""
    shape, _ = _read(name, input)
    result = _adaptive_sizes(name, spatial, shape, _hashable(output_size), True)
    if max(result) == 1 == min(result):
        return input.mean(tuple(range(-spatial, 0)), keepdim=True)  # type: ignore[attr-defined]
    inner = shape[-spatial:]
    if 0 not in result and 0 not in shape and not any(n % r for n, r in zip(inner, result, strict=True)):
        kernel = tuple(n // r for n, r in zip(inner, result, strict=True))
        return means(name, spatial, input, kernel, kernel, 0, False, True, None)
    x = input
    for d, size in enumerate(result):
        if not size:
            x = narrow(x, len(shape) - spatial + d, 0, 0)
    # windows of different sizes: one dimension after the other
    wanted = [(d, size) for d, size in enumerate(result) if size]
    return resample(x, "area", dict(wanted), len(shape) - spatial)


# gradients of gradients -----------------------------------------------------------------------------------


@lru_cache(256)
def _spreading_map(
    size: int, result: int, axis: tuple[int, ...], padded: bool | None, kind: dtype
) -> LineMap:
    """The transposed mean over windows, along one axis; the sum where `padded` is None."""
    kernel, stride, padding, _ = axis
    start = np.arange(result) * stride - padding
    places = start + np.arange(kernel)[:, None]
    held = (places >= 0) & (places < size)
    if padded is None:
        counts = np.ones(result)
    elif padded:
        counts = (places < size + padding).sum(0)
    else:
        counts = held.sum(0)
    forward = line_map(np.where(held, places, ABSENT), held / counts, size, kind)
    return forward.transposed(size)


def spread_means(g: Tensor, shape: Sequence[int], words: Sequence[int]) -> Tensor:
    """The gradient of mean pooling for an input of that shape, from the operation's attribute words."""
    spatial = words[0]
    padded, divisor = words[-2:]
    x = g if not divisor else g / divisor
    for d in range(spatial):
        at = 1 + (AXES - spatial + d) * len(_NO_AXIS)
        axis = tuple(words[at : at + len(_NO_AXIS)])
        dim = len(shape) - spatial + d
        counted = None if divisor else bool(padded)
        mapping = _spreading_map(shape[dim], g.shape[dim], axis, counted, g.dtype)
        x = apply_line_map(x, dim, mapping)
    return x


# what PyTorch has at its top level ------------------------------------------------------------------------


def max_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of every window; see ``nn.functional.max_pool1d``."""
    return largest("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, False)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor]:
    """The largest element of every window, and its place; see ``nn.functional.max_pool1d``."""
    return largest("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of every window; see ``nn.functional.max_pool2d``."""
    return largest("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, False)


def max_pool3d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest element of every window; see ``nn.functional.max_pool3d``."""
    return largest("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, False)


def avg_pool1d(
    input: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window; see ``nn.functional.avg_pool1d``."""
    return means("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def adaptive_max_pool1d(input: Tensor, output_size: Any) -> tuple[Tensor, Tensor]:
    """The largest element of every one of ``output_size`` windows, and its place."""
    return adaptive_largest("adaptive_max_pool1d", 1, input, output_size, True)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """The mean of every one of ``output_size`` windows; see ``nn.functional.adaptive_avg_pool1d``."""
    return adaptive_means("adaptive_avg_pool1d", 1, input, output_size)
