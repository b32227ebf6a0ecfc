"""Optimizers whose step is one compiled call for all parameters of a group.

The hyper-parameters, step counts and state of a group live in memory that the kernels read, so a compiled
program that was recorded once follows every later change. `KernelOptimizer` keeps that memory in step with
``param_groups`` and ``state``: a changed number is written when it is changed; anything that changes which
kernel runs on what (parameters, ``amsgrad``, ...) releases the plans, and the next step builds new ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad._update import UpdatePlan
from jitgrad.autograd import enable_grad
from jitgrad.store import store
from jitgrad.ways_out import GIVE_BOOL

from ._check import as_number, check_group
from ._state import ParamState, StateTable
from ._watch import ParamGroup
from .optimizer import Optimizer

# keys of a group that hold a pair -> the names of its numbers in the formulas
_PAIRS = {
    "betas": ("beta1", "beta2"),
    "etas": ("eta_minus", "eta_plus"),
    "step_sizes": ("smallest", "largest"),
}


class KernelOptimizer(Optimizer):
    """Base of the optimizers that have an update formula; a subclass says which one.

    Attributes
    ----------
    _hyper : tuple of str
        The keys of a group that the formula reads.
    _choices : tuple of str
        The keys of a group that select the formula, see `_op`.
    _free : tuple of str
        The hyper-parameters that may be any number.
    _uniform : tuple of str
        The states that PyTorch keeps as one number, and the kernel with every element.
    """

    _notes_steps = True
    _hyper: tuple[str, ...] = ()
    _choices: tuple[str, ...] = ()
    _free: tuple[str, ...] = ()
    _uniform: tuple[str, ...] = ()

    def _prepare(self, defaults: dict[str, Any]) -> None:
        self._table = StateTable(self)
        self._places: dict[Tensor, tuple[Any, int]] = {}  # parameter -> its plan, and its number there
        self._plans: list[Any] | None = None
        self._runs: list[Callable[[], Any]] | None = None  # what a plain step calls
        self._clears: list[Callable[[], Any]] | None = None
        super()._prepare(defaults)

    def _check_group(self, group: dict[str, Any], ranges: bool = True) -> None:
        check_group(type(self).__name__, group, ranges, self._free)

    # what a subclass says ---------------------------------------------------------------------------

    def _op(self, group: dict[str, Any]) -> Any:
        """What selects the update for `group`: the name of its formula, where `_plan` does not say otherwise."""
        raise NotImplementedError

    def _plan(self, op: Any, params: list[Tensor]) -> Any:
        """What updates parameters of one dtype."""
        return UpdatePlan(op, params, self._starts())

    def _numbers(self, key: str, value: Any, plan: Any) -> dict[str, float]:
        """The numbers of a plan that a hyper-parameter stands for."""
        if key in _PAIRS:
            first, second = value
            return dict(zip(_PAIRS[key], (float(first), float(second)), strict=True))
        if key == "maximize":
            return {"sign": -1.0 if value else 1.0}
        return {key: as_number(type(self).__name__, key, value)}

    def _state_shape(self, param: Tensor, name: str) -> tuple[int, ...]:
        """The shape of a state of `param`."""
        return tuple(param.shape)

    def _starts(self) -> dict[str, float]:
        """What the states of a parameter start with that do not start with zeros."""
        return {}

    def _saved(self, live: dict[str, Any]) -> dict[str, Any]:
        """The state of a parameter as users see it, from the state the kernels keep."""
        return {**live, **{key: _one(live[key]) for key in self._uniform}} if self._uniform else live

    def _loadable(self, param: Tensor, entry: dict[str, Any]) -> dict[str, Any]:
        """The inverse of `_saved`."""
        shape, numbers = tuple(param.shape), {k: float(entry[k]) for k in self._uniform if k in entry}
        return {**entry, **{k: T.full(shape, x, dtype=param.dtype) for k, x in numbers.items()}}

    # steps ------------------------------------------------------------------------------------------

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Evaluates the model anew (with gradients) and returns the loss, which `step` returns.
        """
        runs = self._runs
        if closure is None and runs is not None:
            for run in runs:
                run()
            return None
        return self._general_step(closure)

    def _general_step(self, closure: Callable[[], Any] | None) -> Any:
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        plans = self._plans
        if plans is None:
            with store.outside_recording():
                plans = self._build()
        for group in self._groups:
            for key, value in group.volatile.items():
                if store.recording is None:
                    self._write(group, key)
                elif key == "maximize":
                    store.recording.read(f"{type(self).__name__}.param_groups[...][{key!r}]", GIVE_BOOL)
                else:
                    for plan in group.plans:  # a replay reads it anew
                        plan.hyper.copy(key, value)
        for plan in plans:
            plan.step()
        self._opt_called = True
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters.

        Parameters
        ----------
        set_to_none : bool
            Set ``.grad`` to None (the default), which a following `step` skips; otherwise fill with zeros.
        """
        clears = self._clears
        if set_to_none and clears is not None:
            for clear in clears:
                clear()
        else:
            super().zero_grad(set_to_none)

    # plans ------------------------------------------------------------------------------------------

    def _build(self) -> list[Any]:
        """Make the plans: one per group and dtype."""
        made = []
        places = {}
        for group in self._groups:
            op = self._op(group)
            plans = []
            for params in _by_dtype(group["params"]):
                plan = self._plan(op, params)
                plan.tells = WeakMethod(self._restructured)  # programs may read which entries there are
                plans.append(plan)
                places.update((p, (plan, i)) for i, p in enumerate(params))
            made.append((group, op, plans))
        for p, (plan, i) in places.items():
            entry = self._table.entries.get(p)
            if entry:
                self._load(entry, plan, i)
        for group, group.op, group.plans in made:
            group.volatile = {k: group[k] for k in self._hyper if isinstance(group[k], Tensor)}
            for key in self._hyper:
                self._write(group, key)
        self._places = places
        self._plans = [plan for _, _, plans in made for plan in plans]
        self._clears = [plan.clear_grads for plan in self._plans]
        if not any(group.volatile for group in self._groups):
            self._runs = [plan.step for plan in self._plans]
        return self._plans

    def _release(self) -> None:
        """Give up the plans, keeping the states they hold."""
        self._restructured()  # without plans, too: a program may only have cleared the gradients
        if self._plans is None:
            return
        self._show_states()
        for entry in self._table.entries.values():
            if isinstance(entry, ParamState):
                entry.plan = None
        for group in self._groups:
            if isinstance(group, ParamGroup):
                group.plans = []
        self._places = {}
        self._plans = self._runs = self._clears = None

    def _write(self, group: ParamGroup, key: str) -> None:
        """Write a hyper-parameter to the memory the kernels read."""
        value = group[key]
        if store.recording is not None and group.plans:
            store.recording.assigned(f"{type(self).__name__}.param_groups[...][{key!r}]")
        for plan in group.plans:
            for name, number in self._numbers(key, value, plan).items():
                plan.hyper[name] = number

    def _group_changed(self, group: ParamGroup, key: str) -> None:
        if self._plans is None:
            super()._group_changed(group, key)
            return
        structural = key == "params" or key not in group
        if key in self._choices and not structural:
            structural = self._op(group) != group.op
        if key in self._hyper and not structural:
            value = group[key]
            structural = (value if isinstance(value, Tensor) else None) is not group.volatile.get(key)
            if not structural:
                self._write(group, key)
        if structural and (key in ("params", *self._choices, *self._hyper)):
            self._release()

    def _groups_changed(self) -> None:
        for k, group in enumerate(self._groups):
            if not isinstance(group, ParamGroup):  # put into the list by hand
                list.__setitem__(self._groups, k, ParamGroup(group, self))
        self._release()

    # state ------------------------------------------------------------------------------------------

    @property
    def state(self) -> Any:
        """The state of each parameter that has been updated; its tensors are the live ones."""
        return self._table

    @state.setter
    def state(self, state: Any) -> None:
        self._set_state(state)

    def _check_state(self, param: Tensor, entry: Any, number: Any) -> None:
        for name, value in entry.items():
            shape, expected = tuple(getattr(value, "shape", ())), self._state_shape(param, name)
            if shape not in ((), expected):
                raise ValueError(
                    f"loaded state dict does not fit: {name!r} of parameter {number} has shape {shape}, "
                    f"expected {expected} for a parameter of shape {tuple(param.shape)}"
                )

    def _set_state(self, state: Any) -> None:
        entries = {p: self._table.new_entry(p, entry) for p, entry in state.items()}
        self._release()
        self._table.entries = entries

    def _show_states(self) -> None:
        for p in self._places:
            self._show_state(p)

    def _show_state(self, param: Any) -> None:
        """Bring the entry of `param` up to date with its plan."""
        plan, i = self._places.get(param, (None, 0))
        entries = self._table.entries
        entry = entries.get(param)
        if plan is None or (entry is not None and entry.plan is plan):
            return
        live = plan.state(i)
        if live is None:
            return
        if entry is None:
            entry = entries[param] = ParamState(param, self._table)
        entry.set_quietly(self._saved(live))
        entry.plan = plan

    def _state_changed(self, entry: ParamState, key: str, gone: bool) -> None:
        plan, i = self._places.get(entry.param, (None, 0))
        if plan is None:
            self._restructured()
            return
        value = entry.get(key)
        if gone or (isinstance(value, Tensor) and self._misfit(entry.param, key, value)):
            # a state of another shape is on its way to another parameter: look again at the next step
            entry.plan = plan
            self._release()
            return
        if key not in plan.names:  # nothing that kernels read, and programs with them
            self._restructured()
        self._show_state(entry.param)
        entry.set_quietly({key: value})
        self._load(entry, plan, i)

    def _load(self, entry: ParamState, plan: Any, i: int) -> None:
        """Copy an entry into the plan, and show the plan's memory in the entry."""
        given = self._loadable(entry.param, entry)
        values = {k: v for k, v in given.items() if k in plan.names and v is not None}
        for name, value in values.items():
            if isinstance(value, Tensor) and self._misfit(entry.param, name, value):
                raise RuntimeError(
                    f"{type(self).__name__}: state {name!r} has shape {tuple(value.shape)}, "
                    f"expected {self._state_shape(entry.param, name)} for its parameter of shape "
                    f"{tuple(entry.param.shape)}; replace both together"
                )
        if values:
            plan.load(i, values)
            live = plan.state(i)
            if live is not None:
                entry.set_quietly(self._saved(live))
        entry.plan = plan

    def _misfit(self, param: Tensor, name: str, value: Tensor) -> bool:
        return value.ndim != 0 and tuple(value.shape) != self._state_shape(param, name)


def _one(repeated: Tensor) -> Tensor:
    """The number that all elements are."""
    return repeated.reshape(-1)[0] if repeated.numel() else T.tensor(1.0)


def _by_dtype(params: list[Tensor]) -> list[list[Tensor]]:
    """The floating-point parameters, each once, sorted into lists of one dtype."""
    lists: dict[Any, list[Tensor]] = {}
    seen: set[int] = set()
    for p in params:
        if p.is_floating_point() and id(p) not in seen:
            seen.add(id(p))
            lists.setdefault(p.dtype, []).append(p)
    return list(lists.values())
