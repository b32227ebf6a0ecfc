"""``torch.accelerator`` for scripts that ask: there is none, so they take the CPU."""

from __future__ import annotations


def is_available() -> bool:
    """Whether an accelerator can be used: never."""
    return False


def device_count() -> int:
    """Number of accelerators: none."""
    return 0


def current_accelerator(check_available: bool = False) -> None:
    """None."""


def synchronize(device: object = None) -> None:
    """Nothing: there is nothing to wait for."""
