"""Cyclical learning rates."""

from __future__ import annotations

from collections.abc import Callable
from math import floor
from typing import Any

from ..optimizer import Optimizer
from ._base import (
    LRScheduler,
    check_optimizer,
    first_beta_is_momentum,
    is_function,
    per_group,
    set_momentum,
    set_value,
)

# mode -> what its factor of the height is a function of
_MODES = {"triangular": "cycle", "triangular2": "cycle", "exp_range": "iterations"}


class CyclicLR(LRScheduler):
    """Up from `base_lr` to `max_lr` and down again along straight lines, over and over.

    Step it after every batch. Smith: Cyclical learning rates for training neural networks. WACV 2017.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose groups are set.
    base_lr, max_lr : float or list of float
        The lowest and the highest rate, for all groups or for each.
    step_size_up : int
        Steps that go up in each cycle, more than 0.
    step_size_down : int, optional
        Steps that go down; by default as many as go up.
    mode : {"triangular", "triangular2", "exp_range"}
        The height of the cycles: always the same, half of that before in each cycle, or times `gamma` in each
        step. Not looked at when `scale_fn` is given.
    gamma : float
        See `mode`.
    scale_fn : callable, optional
        The height as a part of the whole, a function of the number of the cycle (from 1) or of the steps.
    scale_mode : {"cycle", "iterations"}
        What `scale_fn` is a function of.
    cycle_momentum : bool
        Whether to move the momentum (or the first beta) too, the other way.
    base_momentum, max_momentum : float or list of float
        Its bounds.
    last_epoch : int
        Steps that lie behind, see `LRScheduler`.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    ValueError
        If `mode` is unknown, if a list has not one value for each group, if a cycle would not go up, or if the
        optimizer has no momentum to move.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.8,
        max_momentum: float | list[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        self.optimizer = check_optimizer(optimizer)
        lowest = per_group("base_lr", optimizer, base_lr)
        self.max_lrs = per_group("max_lr", optimizer, max_lr)
        up, down = _lengths(step_size_up, step_size_down)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        if mode not in _MODES and scale_fn is None:
            raise ValueError(
                f"mode is invalid and scale_fn is None: CyclicLR expects one of {list(_MODES)}, got {mode!r}"
            )
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode if scale_fn is not None else _MODES[mode]
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.use_beta1 = first_beta_is_momentum(optimizer)
            self.base_momentums = per_group("base_momentum", optimizer, base_momentum)
            self.max_momentums = per_group("max_momentum", optimizer, max_momentum)
        if last_epoch == -1:
            self._start(lowest)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def _start(self, rates: list[Any]) -> None:
        groups = self.optimizer.param_groups
        for group, rate in zip(groups, rates, strict=True):
            set_value(group, "lr", rate)
        if self.cycle_momentum:
            for group, low, high in zip(groups, self.base_momentums, self.max_momentums, strict=True):
                set_momentum(group, high, self.use_beta1)
                group["max_momentum"] = high
                group["base_momentum"] = low

    def scale_fn(self, x: float) -> float:
        """The height of cycle or step `x` as a part of the whole."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 0.5 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self) -> list[Any]:
        """The rates of this step; sets the momentum as well."""
        self._warn_outside_step()
        passed = 1 + self.last_epoch / self.total_size
        cycle = floor(passed)
        x = passed - cycle
        part = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height = part * self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            bounds = zip(self.base_momentums, self.max_momentums, strict=True)
            for group, (low, high) in zip(self.optimizer.param_groups, bounds, strict=True):
                set_momentum(group, high - (high - low) * height, self.use_beta1)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and a plain `scale_fn`; a callable object gives its attributes."""
        state = super().state_dict()
        scale = self._scale_fn_custom
        state["_scale_fn_custom"] = None if is_function(scale) else dict(scale.__dict__)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned; `scale_fn` stays that given when this was made.

        Raises
        ------
        AttributeError
            If attributes of a `scale_fn` were saved, and none was given to this.
        """
        state = dict(state_dict)
        attributes = state.pop("_scale_fn_custom")
        if attributes is not None:
            if self._scale_fn_custom is None:
                raise AttributeError(
                    "CyclicLR.load_state_dict: the state has the attributes of a scale_fn, but none was given "
                    "to this schedule; make it with an object of the same class as scale_fn"
                )
            self._scale_fn_custom.__dict__.update(attributes)
        super().load_state_dict(state)


def _lengths(up: Any, down: Any) -> tuple[float, float]:
    rising = float(up)
    falling = rising if down is None else float(down)
    if not rising > 0 or not falling >= 0:
        raise ValueError(
            f"CyclicLR: step_size_up must be more than 0 and step_size_down at least 0, got {up} and {down}"
        )
    return rising, falling
