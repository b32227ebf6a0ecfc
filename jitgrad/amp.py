"""``torch.amp``: a scaler of losses, and ``autocast`` for scripts that can do without.

jitgrad computes in float32 and float64 only. So ``autocast`` is there to be switched off: with ``enabled=False`` it
does nothing, on the CPU it is refused. For CUDA both do nothing, with PyTorch's warning that there is none.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from jitgrad import functions as T
from jitgrad._tensor import Tensor
from jitgrad.autograd import no_grad
from jitgrad.store import store
from jitgrad.user_frames import warn
from jitgrad.ways_out import SCALER

F = TypeVar("F", bound=Callable)


def _is_cuda(name: str, device: Any, enabled: bool) -> bool:
    """Whether somebody asks for a device that is not there, with PyTorch's warning then."""
    cuda = enabled and str(device).partition(":")[0] == "cuda"
    if cuda:
        warn(f"{name}: CUDA is not available, disabling", UserWarning)
    return cuda


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Whether an `autocast` is on: never."""
    return False


class autocast:
    """A context, or a decorator, in which nothing changes.

    Parameters
    ----------
    device_type : str
    dtype, cache_enabled
        For PyTorch's sake.
    enabled : bool
        False, unless the device is CUDA, which warns.

    Raises
    ------
    RuntimeError
        If it is enabled on the CPU.
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if not _is_cuda("autocast", device_type, enabled) and enabled:
            raise RuntimeError(
                "autocast: expected enabled=False, as jitgrad computes in float32 and float64, got enabled=True "
                f"for {str(device_type)!r}"
            )

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, function: F) -> F:
        """The function, as a decorator gives it back."""

        @functools.wraps(function)
        def same(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return same  # type: ignore[return-value]


class GradScaler:
    """Scales losses up, so that small gradients keep their digits, and gradients down again before a step.

    A step whose gradients are not finite is left out, and the scale becomes smaller. Float32 needs none of this.

    Parameters
    ----------
    device : str
    init_scale : float
        The first scale.
    growth_factor, backoff_factor : float
        By which the scale is multiplied after `growth_interval` steps in a row, and after one that was left out.
    growth_interval : int
        See `growth_factor`.
    enabled : bool
        False leaves losses, gradients and steps as they are; so does the device CUDA, which warns.

    Raises
    ------
    AssertionError
        If `growth_factor` is not above 1, or `backoff_factor` not below.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        self._enabled = enabled and not _is_cuda("GradScaler", device, enabled)
        if not self._enabled:
            return
        if growth_factor <= 1.0:
            raise AssertionError(f"The growth factor must be > 1.0, got {growth_factor}")
        if backoff_factor >= 1.0:
            raise AssertionError(f"The backoff factor must be < 1.0, got {backoff_factor}")
        self._scale, self._growth_tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor = growth_factor, backoff_factor
        self._growth_interval = growth_interval
        self._scaled = False  # that something has been scaled yet
        self._finite: dict[int, bool] = {}  # of each optimizer since the last update: were its gradients?
        self._stepped: set[int] = set()

    def _read_by_steps(self) -> tuple[Any, ...]:
        """What the methods decide by: a compiled step that calls one was recorded for these."""
        if not self._enabled:
            return (False,)
        numbers = (self._scale, self._growth_factor, self._backoff_factor, self._growth_interval)
        seen = tuple(self._finite.items()), tuple(sorted(self._stepped))
        return *numbers, self._growth_tracker, *seen

    def scale(self, outputs: Any) -> Any:
        """A tensor, or each of an iterable of tensors, times the scale.

        Raises
        ------
        ValueError
            If it is something else.
        """
        if not self._enabled:
            return outputs
        self._scaled = True
        if isinstance(outputs, Tensor):
            return outputs * self._scale
        if not isinstance(outputs, Iterable):
            raise ValueError(
                f"GradScaler.scale: outputs must be a Tensor or an iterable of Tensors, got {type(outputs).__name__}"
            )
        scaled = map(self.scale, outputs)
        return type(outputs)(scaled) if isinstance(outputs, list | tuple) else scaled  # type: ignore[call-arg]

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimizer's parameters by the scale, and see whether they are finite.

        Raises
        ------
        RuntimeError
            If that was done, or the optimizer has stepped, since the last `update`.
        """
        if not self._enabled:
            return
        self._check_scaled("unscale_")
        if id(optimizer) in self._stepped:
            raise RuntimeError("unscale_() is being called after step().")
        if id(optimizer) in self._finite:
            raise RuntimeError(
                "unscale_() has already been called on this optimizer since the last update()."
            )
        gradients = [
            p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None
        ]
        if not gradients:
            return  # nothing to see: `step` says so
        if store.recording is not None:
            store.recording.spoil("looks whether gradients are finite (GradScaler)", SCALER)
        with no_grad():
            self._finite[id(optimizer)] = all(T.isfinite(g).all().item() for g in gradients)
            for g in gradients:
                g.mul_(1.0 / self._scale)

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step()`` with unscaled gradients, if they are finite.

        Raises
        ------
        RuntimeError
            If the optimizer has stepped since the last `update`, or a closure is given.
        AssertionError
            If nothing was scaled, or no parameter has a gradient.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        self._check_scaled("step")
        if id(optimizer) in self._stepped:
            raise RuntimeError("step() has already been called since the last update().")
        if id(optimizer) not in self._finite:
            self.unscale_(optimizer)
        if id(optimizer) not in self._finite:
            raise AssertionError(
                "No inf checks were recorded for this optimizer: its parameters have no gradients."
            )
        self._stepped.add(id(optimizer))
        return optimizer.step(*args, **kwargs) if self._finite[id(optimizer)] else None

    def update(self, new_scale: float | Tensor | None = None) -> None:
        """Make the scale larger or smaller, as the steps since the last time went; or set it.

        Raises
        ------
        AssertionError
            If nothing was scaled, or no optimizer's gradients were looked at.
        """
        if not self._enabled:
            return
        self._check_scaled("update")
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._finite:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif not all(self._finite.values()):
            self._scale, self._growth_tracker = _rounded(self._scale * self._backoff_factor), 0
        else:
            self._grow()
        self._finite, self._stepped = {}, set()

    def _grow(self) -> None:
        self._growth_tracker += 1
        if self._growth_tracker == self._growth_interval:
            larger = _rounded(self._scale * self._growth_factor)
            self._scale = larger if math.isfinite(larger) else self._scale
            self._growth_tracker = 0

    def _check_scaled(self, name: str) -> None:
        if not self._scaled:
            raise AssertionError(
                f"Attempted {name} but _scale is None.  This may indicate your script did not use "
                "scaler.scale(loss or outputs) earlier in the iteration."
            )

    def get_scale(self) -> float:
        """The scale; 1 if the scaler is not enabled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """By which the scale grows."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set by which the scale grows."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """By which the scale is multiplied after a step that was left out."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set by which the scale is multiplied after a step that was left out."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """After how many steps in a row the scale grows; 0 if the scaler is not enabled."""
        return self._growth_interval if self._enabled else 0

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many steps in a row the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Whether it scales at all."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Scale, factors and counts; empty if the scaler is not enabled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what `state_dict` gave, here or in PyTorch; nothing if the scaler is not enabled.

        Raises
        ------
        RuntimeError
            If it is that of a scaler that was not enabled.
        """
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = float(state_dict["scale"])
        self._growth_factor, self._backoff_factor = state_dict["growth_factor"], state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]


def _rounded(scale: float) -> float:
    """A scale as PyTorch keeps it, in float32."""
    with np.errstate(over="ignore"):
        return float(np.float32(scale))
