"""The base of the learning-rate schedules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad

from ...store import store
from ...user_frames import warn
from ...ways_out import SCHEDULE
from ..optimizer import Optimizer

_BEFORE_OPTIMIZER = (
    "Detected call of `lr_scheduler.step()` before `optimizer.step()`: the first value of the learning rate "
    "schedule is skipped. Call `optimizer.step()` before `lr_scheduler.step()`."
)
EPOCH_GIVEN = "The epoch parameter in `scheduler.step()` is deprecated: call `scheduler.step()` without it."


def spoil_step(scheduler: Any) -> None:
    """Tell a recording that a schedule counts its steps, in Python, where no replay counts."""
    if store.recording is not None:
        store.recording.spoil(f"steps {type(scheduler).__name__}, which counts in Python", SCHEDULE)


class LRScheduler:
    """Sets the learning rate of every group of an optimizer, once when made and once in each `step`.

    Most schedules multiply the rate that a group has by a factor, so that they can be chained and follow
    rates that were changed by hand: a subclass gives that factor with `_ratio`. One with other rules defines
    `get_lr`.

    Parameters
    ----------
    optimizer : Optimizer
        The optimizer whose groups are set.
    last_epoch : int
        The number of steps that lie behind: -1 starts anew; otherwise the groups need an ``"initial_lr"``.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    KeyError
        If `last_epoch` is given and a group has no ``"initial_lr"``.
    """

    # in the instance's dict once set, as in the states that PyTorch saves
    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = check_optimizer(optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", _copied(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming a scheduler "
                    "with last_epoch >= 0: load the state of the optimizer first, or leave last_epoch out"
                )
        self.base_lrs = values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next learning rate; call it after the optimizer's step.

        Parameters
        ----------
        epoch : int, optional
            Deprecated, as in PyTorch: the epoch to jump to.
        """
        spoil_step(self)
        optimizer = self.optimizer
        if self._step_count == 1 and optimizer._notes_steps and not optimizer._opt_called:
            warn(_BEFORE_OPTIMIZER, UserWarning)
        self._step_count += 1
        if epoch is not None:
            warn(EPOCH_GIVEN, UserWarning)
        self._update_lr(epoch)

    def _update_lr(self, epoch: int | None = None) -> None:
        self._get_lr_called_within_step = True
        try:
            if epoch is None:
                self.last_epoch += 1
                rates = self.get_lr()
            else:
                self.last_epoch = epoch
                rates = self._get_closed_form_lr()
        finally:
            self._get_lr_called_within_step = False
        self._set(rates)

    def _set(self, rates: Sequence[Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            set_value(group, "lr", rate)
        self._last_lr = values(self.optimizer, "lr")

    # the rule -------------------------------------------------------------------------------------

    def _ratio(self, epoch: int) -> float:
        """The rate of `epoch` as a multiple of that of the epoch before."""
        raise NotImplementedError(f"{type(self).__name__} defines neither get_lr() nor _ratio()")

    def _factor(self, epoch: int) -> float:
        """The rate of `epoch` as a multiple of the initial rate, when there is a closed form."""
        raise NotImplementedError

    def get_lr(self) -> list[Any]:
        """The rates of this epoch, computed from those the groups have; see `get_last_lr`."""
        self._warn_outside_step()
        ratio = self._ratio(self.last_epoch)
        return [group["lr"] * ratio for group in self.optimizer.param_groups]

    def _get_closed_form_lr(self) -> list[Any]:
        if type(self)._factor is LRScheduler._factor:
            return self.get_lr()
        factor = self._factor(self.last_epoch)
        return [base * factor for base in self.base_lrs]

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warn(
                "To get the last learning rate computed by the scheduler, please use `get_last_lr()`.",
                UserWarning,
            )

    def get_last_lr(self) -> list[Any]:
        """The learning rates set last, one for each group."""
        return self._last_lr

    # saving and loading ---------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with PyTorch's keys."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned; load the optimizer's state too, which has the rates."""
        self.__dict__.update(state_dict)


class LambdaScheduler(LRScheduler):
    """Base of the schedules that are given as one function, or one for each group."""

    lr_lambdas: list[Callable[[int], float]]

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        n = len(check_optimizer(optimizer).param_groups)
        if isinstance(lr_lambda, list | tuple):
            if len(lr_lambda) != n:
                raise ValueError(f"Expected {n} lr_lambdas, but got {len(lr_lambda)}")
            self.lr_lambdas = list(lr_lambda)
        else:
            self.lr_lambdas = [lr_lambda] * n  # type: ignore[list-item]
        for f in self.lr_lambdas:
            if not callable(f):
                raise TypeError(f"lr_lambda should be a function, but got {type(f).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and plain functions; callable objects give their attributes."""
        state = {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}
        state["lr_lambdas"] = [None if is_function(f) else dict(f.__dict__) for f in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what `state_dict` returned; functions stay those given when this was made."""
        state = dict(state_dict)
        for f, attributes in zip(self.lr_lambdas, state.pop("lr_lambdas"), strict=True):
            if attributes is not None:
                f.__dict__.update(attributes)
        self.__dict__.update(state)


def is_function(f: Any) -> bool:
    """Whether `f` has no attributes to save: a plain function, or nothing."""
    return not hasattr(f, "__dict__") or hasattr(f, "__code__")


def check_optimizer(optimizer: Any) -> Optimizer:
    """`optimizer`, which must be one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
    return optimizer


def values(optimizer: Optimizer, key: str) -> list[Any]:
    """The value of `key` in every group; tensors are copied, as they change in place."""
    return [_copied(group[key]) for group in optimizer.param_groups]


def set_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Set a value of a group; a tensor keeps its identity and is filled."""
    if isinstance(group[key], Tensor):
        with no_grad():
            group[key].fill_(float(value))
    else:
        group[key] = value


def first_beta_is_momentum(optimizer: Optimizer) -> bool:
    """Whether the momentum of `optimizer` is the first of its betas.

    Raises
    ------
    ValueError
        If it has no momentum at all.
    """
    if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")
    return "betas" in optimizer.defaults


def set_momentum(group: dict[str, Any], value: float, as_beta: bool) -> None:
    """Set the momentum of a group, or its first beta."""
    if as_beta:
        group["betas"] = (value, *group["betas"][1:])
    else:
        group["momentum"] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """`value` as a list with one entry for each group."""
    n = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * n
    if len(value) != n:
        raise ValueError(
            f"{name} must have the same length as optimizer.param_groups. "
            f"{name} has {len(value)} values, param_groups has {n}."
        )
    return list(value)


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else value
