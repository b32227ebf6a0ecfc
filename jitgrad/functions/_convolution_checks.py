"""What the arguments of a convolution may be, and the sizes that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor
from ._spatial import sizes


def check_operands(name: str, input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """A RuntimeError unless all operands have one dtype."""
    if weight.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}: expected scalar type {_type(input)} but found {_type(weight)}: input and weight must have "
            f"one dtype; convert one of them, for example with .to({input.dtype})"
        )
    if bias is not None and bias.dtype is not input.dtype:
        raise RuntimeError(
            f"{name}: Input type ({_type(input).lower()}) and bias type ({_type(bias).lower()}) should be the same"
        )


def _type(x: Tensor) -> str:
    return {"float32": "Float", "float64": "Double", "int64": "Long", "int32": "Int"}.get(
        x.dtype.name, x.dtype.name
    )


def padding_around(
    name: str,
    padding: Any,
    spatial: int,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    kernel: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Border before and after each spatial dimension."""
    if not isinstance(padding, str):
        both = sizes(name, "padding", padding, spatial)
        return both, both
    if padding == "valid":
        return (0,) * spatial, (0,) * spatial
    if padding != "same":
        raise RuntimeError(f"{name}: Invalid padding string: '{padding}'; expected 'same' or 'valid'")
    if any(s != 1 for s in stride):
        raise RuntimeError(f"{name}: padding='same' is not supported for strided convolutions, got {stride}")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)


def check_options(
    name: str,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: Any,
    extra: tuple[int, ...],
) -> None:
    """An error where an option is none that a convolution can have; `extra` is ``output_padding``."""
    if isinstance(groups, bool) or not hasattr(groups, "__index__"):
        raise TypeError(f"{name}(): argument 'groups' must be int, not {type(groups).__name__}")
    wrong = (
        (any(s <= 0 for s in stride), f"non-positive stride is not supported, got {stride}"),
        (any(p < 0 for p in padding), f"negative padding is not supported, got {padding}"),
        (any(d <= 0 for d in dilation), f"non-positive dilation is not supported, got {dilation}"),
        (groups <= 0, f"non-positive groups is not supported, got {groups}"),
        (any(e < 0 for e in extra), f"negative output_padding is not supported, got {extra}"),
    )
    for bad, text in wrong:
        if bad:
            raise RuntimeError(f"{name}: {text}")
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise RuntimeError(
            f"{name}: output padding must be smaller than either stride or dilation, but got output_padding: "
            f"{extra} stride: {stride} dilation: {dilation}"
        )


def check_shapes(
    name: str,
    shape: tuple[int, ...],
    batched: tuple[int, ...],
    kernel: tuple[int, ...],
    bias: Tensor | None,
    groups: int,
    transposed: bool,
) -> None:
    """A RuntimeError unless input, weight (of shape `kernel`) and bias fit; `batched` is the input's with a batch."""
    spatial = int(name[-2])
    if len(kernel) != spatial + 2:
        raise RuntimeError(
            f"{name}: expected a weight of {spatial + 2} dimensions, but got weight of size {list(kernel)}"
        )
    if len(batched) != spatial + 2:
        raise RuntimeError(
            f"{name}: Expected {spatial + 1}D (unbatched) or {spatial + 2}D (batched) input to {name}, but got "
            f"input of size: {list(shape)}"
        )
    given = f"{name}: Given {'transposed=1' if transposed else f'groups={groups}'}, "
    if kernel[0] < groups:
        raise RuntimeError(
            f"{name}: Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got "
            f"weight of size {list(kernel)} instead"
        )
    if kernel[0] % groups:
        raise RuntimeError(
            f"{name}: Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got "
            f"weight of size {list(kernel)} instead"
        )
    if min(kernel[2:]) <= 0:
        raise RuntimeError(f"{name}: kernel size should be greater than zero, but got {list(kernel[2:])}")
    expected = kernel[0] if transposed else kernel[1] * groups
    if batched[1] != expected:
        raise RuntimeError(
            f"{given}weight of size {list(kernel)}, expected input{list(shape)} to have {expected} channels, "
            f"but got {batched[1]} channels instead"
        )
    filters = kernel[1] * groups if transposed else kernel[0]
    if bias is not None and tuple(bias.shape) != (filters,):
        raise RuntimeError(
            f"{name}: Given weight of size {list(kernel)}, expected bias to be 1-dimensional with {filters} "
            f"elements, but got bias of size {list(bias.shape)} instead"
        )


def output_sizes(
    name: str,
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[tuple[int, ...], tuple[int, ...]],
    dilation: tuple[int, ...],
    extra: tuple[int, ...],
    transposed: bool,
) -> tuple[int, ...]:
    """Spatial sizes of the result."""
    around = [a + b for a, b in zip(*padding, strict=True)]
    size = shape[2:]
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel[2:], strict=True)]
    if transposed:
        out = tuple(
            (n - 1) * s - p + r + e for n, s, p, r, e in zip(size, stride, around, reach, extra, strict=True)
        )
        if min(out) <= 0:
            raise RuntimeError(
                f"{name}: Given input size per channel: ({_by(size)}). Calculated output size per channel: "
                f"({_by(out)}). Output size is too small"
            )
        return out
    padded = [n + p for n, p in zip(size, around, strict=True)]
    if any(n < r for n, r in zip(padded, reach, strict=True)):
        raise RuntimeError(
            f"{name}: Calculated padded input size per channel: ({_by(padded)}). Kernel size: ({_by(reach)}). "
            "Kernel size can't be greater than actual input size"
        )
    return tuple((n - r) // s + 1 for n, r, s in zip(padded, reach, stride, strict=True))


def _by(sizes: Sequence[int]) -> str:
    return " x ".join(map(str, sizes))
