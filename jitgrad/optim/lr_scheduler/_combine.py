"""Schedules made of other schedules."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from ._base import LRScheduler, set_value, spoil_step, values
from ._plateau import ReduceLROnPlateau


class _Combined(LRScheduler):
    """A schedule that holds others in `_schedulers`."""

    _schedulers: list[LRScheduler]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the states of the schedules under ``"_schedulers"``."""
        state = {k: v for k, v in super().state_dict().items() if k != "_schedulers"}
        state["_schedulers"] = [s.state_dict() for s in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned."""
        state = dict(state_dict)
        for scheduler, saved in zip(self._schedulers, state.pop("_schedulers"), strict=True):
            scheduler.load_state_dict(saved)
        self.__dict__.update(state)


class SequentialLR(_Combined):
    """One schedule after another.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer of all the schedules.
    schedulers : list of LRScheduler
        The schedules in order.
    milestones : list of int
        The epochs at which the second, third, ... begin.
    last_epoch : int
        See `LRScheduler`.

    Raises
    ------
    ValueError
        If the numbers do not fit or a schedule belongs to another optimizer.
    TypeError
        If a member is not a schedule.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        _check_members("SequentialLR", schedulers, optimizer)
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                "Sequential Schedulers expects number of schedulers provided to be one more than the number "
                f"of milestone points, but got number of schedulers {len(schedulers)} and the number of "
                f"milestones to be equal to {len(milestones)}"
            )
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        self.optimizer = optimizer
        # every schedule has made its first step: take those back, then let the first one begin
        for group in optimizer.param_groups:
            set_value(group, "lr", group["initial_lr"])
        for scheduler in schedulers:
            _step_back(scheduler)
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._initial_step()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:  # type: ignore[override]
        """Go on to the next learning rate."""
        spoil_step(self)
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._update_lr(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def _update_lr(self, epoch: int | None = None) -> None:
        # begins as a part of another sequence
        self.last_epoch = 0
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._update_lr(0)
        self._last_lr = first.get_last_lr()


class ChainedScheduler(_Combined):
    """Several schedules at once: each step makes a step of every one, so that their factors multiply.

    Parameters
    ----------
    schedulers : sequence of LRScheduler
        The schedules.
    optimizer : Optimizer, optional
        The optimizer of all the schedules; by default that of the first.

    Raises
    ------
    ValueError
        If there is no schedule or one belongs to another optimizer.
    TypeError
        If a member is not a schedule.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if optimizer is None and len(schedulers) > 0:
            optimizer = getattr(schedulers[0], "optimizer", None)
        _check_members("ChainedScheduler", schedulers, optimizer)
        self._schedulers = list(schedulers)
        self.optimizer = self._schedulers[0].optimizer
        self._last_lr = values(self.optimizer, "lr")

    def step(self) -> None:  # type: ignore[override]
        """Make a step of every schedule."""
        spoil_step(self)
        for scheduler in self._schedulers:
            scheduler.step()
        self._last_lr = values(self.optimizer, "lr")

    def _update_lr(self, epoch: int | None = None) -> None:
        # begins as a part of a sequence: the schedules start together from the initial rate
        for group in self.optimizer.param_groups:
            set_value(group, "lr", group["initial_lr"])
        for scheduler in self._schedulers:
            if isinstance(scheduler, _Combined):
                scheduler._update_lr(0)
            else:
                scheduler.last_epoch = -1
                scheduler._initial_step()
        self._last_lr = values(self.optimizer, "lr")


def _step_back(scheduler: Any) -> None:
    if isinstance(scheduler, _Combined):
        for member in scheduler._schedulers:
            _step_back(member)
    else:
        scheduler.last_epoch -= 1


def _check_members(owner: str, schedulers: Sequence[Any], optimizer: Any) -> None:
    if len(schedulers) < 1:
        raise ValueError(f"{owner} expects at least one scheduler, but got no scheduler.")
    for i, scheduler in enumerate(schedulers):
        if not hasattr(scheduler, "optimizer"):
            raise TypeError(
                f"{owner} at index {i} should have `optimizer` as its attribute, "
                f"got {type(scheduler).__name__}."
            )
        if isinstance(scheduler, ReduceLROnPlateau):
            raise ValueError(
                f"{owner} does not support `ReduceLROnPlateau`, whose step needs a metric, but got one at "
                f"index {i}; call its step yourself."
            )
        if scheduler.optimizer is not optimizer:
            raise ValueError(
                f"{owner} expects all schedulers to belong to the same optimizer, but got scheduler "
                f"{type(scheduler).__name__} at index {i} of another {type(scheduler.optimizer).__name__}."
            )
