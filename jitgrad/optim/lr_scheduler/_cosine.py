"""Schedules that follow a cosine."""

from __future__ import annotations

from math import cos, floor, log, pi
from typing import Any

from ..optimizer import Optimizer
from ._base import LRScheduler, spoil_step, values


class CosineAnnealingLR(LRScheduler):
    r"""From the initial rate down to `eta_min` along half a cosine, and up again.

    .. math::
        \eta_t = \eta_{min} + (\eta_0 - \eta_{min}) (1 + \cos(\pi t / T_{max})) / 2

    Loshchilov, Hutter: SGDR: Stochastic gradient descent with warm restarts. ICLR 2017 (without restarts).

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose groups are set.
    T_max : int
        Epochs until the rate is lowest.
    eta_min : float
        The lowest rate.
    last_epoch : int
        See `LRScheduler`.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of this epoch, from those of the epoch before."""
        self._warn_outside_step()
        t, low = self.last_epoch, self.eta_min
        groups = self.optimizer.param_groups
        if self._is_initial:
            return values(self.optimizer, "lr")
        if self._step_count == 1 and t > 0:
            return self._get_closed_form_lr()
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:
            # the epoch before was the lowest point, where the quotient below is 0 / 0
            rise = (1 - cos(pi / self.T_max)) / 2
            return [g["lr"] + (b - low) * rise for g, b in zip(groups, self.base_lrs, strict=True)]
        ratio = (1 + cos(pi * t / self.T_max)) / (1 + cos(pi * (t - 1) / self.T_max))
        return [ratio * (g["lr"] - low) + low for g in groups]

    def _get_closed_form_lr(self) -> list[Any]:
        height = (1 + cos(pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the initial rate to `eta_min`, then the same again, each `T_mult` times as long.

    Loshchilov, Hutter: SGDR: Stochastic gradient descent with warm restarts. ICLR 2017.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose groups are set.
    T_0 : int
        Epochs of the first cycle.
    T_mult : int
        Factor of the length from one cycle to the next.
    eta_min : float
        The lowest rate.
    last_epoch : int
        See `LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(T_0, int) or T_0 <= 0:
            raise ValueError(f"Expected positive integer T_0, but got {T_0}")
        if not isinstance(T_mult, int) or T_mult < 1:
            raise ValueError(f"Expected integer T_mult >= 1, but got {T_mult}")
        if not isinstance(eta_min, float | int):
            raise ValueError(f"Expected float or int eta_min, but got {eta_min} of type {type(eta_min)}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[Any]:
        """The rates of this epoch."""
        self._warn_outside_step()
        height = (1 + cos(pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:  # type: ignore[override]
        """Go on to the next rate.

        Parameters
        ----------
        epoch : float, optional
            The time to go to; a fraction gives the rate within an epoch:
            ``scheduler.step(epoch + i / batches)``.
        """
        spoil_step(self)
        if epoch is None and self.last_epoch < 0:
            epoch = 0
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            if epoch < 0:
                raise ValueError(f"Expected non-negative epoch, but got {epoch}")
            self._go_to(epoch)
        self.last_epoch = floor(epoch)
        self._get_lr_called_within_step = True
        try:
            rates = self.get_lr()
        finally:
            self._get_lr_called_within_step = False
        self._set(rates)

    def _go_to(self, epoch: float) -> None:
        """Find the cycle that `epoch` is in, and the place there."""
        if epoch < self.T_0:
            self.T_i, self.T_cur = self.T_0, epoch
        elif self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        else:
            # cycle n begins at T_0 (1 + m + ... + m^(n-1))
            n = int(log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            begin = self.T_0 * (self.T_mult**n - 1) // (self.T_mult - 1)
            if epoch - begin >= self.T_0 * self.T_mult**n:  # the logarithm was rounded down
                begin += self.T_0 * self.T_mult**n
                n += 1
            self.T_cur, self.T_i = epoch - begin, self.T_0 * self.T_mult**n
