"""A schedule that watches a metric."""

from __future__ import annotations

from math import inf
from typing import SupportsFloat

from ...user_frames import warn
from ..optimizer import Optimizer
from ._base import EPOCH_GIVEN, LRScheduler, check_optimizer, set_value, spoil_step, values


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when a metric has not improved for more than `patience` epochs.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose groups are set.
    mode : {"min", "max"}
        Whether a smaller or a larger metric is better.
    factor : float
        The factor, below 1.
    patience : int
        Epochs without improvement that are let pass.
    threshold : float
        The least improvement that counts.
    threshold_mode : {"rel", "abs"}
        Whether `threshold` is a part of the best metric or absolute.
    cooldown : int
        Epochs after a reduction in which nothing is counted.
    min_lr : float or list of float
        The lowest rate, for all groups or for each.
    eps : float
        A smaller change of the rate is not made.

    Raises
    ------
    ValueError
        If a value is outside its range.
    TypeError
        If `optimizer` is not an optimizer.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: list[float] | float = 0,
        eps: float = 1e-8,
    ) -> None:
        if not factor < 1.0:
            raise ValueError(f"Factor should be < 1.0, got {factor}.")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode} is unknown! Use 'min' or 'max'.")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode} is unknown! Use 'rel' or 'abs'.")
        self.factor = factor
        self.optimizer = check_optimizer(optimizer)
        n = len(optimizer.param_groups)
        if isinstance(min_lr, list | tuple):
            if len(min_lr) != n:
                raise ValueError(f"expected {n} min_lrs, got {len(min_lr)}")
            self.default_min_lr = None
            self.min_lrs = list(min_lr)
        else:
            self.default_min_lr = min_lr
            self.min_lrs = [min_lr] * n
        self.patience = patience
        self.cooldown = cooldown
        self.eps = eps
        self.last_epoch = 0
        self._last_lr = values(optimizer, "lr")
        self.mode = mode
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.mode_worse = inf if mode == "min" else -inf
        self._reset()

    def _reset(self) -> None:
        """Forget the metrics seen."""
        self.best = self.mode_worse
        self.cooldown_counter = 0
        self.num_bad_epochs = 0

    @property
    def in_cooldown(self) -> bool:
        """Whether the last reduction was so recent that nothing is counted."""
        return self.cooldown_counter > 0

    def step(self, metrics: SupportsFloat, epoch: int | None = None) -> None:  # type: ignore[override]
        """Note the metric of an epoch, and reduce the rate when it is time.

        Parameters
        ----------
        metrics : float
            The metric; a tensor with one element will do.
        epoch : int, optional
            Deprecated, as in PyTorch.
        """
        spoil_step(self)
        current = float(metrics)
        if epoch is not None:
            warn(EPOCH_GIVEN, UserWarning)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self._is_better(current, self.best):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = values(self.optimizer, "lr")

    def _reduce(self) -> None:
        groups = self.optimizer.param_groups
        if len(groups) != len(self.min_lrs):
            if self.default_min_lr is None:
                raise RuntimeError(
                    f"The number of param groups in the `optimizer` ({len(groups)}) differs from when "
                    f"`ReduceLROnPlateau` was initialized ({len(self.min_lrs)}). Please set `min_lrs` to one "
                    "rate for each group."
                )
            self.min_lrs = [self.default_min_lr] * len(groups)
        for group, lowest in zip(groups, self.min_lrs, strict=True):
            old = float(group["lr"])
            new = max(old * self.factor, lowest)
            if old - new > self.eps:
                set_value(group, "lr", new)

    def _is_better(self, a: float, best: float) -> bool:
        if self.threshold_mode == "rel":
            # of an infinite best, any part is infinite
            change = 1.0 - self.threshold if self.mode == "min" else 1.0 + self.threshold
            bound = best * change
        else:
            bound = best - self.threshold if self.mode == "min" else best + self.threshold
        return a < bound if self.mode == "min" else a > bound
