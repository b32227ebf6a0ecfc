"""Softmax, the losses that are one kernel, and what larger losses are made of."""

from __future__ import annotations

import functools
from array import array
from typing import Any, NoReturn

from .._tensor import Tensor, method, wrap
from ..dispatch import CONTEXT, complete
from ..dtypes import dtype, to_dtype
from ..engine.entry import entries
from ..engine.layout import CONTIGUOUS, S_DIMS, S_FLAGS, S_NUMEL, S_STRIDES, SLOT_WORDS
from ..kernels import BY_NAME
from ..kernels.abi import float_bits
from ..kernels.table import Op
from ..store import store
from ._call import refuse_operand, require_tensors
from ._dims import axis_as_dim, named_dim, shape_of
from ._out import write_out

__all__ = [
    "cross_entropy_mean",
    "cross_entropy_weighted",
    "fused_mse_loss",
    "log_softmax",
    "mse_loss",
    "nll_gather",
    "nll_mean",
    "softmax",
]

WORTH_A_COPY = 512  # elements
SOFTMAX, LOG_SOFTMAX = BY_NAME["softmax"], BY_NAME["log_softmax"]
MSE, CROSS_ENTROPY, NLL, NLL_MEAN = (
    BY_NAME[name] for name in ("mse_loss", "cross_entropy_mean", "nll_gather", "nll_mean")
)
CROSS_ENTROPY_WEIGHTED = BY_NAME["cross_entropy_weighted"]
MSE_CODE = MSE.code

# where kernels report what is wrong with their operands: what, and a number (see kernels/reports.py)
REPORT = array("q", (0, 0))
REPORT_ADDRESS = REPORT.buffer_info()[0]
BAD_TARGET = 2

_MSE_WORDS = array("q", (REPORT_ADDRESS, 1, 1))  # all samples are here, see the kernel
_MSE_PLACE = _MSE_WORDS.buffer_info()[0]

_dim_words: dict[int, array] = {}


def checked_dim(name: str, x: Tensor, dim: int) -> int:
    """`dim` counted from the front; IndexError when `x` has no such dimension."""
    dims = store.slots[x._slot * SLOT_WORDS + S_DIMS] or 1
    if not -dims <= dim < dims:
        raise IndexError(
            f"{name}: Dimension out of range (expected to be in range of [{-dims}, {dims - 1}], "
            f"but got {dim})"
        )
    return dim + dims if dim < 0 else dim


def _along(op: Op, x: Tensor, dim: int, kind: Any) -> Tensor:
    if kind is not None:
        x = _converted(op.name, x, kind)
    try:
        dim = checked_dim(op.name, x, dim)
    except AttributeError:
        refuse_operand(op.name, x)
    except TypeError:
        named_dim(op.name, dim, None)  # says so when there is none
        raise
    words = _dim_words.get(dim)
    if words is None:
        words = _dim_words[dim] = array("q", (dim,))
    if _lies_across(x):
        x = x.contiguous()  # type: ignore[attr-defined]
    slot = entries.apply(CONTEXT, op.code, 0, x._slot, 0, 0, 0, words.buffer_info()[0], 1)
    return wrap(slot if slot >= 0 else complete(op, (x,), words, 0, slot))


def _lies_across(x: Tensor) -> bool:
    """Whether a copy in order takes less time than to walk along the dimensions of `x` as they lie."""
    slots, at = store.slots, x._slot * SLOT_WORDS
    if slots[at + S_FLAGS] & CONTIGUOUS or slots[at + S_NUMEL] < WORTH_A_COPY:
        return False
    return slots[at + S_STRIDES + slots[at + S_DIMS] - 1] != 1


def _converted(name: str, x: Tensor, kind: Any) -> Tensor:
    require_tensors(name, x)
    kind = to_dtype(kind, name)
    return x if x.dtype is kind else x.to(kind)  # type: ignore[attr-defined]


@method
def softmax(
    input: Tensor,
    dim: int | None = None,
    dtype: dtype | None = None,
    axis: int | None = None,
    *,
    out: Any = None,
) -> Tensor:
    """Return ``exp(x)`` divided by its sum along ``dim``.

    Parameters
    ----------
    input : Tensor
    dim : int
        The dimension along which the result sums to 1.
    dtype : dtype, optional
        Convert the input to this first.
    out : Tensor, optional
        Takes the result and is returned.

    Raises
    ------
    IndexError
        If the input has no such dimension.
    """
    if axis is not None:
        dim = axis_as_dim("softmax", dim, axis)
    if out is not None:
        return write_out("softmax", _along(SOFTMAX, input, dim, dtype), out, same_dtype=True)
    return _along(SOFTMAX, input, dim, dtype)


@method
def log_softmax(
    input: Tensor,
    dim: int | None = None,
    dtype: dtype | None = None,
    axis: int | None = None,
    *,
    out: Any = None,
) -> Tensor:
    """Return ``log(softmax(x))``, computed so that it never overflows; see `softmax`."""
    if axis is not None:
        dim = axis_as_dim("log_softmax", dim, axis)
    if out is not None:
        return write_out("log_softmax", _along(LOG_SOFTMAX, input, dim, dtype), out, same_dtype=True)
    return _along(LOG_SOFTMAX, input, dim, dtype)


def mse_loss(input: Tensor, target: Tensor) -> Tensor:
    """Return the mean of ``(input - target) ** 2``, in one kernel.

    Parameters
    ----------
    input, target : Tensor, same shape

    Raises
    ------
    RuntimeError
        If the shapes differ; see ``nn.functional.mse_loss`` for a loss that broadcasts.
    """
    require_tensors("mse_loss", input, target)
    slot = entries.apply(CONTEXT, MSE_CODE, 0, input._slot, target._slot, 0, 0, _MSE_PLACE, 3)
    loss = wrap(slot if slot >= 0 else complete(MSE, (input, target), _MSE_WORDS, 0, slot))
    if REPORT[0]:
        _refuse("mse_loss", input, target)
    return loss


def fused_mse_loss(input: Tensor, target: Tensor) -> Tensor | None:
    """`mse_loss` where shapes and dtypes are equal, else None: the engine looks, so that Python need not."""
    while True:
        try:
            slot = entries.apply(CONTEXT, MSE_CODE, 0, input._slot, target._slot, 0, 0, _MSE_PLACE, 3)
        except AttributeError:
            require_tensors("mse_loss", input, target)
            raise
        if slot >= 0:
            return wrap(slot)
        if not store.mend(slot):
            return None


def cross_entropy_mean(input: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """Return the mean cross-entropy of rows of logits and their classes, in one kernel.

    Parameters
    ----------
    input : Tensor, shape (N, C)
        Logits.
    target : Tensor of int64, shape (N,)
        The class of each row.
    ignore_index : int, default -100
        Rows with this target count for nothing.

    Raises
    ------
    IndexError
        If a target is not a class.
    RuntimeError
        If the shapes or dtypes do not fit.
    """
    return _class_loss("cross_entropy", CROSS_ENTROPY, input, target, _words(ignore_index))


def nll_mean(input: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """Return the mean of `nll_gather` over the rows that count, in one kernel; see `cross_entropy_mean`."""
    return _class_loss("nll_loss", NLL_MEAN, input, target, _words(ignore_index))


def cross_entropy_weighted(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
    mean: bool = True,
) -> Tensor:
    """Return the mean or the sum of the cross-entropies of rows of logits and their classes, in one kernel.

    Parameters
    ----------
    input : Tensor, shape (N, C)
        Logits.
    target : Tensor of int64, shape (N,)
        The class of each row.
    weight : Tensor, shape (C,), optional
        Of each class; it gets no gradient. The mean is weighted by the targets' classes.
    ignore_index : int, default -100
        Rows with this target count for nothing.
    label_smoothing : float, default 0.0
        The share of the uniform distribution that is mixed into the target, from 0 to 1.
    mean : bool, default True
        Whether the result is the mean, or else the sum.

    Raises
    ------
    IndexError
        If a target is not a class.
    RuntimeError
        If the shapes or dtypes do not fit.
    """
    require_tensors("cross_entropy", input, target, optional=weight)
    if weight is not None and shape_of(weight) != shape_of(input)[1:]:
        raise RuntimeError(
            f"cross_entropy: weight must have one number for each of the input's classes, got shapes "
            f"{tuple(weight.shape)} and {tuple(input.shape)}"
        )
    words = _weighted_words(ignore_index, label_smoothing, mean)
    return _class_loss("cross_entropy", CROSS_ENTROPY_WEIGHTED, input, target, words, weight)


@functools.lru_cache(64)
def _words(ignored: int) -> tuple[array, int]:
    words = array("q", (ignored, REPORT_ADDRESS, 0))
    return words, words.buffer_info()[0]


@functools.lru_cache(64)
def _weighted_words(ignored: int, smoothing: float, mean: bool) -> tuple[array, int]:
    words = array("q", (ignored, REPORT_ADDRESS, float_bits(smoothing), mean, 0))
    return words, words.buffer_info()[0]


def _class_loss(
    name: str, op: Op, input: Tensor, target: Tensor, given: tuple[array, int], weight: Tensor | None = None
) -> Tensor:
    """Run a loss of rows of numbers and their classes; `given` are the attribute words and their address."""
    words, place = given
    third = 0 if weight is None else weight._slot
    try:
        slot = entries.apply(CONTEXT, op.code, 0, input._slot, target._slot, third, 0, place, len(words))
    except AttributeError:
        require_tensors(name, input, target)
        raise
    if slot < 0:
        slot = complete(op, (input, target, weight)[: len(op.operands)], words, 0, slot)
    loss = wrap(slot)
    if REPORT[0]:
        _refuse(name, input, target)
    return loss


def nll_gather(input: Tensor, target: Tensor, ignore_index: int = -100) -> Tensor:
    """Return ``-input[n, target[n]]`` for every target, and 0 where it is to be ignored.

    Parameters
    ----------
    input : Tensor, shape (N, C) or (N, C, S)
        Logarithms of probabilities.
    target : Tensor of int64, shape (N,) or (N, S)
    ignore_index : int, default -100

    Returns
    -------
    Tensor, shape (N,) or (N, S)

    Raises
    ------
    IndexError
        If a target is not a class.
    RuntimeError
        If the shapes do not fit.
    """
    require_tensors("nll_gather", input, target)
    own = shape_of(input)
    if len(own) not in (2, 3) or shape_of(target) != own[:1] + own[2:]:
        _refuse_rows("nll_gather", input, target)
    return _class_loss("nll_loss", NLL, input, target, _words(ignore_index))


def _refuse(name: str, input: Tensor, target: Tensor) -> NoReturn:
    what, value = REPORT
    REPORT[0] = 0
    if what == BAD_TARGET:
        raise IndexError(
            f"Target {value} is out of bounds. {name}: the input has {input.shape[1]} classes, so a target "
            f"is from 0 to {input.shape[1] - 1}, or ignore_index"
        )
    if name == "mse_loss":
        raise RuntimeError(
            f"mse_loss: input and target must have one shape, got {tuple(input.shape)} and "
            f"{tuple(target.shape)}"
        )
    _refuse_rows(name, input, target)


def _refuse_rows(name: str, input: Tensor, target: Tensor) -> NoReturn:
    raise RuntimeError(
        f"{name}: expected input (N, C) and target (N,), got {tuple(input.shape)} and {tuple(target.shape)}"
    )
