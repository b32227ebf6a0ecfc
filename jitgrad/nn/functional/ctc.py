"""Connectionist temporal classification."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from jitgrad import functions as T
from jitgrad._tensor import Tensor, wrap
from jitgrad.dtypes import float64, int32, int64, uint8
from jitgrad.functions._arrays import run_arrays
from jitgrad.functions._call import require_tensors
from jitgrad.functions.losses import REPORT, REPORT_ADDRESS
from jitgrad.kernels import BY_NAME
from jitgrad.kernels.ctc import STORE_ROWS
from jitgrad.told import numbers_in

from ._reduction import REDUCTIONS

_CTC = BY_NAME["ctc_loss"]
Lengths = tuple[list[int], list[int], list[int]]  # steps, labels, and where the labels begin


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Return the negative log likelihood of label sequences, summed over all their alignments with the input.

    Lengths that are tensors are read: inside a compiled function give numbers.

    Parameters
    ----------
    log_probs : Tensor, shape (T, N, C) or (T, C)
        Logarithms of the probabilities of the classes, as `log_softmax` gives them. The gradient is what PyTorch
        gives: exact for whatever goes into `log_softmax`.
    targets : Tensor of int64, shape (N, S) or (sum of target_lengths,)
        Labels, padded to one length or one sequence behind the other.
    input_lengths, target_lengths : Tensor, or sequence of int, shape (N,)
    blank : int, default 0
        The class that stands for no label.
    reduction : {'mean', 'sum', 'none'}
        'mean' divides each loss by the target's length and averages over the batch.
    zero_infinity : bool, default False
        Count targets that are too long for their input as 0, with gradient 0.

    Raises
    ------
    RuntimeError
        If shapes, dtypes or lengths do not fit.
    IndexError
        If a label is not a class.
    ValueError
        If the reduction is unknown.
    """
    require_tensors("ctc_loss", log_probs, targets)
    if reduction not in REDUCTIONS:
        raise ValueError(
            f"ctc_loss: {reduction} is not a valid value for reduction; expected mean, sum or none"
        )
    if log_probs.ndim not in (2, 3) or not log_probs.is_floating_point():  # type: ignore[attr-defined]
        raise RuntimeError(
            f"ctc_loss: expected floating log_probs of shape (T, N, C) or (T, C), got {log_probs.dtype} "
            f"{tuple(log_probs.shape)}"
        )
    single = log_probs.ndim == 2
    if single:
        log_probs = log_probs.unsqueeze(1)  # type: ignore[attr-defined]
    lengths = _lengths(log_probs, targets, input_lengths, target_lengths, blank)
    losses = _losses(log_probs, targets, lengths, blank, zero_infinity)
    if single:
        losses = losses.squeeze(0)  # type: ignore[attr-defined]
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()  # type: ignore[attr-defined]
    divisors = [max(n, 1) for n in lengths[1]]
    return (losses / T.tensor(divisors[0] if single else divisors, dtype=losses.dtype)).mean()  # type: ignore[attr-defined]


def _losses(log_probs: Tensor, targets: Tensor, lengths: Lengths, blank: int, zero_infinity: bool) -> Tensor:
    steps, batch, _ = log_probs.shape
    width = 2 * max(lengths[1], default=0) + 1
    flat = targets.to(int64).contiguous().reshape(-1)  # type: ignore[attr-defined]
    outputs = ((log_probs.dtype, (batch,)), (float64, (batch, steps + STORE_ROWS, width)))
    words = (blank, int(bool(zero_infinity)), REPORT_ADDRESS)
    made = run_arrays(_CTC, (log_probs, flat, T.tensor(lengths, dtype=int64)), outputs, words)
    losses, sums = wrap(made[0]), wrap(made[1])
    del sums
    if REPORT[0]:
        label = REPORT[1]
        REPORT[0] = 0
        raise IndexError(
            f"ctc_loss: Target {label} is out of bounds; labels are from 0 to {log_probs.shape[2] - 1}"
        )
    return losses


def _lengths(
    log_probs: Tensor, targets: Tensor, input_lengths: Any, target_lengths: Any, blank: int
) -> Lengths:
    """Steps and labels of each sequence, and where its labels begin; all looked over."""
    steps, batch, classes = log_probs.shape
    if log_probs.numel() == 0 and (steps == 0 or classes == 0):
        raise RuntimeError(f"ctc_loss: log_probs tensor must not be empty, got {tuple(log_probs.shape)}")
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank must be in label range 0 to {classes - 1}, got {blank}")
    if targets.dtype not in (int64, int32, uint8) or targets.ndim not in (1, 2):
        raise RuntimeError(
            f"ctc_loss: expected integral targets of shape (N, S) or (sum of target_lengths,), got "
            f"{targets.dtype} {tuple(targets.shape)}"
        )
    found = []
    for name, given in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        values = _numbers(name, given)
        if len(values) != batch:
            raise RuntimeError(
                f"ctc_loss: {name} must be of size batch_size, which is {batch}, got {len(values)}"
            )
        if min(values, default=0) < 0:
            raise RuntimeError(f"ctc_loss: {name} must not be negative, got {values}")
        found.append(values)
    inputs, labels = found
    most, longest = max(inputs, default=0), max(labels, default=0)
    if most > steps:
        raise RuntimeError(
            f"ctc_loss: Expected input_lengths to have value at most {steps}, but got value {most}"
        )
    if targets.ndim == 2:
        if targets.shape[0] != batch or targets.shape[1] < longest:
            raise RuntimeError(
                f"ctc_loss: Expected targets to have size ({batch}, {longest} or more), "
                f"got {tuple(targets.shape)}"
            )
        starts = [n * targets.shape[1] for n in range(batch)]
    else:
        *starts, total = itertools.accumulate(labels, initial=0)
        if targets.shape[0] != total:
            raise RuntimeError(
                f"ctc_loss: Expected targets to have size {total}, the sum of target_lengths, "
                f"got {targets.shape[0]}"
            )
    return inputs, labels, starts


def _numbers(name: str, given: Any) -> list[int]:
    if isinstance(given, Tensor):
        if given.is_floating_point():  # type: ignore[attr-defined]
            raise RuntimeError(f"ctc_loss: {name} must be integral, got {given.dtype}")
        return numbers_in(given.reshape(-1), name)  # type: ignore[attr-defined]
    if not isinstance(given, (list, tuple)):
        given = np.array([given], np.int64).reshape(-1).tolist()
    return [int(n) for n in given]
