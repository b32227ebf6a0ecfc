"""The one-cycle policy."""

from __future__ import annotations

from bisect import bisect_left
from math import cos, pi
from typing import Any

from ..optimizer import Optimizer
from ._base import LRScheduler, check_optimizer, first_beta_is_momentum, per_group, set_momentum


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and down to almost nothing in one cycle, with the momentum running the other way.

    Step it after every batch. Smith, Topin: Super-convergence: very fast training of neural networks using
    large learning rates. 2018.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose groups are set.
    max_lr : float or list of float
        The highest rate, for all groups or for each.
    total_steps : int, optional
        Length of the cycle; or give `epochs` and `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
        Their product is the length of the cycle.
    pct_start : float
        Part of the cycle that goes up, in [0, 1].
    anneal_strategy : {"cos", "linear"}
        The form of the slopes.
    cycle_momentum : bool
        Whether to move the momentum (or the first beta) too.
    base_momentum, max_momentum : float or list of float
        Its bounds.
    div_factor : float
        ``max_lr / div_factor`` is the first rate.
    final_div_factor : float
        The first rate divided by this is the last.
    three_phase : bool
        Come down to the first rate as fast as it went up, and to the last rate after that.
    last_epoch : int
        Steps that lie behind, see `LRScheduler`.

    Raises
    ------
    ValueError
        If a value is outside its range, if the length is not given, or if the optimizer has no momentum.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        self.total_steps = _length(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float | int) or not 0 <= pct_start <= 1:
            raise ValueError(f"Expected float between 0 and 1 pct_start, but got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}"
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        highest = per_group("max_lr", optimizer, max_lr)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, highest, strict=True):
                group["initial_lr"] = high / div_factor
                group["max_lr"] = high
                group["min_lr"] = group["initial_lr"] / final_div_factor
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._start_momentum(base_momentum, max_momentum, last_epoch)
        super().__init__(optimizer, last_epoch)

    def _start_momentum(self, base_momentum: Any, max_momentum: Any, last_epoch: int) -> None:
        self.use_beta1 = first_beta_is_momentum(self.optimizer)
        highest = per_group("max_momentum", self.optimizer, max_momentum)
        lowest = per_group("base_momentum", self.optimizer, base_momentum)
        if last_epoch == -1:
            for group, high, low in zip(self.optimizer.param_groups, highest, lowest, strict=True):
                set_momentum(group, high, self.use_beta1)
                group["max_momentum"] = high
                group["base_momentum"] = low

    def get_lr(self) -> list[Any]:
        """The rates of this step; sets the momentum as well."""
        self._warn_outside_step()
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(
                f"Tried to step {t} times. The specified number of total steps is {self.total_steps}"
            )
        phases = self._schedule_phases
        ends = [phase["end_step"] for phase in phases]
        k = min(bisect_left(ends, t), len(phases) - 1)
        phase, begin = phases[k], ends[k - 1] if k else 0.0
        part = (t - begin) / (ends[k] - begin)
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[phase["start_lr"]], group[phase["end_lr"]], part))
            if self.cycle_momentum:
                start, stop = group[phase["start_momentum"]], group[phase["end_momentum"]]
                set_momentum(group, self._between(start, stop, part), self.use_beta1)
        return rates

    def _between(self, start: float, end: float, part: float) -> float:
        if self._anneal_func_type == "cos":
            return end + (start - end) / 2.0 * (cos(pi * part) + 1)
        return (end - start) * part + start


def _length(total_steps: Any, epochs: Any, steps_per_epoch: Any) -> int:
    if total_steps is not None:
        return _positive("total_steps", total_steps)
    if epochs is None or steps_per_epoch is None:
        raise ValueError("You must define either total_steps OR (epochs AND steps_per_epoch)")
    return _positive("epochs", epochs) * _positive("steps_per_epoch", steps_per_epoch)


def _positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or value <= 0:
        raise ValueError(f"Expected positive integer {name}, but got {value}")
    return value


def _phases(total: int, up: float, three: bool) -> list[dict[str, Any]]:
    """The phases, each with its last step and the names of the group's entries at both ends."""

    def phase(end: float, lrs: str, momenta: str) -> dict[str, Any]:
        (lr0, lr1), (m0, m1) = lrs.split(), momenta.split()
        return {
            "end_step": end,
            "start_lr": lr0,
            "end_lr": lr1,
            "start_momentum": m0,
            "end_momentum": m1,
        }

    rise = phase(float(up * total) - 1, "initial_lr max_lr", "max_momentum base_momentum")
    if not three:
        return [rise, phase(total - 1, "max_lr min_lr", "base_momentum max_momentum")]
    fall = phase(float(2 * up * total) - 2, "max_lr initial_lr", "base_momentum max_momentum")
    return [rise, fall, phase(total - 1, "initial_lr min_lr", "max_momentum max_momentum")]
