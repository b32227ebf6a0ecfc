"""Losses that separate the scores of classes: one class a sample, or several."""

from __future__ import annotations

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.dtypes import float32, int64
from jitgrad.functions._call import require_tensors
from jitgrad.functions._checks import within

from ._reduction import chosen_reduction, reduced

_check_class = within(
    1.0,
    1.0,
    RuntimeError,
    "multi_margin_loss: target out of range; expected class indices from 0 to the number of classes - 1",
    nan_as=0.0,
)
_check_labels = within(
    1.0,
    1.0,
    RuntimeError,
    "multilabel_margin_loss: target out of range; expected class indices from 0 to the number of classes - 1, "
    "or -1 behind the last one",
    nan_as=0.0,
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
    column = target.reshape(-1, 1)
    _check_class(((column >= 0) & (column < classes)).to(float32))
    rows = input.reshape(-1, classes)
    own = column == T.arange(classes)
    excess = T.relu(margin - _picked(own, rows) + rows).masked_fill(own, 0.0)
    loss = excess if p == 1 else excess * excess
    if weight is not None:
        loss = loss * _picked(own, weight)
    return reduced((loss.sum(1) / classes).reshape(target.shape), reduction)


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

    Notes
    -----
    All pairs of classes are compared at once, in memory for N * C * C numbers.
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
    _check_labels(((labels >= -1) & (labels < classes)).to(float32))
    given = (labels < 0).cumsum(1) == 0
    places = labels.unsqueeze(2) == T.arange(classes)
    own = places & given.unsqueeze(2)  # (sample, place in the target, class)
    score = T.where(places, rows.unsqueeze(1), 0.0).sum(2, keepdim=True)
    counted = given.unsqueeze(2) & ~own.any(1, keepdim=True)
    excess = T.relu(1.0 - score + rows.unsqueeze(1))
    loss = T.where(counted, excess, 0.0).sum((1, 2)) / classes
    if input.ndim < 2:
        loss = loss.squeeze(0)
    # without samples the mean is 0, as in PyTorch
    return reduced(loss, "sum" if reduction == "mean" and not samples else reduction)


def _picked(own: Tensor, values: Tensor) -> Tensor:
    """The one value of each row where `own` is true, as a column; exact, since the others count as 0."""
    return T.where(own, values, 0.0).sum(1, keepdim=True)


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
