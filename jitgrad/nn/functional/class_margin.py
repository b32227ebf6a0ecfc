"""Losses that separate the scores of classes: one class a sample, or several."""

from __future__ import annotations

from jitgrad import functions as T
from jitgrad._tensor import Tensor, wrap
from jitgrad.dtypes import int64
from jitgrad.engine.entry import entries
from jitgrad.functions._arrays import run_arrays
from jitgrad.functions._call import require_tensors
from jitgrad.functions._checks import raise_reported, refusal
from jitgrad.functions.losses import REPORT_ADDRESS
from jitgrad.kernels import BY_NAME
from jitgrad.kernels.abi import float_bits
from jitgrad.kernels.table import Op

from ._reduction import chosen_reduction, reduced

_MULTI, _MULTILABEL = BY_NAME["multi_margin"], BY_NAME["multilabel_margin"]
_WHOLE = {"none": 0, "mean": BY_NAME["mean"].code, "sum": BY_NAME["sum"].code}
_NO_CLASS = refusal(
    RuntimeError,
    "multi_margin_loss: target out of range; expected class indices from 0 to the number of classes - 1",
)
_NO_LABEL = refusal(
    RuntimeError,
    "multilabel_margin_loss: target out of range; expected class indices from 0 to the number of classes - 1, "
    "or -1 behind the last one",
)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return the binary cross-entropy of logits, its mean over the classes of every sample, reduced.

    Parameters
    ----------
    input : Tensor, shape (..., C)
        Logits.
    target : Tensor, same shape
        1 for the classes of a sample, 0 for the others.
    weight : Tensor, shape (C,), optional
        A weight for each class.
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    reduction : {'mean', 'sum', 'none'}
        Over the samples; 'none' gives the shape (...).

    Raises
    ------
    ValueError
        If the reduction is unknown.
    RuntimeError
        If the shapes do not fit together.
    IndexError
        If the input has no dimension.
    """
    require_tensors("multilabel_soft_margin_loss", input, target, optional=weight)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if input.ndim == 0:
        raise IndexError("multilabel_soft_margin_loss: expected an input of 1 or more dimensions, got 0")
    # the greater of two log-sigmoids is near 0, the other one near the logit: nothing overflows
    loss = -(target * T.logsigmoid(input) + (1 - target) * T.logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return reduced(loss.sum(-1) / input.shape[-1], reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``sum(max(0, margin - x[y] + x[i]) ** p) / C`` over the classes ``i != y``, reduced.

    Parameters
    ----------
    input : Tensor, shape (N, C) or (C,)
        Scores.
    target : Tensor of int64, shape (N,) or ()
        Class indices.
    p : {1, 2}
    margin : float, default 1.0
    weight : Tensor, shape (C,), optional
        A factor for the samples of each class; the mean stays one over the number of samples.
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ValueError
        If the reduction is unknown, ``p`` is neither 1 nor 2, or ``weight`` is not one-dimensional.
    RuntimeError
        If a shape or dtype does not fit, or a target is not a class.
    """
    require_tensors("multi_margin_loss", input, target, optional=weight)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if weight is None and p in (1, 2):
        words = (REPORT_ADDRESS, _NO_CLASS, int(p), float_bits(margin))
        made = entries.class_loss(_MULTI.code, _WHOLE[reduction], input, target, words)
        if type(made) is not int:
            raise_reported()
            return made
    if p not in (1, 2):
        raise ValueError(f"multi_margin_loss: only p == 1 and p == 2 are supported, got p={p}")
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"multi_margin_loss: weight must be one-dimensional, got {tuple(weight.shape)}")
    samples, classes = _samples_and_classes("multi_margin_loss", input)
    if target.ndim > 1 or target.numel() != samples:
        raise RuntimeError(
            f"multi_margin_loss: expected a target of shape ({samples},), one class for each sample, "
            f"got {tuple(target.shape)} for an input of shape {tuple(input.shape)}"
        )
    _check_long("multi_margin_loss", target)
    if weight is not None and (weight.shape[0] != classes or weight.dtype != input.dtype):
        raise RuntimeError(
            f"multi_margin_loss: expected a weight for each of {classes} classes, of dtype {input.dtype}, "
            f"got shape {tuple(weight.shape)} and dtype {weight.dtype}"
        )
    words = (_NO_CLASS, int(p), float_bits(margin))
    loss = _per_sample(_MULTI, input.reshape(-1, classes), target.reshape(-1), words)
    if weight is not None:
        loss = loss * weight[target.reshape(-1)]
    return reduced(loss.reshape(target.shape), reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``sum(max(0, 1 - x[y] + x[i])) / C`` over a sample's classes y and all others i, reduced.

    Parameters
    ----------
    input : Tensor, shape (N, C) or (C,)
        Scores.
    target : Tensor of int64, same shape
        The classes of a sample, up to the first -1 of its row; a class named twice counts twice.
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ValueError
        If the reduction is unknown.
    RuntimeError
        If a shape or dtype does not fit, or a target is neither a class nor -1.
    """
    require_tensors("multilabel_margin_loss", input, target)
    reduction = chosen_reduction(size_average, reduce, reduction)
    samples, classes = _samples_and_classes("multilabel_margin_loss", input)
    fits = input.shape == target.shape if input.ndim > 1 else target.ndim < 2 and target.numel() == classes
    if not fits:
        raise RuntimeError(
            f"multilabel_margin_loss: expected a target of the input's shape {tuple(input.shape)}, "
            f"got {tuple(target.shape)}"
        )
    _check_long("multilabel_margin_loss", target)
    labels, rows = target.reshape(samples, classes), input.reshape(samples, classes)
    loss = _per_sample(_MULTILABEL, rows, labels, (_NO_LABEL,))
    if input.ndim < 2:
        loss = loss.squeeze(0)
    # without samples the mean is 0, as in PyTorch
    return reduced(loss, "sum" if reduction == "mean" and not samples else reduction)


def _per_sample(op: Op, rows: Tensor, target: Tensor, words: tuple[int, ...]) -> Tensor:
    """The loss of every sample; see `kernels.class_margins`."""
    samples, classes = rows.shape
    made = [(rows.dtype, (samples,)), (rows.dtype, (samples, classes))]
    slots = run_arrays(op, (rows.contiguous(), target.contiguous()), made, (REPORT_ADDRESS, *words))
    loss, _slopes = map(wrap, slots)
    raise_reported()
    return loss


def _samples_and_classes(name: str, input: Tensor) -> tuple[int, int]:
    """What the dimensions of an input stand for; a single score is one class."""
    shape = tuple(input.shape)
    if len(shape) > 2 or shape[-1:] == (0,):
        raise RuntimeError(
            f"{name}: expected an input of shape (N, C) or (C,) with at least one class, got {shape}"
        )
    if not input.is_floating_point():
        raise NotImplementedError(
            f"{name}: expected a floating-point input, got {input.dtype}; convert it with .float()"
        )
    return (1, *shape)[-2:] if shape else (1, 1)


def _check_long(name: str, target: Tensor) -> None:
    if target.dtype != int64:
        raise RuntimeError(
            f"{name}: expected target dtype to be int64, but got {target.dtype}; convert it with .long()"
        )
