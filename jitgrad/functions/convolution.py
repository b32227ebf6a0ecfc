"""Convolutions: what shapes and options mean, and one call of a kernel."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import NamedTuple

from .._tensor import Tensor, wrap
from ..dispatch import CONTEXT, OUTPUT_WORDS, described
from ..dtypes import float64
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, S_DIMS, S_DTYPE, S_FLAGS, S_SHAPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32
from ..kernels.convolution_shape import layout
from ..refusals import refuse
from ..store import store
from ._call import require_tensors
from ._convolution_checks import (
    check_operands,
    check_options,
    check_shapes,
    output_sizes,
    padding_around,
)
from ._spatial import hashable, over, sizes

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
]

CONVOLUTION, TRANSPOSED = BY_NAME["convolution"], BY_NAME["convolution_transpose"]
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
            refuse(op, (input, weight, bias), slot, 0)


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
    check_operands(name, input, weight, bias)
    stride = sizes(name, "stride", stride, spatial)
    dilation = sizes(name, "dilation", dilation, spatial)
    extra = sizes(name, "output_padding", rest[0], spatial) if transposed else (0,) * spatial
    begin, end = padding_around(name, padding, spatial, stride, dilation, kernel[2:])
    check_options(name, stride, (*begin, *end), dilation, groups, extra)
    batched = shape if len(shape) == spatial + 2 else (1, *shape)
    check_shapes(name, shape, batched, kernel, bias, groups, transposed)
    if len(shape) != len(batched) or code < FLOAT32:
        return None
    out = output_sizes(name, batched, kernel, stride, (begin, end), dilation, extra, transposed)
    batch, channels, *size = batched
    filters = kernel[1] * groups if transposed else kernel[0]
    image, maps, positions = (channels, *size), filters, out
    if transposed:
        image, maps, positions = (filters, *out), channels, size
    made = layout(code, batch, image, maps, positions, kernel[2:], stride, begin, dilation, groups)
    outputs = described([(code, (batch, filters, *out)), (code, (made.workspace,))])
    if len(_plans) >= KEPT_PLANS:
        _plans.clear()
    words = array("q", made.words)
    plan = _plans[full] = _Plan(outputs, words, *words.buffer_info())
    return plan


# functions ----------------------------------------------------------------------------------------


def _convolution(spatial: int):  # the type is that of the function inside
    """The convolution over so many dimensions."""
    name = f"conv{spatial}d"

    @over(spatial, name)
    def function(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Ints = 1,
        padding: Ints | str = 0,
        dilation: Ints = 1,
        groups: int = 1,
    ) -> Tensor:
        """Convolve over {dimensions}: PyTorch's convolution, which does not flip the kernel.

        Parameters
        ----------
        input : Tensor, shape (N, C, {letters}) or (C, {letters})
        weight : Tensor, shape (O, C / groups, {taps})
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
        conv_transpose{spatial}d
        """
        key = (name, hashable(stride), hashable(padding), hashable(dilation), groups, "|")
        return _run(name, key, input, weight, bias)

    return function


def _transposed(spatial: int):
    """The transposed convolution over so many dimensions."""
    name = f"conv_transpose{spatial}d"

    @over(spatial, name)
    def function(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Ints = 1,
        padding: Ints = 0,
        output_padding: Ints = 0,
        groups: int = 1,
        dilation: Ints = 1,
    ) -> Tensor:
        """Go back over {dimensions}: the gradient of `conv{spatial}d` with respect to its input.

        Parameters
        ----------
        input : Tensor, shape (N, C, {letters}) or (C, {letters})
        weight : Tensor, shape (C, O / groups, {taps})
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
        conv{spatial}d
        """
        if isinstance(padding, str):
            raise TypeError(f"{name}(): argument 'padding' must be int or tuple of ints, not str")
        key = (
            name,
            hashable(stride),
            hashable(padding),
            hashable(dilation),
            groups,
            hashable(output_padding),
            "|",
        )
        return _run(name, key, input, weight, bias)

    return function


conv1d, conv_transpose1d = _convolution(1), _transposed(1)
conv2d, conv_transpose2d = _convolution(2), _transposed(2)
conv3d, conv_transpose3d = _convolution(3), _transposed(3)
