"""Max and mean pooling over one, two or three spatial dimensions."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NoReturn

import numpy as np

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, OUTPUT_WORDS
from ..dtypes import dtype
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, S_DIMS, S_DTYPE, S_FLAGS, S_SHAPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32
from ..kernels.table import Op
from ..refusals import refuse
from ..store import store
from ._call import require_tensors
from ._pooling_windows import AXES, NO_AXIS, Plan, adaptive_plan, adaptive_sizes, window_plan
from ._spatial import Sizes, hashable, over
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
    _words, place, count, results, _pairs = plan
    shapes = results[:]
    ids = array("q", (input._slot,))
    while True:
        slot = entries.apply_arrays(
            CONTEXT, op.code, code, 0, 1, ids.buffer_info()[0], outputs, shapes.buffer_info()[0], place, count
        )
        if slot >= 0:
            return shapes
        if not store.mend(slot):
            refuse(op, (input,), slot, 0)


def _largest(op: Op, input: Tensor, code: int, plan: Plan, return_indices: bool) -> Any:
    shapes = _run(op, input, code, plan, 2)
    result, places = wrap(shapes[0]), wrap(shapes[OUTPUT_WORDS])
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
    options = kernel_size, stride, padding, dilation
    plan = _plan_of(name, spatial, shape, code, options, ceil_mode, None)
    if plan.pairs:
        if store.slots[input._slot * SLOT_WORDS + S_FLAGS] & CONTIGUOUS == 0:
            input = input.contiguous()  # type: ignore[attr-defined]
        return _largest(MAX_POOL_PAIRS, input, code, plan, return_indices)
    return _largest(MAX_POOL, input, code, plan, return_indices)


def _plan_of(
    name: str,
    spatial: int,
    shape: tuple[int, ...],
    code: int,
    options: tuple[Any, ...],
    ceil_mode: bool,
    mean: tuple[int, int] | None,
) -> Plan:
    """`window_plan`, whose `options` may be lists here: kernel size, stride, padding and dilation."""
    try:
        return window_plan(name, spatial, shape, code, *options, bool(ceil_mode), mean)
    except TypeError:  # lists are sizes too, but no keys
        return window_plan(name, spatial, shape, code, *map(hashable, options), bool(ceil_mode), mean)


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
    plan = _plan_of(name, spatial, shape, code, (kernel_size, stride, padding, 1), ceil_mode, mean)
    return wrap(_run(AVG_POOL, input, code, plan, 1)[0])


def adaptive_largest(name: str, spatial: int, input: Tensor, output_size: Any, return_indices: bool) -> Any:
    """Max pooling to a given size."""
    shape, code = _read(name, input)
    result = adaptive_sizes(name, spatial, shape, hashable(output_size), False)
    plan = adaptive_plan(spatial, shape, code, result)
    return _largest(ADAPTIVE_MAX_POOL, input, code, plan, return_indices)


def adaptive_means(name: str, spatial: int, input: Tensor, output_size: Any) -> Tensor:
    """Mean pooling to a given size."""
    shape, _ = _read(name, input)
    result = adaptive_sizes(name, spatial, shape, hashable(output_size), True)
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
        at = 1 + (AXES - spatial + d) * len(NO_AXIS)
        axis = tuple(words[at : at + len(NO_AXIS)])
        dim = len(shape) - spatial + d
        counted = None if divisor else bool(padded)
        mapping = _spreading_map(shape[dim], g.shape[dim], axis, counted, g.dtype)
        x = apply_line_map(x, dim, mapping)
    return x


# what PyTorch has at its top level ------------------------------------------------------------------------


def _max_pool(spatial: int):  # the type is that of the function inside
    """Max pooling over so many dimensions."""
    name = f"max_pool{spatial}d"

    @over(spatial, name)
    def function(
        input: Tensor,
        kernel_size: Sizes,
        stride: Sizes | None = None,
        padding: Sizes = 0,
        dilation: Sizes = 1,
        ceil_mode: bool = False,
    ) -> Tensor:
        """The largest element of every window; see ``nn.functional.max_pool{spatial}d``."""
        return largest(name, spatial, input, kernel_size, stride, padding, dilation, ceil_mode, False)

    return function


max_pool1d, max_pool2d, max_pool3d = _max_pool(1), _max_pool(2), _max_pool(3)


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
