"""Averages of the weights that training goes through: stochastic weight averaging and moving averages.

>>> averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.99))   # doctest: +SKIP
>>> averaged.update_parameters(model)   # after every step                     # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from math import cos, pi
from typing import Any

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.dtypes import float64, int64
from jitgrad.store import store

from ..nn.batchnorm import _BatchNorm
from ..nn.module import Module
from .lr_scheduler._base import LRScheduler, check_optimizer, per_group
from .optimizer import Optimizer

Average = Callable[[Tensor, Tensor, Tensor | int], Tensor]
AverageAll = Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


# how to average ---------------------------------------------------------------------------------------


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """A function for one tensor of a moving average: ``decay * averaged + (1 - decay) * current``.

    Parameters
    ----------
    decay : float
        The weight of what there was, in [0, 1].

    Raises
    ------
    ValueError
        If `decay` is outside [0, 1].
    """
    _check_decay("get_ema_avg_fn", decay)

    def ema_update(averaged: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        with no_grad():
            return decay * averaged + (1 - decay) * current

    return ema_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageAll:
    """A function for a list of tensors, changed in place: each the moving average of `get_ema_avg_fn`.

    Parameters
    ----------
    decay : float
        The weight of what there was, in [0, 1].

    Raises
    ------
    ValueError
        If `decay` is outside [0, 1].
    """
    one = get_ema_avg_fn(decay)

    def ema_update(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        _move_all(averaged, current, 1 - decay, lambda a, c: one(a, c, num_averaged))

    return ema_update


def get_swa_avg_fn() -> Average:
    """A function for one tensor of an average with equal weights, after `num_averaged` tensors."""

    def swa_update(averaged: Tensor, current: Tensor, num_averaged: Tensor | int) -> Tensor:
        with no_grad():
            return averaged + (current - averaged) / (num_averaged + 1)

    return swa_update


def get_swa_multi_avg_fn() -> AverageAll:
    """A function for a list of tensors, changed in place: each the average of `get_swa_avg_fn`."""
    one = get_swa_avg_fn()

    def swa_update(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        if store.recording is not None and isinstance(num_averaged, Tensor):
            weight: Any = 1 / (num_averaged.to(float64) + 1)  # which stays in memory
        else:
            weight = 1 / (float(num_averaged) + 1)
        _move_all(averaged, current, weight, lambda a, c: one(a, c, num_averaged))

    return swa_update


def _check_decay(owner: str, decay: float) -> None:
    if decay < 0.0 or decay > 1.0:
        raise ValueError(
            f"Invalid decay value {decay} provided. Please provide a value in [0,1] range. ({owner})"
        )


def _move_all(
    averaged: Sequence[Tensor],
    current: Sequence[Tensor],
    weight: float | Tensor,
    one: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Move each averaged tensor towards the current one; integers take the whole part of what `one` gives."""
    with no_grad():
        for a, c in zip(averaged, current, strict=True):
            if a.is_floating_point():
                a.lerp_(c, weight.to(a.dtype) if isinstance(weight, Tensor) else weight)
            else:
                a.copy_(one(a, c))


# models -----------------------------------------------------------------------------------------------


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of that model's.

    Izmailov, Podoprikhin, Garipov, Vetrov, Wilson: Averaging weights leads to wider optima and better
    generalization. UAI 2018.

    Parameters
    ----------
    model : Module
        The model that is copied.
    device : optional
        For PyTorch's sake: there is only the CPU.
    avg_fn : callable, optional
        From a tensor of the average, one of the model and the number of models in the average so far to the
        new average.
    multi_avg_fn : callable, optional
        The same for lists of tensors of one dtype; changes those of the average in place. Without a function
        all models have the same weight.
    use_buffers : bool
        Average the buffers as well; otherwise they are copied from the model.

    Attributes
    ----------
    module : Module
        The copy.
    n_averaged : Tensor, int64, 0-dim
        The number of models in the average; a buffer.

    Raises
    ------
    AssertionError
        If both functions are given.

    Notes
    -----
    The functions are not in ``state_dict()``. The running statistics of batch normalization belong to other
    parameters than the averaged ones: see `update_bn`, or `use_buffers`. `update_parameters` reads
    `n_averaged`, which a recorded step cannot do: call it after a step made by ``jitgrad.compile``, not in it.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: AverageAll | None = None,
        use_buffers: bool = False,
    ) -> None:
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided (AveragedModel)")
        super().__init__()
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", T.tensor(0, dtype=int64, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the averaged model returns."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the parameters of `model` into the average; those of the first call are the average.

        Within a compiled step, the functions that average are called for the first model, too, and what they give is
        left out.

        Parameters
        ----------
        model : Module
            Of the same structure as the one that was copied.

        Raises
        ------
        ValueError
            If `model` has more or fewer parameters or buffers.
        RuntimeError
            If one has another shape.
        """
        parameters = _pairs("parameters", self.module.parameters(), model.parameters())
        buffers = _pairs("buffers", self.module.buffers(), model.buffers())
        with no_grad():
            pairs = [*parameters, *buffers] if self.use_buffers else parameters
            if store.recording is not None:
                self._average_or_first(pairs)
            elif int(self.n_averaged) == 0:
                _copy_all(pairs)
            else:
                self._average(pairs)
            if not self.use_buffers:
                _copy_all(buffers)
            self.n_averaged.add_(1)

    def _average_or_first(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        """The same for a step that is recorded: how many there have been is known only in memory, replay by replay."""
        self._average(pairs)
        first = self.n_averaged == 0
        for averaged, current in pairs:
            averaged.copy_(T.where(first, current, averaged))

    def _average(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        if self.avg_fn is not None:
            for averaged, current in pairs:
                averaged.copy_(self.avg_fn(averaged, current, self.n_averaged))
            return
        average = self.multi_avg_fn or get_swa_multi_avg_fn()
        kinds: dict[Any, tuple[list[Tensor], list[Tensor]]] = {}
        for averaged, current in pairs:
            same = kinds.setdefault(averaged.dtype, ([], []))
            same[0].append(averaged)
            same[1].append(current)
        for averages, currents in kinds.values():
            average(averages, currents, self.n_averaged)


def _pairs(what: str, ours: Iterable[Tensor], theirs: Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """The tensors of two models side by side, outside of the graph."""
    averaged, current = [x.detach() for x in ours], [x.detach() for x in theirs]
    if len(averaged) != len(current):
        raise ValueError(
            f"AveragedModel.update_parameters: the model has {len(current)} {what}, the averaged one "
            f"{len(averaged)}; give the model that was averaged, or one of the same structure"
        )
    for k, (a, c) in enumerate(zip(averaged, current, strict=True)):
        if a.shape != c.shape:
            raise RuntimeError(
                f"AveragedModel.update_parameters: number {k} of the {what} has shape {tuple(c.shape)}, that "
                f"of the averaged model {tuple(a.shape)}; give a model of the same structure"
            )
    return list(zip(averaged, current, strict=True))


def _copy_all(pairs: list[tuple[Tensor, Tensor]]) -> None:
    for averaged, current in pairs:
        averaged.copy_(current)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of the model's batch normalization anew, as averages over a data set.

    Parameters
    ----------
    loader : iterable
        Batches: tensors, or tuples or lists whose first member is what the model takes.
    model : Module
        The model; called in training mode for every batch, without gradients.
    device : optional
        For PyTorch's sake: there is only the CPU.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    was_training = model.training
    try:
        model.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # all batches count the same
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, list | tuple) else batch
                model(x if device is None else x.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        model.train(was_training)


# the learning rate ------------------------------------------------------------------------------------


class SWALR(LRScheduler):
    """From the rate of the moment to a constant one in `anneal_epochs` steps, to average from there on.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose groups are set.
    swa_lr : float or list of float
        The rate to end with, for all groups or for each.
    anneal_epochs : int
        Steps until then, at least 0.
    anneal_strategy : {"cos", "linear"}
        The way there: half a cosine or a straight line.
    last_epoch : int
        See `LRScheduler`.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        If a value is none of these, or a list has not one rate for each group.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = per_group("swa_lr", check_optimizer(optimizer), swa_lr)
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = rate
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def anneal_func(self, t: float) -> float:
        """How much of the way lies behind after the part `t` of the steps."""
        return (1 - cos(pi * t)) / 2 if self._anneal_strategy == "cos" else t

    def get_lr(self) -> list[Any]:
        """The rates of this step, from those of the step before."""
        self._warn_outside_step()
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._way(step - 1), self._way(step)
        rates = []
        for group in self.optimizer.param_groups:
            last = group["swa_lr"]
            # the rate that annealing began with, had it been annealed all the time
            first = last if before == 1 else (group["lr"] - before * last) / (1 - before)
            rates.append(last * now + first * (1 - now))
        return rates

    def _way(self, step: int) -> float:
        return self.anneal_func(max(0, min(1, step / max(1, self.anneal_epochs))))
