"""``torch.amp`` for scripts that can do without: jitgrad computes in float32 and float64 only.

Mixed precision is there to be switched off: ``autocast(..., enabled=False)`` and ``GradScaler(enabled=False)`` do
nothing, and so do both for CUDA, with PyTorch's warning that there is none. On the CPU they are refused.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable)


def _refuse(name: str, device: Any, enabled: bool) -> None:
    """Warn or raise when mixed precision is really asked for."""
    if not enabled:
        return
    kind = str(device).partition(":")[0]
    if kind != "cuda":
        raise RuntimeError(
            f"{name}: expected enabled=False, as jitgrad computes in float32 and float64, got enabled=True for {kind!r}"
        )
    warnings.warn(f"{name}: CUDA is not available, disabling", UserWarning, stacklevel=3)


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
        _refuse("autocast", device_type, enabled)

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
    """A scaler of losses that leaves them as they are, since float32 gradients need no scaling.

    Parameters
    ----------
    device : str
    enabled : bool
        False, unless the device is CUDA, which warns.
    **settings
        PyTorch's, for its sake.

    Raises
    ------
    RuntimeError
        If it is enabled on the CPU.
    """

    def __init__(self, device: str = "cuda", *args: Any, enabled: bool = True, **settings: Any) -> None:
        _refuse("GradScaler", device, enabled)

    def scale(self, outputs: Any) -> Any:
        """The outputs themselves."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing: gradients are not scaled."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """``optimizer.step()``."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing: the scale stays 1."""

    def get_scale(self) -> float:
        """1.0."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Empty, as PyTorch's of a scaler that is not enabled."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: there is no state."""
