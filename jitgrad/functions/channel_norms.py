"""Normalisation of channels: over the batch, over groups of channels, over single channels of samples."""

from __future__ import annotations

import math
from array import array
from numbers import Integral
from typing import Any

from .._tensor import Tensor, wrap
from ..autograd.modes import no_grad
from ..dispatch import CONTEXT, OUTPUT_WORDS, complete
from ..dtypes import int64
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, S_DIMS, S_DTYPE, S_FLAGS, S_NUMEL, S_SHAPE, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import float_bits
from ..kernels.table import Op
from ..store import store
from ._call import float_words
from ._plans import KEPT, Plan
from .normalization import check_floating, require_number, require_operands

__all__ = ["batch_norm", "group_norm", "instance_norm"]

BATCH_NORM, GROUP_NORM = BY_NAME["batch_norm"], BY_NAME["group_norm"]
GIVEN, RUNNING_AVERAGE = BY_NAME["batch_norm_given"], BY_NAME["running_average"]
ONE_MORE = BY_NAME["one_more"]

_plans: dict[tuple, tuple[Plan, int]] = {}
_known: dict[tuple, tuple[Plan, int, float]] = {}  # of batch normalisation: plan, channels, n / (n - 1)


# what a call consists of ----------------------------------------------------------------------------


def _planned(op: Op, input: Tensor, groups: int, eps: float) -> tuple[Plan, int]:
    """The plan for an input of this shape, and its number of channels."""
    slots = store.slots
    at = input._slot * SLOT_WORDS
    shape = slots[at + S_SHAPE : at + S_SHAPE + slots[at + S_DIMS]].tobytes()
    key = (op.code, shape, slots[at + S_DTYPE], groups, eps)
    found = _plans.get(key)
    if found is None:
        require_number(op.name, "eps", eps)
        if len(_plans) > KEPT:
            _plans.clear()
        found = _plans[key] = _make_plan(op, input, groups, eps)
    return found


def _make_plan(op: Op, input: Tensor, groups: int, eps: float) -> tuple[Plan, int]:
    shape, kind = tuple(input.shape), input.dtype
    samples, channels, span = shape[0], shape[1], math.prod(shape[2:])
    # the words of kernels/channel_walk.py
    if op is GROUP_NORM:
        each = channels // groups
        words = (samples * groups, each, span, each * span, span, groups, each, 1)
        outputs = [(kind, shape), (kind, (samples, groups)), (kind, (samples, groups))]
    else:
        words = (channels, samples, channels * span, span, span, channels, 1, 0)
        outputs = [(kind, shape), *[(kind, (channels,))] * (op.outputs - 1)]
    return Plan(op, outputs, (*words, float_bits(eps))), channels


def _fitting(name: str, input: Tensor, channels: int, **parameters: Tensor | None) -> list[Tensor | None]:
    """The parameters, contiguous, once all of them have been found to have a number for each channel."""
    slots = store.slots
    code = slots[input._slot * SLOT_WORDS + S_DTYPE]
    result = list(parameters.values())
    for k, value in enumerate(result):
        if value is None:
            continue
        at = value._slot * SLOT_WORDS
        if slots[at + S_NUMEL] != channels:
            what = list(parameters)[k]
            raise RuntimeError(
                f"{name}: {what} should contain {channels} elements not {slots[at + S_NUMEL]}: "
                f"one for each channel of an input of shape {list(input.shape)}"
            )
        if slots[at + S_DTYPE] != code:
            what = list(parameters)[k]
            raise RuntimeError(
                f"{name}: mixed dtype: the input is {input.dtype.name}, {what} {value.dtype.name}; "
                "all must share one dtype: convert with .to(...)"
            )
        if not slots[at + S_FLAGS] & CONTIGUOUS:
            result[k] = value.contiguous()  # type: ignore[attr-defined]
    return result


def _slot(x: Tensor | None) -> int:
    return 0 if x is None else x._slot


def _contiguous(x: Tensor) -> Tensor:
    flags = store.slots[x._slot * SLOT_WORDS + S_FLAGS]
    return x if flags & CONTIGUOUS else x.contiguous()  # type: ignore[attr-defined]


def _average(running: Tensor, value: Tensor, momentum: float | Tensor, correction: float = 1.0) -> None:
    """Move a running statistic towards a new value, in place; a tensor of momentum is read when it runs."""
    if isinstance(momentum, Tensor):
        with no_grad():
            running.add_((value * correction - running) * momentum.to(running.dtype))  # type: ignore[attr-defined]
        return
    words, address, count = float_words((1.0 - momentum, momentum * correction))
    slot = running._slot
    status = entries.apply(CONTEXT, RUNNING_AVERAGE.code, slot, slot, value._slot, 0, 0, address, count)
    if status < 0:
        status = complete(RUNNING_AVERAGE, (running, value), words, slot, status)
    running._become(status)


def count_up(counter: Tensor) -> None:
    """Add 1 to a tensor, usually of int64, in place."""
    slot = counter._slot
    status = entries.apply(CONTEXT, ONE_MORE.code, slot, slot, 0, 0, 0, 0, 0)
    if status < 0:
        if counter.dtype is not int64:
            counter.add_(1)  # type: ignore[attr-defined]
            return
        status = complete(ONE_MORE, (counter,), None, slot, status)
    counter._become(status)


# batch normalisation --------------------------------------------------------------------------------


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Bring every channel to mean 0 and variance 1, then multiply by ``weight`` and add ``bias``.

    See ``nn.functional.batch_norm``, which has the same arguments in another order.
    """
    require_operands(
        "batch_norm", input, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var
    )
    if not training:
        for what, value in (("running_mean", running_mean), ("running_var", running_var)):
            if value is None:
                raise RuntimeError(f"batch_norm: {what} must be defined in evaluation mode")
    elif (running_mean is None) != (running_var is None):
        raise ValueError(
            "batch_norm: running_mean and running_var must either both be None or neither be None"
        )
    require_number("batch_norm", "momentum", momentum)
    return normalized_channels(input, weight, bias, running_mean, running_var, training, momentum, eps)


def normalized_channels(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float | Tensor,
    eps: float,
) -> Tensor:
    """`batch_norm` of tensors; ``momentum`` may be a tensor, which is read when the statistics are updated."""
    slots = store.slots
    at = input._slot * SLOT_WORDS
    code = slots[at + S_DTYPE]
    shape = slots[at + S_SHAPE : at + S_SHAPE + slots[at + S_DIMS]].tobytes()
    found = _known.get((shape, code, training, eps))
    if (
        found is None
        or not slots[at + S_FLAGS] & CONTIGUOUS
        or not (weight is None or _fits(slots, weight, code, found[1]))
        or not (bias is None or _fits(slots, bias, code, found[1]))
        or not (running_mean is None or _fits(slots, running_mean, code, found[1]))
        or not (running_var is None or _fits(slots, running_var, code, found[1]))
    ):
        found, weight, bias, mean, var = _prepared(
            input, weight, bias, running_mean, running_var, training, eps
        )
        input = _contiguous(input)
        if found is None:
            return _of_nothing(input, weight, bias)
        _known[shape, code, training, eps] = found
        if len(_known) > KEPT:
            _known.clear()
    else:
        mean, var = running_mean, running_var
    plan, _, correction = found
    if not training:
        ids = array("q", (input._slot, _slot(weight), _slot(bias), mean._slot, var._slot))  # type: ignore[union-attr]
        return plan.first(ids, (input, weight, bias, mean, var))
    made = plan.run(array("q", (input._slot, _slot(weight), _slot(bias))), (input, weight, bias))
    result = wrap(made[0])
    batch_mean, batch_var = wrap(made[OUTPUT_WORDS]), wrap(made[2 * OUTPUT_WORDS])
    if running_mean is not None and running_var is not None:
        _average(running_mean, batch_mean, momentum)
        _average(running_var, batch_var, momentum, correction)
    return result


def _fits(slots: Any, x: Tensor, code: int, channels: int) -> bool:
    """Whether a parameter or statistic needs no further look."""
    at = x._slot * SLOT_WORDS
    return (
        slots[at + S_DTYPE] == code and slots[at + S_NUMEL] == channels and slots[at + S_FLAGS] & CONTIGUOUS
    )


def _prepared(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    eps: float,
) -> tuple:
    """What `normalized_channels` keeps (None for an input without elements), and contiguous operands."""
    shape = tuple(input.shape)
    check_floating("batch_norm", input)
    channels = shape[1] if len(shape) > 1 else 0
    operands = _fitting(
        "batch_norm", input, channels,
        weight=weight, bias=bias, running_mean=running_mean, running_var=running_var,
    )  # fmt: skip
    if len(shape) < 2:
        raise RuntimeError(f"batch_norm: expected an input of at least 2 dimensions, got {list(shape)}")
    if not training:
        return ((*_planned(GIVEN, input, 0, eps), 1.0), *operands)
    if 0 in shape:
        return (None, *operands)
    each = math.prod(shape) // channels
    # the variance of a whole is estimated from a sample of it
    correction = each / (each - 1) if each > 1 else math.inf
    return ((*_planned(BATCH_NORM, input, 0, eps), correction), *operands)


def _of_nothing(input: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """The result for an input without elements, with zero gradients for the parameters."""
    result: Any = input.clone()  # type: ignore[attr-defined]
    if weight is not None and weight.numel():  # type: ignore[attr-defined]
        result = result * weight[0]
    if bias is not None and bias.numel():  # type: ignore[attr-defined]
        result = result + bias[0]
    return result


# groups and instances -------------------------------------------------------------------------------


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Bring groups of channels of every sample to mean 0 and variance 1; then weight and bias by channel.

    The formula is that of Wu and He, *Group Normalization* (2018), with the biased variance.

    Parameters
    ----------
    input : Tensor, shape (N, C, ...)
    num_groups : int
        Into how many groups the channels are divided.
    weight, bias : Tensor, shape (C,), optional
    eps : float, default 1e-5
    cudnn_enabled : bool
        Accepted for PyTorch's sake; it changes nothing.

    Raises
    ------
    RuntimeError
        If the channels cannot be divided so, or the shapes or dtypes do not fit together.
    NotImplementedError
        If the input is not floating.
    """
    require_operands("group_norm", input, weight=weight, bias=bias)
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(
            f"group_norm: Expected at least 2 dimensions for input tensor but received {len(shape)}"
        )
    if not isinstance(num_groups, Integral):
        raise TypeError(
            f"group_norm(): argument 'num_groups' (position 2) must be int, not {type(num_groups).__name__}"
        )
    if num_groups <= 0:
        raise RuntimeError(f"group_norm: Expected num groups to be greater than 0, got {num_groups}")
    if shape[1] % num_groups:
        raise RuntimeError(
            "group_norm: Expected number of channels in input to be divisible by num_groups, "
            f"but got input of shape {list(shape)} and num_groups={num_groups}"
        )
    for what, value in (("weight", weight), ("bias", bias)):
        if value is not None and tuple(value.shape) != (shape[1],):
            raise RuntimeError(
                f"group_norm: Expected {what} to be a vector of size equal to the number of channels in input, "
                f"but got {what} of shape {list(value.shape)} and input of shape {list(shape)}"
            )
    check_floating("group_norm", input)
    weight, bias = _fitting("group_norm", input, shape[1], weight=weight, bias=bias)
    input = _contiguous(input)
    plan, _ = _planned(GROUP_NORM, input, num_groups, eps)
    return plan.first(array("q", (input._slot, _slot(weight), _slot(bias))), (input, weight, bias))


def instance_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> Tensor:
    """Bring every channel of every sample to mean 0 and variance 1; then weight and bias by channel.

    See ``nn.functional.instance_norm``, which has the same arguments in another order.
    """
    name = "instance_norm"
    require_number(name, "momentum", momentum)
    require_operands(
        name, input, weight=weight, bias=bias, running_mean=running_mean, running_var=running_var
    )
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError(
                f"{name}: Expected running_mean and running_var to be defined when use_input_stats is false"
            )
        return normalized_channels(input, weight, bias, running_mean, running_var, False, momentum, eps)
    if (running_mean is None) != (running_var is None):
        raise ValueError(f"{name}: running_mean and running_var must either both be None or neither be None")
    shape = tuple(input.shape)
    if len(shape) < 2:
        raise RuntimeError(f"{name}: expected an input of at least 2 dimensions, got {list(shape)}")
    check_floating(name, input)
    weight, bias, _, _ = _fitting(
        name, input, shape[1], weight=weight, bias=bias, running_mean=running_mean, running_var=running_var
    )
    input = _contiguous(input)
    plan, _ = _planned(GROUP_NORM, input, max(shape[1], 1), eps)
    made = plan.run(array("q", (input._slot, _slot(weight), _slot(bias))), (input, weight, bias))
    result, mean, var = (wrap(made[k * OUTPUT_WORDS]) for k in range(3))
    if running_mean is not None and running_var is not None and math.prod(shape):
        each = math.prod(shape[2:])
        with no_grad():
            _average(running_mean, mean.mean(0), momentum)  # type: ignore[attr-defined]
            _average(running_var, var.mean(0), momentum, each / (each - 1) if each > 1 else math.inf)  # type: ignore[attr-defined]
    return result
