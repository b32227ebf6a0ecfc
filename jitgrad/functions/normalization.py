"""Normalisation of rows: layer normalisation and its form without a mean."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor
from ..dtypes import DTYPES
from ..engine.layout import CONTIGUOUS, S_DIMS, S_DTYPE, S_FLAGS, S_NUMEL, S_SHAPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import FLOAT32, float_bits
from ..store import store
from ._call import require_tensors
from ._plans import KEPT, Plan

__all__ = ["layer_norm", "rms_norm"]

LAYER_NORM, RMS_NORM = BY_NAME["layer_norm"], BY_NAME["rms_norm"]
EPSILON = {4: 2.0**-23, 5: 2.0**-52}  # of the floating dtypes, by code

_plans: dict[tuple, tuple[Plan, tuple[int, ...]]] = {}


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Tensor:
    """Bring the last dimensions to mean 0 and variance 1, then multiply by ``weight`` and add ``bias``.

    The formula is that of Ba, Kiros and Hinton, *Layer Normalization* (2016): the variance is the biased one, and
    ``eps`` is added to it under the root.

    Parameters
    ----------
    input : Tensor, shape (..., *normalized_shape)
    normalized_shape : sequence of int
        Sizes of the dimensions that are normalised together.
    weight, bias : Tensor, shape normalized_shape, optional
    eps : float, default 1e-5
    cudnn_enable : bool
        Accepted for PyTorch's sake; it changes nothing.

    Raises
    ------
    RuntimeError
        If the shapes or dtypes do not fit together.
    NotImplementedError
        If the input is not floating.
    """
    try:
        ids = array(
            "q", (input._slot, 0 if weight is None else weight._slot, 0 if bias is None else bias._slot)
        )
    except AttributeError:
        require_operands("layer_norm", input, weight=weight, bias=bias)
        raise
    slots = store.slots
    at = ids[0] * SLOT_WORDS
    shape = slots[at + S_SHAPE : at + S_SHAPE + slots[at + S_DIMS]].tobytes()
    code = slots[at + S_DTYPE]
    try:
        found = _plans.get((shape, code, normalized_shape, eps))
    except TypeError:  # a list of sizes
        found = None
    if found is None:
        found = _planned(LAYER_NORM, input, normalized_shape, eps, (shape, code))
    plan, sizes = found
    if not (
        slots[at + S_FLAGS] & CONTIGUOUS
        and (weight is None or _fits(slots, weight._slot * SLOT_WORDS, code, sizes))
        and (bias is None or _fits(slots, bias._slot * SLOT_WORDS, code, sizes))
    ):
        input = input.contiguous()  # type: ignore[attr-defined]
        weight = _parameter("layer_norm", "weight", weight, input, sizes)
        bias = _parameter("layer_norm", "bias", bias, input, sizes)
        ids = array(
            "q", (input._slot, 0 if weight is None else weight._slot, 0 if bias is None else bias._slot)
        )
    return plan.first(ids, (input, weight, bias))


def rms_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Divide the last dimensions by their root mean square, then multiply by ``weight``.

    The formula is that of Zhang and Sennrich, *Root Mean Square Layer Normalization* (2019).

    Parameters
    ----------
    input : Tensor, shape (..., *normalized_shape)
    normalized_shape : sequence of int
        Sizes of the dimensions that are normalised together.
    weight : Tensor, shape normalized_shape, optional
    eps : float, optional
        Added to the mean square; by default the dtype's distance from 1 to the next number.

    Raises
    ------
    RuntimeError
        If the shapes or dtypes do not fit together.
    NotImplementedError
        If the input is not floating.
    """
    require_operands("rms_norm", input, weight=weight)
    shape, code = tuple(input.shape), input.dtype.code
    if eps is None:
        eps = EPSILON.get(code, 0.0)
    plan, sizes = _planned(RMS_NORM, input, normalized_shape, eps, (shape, code))
    weight = _parameter("rms_norm", "weight", weight, input, sizes)
    input = input.contiguous()  # type: ignore[attr-defined]
    ids = array("q", (input._slot, 0 if weight is None else weight._slot))
    return plan.first(ids, (input, weight))


def _fits(slots: Any, at: int, code: int, sizes: tuple[int, ...]) -> bool:
    """Whether the slot at a place has this dtype, is contiguous and has these sizes, if that is easily told."""
    return (
        slots[at + S_DTYPE] == code
        and slots[at + S_DIMS] == 1 == len(sizes)
        and slots[at + S_NUMEL] == sizes[0]
        and slots[at + S_FLAGS] & CONTIGUOUS
    )


def require_operands(name: str, input: Any, **optional: Any) -> None:
    """A TypeError unless the input is a tensor and the others are tensors or None."""
    require_tensors(name, input)
    for key, value in optional.items():
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"{name}(): argument '{key}' must be Tensor, not {type(value).__name__}; "
                "wrap the value with torch.tensor(...)"
            )


def require_number(name: str, what: str, value: Any) -> None:
    """A TypeError unless an argument is a Python number."""
    if not isinstance(value, float | int):
        raise TypeError(f"{name}(): argument '{what}' must be float, not {type(value).__name__}")


def check_floating(name: str, input: Tensor) -> None:
    """NotImplementedError, as PyTorch's, unless a tensor is floating."""
    if input.dtype.code < FLOAT32:
        raise NotImplementedError(
            f"{name}: not implemented for {input.dtype.name}; expected float32 or float64: convert with .float()"
        )


def _planned(op: Any, input: Tensor, sizes: Any, eps: float, seen: tuple) -> tuple[Plan, tuple[int, ...]]:
    """The plan of a call, made when there is none, and the sizes as a tuple."""
    if isinstance(sizes, int) or not isinstance(sizes, Sequence):
        raise TypeError(
            f"{op.name}(): argument 'normalized_shape' (position 2) must be tuple of ints, "
            f"not {type(sizes).__name__}"
        )
    require_number(op.name, "eps", eps)
    sizes = tuple(sizes)
    shape = tuple(input.shape)
    if not sizes:
        raise RuntimeError(
            f"{op.name}: Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one "
            "element, but got normalized_shape = []"
        )
    if shape[-len(sizes) :] != sizes:
        raise RuntimeError(
            f"{op.name}: Given normalized_shape={list(sizes)}, expected input with shape "
            f"[*, {', '.join(map(str, sizes))}], but got input of size{list(shape)}"
        )
    check_floating(op.name, input)
    key = (op.code, *seen, sizes, eps) if op is RMS_NORM else (*seen, sizes, eps)
    found = _plans.get(key)
    if found is None:
        width, rows = _product(sizes), _product(shape[: -len(sizes)])
        statistics = (2, rows) if op is LAYER_NORM else (rows,)
        kind = DTYPES[input.dtype.code]
        plan = Plan(op, [(kind, shape), (kind, statistics)], (rows, width, float_bits(eps)))
        if len(_plans) > KEPT:
            _plans.clear()
        found = _plans[key] = (plan, sizes)
    return found


def _product(sizes: Sequence[int]) -> int:
    total = 1
    for n in sizes:
        total *= n
    return total


def _parameter(
    name: str, what: str, value: Tensor | None, input: Tensor, sizes: tuple[int, ...]
) -> Tensor | None:
    """A weight or bias that fits, contiguous."""
    if value is None:
        return None
    if tuple(value.shape) != sizes:
        raise RuntimeError(
            f"{name}: Expected {what} to be of same shape as normalized_shape, but got {what} of shape "
            f"{list(value.shape)} and normalized_shape = {list(sizes)}"
        )
    if value.dtype != input.dtype:
        raise RuntimeError(
            f"{name}: mixed dtype: the input is {input.dtype.name}, the {what} {value.dtype.name}; "
            "all must share one dtype: convert with .to(...)"
        )
    return value.contiguous()  # type: ignore[attr-defined]
