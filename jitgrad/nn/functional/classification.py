"""Losses of class scores: negative log likelihood and cross-entropy."""

from __future__ import annotations

import math
from typing import NamedTuple

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.functions._call import dtype_code, require_tensors
from jitgrad.functions._dims import dims_of, shape_of
from jitgrad.kernels.abi import INT64, UINT8

from ._reduction import chosen_reduction, reduced


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return ``-input[target]``: the negative log likelihood of the target classes.

    Parameters
    ----------
    input : Tensor, shape (N, C), (C,) or (N, C, d1, ...)
        Logarithms of probabilities, as `log_softmax` gives them.
    target : Tensor of int64, shape (N,), () or (N, d1, ...)
        Class indices.
    weight : Tensor, shape (C,), optional
        A weight for each class; the mean becomes a weighted one.
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    ignore_index : int, default -100
        Targets of this value count for nothing.
    reduction : {'mean', 'sum', 'none'}

    Raises
    ------
    ValueError
        If the batch sizes differ or the reduction is unknown.
    RuntimeError
        If a shape or dtype does not fit.
    IndexError
        If a target is not a class.
    """
    plain = weight is None and reduction == "mean"
    if plain and _are_rows("nll_loss", input, target, size_average, reduce):
        return T.nll_mean(input, target, ignore_index)
    require_tensors("nll_loss", input, target, optional=weight)
    reduction = chosen_reduction(size_average, reduce, reduction)
    _check_indices("nll_loss", input, target, weight)
    return _index_loss(input, _targets(target, ignore_index), weight, reduction)


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return the cross-entropy of ``softmax(input)`` and the target.

    Parameters
    ----------
    input : Tensor, shape (N, C), (C,) or (N, C, d1, ...)
        Logits.
    target : Tensor
        Class indices, as for `nll_loss`, or class probabilities of the input's shape.
    weight : Tensor, shape (C,), optional
        A weight for each class; with class indices the mean becomes a weighted one.
    size_average, reduce : bool, optional
        PyTorch's deprecated spelling of ``reduction``.
    ignore_index : int, default -100
        Targets of this value count for nothing; for class indices only.
    reduction : {'mean', 'sum', 'none'}
    label_smoothing : float, default 0.0
        The share of the uniform distribution that is mixed into the target.

    Raises
    ------
    ValueError
        If the batch sizes differ or the reduction is unknown.
    RuntimeError
        If a shape or dtype does not fit, or ``label_smoothing`` is above 1.
    IndexError
        If a target is not a class.
    """
    if _are_rows("cross_entropy", input, target, size_average, reduce):
        if weight is None and label_smoothing == 0.0 and reduction == "mean":
            return T.cross_entropy_mean(input, target, ignore_index)
        require_tensors("cross_entropy", input, target, optional=weight)
        if 0.0 <= label_smoothing <= 1.0 and reduction in ("mean", "sum") and _is_constant(weight, input):
            mean = reduction == "mean"
            return T.cross_entropy_weighted(input, target, weight, ignore_index, label_smoothing, mean)
    require_tensors("cross_entropy", input, target, optional=weight)
    reduction = chosen_reduction(size_average, reduce, reduction)
    if label_smoothing > 1.0:
        raise RuntimeError(
            f"cross_entropy: label_smoothing must be between 0.0 and 1.0, got {label_smoothing}"
        )
    if input.ndim and target.shape == input.shape:
        _check_probabilities(input, target, weight, ignore_index)
        return _soft_loss(input, target, weight, label_smoothing, reduction)
    _check_indices("cross_entropy", input, target, weight)
    log_probabilities = T.log_softmax(input, _class_dim(input))
    targets = _targets(target, ignore_index)
    loss = _index_loss(log_probabilities, targets, weight, reduction)
    if label_smoothing <= 0.0:
        return loss
    uniform = _uniform_loss(log_probabilities, targets, weight, reduction)
    share = label_smoothing / input.shape[_class_dim(input)]
    return (1.0 - label_smoothing) * loss + share * uniform


def _are_rows(
    name: str, input: Tensor, target: Tensor, size_average: bool | None, reduce: bool | None
) -> bool:
    """Whether there is a row of scores for each of the class indices: one kernel's work."""
    try:
        return (
            size_average is None
            and reduce is None
            and dims_of(input) == 2
            and dims_of(target) == 1
            and dtype_code(target) == INT64
            and input.size(0) == target.size(0)
        )
    except AttributeError:
        require_tensors(name, input, target)
        raise


def _is_constant(weight: Tensor | None, input: Tensor) -> bool:
    """Whether the weights of the classes are there in the input's dtype, and want no gradient; or none are there."""
    if weight is None:
        return True
    fits = shape_of(weight) == shape_of(input)[1:] and dtype_code(weight) == dtype_code(input)
    return fits and not weight.requires_grad


def _class_dim(input: Tensor) -> int:
    return 0 if input.ndim == 1 else 1


def _scores(input: Tensor) -> Tensor:
    """One sample or many, each with one target or a line of them: (N, C) or (N, C, S)."""
    if input.ndim == 1:
        return input.unsqueeze(0)
    return input if input.ndim <= 3 else input.flatten(2)


class _Targets(NamedTuple):
    """Class indices of all samples: (N,) or (N, S)."""

    flat: Tensor
    ignore_index: int
    shape: tuple[int, ...]

    @property
    def ignored(self) -> Tensor:
        """Which of them count for nothing."""
        return self.flat == self.ignore_index

    def weights(self, weight: Tensor) -> Tensor:
        """The weights of their classes, 0 for those that count for nothing."""
        return weight[self.flat.masked_fill(self.ignored, 0)].masked_fill(self.ignored, 0.0)


def _targets(target: Tensor, ignore_index: int) -> _Targets:
    shape = shape_of(target)
    if not shape:
        target = target.reshape(1)
    elif len(shape) > 2:
        target = target.flatten(1)
    return _Targets(target.long(), ignore_index, shape)


def _index_loss(
    log_probabilities: Tensor, targets: _Targets, weight: Tensor | None, reduction: str
) -> Tensor:
    """Pick, weigh and reduce ``-log_probabilities[target]``."""
    loss = T.nll_gather(_scores(log_probabilities), targets.flat, targets.ignore_index)
    if weight is not None:
        loss = loss * targets.weights(weight)
    return _reduced_by_class(loss, targets, weight, reduction)


def _uniform_loss(
    log_probabilities: Tensor, targets: _Targets, weight: Tensor | None, reduction: str
) -> Tensor:
    """Compute C times the loss against the uniform distribution, for label smoothing."""
    scores = _scores(log_probabilities)
    if weight is not None:
        scores = scores * weight.reshape((-1,) + (1,) * (scores.ndim - 2))
    loss = -scores.sum(1)
    # filled, not multiplied by 0: what is ignored may hold inf or nan
    return _reduced_by_class(loss.masked_fill(targets.ignored, 0.0), targets, weight, reduction)


def _reduced_by_class(loss: Tensor, targets: _Targets, weight: Tensor | None, reduction: str) -> Tensor:
    """Reduce one loss a target, which is 0 where ignored; the mean is weighted by the targets' classes."""
    if reduction == "none":
        return loss if len(targets.shape) == 1 else loss.reshape(targets.shape)
    if reduction == "sum":
        return loss.sum()
    if weight is None:
        return loss.sum() / (~targets.ignored).sum()
    return loss.sum() / targets.weights(weight).sum()


def _soft_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    label_smoothing: float,
    reduction: str,
) -> Tensor:
    """Compute the cross-entropy against class probabilities; the mean is over the samples."""
    dim = _class_dim(input)
    classes = input.shape[dim]
    if label_smoothing > 0.0:
        target = target * (1.0 - label_smoothing) + label_smoothing / classes
    products = T.log_softmax(input, dim) * target
    if weight is not None:
        products = products * weight.reshape((-1,) + (1,) * (input.ndim - dim - 1))
    if reduction == "mean":
        return -products.sum() / (input.numel() / classes if classes else math.nan)  # no mean of no classes
    return -reduced(products if reduction == "sum" else products.sum(dim), reduction)


def _check_weight(name: str, weight: Tensor | None, classes: int) -> None:
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"{name}: weight tensor should be defined either for all {classes} classes or no "
            f"classes but got weight tensor of shape {tuple(weight.shape)}"
        )


def _check_probabilities(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> None:
    if not target.is_floating_point():
        raise RuntimeError(
            "cross_entropy: expected floating point type for target with class probabilities, "
            f"got {target.dtype}; class indices have one dimension less than the input"
        )
    if ignore_index >= 0:
        raise RuntimeError("cross_entropy: ignore_index is not supported for floating point target")
    _check_weight("cross_entropy", weight, input.shape[_class_dim(input)])


def _check_indices(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """Refuse shapes and dtypes that class indices cannot have."""
    own, shape = shape_of(input), shape_of(target)
    if not own:
        raise ValueError(f"{name}: expected an input of 1 or more dimensions, got 0")
    expected = _target_shape(own)
    if len(own) == 1:
        if len(shape) > 1:
            raise RuntimeError(f"{name}: 0D or 1D target tensor expected, got {len(shape)}D")
        if len(shape) == 1 and shape[0] != 1:
            raise ValueError(
                f"{name}: for 1D input, 1D target must have size 1, but got target size {shape[0]}"
            )
    elif shape[:1] != expected[:1]:
        raise ValueError(
            f"{name}: expected input batch_size ({input.shape[0]}) to match target batch_size "
            f"({shape[0] if shape else 'none'})"
        )
    elif len(own) == 2 and len(shape) > 1:
        raise RuntimeError(
            f"{name}: 0D or 1D target tensor expected, multi-target not supported; got {shape}"
        )
    elif shape != expected:
        raise RuntimeError(f"{name}: expected target size {expected}, got {shape}")
    if dtype_code(target) not in (INT64, UINT8):
        raise RuntimeError(
            f"{name}: expected target dtype to be int64 or uint8, but got {target.dtype}; "
            "convert it with .long()"
        )
    _check_weight(name, weight, own[min(len(own) - 1, 1)])


def _target_shape(own: tuple[int, ...]) -> tuple[int, ...]:
    return own[:1] + own[2:] if len(own) > 1 else ()
