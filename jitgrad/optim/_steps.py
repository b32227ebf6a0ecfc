"""Plans of optimizers whose update of a parameter takes several kernels, such as products of matrices.

They do for `KernelOptimizer` what `UpdatePlan` does for updates of element by element. An update is written in
tensor operations that work in place: in a compiled step their records are replayed without Python. Its
hyper-parameters are tensors of one number, which show the memory that `KernelOptimizer` writes.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from jitgrad._tensor import Tensor
from jitgrad._update import HyperParameters
from jitgrad.autograd import no_grad
from jitgrad.dispatch import CONTEXT
from jitgrad.dtypes import float64
from jitgrad.engine.entry import entries
from jitgrad.functions.creation import zeros
from jitgrad.store import store

Shape = tuple[int, ...]


@dataclass(frozen=True)
class StepRule:
    """An update in tensor operations.

    Attributes
    ----------
    name : str
        The optimizer's name.
    hyper : tuple of str
        The numbers that it reads.
    shapes : callable
        From the shape of a parameter to the shapes of its states by name; "step" counts steps, in float64.
    update : callable
        ``update(h, p, g, state)`` changes a parameter `p` and its states by the gradient `g`; `h` has the
        hyper-parameters as float64 tensors without dimensions.
    """

    name: str
    hyper: tuple[str, ...]
    shapes: Callable[[Shape], dict[str, Shape]]
    update: Callable[[Any, Tensor, Tensor, dict[str, Tensor]], None]


class StepPlan:
    """Parameters of one dtype, their states, and the rule that updates one after the other.

    Parameters
    ----------
    rule : StepRule
        How one parameter is updated.
    params : iterable of Tensor
        Leaves of one dtype.

    Attributes
    ----------
    hyper : HyperParameters
        Set before the first step; written when a value changes.
    names : frozenset of str
        The names of all states that a parameter of some shape has.
    tells : callable
        Gives what to call when a parameter gets its states, or None.
    """

    def __init__(self, rule: StepRule, params: Iterable[Tensor]) -> None:
        self.rule = rule
        self.params = list(params)
        shapes = [rule.shapes(tuple(p.shape)) for p in self.params]
        self.names = frozenset(name for of_one in shapes for name in of_one)
        self.hyper = HyperParameters(rule.hyper)
        self._h = SimpleNamespace(**{name: self.hyper.memory[k] for k, name in enumerate(rule.hyper)})
        self._states: list[dict[str, Tensor] | None] = [None] * len(self.params)
        self.tells: Callable[[], Callable[[], None] | None] = lambda: None
        self.follow()

    def follow(self) -> None:
        """Take the slots that the parameters have now, as `requires_grad_` may have given them others."""
        self._slots = array("q", [p._slot for p in self.params])
        store.keep_telling(self, self._slots)

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        with no_grad():
            for k, p in enumerate(self.params):
                gradient = p.grad
                if gradient is None:
                    continue
                if gradient.dtype is not p.dtype or gradient.shape != p.shape:
                    raise RuntimeError(
                        f"{self.rule.name}: the gradient of a parameter is {gradient.dtype.name} of shape "
                        f"{tuple(gradient.shape)}, expected {p.dtype.name} of {tuple(p.shape)}; make a new "
                        "optimizer after changing a parameter's data"
                    )
                self.rule.update(self._h, p, gradient, self._states[k] or self._make(k))

    def _make(self, k: int) -> dict[str, Tensor]:
        p = self.params[k]
        if store.recording_here is not None:
            store.recording_here.made.append(self)
        with store.outside_recording():
            shapes = self.rule.shapes(tuple(p.shape))
            state = {
                n: zeros(shape, dtype=float64 if n == "step" else p.dtype) for n, shape in shapes.items()
            }
        self._states[k] = state
        if (tell := self.tells()) is not None:
            tell()
        return state

    def clear_grads(self) -> None:
        """Set the gradient of every parameter to None."""
        entries.clear_grads(CONTEXT, self._slots.buffer_info()[0], len(self.params), 1)

    def state(self, k: int) -> dict[str, Tensor] | None:
        """The live state of parameter `k`, or None before its first step."""
        return self._states[k]

    def load(self, k: int, values: dict[str, Any]) -> None:
        """Copy values into the state of parameter `k`; what is not given becomes zero."""
        state = self._states[k] or self._make(k)
        for name, tensor in state.items():
            value = values.get(name, 0.0)
            tensor.numpy()[...] = value.numpy(force=True) if isinstance(value, Tensor) else np.asarray(value)
