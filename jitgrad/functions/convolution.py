"""Convolutions: what shapes and options mean, and one call of a kernel."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, NamedTuple

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, refuse
from ..dtypes import float64
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, S_DIMS, S_DTYPE, S_FLAGS, S_SHAPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32, MAX_DIMS
from ..kernels.convolution_shape import layout
from ..store import store
from ._call import require_tensors

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

CONVOLUTION, TRANSPOSED = BY_NAME["convolution"], BY_NAME["convolution_transpose"]
OUTPUT_WORDS = 2 + MAX_DIMS
KEPT_PLANS = 1024  # a script that varies shapes endlessly starts over

Ints = int | Sequence[int]


class _Plan(NamedTuple):
    """A call that has been checked: descriptions of the outputs, and attribute words with their place."""

    outputs: array
    words: array
    place: int
    length: int


_plans: dict[tuple, _Plan] = {}


def _run(name: str, key: tuple, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Run a convolution that is described by `key`, its name and options, and by its operands."""
    op = TRANSPOSED if "transpose" in name else CONVOLUTION
    try:
        at, w = input._slot * SLOT_WORDS, weight._slot * SLOT_WORDS
        third = 0 if bias is None else bias._slot
        b = third * SLOT_WORDS
    except (AttributeError, TypeError):
        require_tensors(name, input, weight, optional=bias)
        raise
    words = store.slots
    code = words[at + S_DTYPE]
    full = (
        *key,
        code,
        tuple(words[at + S_SHAPE : at + S_SHAPE + words[at + S_DIMS]]),
        words[w + S_DTYPE],
        tuple(words[w + S_SHAPE : w + S_SHAPE + words[w + S_DIMS]]),
        third and (words[b + S_DTYPE], words[b + S_DIMS], words[b + S_SHAPE]),
    )
    plan = _plans.get(full)
    if plan is None:
        plan = _planned(name, full, input, weight, bias)
        if plan is None:
            return _elsewhere(name, key, input, weight, bias)
    if not words[w + S_FLAGS] & CONTIGUOUS or (bias is not None and not words[b + S_FLAGS] & CONTIGUOUS):
        weight = weight.contiguous()  # type: ignore[attr-defined]
        bias = None if bias is None else bias.contiguous()  # type: ignore[attr-defined]
        third = 0 if bias is None else bias._slot
    while True:
        ids, outputs = array("q", (input._slot, weight._slot, third)), plan.outputs[:]
        slot = entries.apply_arrays(
            CONTEXT, op.code, code, 0, 3, ids.buffer_info()[0], 2, outputs.buffer_info()[0],
            plan.place, plan.length,
        )  # fmt: skip
        if slot >= 0:
            wrap(outputs[OUTPUT_WORDS])  # the workspace: what needs it keeps it
            return wrap(slot)
        if not store.mend(slot):
            refuse(op, (input, weight, bias), slot, 0, None)


def _elsewhere(name: str, key: tuple, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Unbatched operands and whole numbers, by way of what the kernels do."""
    if input.ndim == int(name[-2]) + 1:
        return _run(name, key, input.unsqueeze(0), weight, bias).squeeze(0)  # type: ignore[attr-defined]
    wide = [None if x is None else x.to(float64) for x in (input, weight, bias)]  # type: ignore[attr-defined]
    return _run(name, key, *wide).to(input.dtype)  # type: ignore[arg-type, attr-defined]


def _planned(name: str, full: tuple, input: Tensor, weight: Tensor, bias: Tensor | None) -> _Plan | None:
    """Check a call and describe it; None for one that is made of another."""
    stride, padding, dilation, groups, *rest = full[1 : full.index("|")]
    code = full[full.index("|") + 1]
    spatial = int(name[-2])
    transposed = "transpose" in name
    shape, kernel = tuple(input.shape), tuple(weight.shape)
    _check_operands(name, input, weight, bias)
    stride = _sizes(name, "stride", stride, spatial)
    dilation = _sizes(name, "dilation", dilation, spatial)
    extra = _sizes(name, "output_padding", rest[0], spatial) if transposed else (0,) * spatial
    begin, end = _padding(name, padding, spatial, stride, dilation, kernel[2:])
    _check_options(name, stride, (*begin, *end), dilation, groups, extra)
    batched = shape if len(shape) == spatial + 2 else (1, *shape)
    _check_shapes(name, shape, batched, kernel, bias, groups, transposed)
    if len(shape) != len(batched) or code < FLOAT32:
        return None
    out = _output(name, batched, kernel, stride, (begin, end), dilation, extra, transposed)
    batch, channels, *size = batched
    filters = kernel[1] * groups if transposed else kernel[0]
    image, maps, positions = (channels, *size), filters, out
    if transposed:
        image, maps, positions = (filters, *out), channels, size
    made = layout(code, batch, image, maps, positions, kernel[2:], stride, begin, dilation, groups)
    outputs = array("q")
    for dims in ((batch, filters, *out), (made.workspace,)):
        outputs.extend((code, len(dims), *dims, *(0,) * (MAX_DIMS - len(dims))))
    if len(_plans) >= KEPT_PLANS:
        _plans.clear()
    words = array("q", made.words)
    plan = _plans[full] = _Plan(outputs, words, *words.buffer_info())
    return plan


# checks -------------------------------------------------------------------------------------------


def _check_operands(name: str, input: Tensor, weight: Tensor, bias: Tensor | None) -> None:
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


def _sizes(name: str, what: str, value: Any, spatial: int) -> tuple[int, ...]:
    """An option as one whole number for each spatial dimension."""
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    for v in values:
        if not _is_int(v):
            raise TypeError(
                f"{name}(): argument '{what}' must be int or tuple of ints, not {type(v).__name__} ({v!r})"
            )
    values = tuple(int(v) for v in values)
    if len(values) == 1:
        return values * spatial
    if len(values) != spatial:
        raise RuntimeError(
            f"{name}: expected {what} to be a single integer value or a list of {spatial} values to match the "
            f"convolution dimensions, but got {what}={list(values)}"
        )
    return values


def _is_int(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _padding(
    name: str,
    padding: Any,
    spatial: int,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    kernel: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Border before and after each spatial dimension."""
    if not isinstance(padding, str):
        both = _sizes(name, "padding", padding, spatial)
        return both, both
    if padding == "valid":
        return (0,) * spatial, (0,) * spatial
    if padding != "same":
        raise RuntimeError(f"{name}: Invalid padding string: '{padding}'; expected 'same' or 'valid'")
    if any(s != 1 for s in stride):
        raise RuntimeError(f"{name}: padding='same' is not supported for strided convolutions, got {stride}")
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)


def _check_options(
    name: str,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: Any,
    extra: tuple[int, ...],
) -> None:
    if not _is_int(groups):
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


def _check_shapes(
    name: str,
    shape: tuple[int, ...],
    batched: tuple[int, ...],
    kernel: tuple[int, ...],
    bias: Tensor | None,
    groups: int,
    transposed: bool,
) -> None:
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


def _output(
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


# functions ----------------------------------------------------------------------------------------


def _plain(value: Any) -> Any:
    """An option in a form that can be looked up."""
    return tuple(value) if isinstance(value, list) else value


def _convolution(
    name: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints | str,
    dilation: Ints,
    groups: int,
) -> Tensor:
    key = (name, _plain(stride), _plain(padding), _plain(dilation), groups, "|")
    return _run(name, key, input, weight, bias)


def _transposed(
    name: str,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Ints,
    output_padding: Ints,
    groups: int,
    dilation: Ints,
) -> Tensor:
    if isinstance(padding, str):
        raise TypeError(f"{name}(): argument 'padding' must be int or tuple of ints, not str")
    key = (name, _plain(stride), _plain(padding), _plain(dilation), groups, _plain(output_padding), "|")
    return _run(name, key, input, weight, bias)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve over 1 spatial dimension: PyTorch's convolution, which does not flip the kernel.

    Parameters
    ----------
    input : Tensor, shape (N, C, L) or (C, L)
    weight : Tensor, shape (O, C / groups, kL)
    bias : Tensor, shape (O,), optional
    stride, padding, dilation : int or tuple of int
        One for all spatial dimensions, or one for each. ``padding`` may also be 'valid' (none) or
        'same' (as much as keeps the size; with steps of 1 only).
    groups : int, default 1
        Channels and filters in so many groups, each convolved by itself.

    Returns
    -------
    Tensor
        (N, O, ...), each size ``(n + 2 padding - dilation (k - 1) - 1) // stride + 1``.

    Raises
    ------
    RuntimeError
        If a shape, dtype or option does not fit.

    See Also
    --------
    conv_transpose1d
    """
    return _convolution("conv1d", input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Go back over 1 spatial dimension: the gradient of `conv1d` with respect to its input.

    Parameters
    ----------
    input : Tensor, shape (N, C, L) or (C, L)
    weight : Tensor, shape (C, O / groups, kL)
    bias : Tensor, shape (O,), optional
    stride, padding, output_padding, dilation : int or tuple of int
        One for all spatial dimensions, or one for each. ``output_padding`` is added to one end of the
        result.
    groups : int, default 1
        Channels and filters in so many groups, each convolved by itself.

    Returns
    -------
    Tensor
        (N, O, ...), each size ``(n - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1``.

    Raises
    ------
    RuntimeError
        If a shape, dtype or option does not fit.

    See Also
    --------
    conv1d
    """
    return _transposed(
        "conv_transpose1d", input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve over 2 spatial dimensions: PyTorch's convolution, which does not flip the kernel.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    weight : Tensor, shape (O, C / groups, kH, kW)
    bias : Tensor, shape (O,), optional
    stride, padding, dilation : int or tuple of int
        One for all spatial dimensions, or one for each. ``padding`` may also be 'valid' (none) or
        'same' (as much as keeps the size; with steps of 1 only).
    groups : int, default 1
        Channels and filters in so many groups, each convolved by itself.

    Returns
    -------
    Tensor
        (N, O, ...), each size ``(n + 2 padding - dilation (k - 1) - 1) // stride + 1``.

    Raises
    ------
    RuntimeError
        If a shape, dtype or option does not fit.

    See Also
    --------
    conv_transpose2d
    """
    return _convolution("conv2d", input, weight, bias, stride, padding, dilation, groups)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Go back over 2 spatial dimensions: the gradient of `conv2d` with respect to its input.

    Parameters
    ----------
    input : Tensor, shape (N, C, H, W) or (C, H, W)
    weight : Tensor, shape (C, O / groups, kH, kW)
    bias : Tensor, shape (O,), optional
    stride, padding, output_padding, dilation : int or tuple of int
        One for all spatial dimensions, or one for each. ``output_padding`` is added to one end of the
        result.
    groups : int, default 1
        Channels and filters in so many groups, each convolved by itself.

    Returns
    -------
    Tensor
        (N, O, ...), each size ``(n - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1``.

    Raises
    ------
    RuntimeError
        If a shape, dtype or option does not fit.

    See Also
    --------
    conv2d
    """
    return _transposed(
        "conv_transpose2d", input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve over 3 spatial dimensions: PyTorch's convolution, which does not flip the kernel.

    Parameters
    ----------
    input : Tensor, shape (N, C, D, H, W) or (C, D, H, W)
    weight : Tensor, shape (O, C / groups, kD, kH, kW)
    bias : Tensor, shape (O,), optional
    stride, padding, dilation : int or tuple of int
        One for all spatial dimensions, or one for each. ``padding`` may also be 'valid' (none) or
        'same' (as much as keeps the size; with steps of 1 only).
    groups : int, default 1
        Channels and filters in so many groups, each convolved by itself.

    Returns
    -------
    Tensor
        (N, O, ...), each size ``(n + 2 padding - dilation (k - 1) - 1) // stride + 1``.

    Raises
    ------
    RuntimeError
        If a shape, dtype or option does not fit.

    See Also
    --------
    conv_transpose3d
    """
    return _convolution("conv3d", input, weight, bias, stride, padding, dilation, groups)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints = 0,
    output_padding: Ints = 0,
    groups: int = 1,
    dilation: Ints = 1,
) -> Tensor:
    """Go back over 3 spatial dimensions: the gradient of `conv3d` with respect to its input.

    Parameters
    ----------
    input : Tensor, shape (N, C, D, H, W) or (C, D, H, W)
    weight : Tensor, shape (C, O / groups, kD, kH, kW)
    bias : Tensor, shape (O,), optional
    stride, padding, output_padding, dilation : int or tuple of int
        One for all spatial dimensions, or one for each. ``output_padding`` is added to one end of the
        result.
    groups : int, default 1
        Channels and filters in so many groups, each convolved by itself.

    Returns
    -------
    Tensor
        (N, O, ...), each size ``(n - 1) stride - 2 padding + dilation (k - 1) + output_padding + 1``.

    Raises
    ------
    RuntimeError
        If a shape, dtype or option does not fit.

    See Also
    --------
    conv3d
    """
    return _transposed(
        "conv_transpose3d", input, weight, bias, stride, padding, output_padding, groups, dilation
    )
