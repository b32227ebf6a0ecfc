"""The optimizer's side of the engine: a plan that updates a group of parameters in one compiled call."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np

from ._tensor import Tensor
from .autograd.modes import no_grad
from .dispatch import CONTEXT
from .dtypes import float64
from .engine import layout
from .engine.entry import entries
from .functions.creation import full_like, zeros
from .kernels import updates as _rules  # noqa: F401  (declares the rules)
from .kernels.update_table import UPDATES, compile_update
from .store import store


class HyperParameters(MutableMapping[str, float]):
    """The hyper-parameters of a plan, kept as float64 in engine memory that the kernels read."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._index = {name: k for k, name in enumerate(names)}
        self.memory = zeros(max(len(names), 1), dtype=float64)
        self._values = self.memory.numpy()

    def __getitem__(self, name: str) -> float:
        return float(self._values[self._index[name]])

    def __setitem__(self, name: str, value: float) -> None:
        self._values[self._index[name]] = value

    def copy(self, name: str, value: Tensor) -> None:
        """Set a number to that in a tensor of one element, by a kernel, as a replay does it."""
        with no_grad():
            place = self.memory[self._index[name]]  # type: ignore[index]
            place.copy_(value.detach().reshape(()))

    def __delitem__(self, name: str) -> None:
        raise TypeError("the hyper-parameters of a rule are fixed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)


class UpdatePlan:
    """Parameters of one dtype, their optimizer state, and the rule that updates them.

    Parameters
    ----------
    op : str
        Name of a rule in `kernels.updates`.
    params : iterable of Tensor
        Leaves of one dtype.
    starts : mapping of str to float
        What states begin with that do not begin with zeros.

    Attributes
    ----------
    hyper : HyperParameters
        Set before the first step; written when a value changes.
    names : tuple of str
        ``("step", ...)`` and the names of the states.
    tells : callable
        Gives what to call when a parameter gets its states, or None.
    """

    def __init__(self, op: str, params: Iterable[Tensor], starts: Mapping[str, float] = {}) -> None:
        self.rule = UPDATES[op]
        self._starts = starts
        self.params = list(params)
        self.names = ("step", *self.rule.state)
        self.hyper = HyperParameters(self.rule.hyper)
        self._states: list[dict[str, Tensor] | None] = [None] * len(self.params)
        self.tells: Callable[[], Callable[[], None] | None] = lambda: None
        self._width = 1 + len(self.names)
        self._lines = array("q", [0] * (self._width * len(self.params)))
        self.follow()
        self._code = self.params[0].dtype.code if self.params else 0
        self._kernel = 0

    def follow(self) -> None:
        """Take the slots that the parameters have now, as `requires_grad_` may have given them others."""
        self._lines[:: self._width] = slots = array("q", [p._slot for p in self.params])
        store.keep_telling(self, slots)

    def step(self) -> None:
        """Update every parameter that has a gradient, in one compiled call."""
        status = entries.update(
            CONTEXT,
            self._kernel,
            self._code,
            self._lines.buffer_info()[0],
            len(self.params),
            len(self.rule.state),
            self.hyper.memory._word(layout.S_ADDRESS),
        )
        if status != 0:
            self._mend(status)

    def _mend(self, status: int) -> None:
        if status == layout.BAD_DTYPE:
            raise RuntimeError(
                f"{self.rule.name}: the dtype or shape of a parameter or its gradient changed since the optimizer "
                "made its state; make a new optimizer, or load its state_dict again"
            )
        if status == layout.NEED_KERNEL:
            self._kernel = compile_update(self.rule.name, self._code)
        elif status > 0:
            if store.recording_here is not None:
                store.recording_here.made.append(self)
            with store.outside_recording():
                for k, p in enumerate(self.params):
                    if self._states[k] is None and p.grad is not None:
                        self._make(k)
        elif not store.mend(status):
            raise RuntimeError(f"{self.rule.name}: the engine refused the step (status {status})")
        self.step()

    def _make(self, k: int) -> dict[str, Tensor]:
        p = self.params[k]
        state = {"step": zeros((), dtype=float64)}
        state.update((name, full_like(p.detach(), self._starts.get(name, 0.0))) for name in self.rule.state)
        self._states[k] = state
        if (tell := self.tells()) is not None:
            tell()
        for j, name in enumerate(self.names):
            self._lines[k * self._width + 1 + j] = state[name]._slot
        return state

    def clear_grads(self) -> None:
        """Set the gradient of every parameter to None."""
        entries.clear_grads(CONTEXT, self._lines.buffer_info()[0], len(self.params), self._width)

    def state(self, k: int) -> dict[str, Tensor] | None:
        """The live state of parameter `k`, or None before its first step."""
        return self._states[k]

    def load(self, k: int, values: dict[str, Any]) -> None:
        """Copy values into the state of parameter `k`; what is not given becomes zero."""
        state = self._states[k] or self._make(k)
        for name in self.names:
            target = state[name].numpy()
            value = values.get(name, 0.0)
            target[...] = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)
